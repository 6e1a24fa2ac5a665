"""Warnings of `stellar-pipeline check` about literals: date patterns, and literal arguments in expressions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from stellar.pipeline import load_config
from stellar.pipeline.check import check_sensor

COLUMNS = {"columns": ["timestamp", "name"]}


def find_warnings(directory: Path, parser: dict[str, Any], settings: dict[str, Any] | None = None) -> list[str]:
    (directory / "parsers").mkdir()
    (directory / "parsers" / "x.json").write_text(json.dumps(parser), encoding="utf-8")
    (directory / "global.json").write_text(json.dumps(settings or {}), encoding="utf-8")
    result = check_sensor(load_config, directory, "x")
    assert result.problems == ()
    return [str(each).removeprefix(f"{directory}/") for each in result.warnings]


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("YYYY-MM-dd", "Y is the year of the week: 31 December 2018 is in 2019; use y"),
        ("yyyy-mm-dd", "m is the minute; use M for the month"),
        ("yyyy-MM-dd hh:mm", "h is the hour of half a day, and the pattern does not specify which half; use H, or"),
        ("HH:mm:ss.SSSSSS", "SSSSSS is a number of milliseconds: .123456 is 123 s and 456 ms; use SSS"),
    ],
)
def test_a_misleading_date_pattern_of_a_parser_is_a_warning(tmp_path: Path, pattern: str, message: str) -> None:
    parser = {"parserClassName": "CSV", "parserConfig": {**COLUMNS, "timestampFormat": pattern}}
    (warning,) = find_warnings(tmp_path, parser)
    assert warning.startswith(f"parsers/x.json: parserConfig.timestampFormat: {message}")


def test_a_misleading_date_pattern_of_a_validation_is_a_warning(tmp_path: Path) -> None:
    validation = {"validation": "DATE", "input": ["name"], "config": {"format": "yyyy-mm-dd"}}
    (warning,) = find_warnings(
        tmp_path, {"parserClassName": "CSV", "parserConfig": COLUMNS}, {"fieldValidations": [validation]}
    )
    assert warning == "global.json: fieldValidations[0].config.format: m is the minute; use M for the month"


def test_snorts_pattern_has_decimals_of_seconds(tmp_path: Path) -> None:
    options = {"dateFormat": "MM/dd/yyyy-HH:mm:ss.SSSSSS"}
    assert find_warnings(tmp_path, {"parserClassName": "BasicSnort", "parserConfig": options}) == []


def test_a_warning_of_a_parser_is_shown(tmp_path: Path) -> None:
    (warning,) = find_warnings(tmp_path, {"parserClassName": "BasicFireEye"})
    assert warning.startswith("parsers/x.json: parserConfig: as in Metron, the last pairs of each notice")


def test_a_literal_argument_is_checked(tmp_path: Path) -> None:
    expressions = {"a": "REGEXP_MATCH(name, '(')", "b": "IN_SUBNET(name, '10.0.0.1/32')"}
    transformation = {"transformation": "STELLAR", "config": expressions}
    parser = {"parserClassName": "CSV", "parserConfig": COLUMNS, "fieldTransformations": [transformation]}
    invalid, misleading = find_warnings(tmp_path, parser)
    assert invalid.startswith("parsers/x.json: fieldTransformations[0].config.a: invalid regular expression '('")
    assert misleading.startswith("parsers/x.json: fieldTransformations[0].config.b: a subnet of 32 bits has no hosts")
