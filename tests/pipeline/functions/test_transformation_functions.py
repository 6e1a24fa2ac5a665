"""PARSER_STELLAR_TRANSFORM_*, ENRICHMENT_STELLAR_TRANSFORM_* and INDEXING_SET_*."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

import stellar
from stellar.pipeline.stages.fields import STELLAR_NAMES
from stellar.util.text_tables import text_table

Evaluate = Callable[..., Any]
PARSER = {
    "parserClassName": "CSV",
    "fieldTransformations": [
        {"transformation": "STELLAR", "output": ["first"], "config": {"first": "1"}},
        {"transformation": STELLAR_NAMES[1], "output": ["b", "a"], "config": {"b": "2", "a": "3"}},
        {"transformation": "REMOVE", "input": ["x"]},
    ],
}


def add_to_parser(evaluate: Evaluate, config: Any, transforms: Any) -> Any:
    return json.loads(evaluate("PARSER_STELLAR_TRANSFORM_ADD(c, t)", c=json.dumps(config), t=transforms))


# -- Parsers ----------------------------------------------------------------------------------------------------------


def test_expressions_are_added_to_the_last_stellar_transformation(evaluate: Evaluate) -> None:
    first, second, third = add_to_parser(evaluate, PARSER, {"c": "4", "b": "5"})["fieldTransformations"]
    assert list(second["config"].items()) == [("b", "5"), ("a", "3"), ("c", "4")]
    assert second["output"] == ["b", "a", "c"]
    assert (first["config"], third["transformation"]) == ({"first": "1"}, "REMOVE")


def test_a_stellar_transformation_is_added_if_there_is_none(evaluate: Evaluate) -> None:
    parser = {"parserClassName": "CSV", "fieldTransformations": [{"transformation": "REMOVE", "input": "x"}]}
    assert add_to_parser(evaluate, parser, {"a": "1"})["fieldTransformations"][1] == {
        "input": [],
        "output": ["a"],
        "transformation": "STELLAR",
        "config": {"a": "1"},
    }


def test_the_result_can_be_loaded_and_runs(evaluate: Evaluate) -> None:
    config = json.dumps(add_to_parser(evaluate, {"parserClassName": "JSONMap"}, {"host": "URL_TO_HOST(url)"}))
    (record,) = evaluate("PARSER_PARSE(PARSER_INIT('web', c), '{\"url\": \"http://a.example/\"}')", c=config)
    assert record["host"] == "a.example"


def test_expressions_are_removed_and_empty_transformations_dropped(evaluate: Evaluate) -> None:
    def remove(fields: Any, config: Any = PARSER) -> Any:
        text = evaluate("PARSER_STELLAR_TRANSFORM_REMOVE(c, f)", c=json.dumps(config), f=fields)
        return json.loads(text)["fieldTransformations"]

    assert remove(["b", "unknown", None])[1]["output"] == ["a"]
    assert [each["transformation"] for each in remove(["a", "b"])] == ["STELLAR", "REMOVE"]
    empty = {"parserClassName": "CSV", "fieldTransformations": [{"transformation": "STELLAR"}]}
    assert remove(["a"], empty) == []


def test_the_expressions_of_a_parser_are_drawn(evaluate: Evaluate) -> None:
    drawn = evaluate("PARSER_STELLAR_TRANSFORM_PRINT(c)", c=json.dumps(PARSER))
    assert drawn == text_table(("Field", "Transformation"), [("b", "2"), ("a", "3")])


@pytest.mark.parametrize("arguments", ["c, null", "c, {}"])
def test_nothing_to_add_returns_the_same_string(evaluate: Evaluate, arguments: str) -> None:
    text = '{"parserClassName" :"CSV"} // unchanged'
    assert evaluate(f"PARSER_STELLAR_TRANSFORM_ADD({arguments})", c=text) == text
    assert evaluate("PARSER_STELLAR_TRANSFORM_REMOVE(c, null)", c=text) == text


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("PARSER_STELLAR_TRANSFORM_ADD('{', {'a': '1'})", "expected a valid configuration: config: invalid JSON"),
        ("PARSER_STELLAR_TRANSFORM_ADD('{}', {'a': '1'})", "missing key 'parserClassName'"),
        (
            "PARSER_STELLAR_TRANSFORM_ADD('{\"parserClassName\": \"CSV\"}', {'a': 1})",
            "the string 'a' with the integer 1",
        ),
        ("PARSER_STELLAR_TRANSFORM_REMOVE('{\"parserClassName\": \"CSV\"}', 'a')", "expected a list"),
        ("PARSER_STELLAR_TRANSFORM_PRINT(1)", "expected a string"),
        ("ENRICHMENT_STELLAR_TRANSFORM_ADD(null, 'ENRICHMENT', {'a': '1'})", "a configuration as JSON, got null"),
        ("ENRICHMENT_STELLAR_TRANSFORM_ADD('{}', 'enrichment', {'a': '1'})", "ENRICHMENT or THREAT_INTEL as type"),
        ("ENRICHMENT_STELLAR_TRANSFORM_ADD('{}', 'ENRICHMENT', null)", "expected a map"),
        (
            'ENRICHMENT_STELLAR_TRANSFORM_ADD(\'{"enrichment": {"fieldMap": {"stellar": ["a := 1"]}}}\', '
            "'ENRICHMENT', {'a': '1'})",
            r"expected a map in enrichment\.fieldMap\.stellar, got",
        ),
        (
            'ENRICHMENT_STELLAR_TRANSFORM_ADD(\'{"enrichment": {"fieldMap": {"stellar": {"config": {"a": "1"}}}}}\', '
            "'ENRICHMENT', {'b': '1'}, 'a')",
            "expected a map in the group",
        ),
        ("INDEXING_SET_BATCH('[]', 'hdfs')", "expected a JSON object"),
        ("INDEXING_SET_BATCH('{}', 'hdfs', 'many')", "expected an integer of 1 or more as size"),
        ("INDEXING_SET_BATCH('{}', 'hdfs', 1, 'long')", "expected an integer as timeout"),
        ("INDEXING_SET_BATCH('{}', 'hdfs', null)", "expected an integer of 1 or more as size"),
        ("INDEXING_SET_ENABLED('{}', null)", "expected the name of a writer"),
        ("INDEXING_SET_INDEX(null, 'hdfs', 'a')", "expected a configuration as JSON, got null"),
    ],
)
def test_an_invalid_argument_is_an_error_that_names_it(evaluate: Evaluate, expression: str, message: str) -> None:
    with pytest.raises(stellar.EvaluationError, match=message):
        evaluate(expression)


# -- Enrichments ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "stage"),
    [("ENRICHMENT", "enrichment"), ("THREAT_INTEL", "threatIntel"), ("THREATINTEL", "threatIntel")],
)
def test_expressions_are_added_to_a_stage_and_removed(evaluate: Evaluate, kind: str, stage: str) -> None:
    added = evaluate("ENRICHMENT_STELLAR_TRANSFORM_ADD('{}', kind, {'b': '1', 'a': '2'})", kind=kind)
    assert json.loads(added)[stage]["fieldMap"] == {"stellar": {"config": {"b": "1", "a": "2"}}}
    grouped = evaluate("ENRICHMENT_STELLAR_TRANSFORM_ADD(c, kind, {'d': '3'}, 'g')", c=added, kind=kind)
    config = json.loads(grouped)[stage]["fieldMap"]["stellar"]["config"]
    assert list(config.items()) == [("b", "1"), ("a", "2"), ("g", {"d": "3"})]
    drawn = evaluate("ENRICHMENT_STELLAR_TRANSFORM_PRINT(c, kind)", c=grouped, kind=kind)
    rows = [("(default)", "b", "1"), ("(default)", "a", "2"), ("g", "d", "3")]
    assert drawn == text_table(("Group", "Field", "Transformation"), rows)
    rest = evaluate("ENRICHMENT_STELLAR_TRANSFORM_REMOVE(c, kind, ['d'], 'g')", c=grouped, kind=kind)
    assert json.loads(rest) == json.loads(added)
    empty = evaluate("ENRICHMENT_STELLAR_TRANSFORM_REMOVE(c, kind, ['a', 'b', 'x'])", c=rest, kind=kind)
    assert json.loads(empty)[stage]["fieldMap"] == {}


def test_a_group_stays_absent_if_nothing_is_added(evaluate: Evaluate) -> None:
    added = evaluate("ENRICHMENT_STELLAR_TRANSFORM_ADD('{}', 'ENRICHMENT', {}, 'g')")
    assert json.loads(added)["enrichment"]["fieldMap"] == {"stellar": {"config": {}}}


def test_other_parts_of_a_configuration_are_retained(evaluate: Evaluate) -> None:
    config = {
        "enrichment": {"fieldMap": {"geo": ["ip"], "stellar": {"type": "STELLAR", "config": {"a": "1"}}}},
        "configuration": {"x": {"y": [1]}},
    }
    added = json.loads(evaluate("ENRICHMENT_STELLAR_TRANSFORM_ADD(c, 'ENRICHMENT', {'b': '2'})", c=json.dumps(config)))
    assert added["enrichment"]["fieldMap"] == {
        "geo": ["ip"],
        "stellar": {"type": "STELLAR", "config": {"a": "1", "b": "2"}},
    }
    assert added["configuration"] == {"x": {"y": [1]}}


# -- Indexing ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "settings"),
    [
        ("INDEXING_SET_BATCH(c, 'hdfs')", {"index": "a", "batchSize": 1, "batchTimeout": 0}),
        ("INDEXING_SET_BATCH(c, 'hdfs', '5', 2)", {"index": "a", "batchSize": 5, "batchTimeout": 2}),
        ("INDEXING_SET_ENABLED(c, 'hdfs')", {"index": "a", "enabled": True}),
        ("INDEXING_SET_ENABLED(c, 'hdfs', false)", {"index": "a", "enabled": False}),
        ("INDEXING_SET_INDEX(c, 'hdfs', 'b')", {"index": "b"}),
    ],
)
def test_settings_of_a_writer_are_changed(evaluate: Evaluate, call: str, settings: dict[str, Any]) -> None:
    config = '{"hdfs": {"index": "a"}, "solr": {"enabled": false}}'
    assert json.loads(evaluate(call, c=config)) == {"hdfs": settings, "solr": {"enabled": False}}
