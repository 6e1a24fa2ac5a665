"""The compiled form of a pipeline has the outcomes and reports of its stages, called one by one."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from stellar.language.errors import ConfigError
from stellar.pipeline.build import build_pipeline
from stellar.pipeline.config.loading import SensorConfig, parse_enrichment, parse_global, parse_parser
from stellar.pipeline.config.locations import SourceLocation
from stellar.pipeline.pipeline import Pipeline
from stellar.pipeline.records import Failure, Forward, Invalid, Raw, Record, Stage, make_error_document, to_json
from stellar.pipeline.run import run_pipeline

HERE = SourceLocation("test.json")
SEEDS, CONFIGS, MESSAGES = 5, 100, 400

FIELDS = ("a", "b", "c", "ip", "url", "is_alert", "x.y", "threatintels.z", "guid")
EXPRESSIONS = (
    "a", "b", "'text'", "''", "null", "7", "a + 1", "a / b", "TO_UPPER(b)", "LENGTH(c)",
    "if a > 5 then 'big' else null",
    "SPLIT(b, ' ')", "{'k': a, 'l': null}", "{}", "[a, b]", "MAP_GET('k', c)", "TO_INTEGER(b)", "a in [1, 2]",
    "b == 'yes'", "exists(b)", "not exists(d)", "d", "e", "JOIN([b, 'x'], '-')", "URL_TO_HOST(url)", "IS_IP(ip)",
    "GET(c, 5)",
    "timestampField", "stellarContext", "MAP_GET('a', _)", "topic", "a.b", "NOW() < 0", "FORMAT('%s', c)",
    "FORMAT('%d', b)", "c + 1",
)  # fmt: skip
CONDITIONS = (
    "a > 5", "b == 'yes'", "exists(a)", "a", "IS_IP(ip)", "not exists(c)", "b + 1 > 2", "LENGTH(b) > 2", "d == 'big'",
    "is_alert == 'true'", "c and true",
)  # fmt: skip
NAMES = ("a", "b", "d", "e", "f", "is_alert", "ip", "timestamp", "guid", "original_string", "source.type")
VALUES: tuple[object, ...] = (
    None, "", 0, 1, 2, 7, -1.5, True, False, "yes", "no", "12", "true", "ip", "10.0.0.1", "::1", "http://www.a.de/x",
    [1, 2], [], {"k": "v"}, {}, "x" * 50,
)  # fmt: skip


def make_transformation(rnd: random.Random) -> dict[str, Any]:
    kind = rnd.choice(("STELLAR", "STELLAR", "STELLAR", "REMOVE", "SELECT", "RENAME"))
    if kind == "REMOVE":
        return {"transformation": kind, "input": [rnd.choice(FIELDS)], "config": {"condition": rnd.choice(CONDITIONS)}}
    if kind == "SELECT":
        return {"transformation": kind, "output": rnd.sample(FIELDS, 4)}
    if kind == "RENAME":
        return {"transformation": kind, "config": {rnd.choice(FIELDS): "renamed"}}
    config = {name: rnd.choice(EXPRESSIONS) for name in rnd.sample(NAMES, rnd.randint(1, 4))}
    outputs = list(config) if rnd.random() < 0.8 else list(config)[1:]
    fields = {"input": rnd.sample(FIELDS, 3)} if rnd.random() < 0.15 else {}
    return {"transformation": kind, "output": outputs, "config": config, **fields}


def make_parser(rnd: random.Random) -> dict[str, Any]:
    config: dict[str, Any] = {
        "parserClassName": "JSONMap",
        "sensorTopic": "s",
        "parserConfig": {"timestampField": "t", "mapStrategy": "ALLOW"},
        "fieldTransformations": [make_transformation(rnd) for _ in range(rnd.randint(0, 3))],
    }
    if rnd.random() < 0.3:
        config["filterClassName"] = "STELLAR"
        config["parserConfig"]["filter.query"] = rnd.choice(CONDITIONS)
    if rnd.random() < 0.2:
        config |= {"readMetadata": True, "mergeMetadata": rnd.random() < 0.5}
    if rnd.random() < 0.1:
        config["parserConfig"]["kafka.topicField"] = "b"
    return config


def make_groups(rnd: random.Random) -> object:
    def make_map() -> dict[str, str]:
        return {name: rnd.choice(EXPRESSIONS) for name in rnd.sample(NAMES, rnd.randint(1, 3))}

    def make_list() -> list[str]:
        return [f"{rnd.choice(NAMES[:6])} := {rnd.choice(EXPRESSIONS)}" for _ in range(rnd.randint(1, 3))]

    def make_group() -> object:
        return make_map() if rnd.random() < 0.5 else make_list()

    if rnd.random() < 0.6:
        return make_group()
    return {f"group{number}": make_group() for number in range(rnd.randint(1, 3))}


def make_enrichment(rnd: random.Random) -> dict[str, Any]:
    def make_stage() -> dict[str, Any]:
        stage: dict[str, Any] = {"fieldMap": {}}
        if rnd.random() < 0.7:
            stage["fieldMap"]["stellar"] = {"config": make_groups(rnd)}
        if rnd.random() < 0.2:
            stage["config"] = {"d": 5, "timestampField": "given"}
        return stage

    rules = [
        {
            "name": rnd.choice((None, f"rule {number}")),
            "rule": rnd.choice(CONDITIONS),
            "score": rnd.choice((1, 10.5, "a + 1", "b", -2)),
            "reason": rnd.choice((None, "FORMAT('%s', a)", "b", "a / b")),
        }
        for number in range(rnd.randint(0, 4))
    ]
    aggregator = rnd.choice(("MAX", "SUM", "MEAN"))
    triage = {"riskLevelRules": rules, "aggregator": aggregator}
    return {"enrichment": make_stage(), "threatIntel": {**make_stage(), "triageConfig": triage}}


def make_global(rnd: random.Random) -> dict[str, Any]:
    validations = (
        {"input": ["ip"], "validation": "IP"},
        {"input": ["b"], "validation": "NOT_EMPTY"},
        {"validation": "STELLAR", "config": {"condition": "exists(a)"}},
    )
    config: dict[str, Any] = {"fieldValidations": [rnd.choice(validations)] if rnd.random() < 0.2 else []}
    return {**config, "maas.error.field": "maas.error"} if rnd.random() < 0.1 else config


def make_pipeline(rnd: random.Random) -> Pipeline:
    """Return the pipeline of a random configuration that is valid."""
    while True:
        try:
            return build_pipeline(
                SensorConfig(
                    "s",
                    parse_parser(json.dumps(make_parser(rnd)), HERE),
                    parse_enrichment(json.dumps(make_enrichment(rnd)), HERE),
                    parse_global(json.dumps(make_global(rnd)), HERE),
                )
            )
        except ConfigError:  # such as a filter that fails without fields
            continue


def make_message(rnd: random.Random) -> Raw:
    record = {name: rnd.choice(VALUES) for name in rnd.sample(FIELDS, rnd.randint(0, len(FIELDS)))}
    if rnd.random() < 0.9:
        record["t"] = record["timestamp"] = 1_571_163_620_306
    content = json.dumps(record) if rnd.random() < 0.98 else "{"
    key = json.dumps({"topic": rnd.choice(VALUES), "a": 3}).encode() if rnd.random() < 0.5 else None
    return Raw(content.encode(), "test", 1, key=key)


# -- Comparison -------------------------------------------------------------------------------------------------------


def describe(outcome: object, raw: Raw) -> object:
    """Return what a form of the pipeline must share with the other one, with fields in their order."""
    if isinstance(outcome, Failure):
        document = make_error_document(outcome, "s", raw)
        return {name: value for name, value in document.items() if name not in ("guid", "timestamp", "stack")}
    if isinstance(outcome, Forward):
        return ("forward", outcome.topic, repr(outcome.record))
    return repr(outcome) if isinstance(outcome, dict) else type(outcome)


def run(pipeline: Pipeline, raw: Raw) -> list[object]:
    return [
        (describe(outcome, raw), [describe(report, raw) for report in reports])
        for outcome, reports in pipeline.processed(raw)
    ]


def run_loop(pipeline: Pipeline, *raws: Raw) -> object:
    """Return what the loop of a run writes, in its order, and its counts."""
    written: list[object] = []

    def fail(document: Record) -> None:
        written.append({name: value for name, value in document.items() if name not in ("guid", "timestamp", "stack")})

    counts = run_pipeline(pipeline, raws, lambda record: written.append(to_json(record)), fail)
    return written, counts


@pytest.mark.parametrize("seed", range(SEEDS))
def test_both_forms_of_a_random_configuration_agree(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: 1_571_163_620_306_000_000)
    monkeypatch.setattr("stellar.pipeline.pipeline.make_guid", lambda: "guid")
    monkeypatch.setattr("stellar.pipeline.compiled.pipelines.make_guid", lambda: "guid")
    rnd = random.Random(seed)
    outcomes: set[str] = set()
    for _ in range(CONFIGS):
        compiled = make_pipeline(rnd)
        slow = replace(compiled, is_compiled=False)
        for _ in range(MESSAGES):
            raw = make_message(rnd)
            expected = run(slow, raw)
            assert run(compiled, raw) == expected, raw
            assert run_loop(compiled, raw) == run_loop(slow, raw), raw
            outcomes.update(type(outcome).__name__ for outcome, _ in compiled.processed(raw))
    assert outcomes == {"dict", "Rejected", "Drop", "Forward"}


# -- Stages of others -------------------------------------------------------------------------------------------------


def build_with(*stages: tuple[str, Stage]) -> Pipeline:
    parser = {"parserClassName": "JSONMap", "parserConfig": {}}
    config = SensorConfig("s", parse_parser(json.dumps(parser), HERE))
    return replace(build_pipeline(config), stages=stages)


def _raise(error: Exception) -> Callable[[Record], Record]:
    def stage(record: Record) -> Record:
        record["changed"] = True
        raise error

    return stage


@pytest.mark.parametrize("error", [Invalid("no", ["a"]), ValueError("no"), RecursionError("no")])
def test_errors_of_stages_of_others_are_rejections_in_both_forms(error: Exception) -> None:
    pipeline = build_with(("enrich", _raise(error)))
    raw = Raw(b'{"a": 1, "guid": "g", "timestamp": 1}')
    expected = run(replace(pipeline, is_compiled=False), raw)
    assert run(pipeline, raw) == expected
    assert expected[0][0]["stage"] == "enrich"


def test_a_stage_of_others_may_return_a_new_record() -> None:
    pipeline = build_with(("enrich", lambda record: {"only": record["a"]}))
    [(outcome, reports)] = pipeline.processed(Raw(b'{"a": 1}'))
    assert (outcome, reports) == ({"only": 1}, [])
