"""PARSER_INIT, PARSER_PARSE and PARSER_CONFIG."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import stellar
from stellar.language.context import Context, GlobalSettings
from stellar.language.conversions import to_string

Evaluate = Callable[..., Any]
CSV: dict[str, Any] = {
    "parserClassName": "CSV",
    "parserConfig": {"columns": ["timestamp", "user", "url"], "filter.query": "user != 'root'"},
    "filterClassName": "STELLAR",
    "fieldTransformations": [{"transformation": "STELLAR", "config": {"host": "URL_TO_HOST(url)", "one": "1 / n"}}],
}


def without_one(**changes: Any) -> dict[str, Any]:
    transformations = [{"transformation": "STELLAR", "config": {"host": "URL_TO_HOST(url)"}}]
    return {**CSV, "fieldTransformations": transformations, **changes}


def test_records_come_before_errors(evaluate: Evaluate) -> None:
    lines = ["1,mary,http://a.example/", "too,short", "2,root,http://b.example/", "3,bob,http://c.example/"]
    parser = evaluate("PARSER_INIT('web', config)", config=json.dumps(without_one()))
    first, second, error = evaluate("PARSER_PARSE(parser, lines)", parser=parser, lines=lines)
    assert [(each["user"], each["host"], each["source.type"]) for each in (first, second)] == [
        ("mary", "a.example", "web"),
        ("bob", "c.example", "web"),
    ]
    assert first["original_string"] == lines[0]
    assert (error["error_type"], error["raw_message"]) == ("parser_error", "too,short")
    assert to_string(parser) == "Parser{2 successful, 1 error(s)}"
    evaluate("PARSER_PARSE(parser, 'a')", parser=parser)
    assert to_string(parser) == "Parser{2 successful, 2 error(s)}"


def test_a_transformation_that_fails_is_an_error_document(evaluate: Evaluate) -> None:
    (error,) = evaluate(
        "PARSER_PARSE(PARSER_INIT('web', config), '1,mary,u')",
        config=json.dumps(
            {**CSV, "parserConfig": {"columns": ["timestamp", "user", "url"], "n": 0, "filter.query": ""}}
        ),
    )
    assert error["stage"] == "transform"


def test_enrichment_is_not_part_of_a_parser(evaluate: Evaluate) -> None:
    (record,) = evaluate("PARSER_PARSE(PARSER_INIT('web', {'parserClassName': 'JSONMap'}), '{\"timestamp\": 1}')")
    assert set(record) == {"timestamp", "source.type", "guid", "original_string"}


def test_the_settings_of_the_shell_hold_but_not_its_validations(evaluate: Evaluate) -> None:
    validations = [{"validation": "STELLAR", "config": {"condition": "false"}}]
    settings = GlobalSettings({"fieldValidations": validations, "stellar.function.resolver.excludes": "TO_UPPER"})
    context = Context({GlobalSettings: settings})
    config = json.dumps(without_one())
    (record,) = evaluate("PARSER_PARSE(PARSER_INIT('web', config), '1,mary,u')", context, config=config)
    assert record["user"] == "mary"
    transformations = [{"transformation": "STELLAR", "config": {"a": "TO_UPPER(user)"}}]
    with pytest.raises(stellar.EvaluationError, match="unknown function TO_UPPER"):
        evaluate("PARSER_INIT('web', config)", context, config=without_one(fieldTransformations=transformations))
    settings["parser.groups"] = 5
    with pytest.raises(stellar.EvaluationError, match=r"global configuration: \[\"parser.groups\"\]: expected a list"):
        evaluate("PARSER_INIT('web', config)", context, config=config)


def test_a_configuration_may_be_a_map_or_stored(evaluate: Evaluate, in_directory: Context, tmp_path: Path) -> None:
    config = tmp_path / "config"
    for folder in ("parsers", "patterns"):
        (config / folder).mkdir(parents=True)
    (config / "patterns" / "web").write_text("WEB %{INT:timestamp} %{IP:ip}\n")
    parser = {
        "parserClassName": "Grok",
        "parserConfig": {"grokPath": "patterns/web", "patternLabel": "WEB", "timestampField": "timestamp"},
    }
    (config / "parsers" / "web.json").write_text(f"// web\n{json.dumps(parser)}")
    (record,) = evaluate("PARSER_PARSE(PARSER_INIT('web'), '1571163620277 10.0.0.1')", in_directory)
    assert (record["ip"], record["timestamp"]) == ("10.0.0.1", 1571163620277)
    shown = json.loads(evaluate("PARSER_CONFIG(PARSER_INIT('web'))", in_directory))
    assert shown["parserConfig"] == parser["parserConfig"]
    assert evaluate("PARSER_INIT('web', config)", config=without_one()).config["parserClassName"] == "CSV"


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("{", "invalid JSON"),
        ({"parserClassName": "CSV"}, "columns"),
        ({"parserClassName": "CSV", "colour": 1}, "unknown key 'colour'"),
        ({"parserClassName": "NoSuch"}, "unknown parser 'NoSuch'"),
        (without_one(filterClassName="NO_SUCH"), "unknown filter 'NO_SUCH'"),
        ([], "expected a configuration as JSON or as a map, got"),
        (None, "expected a configuration as JSON or as a map, got null"),
    ],
)
def test_an_invalid_configuration_is_an_error(evaluate: Evaluate, config: Any, message: str) -> None:
    with pytest.raises(stellar.EvaluationError, match=message):
        evaluate("PARSER_INIT('web', config)", config=config)


def test_a_sensor_without_a_stored_configuration_is_an_error(evaluate: Evaluate, in_directory: Context) -> None:
    with pytest.raises(stellar.EvaluationError, match=r"no configuration of a parser at .*web\.json; store one"):
        evaluate("PARSER_INIT('web')", in_directory)


@pytest.mark.parametrize("value", [None, 1, {}, ["a", 1]])
def test_messages_are_strings(evaluate: Evaluate, value: Any) -> None:
    parser = evaluate("PARSER_INIT('web', {'parserClassName': 'JSONMap'})")
    with pytest.raises(stellar.EvaluationError, match="expected a string or a list of strings as input"):
        evaluate("PARSER_PARSE(parser, input)", parser=parser, input=value)
