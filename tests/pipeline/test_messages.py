"""Tests of message strategies: metadata of the key, the topic and an envelope."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from stellar.language.errors import ConfigError
from stellar.pipeline.config.locations import SourceLocation
from stellar.pipeline.config.schema import ParserConfig
from stellar.pipeline.messages import MessageStrategy, build_strategy
from stellar.pipeline.pipeline import Pipeline
from stellar.pipeline.records import Raw, Record, Rejected

Make = Callable[..., Pipeline]


def strategy(**keys: Any) -> MessageStrategy:
    return build_strategy(ParserConfig.model_validate({"parserClassName": "JSONMap", **keys}), SourceLocation("p.json"))


def in_envelope(**keys: Any) -> Record:
    return {"rawMessageStrategy": "ENVELOPE", "rawMessageStrategyConfig": {"messageField": "data", **keys}}


# key, topic, prefix in the configuration → metadata
@pytest.mark.parametrize(
    ("key", "topic", "options", "metadata"),
    [
        (None, None, {}, {}),
        (b"", "", {}, {"metron.metadata.topic": ""}),
        (b'{"k":1} x', "t", {}, {"metron.metadata.topic": "t", "metron.metadata.k": 1}),
        (b'{"k":1}', "t", {"metadataPrefix": ""}, {"topic": "t", "k": 1}),
        (b'{"k":1}', "t", {"metadataPrefix": None}, {"topic": "t", "k": 1}),
        (b'{"topic":"mine"}', "t", {"metadataPrefix": "p"}, {"p.topic": "mine"}),
    ],
)
def test_metadata_is_read_from_key_and_topic(
    key: bytes | None, topic: str | None, options: Record, metadata: Record
) -> None:
    read = strategy(readMetadata=True, rawMessageStrategyConfig=options)
    assert read.extract(Raw(b"x", key=key, topic=topic)) == (b"x", metadata)


def test_metadata_is_not_read_by_default() -> None:
    assert strategy().extract(Raw(b"x", key=b"not json", topic="t")) == (b"x", {})


@pytest.mark.parametrize("key", [b"x", b"[1]", b"5", b"null", b"\xff"])
def test_a_key_that_is_no_object_is_an_error(key: bytes) -> None:
    with pytest.raises(ValueError, match="Unable to parse metadata; expected JSON Map: "):
        strategy(readMetadata=True).extract(Raw(b"x", key=key))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ('{"a":1}', "envelope has no field 'data'"),
        ('{"data":null}', "envelope has no field 'data'"),
        ('{"data":5}', "field 'data' of the envelope is a number; expected a string with the message"),
        ('{"data":{}}', "field 'data' of the envelope is a map; expected a string with the message"),
        ("[]", r"Expected a JSON Map as the envelope\."),
        ("{", "envelope is not valid JSON"),
    ],
)
def test_an_envelope_without_a_message_is_an_error(content: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        strategy(**in_envelope()).extract(Raw(content.encode()))


def test_an_empty_message_in_an_envelope_is_passed_on() -> None:
    assert strategy(**in_envelope()).extract(Raw(b'{"data":""}')) == (b"", {})


def test_fields_of_an_envelope_replace_those_of_the_key() -> None:
    both = strategy(**in_envelope(metadataPrefix="")).extract(Raw(b'{"data":"x","k":2}', key=b'{"k":1}', topic="t"))
    assert both == (b"x", {"topic": "t", "k": 2})


@pytest.mark.parametrize(
    ("keys", "record"),
    [
        ({"readMetadata": True}, {"a": 1}),
        ({"readMetadata": True, "mergeMetadata": True}, {"a": 2, "b": 3, "original_string": "ENV"}),
        (in_envelope(), {"a": 1, "b": 3, "original_string": "ENV"}),
        ({**in_envelope(), "mergeMetadata": False}, {"a": 1, "original_string": "ENV"}),
    ],
)
def test_each_strategy_merges_metadata_in_its_way(keys: Record, record: Record) -> None:
    keys = {**keys, "rawMessageStrategyConfig": {**keys.get("rawMessageStrategyConfig", {}), "metadataPrefix": ""}}
    assert strategy(**keys).merge({"a": 1}, {"a": 2, "b": 3, "original_string": "ENV"}) == record


def test_metadata_that_is_not_merged_is_a_variable_of_transformations(make_pipeline: Make) -> None:
    parser = {
        "parserClassName": "CSV",
        "parserConfig": {"columns": ["a"]},
        **in_envelope(),
        "mergeMetadata": False,
        "fieldTransformations": [
            {"transformation": "STELLAR", "output": ["copy"], "config": {"copy": "metron.metadata.k"}}
        ],
    }
    (record,) = make_pipeline(parser=parser)(Raw(json.dumps({"data": "x", "k": "v"}).encode()))
    assert isinstance(record, dict)
    assert record["copy"] == "v"
    assert "metron.metadata.k" not in record


def test_the_document_of_a_parser_has_the_message_and_the_metadata(make_pipeline: Make) -> None:
    parser = {"parserClassName": "JSONMap", **in_envelope()}
    (outcome,) = make_pipeline(parser=parser)(Raw(json.dumps({"data": "bad json", "k": "v"}).encode()))
    assert isinstance(outcome, Rejected)
    assert (outcome.raw, outcome.metadata) == (b"bad json", {"metron.metadata.k": "v"})


def test_the_document_of_a_transformation_has_the_whole_envelope_and_no_metadata(make_pipeline: Make) -> None:
    failing = {"transformation": "STELLAR", "config": {"y": "1 / 0"}}
    parser = {"parserClassName": "CSV", "parserConfig": {"columns": ["a"]}, **in_envelope()}
    content = json.dumps({"data": "x", "k": "v"}).encode()
    (outcome,) = make_pipeline(parser={**parser, "fieldTransformations": [failing]})(Raw(content))
    assert isinstance(outcome, Rejected)
    assert (outcome.raw, outcome.metadata) == (content, {})


@pytest.mark.parametrize(
    ("keys", "path", "message"),
    [
        (
            {"rawMessageStrategy": "envelope"},
            "rawMessageStrategy",
            "unknown strategy 'envelope'; did you mean",
        ),
        ({"rawMessageStrategy": "ENVELOPE"}, "rawMessageStrategyConfig.messageField", "missing messageField"),
        (in_envelope(messageField=5), "rawMessageStrategyConfig.messageField", "expected the name of the field"),
        (in_envelope(messageField=""), "rawMessageStrategyConfig.messageField", "expected the name of the field"),
        (in_envelope(metadataPrefix=5), "rawMessageStrategyConfig.metadataPrefix", "expected a string, got 5"),
    ],
)
def test_an_invalid_strategy_is_a_config_error(keys: Record, path: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        strategy(**keys)
    assert caught.value.path == path
    assert caught.value.message.startswith(message)
