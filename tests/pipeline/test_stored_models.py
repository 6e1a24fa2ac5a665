"""Validated configurations from a cache: the same as those that are validated."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from stellar.language.errors import ConfigError
from stellar.pipeline.config import schema
from stellar.pipeline.config.loading import (
    SensorConfig,
    default_parser,
    parse_enrichment,
    parse_extractor,
    parse_global,
    parse_indexing,
    parse_parser,
    parse_profiler,
)
from stellar.pipeline.config.locations import SourceLocation
from stellar.pipeline.config.stored_models import StoredModel, create_model
from stellar.pipeline.loaders.extractors import build_extractor

EXAMPLES = Path(__file__).parents[2] / "examples"
PARSERS = {
    "parsers": parse_parser,
    "enrichments": parse_enrichment,
    "indexing": parse_indexing,
    "global": parse_global,
    "profiler": parse_profiler,
    "extractor": parse_extractor,
}
Parse = Callable[[str, SourceLocation], Any]
Use = Callable[[], None]


def list_configurations() -> Iterator[tuple[str, str]]:
    """Yield the kind and text of the configurations of the examples, and of some with all kinds of values."""
    for file in sorted(EXAMPLES.rglob("*.json")):
        kind = file.parent.name if file.parent.name in PARSERS else file.stem
        if kind in PARSERS:
            yield kind, file.read_text()
    yield "global", json.dumps({"parser.groups": [{"name": "g", "sensors": ["a", "b"]}], "x.y": {"z": [1, None]}})
    yield "global", json.dumps({"fieldValidations": None, "pipeline.inputs": {"a": "one.log"}, "es.ip": 1.5})
    yield "indexing", json.dumps({"hdfs": {"index": "i", "batchSize": "5", "other": [1]}, "solr": {}})
    rules = [{"rule": "a", "score": 1.5}, {"rule": "b", "score": "c + 1", "reason": "'x'"}]
    triage = {"riskLevelRules": rules, "aggregator": "SUM", "aggregationConfig": {"negativeValuesTrump": True}}
    yield (
        "enrichments",
        json.dumps(
            {
                "enrichment": {"fieldMap": {"geo": ["ip"], "stellar": {"config": {"a": "1"}}}, "config": {"x": 2**70}},
                "threatIntel": {"fieldToTypeMap": {"ip": "malicious_ip"}, "triageConfig": triage},
            }
        ),
    )
    yield "enrichments", json.dumps({"threatIntel": {"triageConfig": {"riskLevelRules": {"a > 1": 10}}}})
    yield "parsers", json.dumps({"parserClassName": "CSV", "numWorkers": "3", "parserConfig": {"columns": {"a": 0}}})
    yield "profiler", json.dumps({"profiles": [{"profile": "p", "foreach": "f", "result": {"profile": "x"}}]})
    yield "extractor", json.dumps({"extractor": "CSV", "config": {"columns": ["a"], "mine": {"b": 1}}})


CONFIGURATIONS = list(list_configurations())


def parse(kind: str, text: str) -> Any:
    return PARSERS[kind](text, SourceLocation("file.json"))


def read_fields(value: Any) -> object:
    """Return the fields of a model or of its stand-in, read as attributes."""
    if isinstance(value, list):
        return [read_fields(each) for each in value]
    if isinstance(value, dict):
        return {key: read_fields(each) for key, each in value.items()}
    if not isinstance(value, BaseModel | StoredModel):
        return value
    fields = type(create_model(value)).model_fields
    return {name: read_fields(getattr(value, name)) for name in fields}, value.model_fields_set, value.model_extra


@pytest.mark.parametrize(("kind", "text"), CONFIGURATIONS)
def test_a_stored_configuration_has_the_fields_and_methods_of_the_model(use_cache: Use, kind: str, text: str) -> None:
    model = parse(kind, text)
    use_cache()
    assert parse(kind, text) == model
    use_cache()
    stored = parse(kind, text)
    assert (type(model).__name__, type(stored)) == (stored._stored[0], StoredModel)
    assert read_fields(stored) == read_fields(model)
    assert create_model(stored) == model
    assert stored.model_dump(by_alias=True) == model.model_dump(by_alias=True)
    assert repr(stored) == repr(model)
    assert stored == copy.deepcopy(stored) == pickle.loads(pickle.dumps(stored))
    if kind == "global":
        assert stored.settings == model.settings


def test_the_defaults_of_a_sensor_are_stored(use_cache: Use) -> None:
    for _ in range(2):
        use_cache()
        config = SensorConfig("x", default_parser())
    assert {type(each) for each in (config.parser, config.enrichment, config.globals)} == {StoredModel}
    assert create_model(config.enrichment) == schema.EnrichmentConfig()
    assert (config.globals.settings, config.parser.parser_class_name) == ({}, "JSONMap")


def test_a_stored_configuration_is_immutable_and_its_containers_are_its_own(use_cache: Use) -> None:
    text = '{"parserClassName": "CSV", "parserConfig": {"columns": {"a": 0}}, "fieldTransformations": []}'
    for _ in range(2):
        use_cache()
        stored = parse("parsers", text)
    with pytest.raises(AttributeError, match="the configuration is immutable"):
        stored.parser_class_name = "JSON"
    stored.parser_config["columns"]["b"] = 1
    assert parse("parsers", text).parser_config == {"columns": {"a": 0}}
    changed = stored.model_copy(update={"parser_class_name": "JSONMap"})
    assert (changed.parser_class_name, changed.parser_config) == ("JSONMap", {"columns": {"a": 0, "b": 1}})
    assert not hasattr(stored, "settings")
    assert not hasattr(stored, "__unknown__")


def test_an_invalid_configuration_is_an_error_each_time(use_cache: Use) -> None:
    for _ in range(2):
        use_cache()
        with pytest.raises(ConfigError, match="unknown key 'parser'; did you mean") as caught:
            parse("parsers", '{"parser": "CSV", "numWorkers": "x"}')
        assert len(caught.value.errors) == 3


def test_values_that_differ_in_their_type_are_different(use_cache: Use) -> None:
    for _ in range(2):
        use_cache()
        found = [parse("global", f'{{"x": {value}}}').settings["x"] for value in ("1", "1.0", "true", '"1"')]
        assert [(type(value), value) for value in found] == [(int, 1), (float, 1.0), (bool, True), (str, "1")]


def test_an_unknown_option_of_an_extractor_is_an_error_each_time(use_cache: Use) -> None:
    text = json.dumps({"extractor": "CSV", "config": {"columns": ["a"], "type": "t", "separater": ";"}})
    for _ in range(2):
        use_cache()
        with pytest.raises(ConfigError, match="unknown key 'separater'; did you mean separator"):
            build_extractor(parse("extractor", text), SourceLocation("file.json"))
