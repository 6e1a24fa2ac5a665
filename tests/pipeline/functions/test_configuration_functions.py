"""CONFIG_GET and CONFIG_PUT."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import stellar
from stellar.language.context import Context
from stellar.maas.zookeeper import ZooKeeper
from stellar.stores.configurations import ConfigurationStore, ZooKeeperConfigurations

Evaluate = Callable[..., Any]
PROFILE = {"profile": "p", "foreach": "ip", "result": "1"}


def put(evaluate: Evaluate, context: Context, kind: str, config: Any, sensor: str | None = None) -> Any:
    text = config if isinstance(config, str) or config is None else json.dumps(config)
    return evaluate("CONFIG_PUT(kind, config, sensor)", context, kind=kind, config=text, sensor=sensor)


@pytest.mark.parametrize(
    ("kind", "sensor", "text"),
    [
        ("GLOBAL", None, '{"es.ip": "node1", /* c */ "n": 1}'),
        ("PROFILER", None, json.dumps({"profiles": [PROFILE]})),
        ("PARSER", "web", '{"parserClassName": "JSONMap"}'),
        ("ENRICHMENT", "web", '{"threatIntel": {"triageConfig": {"riskLevelRules": {"a > 1": 5}}}}'),
        ("INDEXING", "web", '{"hdfs": {"batchSize": 5}}'),
    ],
)
def test_a_stored_configuration_has_its_bytes(
    evaluate: Evaluate, in_directory: Context, kind: str, sensor: str | None, text: str
) -> None:
    assert put(evaluate, in_directory, kind, text, sensor) is None
    store = in_directory[ConfigurationStore]  # type: ignore[type-abstract]
    assert store.read(kind, sensor) == text
    shown = evaluate("CONFIG_GET(kind, sensor)", in_directory, kind=kind, sensor=sensor)
    put(evaluate, in_directory, kind, shown, sensor)  # what CONFIG_GET returns can be stored
    assert evaluate("CONFIG_GET(kind, sensor)", in_directory, kind=kind, sensor=sensor) == shown


def test_a_configuration_has_defaults_in_metrons_form(evaluate: Evaluate, in_directory: Context) -> None:
    config = {
        "threatIntel": {
            "fieldToTypeMap": {"ip": "bad"},
            "triageConfig": {"riskLevelRules": [{"rule": "a > 1", "score": 10, "name": None}] * 2},
        },
        "enrichment": {"config": {"list": [1, 2.5, "\u0001é/"], "none": None, "deep": [{"a": []}]}},
    }
    put(evaluate, in_directory, "ENRICHMENT", config, "web")
    assert evaluate("CONFIG_GET('ENRICHMENT', 'web')", in_directory) == (
        "{\n"
        '  "enrichment" : {\n'
        '    "fieldMap" : { },\n'
        '    "fieldToTypeMap" : { },\n'
        '    "config" : {\n'
        '      "list" : [ 1, 2.5, "\\u0001é/" ],\n'
        '      "deep" : [ {\n'
        '        "a" : [ ]\n'
        "      } ]\n"
        "    }\n"
        "  },\n"
        '  "threatIntel" : {\n'
        '    "fieldMap" : { },\n'
        '    "fieldToTypeMap" : {\n'
        '      "ip" : [ "bad" ]\n'
        "    },\n"
        '    "config" : { },\n'
        '    "triageConfig" : {\n'
        '      "riskLevelRules" : [ {\n'
        '        "rule" : "a > 1",\n'
        '        "score" : "10"\n'
        "      } ],\n"
        '      "aggregator" : "MAX",\n'
        '      "aggregationConfig" : { }\n'
        "    }\n"
        "  },\n"
        '  "configuration" : { }\n'
        "}"
    )


def test_the_defaults_of_a_parser_depend_on_its_strategy(evaluate: Evaluate, in_directory: Context) -> None:
    parser = {
        "parserClassName": "CSV",
        "parserConfig": {"columns": ["a", "b"]},
        "rawMessageStrategy": "ENVELOPE",
        "rawMessageStrategyConfig": {"messageField": "data"},
        "numWorkers": "2",
        "fieldTransformations": [{"transformation": "REMOVE", "input": "a"}],
    }
    put(evaluate, in_directory, "PARSER", parser, "web")
    shown = json.loads(evaluate("CONFIG_GET('PARSER', 'web')", in_directory))
    assert (shown["readMetadata"], shown["mergeMetadata"], shown["numWorkers"]) == (True, True, 2)
    assert shown["fieldTransformations"] == [
        {"input": ["a"], "output": ["a"], "transformation": "REMOVE", "config": {}}
    ]
    assert "filterClassName" not in shown
    assert "numAckers" not in shown


def test_the_defaults_of_a_profile_are_shown(evaluate: Evaluate, in_directory: Context) -> None:
    put(evaluate, in_directory, "PROFILER", {"profiles": [PROFILE], "timestampField": "t"})
    shown = json.loads(evaluate("CONFIG_GET('PROFILER')", in_directory))
    assert shown == {
        "profiles": [
            {
                "profile": "p",
                "foreach": "ip",
                "result": {"profile": "1", "triage": {}},
                "onlyif": "true",
                "init": {},
                "update": {},
                "groupBy": [],
            }
        ],
        "timestampField": "t",
    }


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("CONFIG_GET('GLOBAL')", "{ }"),
        ("CONFIG_GET('GLOBAL', true)", "{ }"),
        ("CONFIG_GET('GLOBAL', 'ignored')", "{ }"),
        ("CONFIG_GET('GLOBAL', false)", None),
        ("CONFIG_GET('PARSER', 'web', false)", None),
        ("CONFIG_GET('PARSER', 'web', 'false')", "a parser"),  # only a boolean counts
        ("CONFIG_GET('INDEXING', 'web')", "{ }"),
        ("CONFIG_GET('PROFILER')", '{\n  "profiles" : [ ]\n}'),
    ],
)
def test_a_missing_configuration_is_empty_or_null(
    evaluate: Evaluate, in_directory: Context, expression: str, result: str | None
) -> None:
    found = evaluate(expression, in_directory)
    if result == "a parser":
        assert "parserClassName" not in found
        assert json.loads(found)["fieldTransformations"] == []
    else:
        assert found == result


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("GLOBAL", '{"a": 1, "a": 2}'),
        ("PROFILER", '{"profiles": [], "profiles": []}'),
        ("PARSER", '{"parserClassName": "CSV", "parserClassName": "JSONMap"}'),
        ("ENRICHMENT", '{"enrichment": {}, "enrichment": {}}'),
        ("INDEXING", '{"hdfs": {}, "hdfs": {}}'),
    ],
)
def test_a_warning_about_a_configuration_is_logged_once(
    evaluate: Evaluate, in_directory: Context, caplog: pytest.LogCaptureFixture, kind: str, text: str
) -> None:
    put(evaluate, in_directory, kind, text, "web")
    assert len(caplog.messages) == 1
    evaluate("CONFIG_GET(kind, 'web')", in_directory, kind=kind)
    assert len(caplog.messages) == 2
    assert {message.partition("; ")[2] for message in caplog.messages} == {"the last one is used"}


def test_a_warning_about_the_configuration_of_a_parser_is_logged_once(
    evaluate: Evaluate, in_directory: Context, caplog: pytest.LogCaptureFixture
) -> None:
    evaluate(
        "PARSER_INIT('web', config)", in_directory, config='{"parserClassName": "CSV", "parserClassName": "JSONMap"}'
    )
    assert len(caplog.messages) == 1


@pytest.mark.parametrize(
    ("kind", "config", "sensor", "message"),
    [
        ("GLOBAL", "{", None, "invalid JSON"),
        ("GLOBAL", "", None, "the file is empty"),
        (
            "GLOBAL",
            {"fieldValidations": [{"validation": "STELLAR", "config": {"condition": "1 +"}}]},
            None,
            "fieldValidations",
        ),
        ("PROFILER", {"profiles": [{"profile": "p", "foreach": "NO_SUCH()", "result": "1"}]}, None, "NO_SUCH"),
        ("PARSER", {}, "web", "missing key 'parserClassName'"),
        ("PARSER", {"parserClassName": "CSV", "colour": 1}, "web", "unknown key 'colour'"),
        ("PARSER", {"parserClassName": "NoSuch"}, "web", "unknown parser 'NoSuch'"),
        (
            "PARSER",
            {"parserClassName": "JSONMap", "fieldTransformations": [{"transformation": "TURN"}]},
            "web",
            "unknown transformation 'TURN'",
        ),
        ("PARSER", {"parserClassName": "JSONMap"}, None, "needs the name of a sensor"),
        ("PARSER", {"parserClassName": "JSONMap"}, "../x", "invalid name of a sensor"),
        ("ENRICHMENT", {"enrichment": {"fieldMap": {"stellar": {"config": {"a": "1 +"}}}}}, "web", "stellar.config.a"),
        ("ENRICHMENT", {"threatIntel": {"triageConfig": {"aggregator": "MEDIAN"}}}, "web", "unknown aggregator"),
        ("INDEXING", {"hdfs": {"batchSize": 0}}, "web", "hdfs.batchSize"),
        ("INDEXING", "[]", "web", "expected a JSON object"),
        ("parser", {}, "web", "CONFIG_PUT expected one of GLOBAL, PROFILER, PARSER, ENRICHMENT, INDEXING as type"),
    ],
)
def test_an_invalid_configuration_is_not_stored(
    evaluate: Evaluate,
    in_directory: Context,
    tmp_path: Path,
    kind: str,
    config: Any,
    sensor: str | None,
    message: str,
) -> None:
    with pytest.raises(stellar.EvaluationError, match=message):
        put(evaluate, in_directory, kind, config, sensor)
    assert not (tmp_path / "config").exists()


def test_all_errors_of_a_configuration_are_reported(evaluate: Evaluate, in_directory: Context) -> None:
    config = {"enrichment": {"fieldMap": {"stellar": {"config": {"a": "1 +", "b": "NO_SUCH()"}}}}}
    with pytest.raises(stellar.EvaluationError) as refused:
        put(evaluate, in_directory, "ENRICHMENT", config, "web")
    assert "config.a: " in str(refused.value)
    assert "config.b: " in str(refused.value)


def test_null_stores_nothing(evaluate: Evaluate, in_directory: Context, tmp_path: Path) -> None:
    assert put(evaluate, in_directory, "PARSER", None, "web") is None
    assert evaluate("CONFIG_PUT('PARSER', null, 'web')") is None
    assert not (tmp_path / "config").exists()


def test_patterns_are_searched_in_the_directory(evaluate: Evaluate, in_directory: Context, tmp_path: Path) -> None:
    parser = {"parserClassName": "Grok", "parserConfig": {"grokPath": "patterns/web", "patternLabel": "WEB"}}
    with pytest.raises(stellar.EvaluationError, match=r"parserConfig\.grokPath"):
        put(evaluate, in_directory, "PARSER", parser, "web")
    (tmp_path / "config" / "patterns").mkdir(parents=True)
    (tmp_path / "config" / "patterns" / "web").write_text("WEB %{IP:ip}\n")
    put(evaluate, in_directory, "PARSER", parser, "web")


def test_the_library_of_the_global_configuration_counts(evaluate: Evaluate, in_directory: Context) -> None:
    put(evaluate, in_directory, "GLOBAL", {"stellar.function.resolver.excludes": "TO_UPPER"})
    config = {"enrichment": {"fieldMap": {"stellar": {"config": {"a": "TO_UPPER(b)"}}}}}
    with pytest.raises(stellar.EvaluationError, match="unknown function TO_UPPER"):
        put(evaluate, in_directory, "ENRICHMENT", config, "web")


@pytest.mark.parametrize("call", ["CONFIG_GET('GLOBAL')", "CONFIG_PUT('GLOBAL', '{}')", "PARSER_INIT('web')"])
def test_without_configurations_the_error_says_how_to_select_them(evaluate: Evaluate, call: str) -> None:
    with pytest.raises(stellar.EvaluationError, match="start the shell with --config DIR or -z HOST:PORT"):
        evaluate(call)


def test_an_unreadable_file_is_an_error(evaluate: Evaluate, in_directory: Context, tmp_path: Path) -> None:
    (tmp_path / "config" / "global.json").mkdir(parents=True)
    with pytest.raises(stellar.EvaluationError, match="CONFIG_GET cannot read the configuration"):
        evaluate("CONFIG_GET('GLOBAL')", in_directory)
    with pytest.raises(stellar.EvaluationError, match="CONFIG_PUT cannot store the configuration"):
        put(evaluate, in_directory, "GLOBAL", {})


def test_an_invalid_stored_configuration_is_an_error(evaluate: Evaluate, in_directory: Context, tmp_path: Path) -> None:
    (tmp_path / "config" / "parsers").mkdir(parents=True)
    (tmp_path / "config" / "parsers" / "web.json").write_text('{"colour": 1}')
    with pytest.raises(stellar.EvaluationError, match=r"web\.json: colour: unknown key 'colour'"):
        evaluate("CONFIG_GET('PARSER', 'web')", in_directory)


@pytest.mark.engine
def test_configurations_are_those_of_a_metron_cluster(evaluate: Evaluate, quorum: str) -> None:
    with ZooKeeper(quorum) as zookeeper:
        context = Context({ConfigurationStore: ZooKeeperConfigurations(zookeeper)})
        parser = {"parserClassName": "Grok", "parserConfig": {"grokPath": "/apps/metron/x", "patternLabel": "X"}}
        put(evaluate, context, "PARSER", parser, "web")  # the patterns are in the cluster
        assert zookeeper.read("/metron/topology/parsers/web") == json.dumps(parser).encode()
        put(evaluate, context, "GLOBAL", {"a": 1})
        assert zookeeper.read("/metron/topology/global") == b'{"a": 1}'
        with pytest.raises(stellar.EvaluationError, match="unknown filter 'NO_SUCH'"):
            put(evaluate, context, "PARSER", {**parser, "filterClassName": "NO_SUCH"}, "web")
        assert json.loads(evaluate("CONFIG_GET('PARSER', 'web')", context))["parserClassName"] == "Grok"
