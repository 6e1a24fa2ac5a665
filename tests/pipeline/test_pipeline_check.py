"""Checks of a configuration: known keys, warnings and collected errors."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import stellar.pipeline.parsers as parsers
from stellar.pipeline import load_config
from stellar.pipeline.check import PARSER_OPTIONS, check_sensor
from stellar.pipeline.config.locations import ErrorCollector, SourceLocation

EXAMPLE = Path(__file__).parents[2] / "examples" / "squid" / "config"


@pytest.mark.parametrize("module", ["csv", "grok", "json_map"])
def test_every_option_of_a_parser_is_a_known_key(module: str) -> None:
    folder = Path(parsers.__file__).parent
    source = (folder / f"{module}.py").read_text(encoding="utf-8")
    read = set(re.findall(r'settings\.(?:text|texts|truth|options\.get)\("(\w+)"', source))
    assert read
    assert read <= PARSER_OPTIONS


def test_a_valid_configuration_has_no_warnings() -> None:
    result = check_sensor(load_config, EXAMPLE, "squid")
    assert result.problems == ()
    assert result.warnings == ()
    assert "MAAS_MODEL_APPLY" in result.functions


def test_a_collected_error_gives_the_default() -> None:
    def bad() -> int:
        raise SourceLocation("x.json").error("no")

    found: list = []
    assert ErrorCollector(found).attempt(bad, 7) == 7
    assert [str(problem) for problem in found] == ["x.json: no"]
    assert ErrorCollector().attempt(lambda: 3, 7) == 3
