"""The meaning of null, "" and [] for each key of a configuration."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stellar.language.errors import ConfigError
from stellar.pipeline import build_pipeline, load_config
from stellar.pipeline.records import Drop, Raw, Record, Rejected

from .conftest import own_fields

WriteConfig = Callable[..., Path]
MESSAGE = {"a": "x", "b": "y", "timestamp": 1}

ERROR = "an error of the configuration"
WHOLE = {"a": "x", "b": "y"}
WITH_C = {"a": "x", "b": "y", "c": "x"}
METADATA = {**WHOLE, "metron.metadata.topic": "t"}


def parser(**keys: Any) -> Record:
    return {"parserClassName": "JSONMap", **keys}


def transform(name: str, config: Any, **keys: Any) -> Record:
    return parser(fieldTransformations=[{"transformation": name, "config": config, **keys}])


def csv(**options: Any) -> Record:
    return parser(parserClassName="CSV", parserConfig={"columns": ["a", "b"], "separator": ",", **options})


def stellar(**keys: Any) -> Record:
    return transform("STELLAR", {"c": "a"}, **keys)


def metadata(**keys: Any) -> Record:
    return parser(readMetadata=True, mergeMetadata=True, **keys)


def filtered(query: Any, name: Any = "STELLAR") -> Record:
    return parser(filterClassName=name, parserConfig={"filter.query": query})


# key, value, configuration → the fields of the record, or ERROR
TABLE: list[tuple[str, Any, Record, Any]] = [
    ("parserClassName", None, parser(parserClassName=None), ERROR),
    ("parserClassName", "", parser(parserClassName=""), ERROR),
    ("parserClassName", [], parser(parserClassName=[]), ERROR),
    ("filterClassName", None, parser(filterClassName=None), WHOLE),
    ("filterClassName", "", parser(filterClassName=""), WHOLE),
    ("filterClassName", " ", parser(filterClassName=" "), WHOLE),
    ("filter.query", None, filtered(None), ERROR),
    ("filter.query", "", filtered(""), WHOLE),
    ("filter.query", [], filtered([]), ERROR),
    ("bro.filter.source.key", None, parser(filterClassName="BRO"), ERROR),
    ("sensorTopic", None, parser(sensorTopic=None), WHOLE),
    ("sensorTopic", "", parser(sensorTopic=""), WHOLE),
    ("outputTopic", None, parser(outputTopic=None), WHOLE),
    ("outputTopic", "", parser(outputTopic=""), WHOLE),
    ("readMetadata", None, parser(readMetadata=None), WHOLE),
    ("mergeMetadata", None, parser(readMetadata=True, mergeMetadata=None), WHOLE),
    ("rawMessageStrategy", None, parser(rawMessageStrategy=None), ERROR),
    ("rawMessageStrategy", "", parser(rawMessageStrategy=""), ERROR),
    ("rawMessageStrategyConfig", None, parser(rawMessageStrategyConfig=None), ERROR),
    ("rawMessageStrategyConfig", {}, metadata(rawMessageStrategyConfig={}), METADATA),
    ("metadataPrefix", None, metadata(rawMessageStrategyConfig={"metadataPrefix": None}), {**WHOLE, "topic": "t"}),
    ("metadataPrefix", "", metadata(rawMessageStrategyConfig={"metadataPrefix": ""}), {**WHOLE, "topic": "t"}),
    ("metadataPrefix", [], metadata(rawMessageStrategyConfig={"metadataPrefix": []}), ERROR),
    ("parserConfig", None, parser(parserConfig=None), ERROR),
    ("parserConfig", "", parser(parserConfig=""), ERROR),
    ("parserConfig", [], parser(parserConfig=[]), ERROR),
    ("readCharset", None, parser(parserConfig={"readCharset": None}), ERROR),
    ("readCharset", "", parser(parserConfig={"readCharset": ""}), ERROR),
    ("separator", None, csv(separator=None), ERROR),
    ("separator", "", csv(separator=""), ERROR),
    ("fieldTransformations", None, parser(fieldTransformations=None), ERROR),
    ("fieldTransformations", [], parser(fieldTransformations=[]), WHOLE),
    ("fieldTransformations", [None], parser(fieldTransformations=[None]), ERROR),
    ("transformation", None, transform(None, {}), ERROR),  # type: ignore[arg-type]
    ("transformation", "", transform("", {}), ERROR),
    ("input of STELLAR", None, stellar(input=None, output=["c"]), WITH_C),
    ("input of STELLAR", [], stellar(input=[], output=["c"]), WITH_C),
    ("input of STELLAR", "", stellar(input="", output=["c"]), WHOLE),  # the field with the empty name, so a is null
    ("output of STELLAR", None, stellar(output=None), WITH_C),
    ("output of STELLAR", [], stellar(output=[]), WITH_C),
    ("config of STELLAR", {}, transform("STELLAR", {}, output=["c"]), ERROR),
    ("config of STELLAR", None, transform("STELLAR", None, output=["c"]), ERROR),
    ("an expression of STELLAR", None, transform("STELLAR", {"c": None, "d": "a"}), {**WHOLE, "d": "x"}),
    ("an expression of STELLAR", "", transform("STELLAR", {"a": ""}, output=["a"]), {"b": "y"}),
    ("condition of REMOVE", None, transform("REMOVE", {"condition": None}, input="a"), {"b": "y"}),
    ("condition of REMOVE", "", transform("REMOVE", {"condition": ""}, input="a"), {"b": "y"}),
    ("output of REMOVE", [], transform("REMOVE", {}, input=["a"], output=[]), {"b": "y"}),
    ("output and input of REMOVE", [], transform("REMOVE", {}, input=[], output=[]), ERROR),
    ("input of SELECT", [], transform("SELECT", {}, input=[], output=["a"]), {"a": "x"}),
    ("config of RENAME", {}, transform("RENAME", {}), WHOLE),
    ("input of RENAME", [], transform("RENAME", {"a": "c"}, input=[]), {"b": "y", "c": "x"}),
    ("input of REGEX_SELECT", [], transform("REGEX_SELECT", {"1": "x"}, input=[], output=["c"]), ERROR),
    ("config of REGEX_SELECT", {}, transform("REGEX_SELECT", {}, input=["a"], output=["c"]), WHOLE),
    ("cacheConfig", None, parser(cacheConfig=None), ERROR),
    ("cacheConfig", {}, parser(cacheConfig={}), WHOLE),
    ("numWorkers", None, parser(numWorkers=None), WHOLE),
    ("numWorkers", "", parser(numWorkers=""), ERROR),
    ("spoutParallelism", "2", parser(spoutParallelism="2"), WHOLE),
    ("spoutConfig", None, parser(spoutConfig=None), ERROR),
    ("securityProtocol", "", parser(securityProtocol=""), WHOLE),
]


@pytest.mark.parametrize(("key", "value", "config", "expected"), TABLE)
def test_each_empty_value_has_its_meaning(
    key: str, value: Any, config: Record, expected: Any, write_config: WriteConfig
) -> None:
    assert run(write_config, parser=config) == expected


def validation(**keys: Any) -> Record:
    return {"fieldValidations": [{"validation": "NOT_EMPTY", **keys}]}


INVALID = "an invalid record"
# The record has the field e, which is empty
GLOBAL: list[tuple[str, Any, Any, Any]] = [
    ("global.json", {}, {}, WHOLE),
    ("global.json", "", "", ERROR),
    ("global.json", None, "null", ERROR),
    ("global.json", [], "[]", ERROR),
    ("fieldValidations", None, {"fieldValidations": None}, WHOLE),
    ("fieldValidations", [], {"fieldValidations": []}, WHOLE),
    ("fieldValidations", {}, {"fieldValidations": {}}, ERROR),
    ("fieldValidations", [None], {"fieldValidations": [None]}, ERROR),
    ("input of a validation", None, validation(input=None), WHOLE),
    ("input of a validation", [], validation(input=[]), WHOLE),
    ("input of a validation", "", validation(input=""), INVALID),  # the field with the empty name is missing
    ("config of a validation", None, validation(input="a", config=None), ERROR),
    ("type of IP", [], {"fieldValidations": [{"validation": "IP", "input": "a", "config": {"type": []}}]}, ERROR),
    ("type of IP", None, {"fieldValidations": [{"validation": "IP", "input": "c", "config": {"type": None}}]}, WHOLE),
    ("condition", "", {"fieldValidations": [{"validation": "STELLAR", "config": {"condition": ""}}]}, WHOLE),
    ("condition", None, {"fieldValidations": [{"validation": "STELLAR", "config": {"condition": None}}]}, ERROR),
    ("format of DATE", None, {"fieldValidations": [{"validation": "DATE", "config": {"format": None}}]}, ERROR),
    ("parser.groups", [], {"parser.groups": []}, WHOLE),
    ("parser.groups", None, {"parser.groups": None}, ERROR),
]


@pytest.mark.parametrize(("key", "value", "config", "expected"), GLOBAL)
def test_each_empty_value_of_the_global_configuration_has_its_meaning(
    key: str, value: Any, config: Any, expected: Any, write_config: WriteConfig
) -> None:
    assert run(write_config, globals=config) == expected


ENRICHMENT: list[tuple[str, Any, Any, Any]] = [
    ("enrichments/x.json", {}, {}, WHOLE),
    ("enrichments/x.json", "", "", ERROR),
    ("enrichment", None, {"enrichment": None}, ERROR),
    ("enrichment", {}, {"enrichment": {}}, WHOLE),
    ("fieldMap", {}, {"enrichment": {"fieldMap": {}}}, WHOLE),
    ("fieldMap", [], {"enrichment": {"fieldMap": []}}, ERROR),
    ("adapter with fields", [], {"enrichment": {"fieldMap": {"geo": []}}}, WHOLE),
    ("adapter stellar", [], {"enrichment": {"fieldMap": {"stellar": []}}}, WHOLE),
    ("config of stellar", {}, {"enrichment": {"fieldMap": {"stellar": {"config": {}}}}}, WHOLE),
    ("config of stellar", None, {"enrichment": {"fieldMap": {"stellar": {"config": None}}}}, ERROR),
    ("riskLevelRules", [], {"threatIntel": {"triageConfig": {"riskLevelRules": []}}}, WHOLE),
    ("riskLevelRules", None, {"threatIntel": {"triageConfig": {"riskLevelRules": None}}}, ERROR),
    ("aggregator", "", {"threatIntel": {"triageConfig": {"aggregator": ""}}}, ERROR),
]


@pytest.mark.parametrize(("key", "value", "config", "expected"), ENRICHMENT)
def test_each_empty_value_of_an_enrichment_has_its_meaning(
    key: str, value: Any, config: Any, expected: Any, write_config: WriteConfig
) -> None:
    assert run(write_config, enrichment=config) == expected


def run(write_config: WriteConfig, **configs: Any) -> Any:
    """Return the fields of the record, or why there is none."""
    try:
        pipeline = build_pipeline(load_config(write_config(**configs), "squid"))
    except ConfigError:
        return ERROR
    content = b"x,y" if configs.get("parser", {}).get("parserClassName") == "CSV" else json.dumps(MESSAGE).encode()
    (outcome,) = pipeline(Raw(content, topic="t"))
    if isinstance(outcome, Rejected):
        return INVALID if outcome.stage == "validate" else outcome.reason
    assert not isinstance(outcome, Drop)
    assert isinstance(outcome, dict)
    return own_fields(outcome)
