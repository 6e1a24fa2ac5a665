"""Checks of a configuration: known keys, warnings and collected errors."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import stellar.pipeline.parsers as parsers
from stellar.pipeline import load_config
from stellar.pipeline.check import GENERAL_OPTIONS, check_sensor, list_parser_options
from stellar.pipeline.config.locations import ErrorCollector, SourceLocation

EXAMPLE = Path(__file__).parents[2] / "examples" / "squid" / "config"


@pytest.mark.parametrize("module", [file.stem for file in Path(parsers.__file__).parent.glob("*.py")])
def test_every_option_of_a_parser_is_a_known_key(module: str) -> None:
    folder = Path(parsers.__file__).parent
    source = (folder / f"{module}.py").read_text(encoding="utf-8")
    read = set(re.findall(r'settings\.(?:text|texts|truth|options\.get)\("(\w+)"', source))
    assert read <= list_parser_options() | GENERAL_OPTIONS


@pytest.mark.parametrize("name", parsers.PARSERS)
def test_every_parser_declares_its_options(name: str) -> None:
    assert parsers.list_options(name) is not None


@pytest.mark.parametrize(
    ("name", "options", "transformation", "unknown"),
    [
        ("CSV", {"columns": ["a"], "colour": 1}, {}, ["colour"]),
        ("CSV", {"columns": ["a"], "colour": 1}, {"b": "colour"}, []),
        ("CSV", {"columns": ["a"], "batchSize": 5, "kafka.topicField": "t"}, {}, []),
        ("Grok", {"grokPath": "/patterns/none", "patternLabel": "X", "colour": 1}, {}, ["colour"]),  # is not built
        ("no_such_module.Parser", {"colour": 1}, {}, []),
    ],
)
def test_an_option_that_nothing_reads_is_a_warning(
    name: str, options: dict[str, object], transformation: dict[str, str], unknown: list[str], tmp_path: Path
) -> None:
    (tmp_path / "parsers").mkdir()
    steps = [{"transformation": "STELLAR", "config": transformation}] if transformation else []
    config = {"parserClassName": name, "parserConfig": options, "fieldTransformations": steps}
    (tmp_path / "parsers" / "x.json").write_text(json.dumps(config), encoding="utf-8")
    warnings = check_sensor(load_config, tmp_path, "x").warnings
    assert [each.message for each in warnings if "unknown option" in each.message] == [
        f"unknown option {option!r}: neither the parser nor an expression reads it" for option in unknown
    ]


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


def test_oniguruma_syntax_in_a_grok_pattern_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "parsers").mkdir()
    (tmp_path / "patterns").mkdir()
    options = {"grokPath": "/patterns/mine", "patternLabel": "LINE", "timestampField": "t"}
    config = {"parserClassName": "org.apache.metron.parsers.GrokParser", "sensorTopic": "x", "parserConfig": options}
    (tmp_path / "parsers" / "x.json").write_text(json.dumps(config), encoding="utf-8")
    definitions = [r"HEX \h+", r"PLAIN \\h(?<n>a)", "LINE %{HEX:t} (?:(?<n>a)|(?<n>b)) %{PLAIN}", r"UNUSED \H"]
    (tmp_path / "patterns" / "mine").write_text("\n".join(definitions), encoding="utf-8")
    result = check_sensor(load_config, tmp_path, "x")
    assert result.problems == ()
    assert [str(each).removeprefix(str(tmp_path)) for each in result.warnings] == [
        r"/patterns/mine: HEX: \h matches horizontal whitespace; for a hexadecimal digit, as in Oniguruma, "
        "write [0-9a-fA-F]",
        "/patterns/mine: LINE: repeated group n: only the value of the first one is used",
    ]
