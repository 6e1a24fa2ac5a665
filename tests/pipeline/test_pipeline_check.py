"""What a check knows of the keys that are read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import stellar.pipeline.parsers as parsers
from stellar.pipeline.check import PARSER_OPTIONS, checked
from stellar.pipeline.config.locations import ErrorCollector, SourceLocation
from stellar.pipeline.config.schema import load

EXAMPLE = Path(__file__).parents[2] / "examples" / "squid" / "config"


@pytest.mark.parametrize("module", ["csv", "grok", "json_map"])
def test_every_option_of_a_parser_is_a_known_key(module: str) -> None:
    folder = Path(parsers.__file__).parent
    source = (folder / f"{module}.py").read_text(encoding="utf-8")
    read = set(re.findall(r'settings\.(?:text|texts|truth|options\.get)\("(\w+)"', source))
    assert read
    assert read <= PARSER_OPTIONS


def test_a_good_configuration_is_without_warnings() -> None:
    verdict = checked(load, EXAMPLE, "squid")
    assert verdict.problems == ()
    assert verdict.warnings == ()
    assert "MAAS_MODEL_APPLY" in verdict.functions


def test_of_collected_problems_the_rest_is_what_was_made_otherwise() -> None:
    def bad() -> int:
        raise SourceLocation("x.json").error("no")

    found: list = []
    assert ErrorCollector(found).attempt(bad, 7) == 7
    assert [str(problem) for problem in found] == ["x.json: no"]
    assert ErrorCollector().attempt(lambda: 3, 7) == 3
