"""Pairs of a generated configuration and a message, for both forms of a pipeline.

Both must have the same outcomes, error documents and reports, with fields in the same order.
"""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from scripts.fuzz.worker import Fault
from stellar.java.match_timer import match_timer
from stellar.language.errors import ConfigError
from stellar.pipeline.build import build_pipeline
from stellar.pipeline.config.loading import SensorConfig, parse_enrichment, parse_global, parse_parser
from stellar.pipeline.config.locations import SourceLocation
from stellar.pipeline.encoding import encode_document
from stellar.pipeline.parsers.csv import CsvParser
from stellar.pipeline.parsers.grok import GrokParser
from stellar.pipeline.pipeline import Pipeline
from stellar.pipeline.records import Failure, Forward, Raw, Record, make_error_document, to_json
from stellar.pipeline.run import run_pipeline
from stellar.util.clock import fix_time

MESSAGES = 200  # for a configuration
_HERE = SourceLocation("test.json")
_VARYING = ("guid", "timestamp", "stack")  # fields of error documents

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
    [1, 2], [], {"k": "v"}, {}, "x" * 50, "\ud800", "é\u2028\U0001f600", 'a"b\\c\n\x00', 10**30,
    -(2**63), 1e-7, 1e300, -0.0, [[], [None, {"a": ["b"]}]], {"a": {"b": {}}}, ["true"], "TRUE", " 10.0.0.1",
    "1.2.3.4.5", "a@b.example", "2020-01-02",
)  # fmt: skip


def _make_transformation(rnd: random.Random) -> dict[str, Any]:
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


_JSON = {"parserClassName": "JSONMap", "parserConfig": {"timestampField": "t", "mapStrategy": "ALLOW"}}
_COLUMNS = ["timestamp", "a", "b", "ip", "url", "c"]
PARSERS: tuple[dict[str, Any], ...] = (
    *([_JSON] * 5),
    {"parserClassName": "JSONMap", "parserConfig": {"timestampField": "t", "mapStrategy": "UNFOLD"}},
    {"parserClassName": "CSV", "parserConfig": {"timestampField": "t", "columns": _COLUMNS}},
    {"parserClassName": "Syslog5424", "parserConfig": {"timestampField": "t"}},
    {"parserClassName": "CEF", "parserConfig": {"timestampField": "t"}},
    {
        "parserClassName": "Grok",
        "parserConfig": {
            "grokPath": "/patterns/squid",
            "patternLabel": "SQUID_DELIMITED",
            "timestampField": "timestamp",
        },
    },
)


def _make_parser(rnd: random.Random) -> dict[str, Any]:
    config: dict[str, Any] = {
        **copy.deepcopy(rnd.choice(PARSERS)),
        "sensorTopic": "s",
        "fieldTransformations": [_make_transformation(rnd) for _ in range(rnd.randint(0, 3))],
    }
    if rnd.random() < 0.3:
        config["filterClassName"] = "STELLAR"
        config["parserConfig"]["filter.query"] = rnd.choice(CONDITIONS)
    if rnd.random() < 0.2:
        config |= {"readMetadata": True, "mergeMetadata": rnd.random() < 0.5}
    if rnd.random() < 0.1:
        config["parserConfig"]["kafka.topicField"] = "b"
    return config


def _make_groups(rnd: random.Random) -> object:
    def make_map() -> dict[str, str]:
        return {name: rnd.choice(EXPRESSIONS) for name in rnd.sample(NAMES, rnd.randint(1, 3))}

    def make_list() -> list[str]:
        return [f"{rnd.choice(NAMES[:6])} := {rnd.choice(EXPRESSIONS)}" for _ in range(rnd.randint(1, 3))]

    def make_group() -> object:
        return make_map() if rnd.random() < 0.5 else make_list()

    if rnd.random() < 0.6:
        return make_group()
    return {f"group{number}": make_group() for number in range(rnd.randint(1, 3))}


def _make_enrichment(rnd: random.Random) -> dict[str, Any]:
    def make_stage() -> dict[str, Any]:
        stage: dict[str, Any] = {"fieldMap": {}}
        if rnd.random() < 0.7:
            stage["fieldMap"]["stellar"] = {"config": _make_groups(rnd)}
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
        for number in range(rnd.choice((0, 1, 2, 3, 4, 8)))
    ]
    aggregator = rnd.choice(("MAX", "SUM", "MEAN"))
    triage = {"riskLevelRules": rules, "aggregator": aggregator}
    return {"enrichment": make_stage(), "threatIntel": {**make_stage(), "triageConfig": triage}}


VALIDATIONS: tuple[dict[str, Any], ...] = (
    {"input": ["ip"], "validation": "IP"},
    {"input": ["ip", "a"], "validation": "IP", "config": {"type": "IPV4"}},
    {"input": ["ip", "a"], "validation": "IP", "config": {"type": ["IPV4", "IPV6"], "all": True}},
    {"input": ["b"], "validation": "NOT_EMPTY"},
    {"input": ["a", "b"], "validation": "INTEGER"},
    {"input": ["b"], "validation": "EMAIL"},
    {"input": ["b", "c"], "validation": "REGEX_MATCH", "config": {"pattern": "[a-z0-9]*"}},
    {"input": ["a"], "validation": "DATE", "config": {"format": "yyyy-MM-dd"}},
    {"validation": "URL"},
    {"validation": "STELLAR", "config": {"condition": "exists(a)"}},
    {"validation": "STELLAR", "config": {"condition": "a == 7 or limit > 5", "limit": 9}},
    {"validation": "STELLAR", "config": {"condition": "LENGTH(b) < 3"}},
    {"input": ["a"], "validation": "STELLAR", "config": {"condition": "not exists(b)"}},
)


def _make_global(rnd: random.Random) -> dict[str, Any]:
    config: dict[str, Any] = {
        "fieldValidations": rnd.sample(VALIDATIONS, rnd.randint(1, 2)) if rnd.random() < 0.2 else [],
        "threat.triage.score.field": rnd.choice(("threat.triage.score", "score", "a")),
    }
    return {**config, "maas.error.field": "maas.error"} if rnd.random() < 0.1 else config


def make_pair(rnd: random.Random) -> tuple[Pipeline, Pipeline, dict[str, Any]]:
    """Return the compiled and the slow form of a pipeline with a random configuration, and that configuration."""
    while True:
        config = {
            "parser": _make_parser(rnd),
            "enrichment": _make_enrichment(rnd),
            "global": _make_global(rnd),
        }
        try:
            compiled, slow = _build(config), replace(_build(config), is_compiled=False)
        except ConfigError:  # such as a filter that fails without fields
            continue
        _keep_slow(slow.parser)
        return compiled, slow, config


def _build(config: dict[str, Any]) -> Pipeline:
    return build_pipeline(
        SensorConfig(
            "s",
            parse_parser(json.dumps(config["parser"]), _HERE),
            parse_enrichment(json.dumps(config["enrichment"]), _HERE),
            parse_global(json.dumps(config["global"]), _HERE),
        )
    )


def _keep_slow(parser: object) -> None:
    """Let a parser never use its compiled form."""
    if isinstance(parser, GrokParser):
        parser._parse_line = parser._parse
    elif isinstance(parser, CsvParser):
        parser._parse_row = parser._record


# -- Messages ---------------------------------------------------------------------------------------------------------


def make_message(rnd: random.Random, parser: str) -> Raw:
    """Return a message for a parser."""
    text = _MESSAGES[parser](rnd)
    if rnd.random() < 0.02:
        text = rnd.choice(
            ("", "{", " ", text[: len(text) // 2], text + "x", text * 2, f"{text}\n{text}\r{text}", "\x00")
        )
    key = json.dumps({"topic": rnd.choice(VALUES), "a": 3}).encode() if rnd.random() < 0.5 else None
    content = text.encode("utf-8", "surrogatepass" if rnd.random() < 0.5 else "replace")
    return Raw(content, "test", rnd.choice((None, 1, 7)), key=key, topic=rnd.choice((None, None, "t")))


def _make_json(rnd: random.Random) -> str:
    record = {name: rnd.choice(VALUES) for name in rnd.sample(FIELDS, rnd.randint(0, len(FIELDS)))}
    if rnd.random() < 0.9:
        record["t"] = record["timestamp"] = 1_571_163_620_306
    if rnd.random() < 0.0005:
        record |= {f"field{number}": number for number in range(10_000)}
    return json.dumps(record, ensure_ascii=rnd.random() < 0.5)


def _choose_text(rnd: random.Random) -> str:
    value = rnd.choice(VALUES)
    return value if isinstance(value, str) else json.dumps(value)


def _make_row(rnd: random.Random) -> str:
    values = [rnd.choice(("1571163620306", "x", "")), *(_choose_text(rnd) for _ in range(rnd.randint(3, 6)))]
    return ",".join('"' + value.replace('"', '""') + '"' if rnd.random() < 0.3 else value for value in values)


def _make_syslog(rnd: random.Random) -> str:
    priority, version = rnd.choice(("<34>", "<999>", "", "<7>")), rnd.choice(("1 ", "1", ""))
    time = rnd.choice(("2014-06-20T09:00:00Z", "2014-06-20T09:00:00.123456+18:00", "2014-02-30T24:00:00Z", "-"))
    names = " ".join(rnd.choice(("host", "-", "app", "1", "")) for _ in range(4))
    data = rnd.choice(("-", '[a@1 b="c" a="1"]', '[a b="c"][d e="f\\"g"]', "[", "[x]"))
    return f"{priority}{version}{time} {names} {data} {_choose_text(rnd)}"


def _make_cef(rnd: random.Random) -> str:
    header = "|".join(
        ("CEF:0", *(rnd.choice(("a", "b c", "", "\\|")) for _ in range(5)), rnd.choice(("5", "High", "x")))
    )
    pairs = " ".join(
        f"{rnd.choice(('src', 'dst', 'spt', 'cs1', 'cs1Label', 'a', 'b'))}={_choose_text(rnd)}" for _ in range(4)
    )
    return f"{rnd.choice(('', '<7>Oct 12 04:16:11 host '))}{header}|{pairs} rt=1571163620306"


def _make_squid(rnd: random.Random) -> str:
    return (
        f"{rnd.choice(('1571163620.277', '1571163620', '0.5'))} {rnd.choice((' 192', '7', '-1'))} 127.0.0.1 "
        f"TCP_MISS/{rnd.choice(('200', '404', '00200', '9' * 12))} 366 GET {rnd.choice(VALUES)} - DIRECT/"
        f"{rnd.choice(('10.0.0.1', '-', '::1'))} text/html"
    )


_MESSAGES: dict[str, Callable[[random.Random], str]] = {
    "JSONMap": _make_json,
    "CSV": _make_row,
    "Syslog5424": _make_syslog,
    "CEF": _make_cef,
    "Grok": _make_squid,
}


# -- Comparison -------------------------------------------------------------------------------------------------------


@contextmanager
def fix_identity() -> Iterator[None]:
    """Let all records have the same time and identifier."""

    def make() -> str:
        return "guid"

    with (
        fix_time(1_571_163_620_306),
        patch("stellar.pipeline.pipeline.make_guid", make),
        patch("stellar.pipeline.compiled.pipelines.make_guid", make),
    ):
        yield


def describe(outcome: object, raw: Raw) -> object:
    """Return what a form of the pipeline must share with the other one, with fields in their order."""
    if isinstance(outcome, Failure):
        return _describe_error(make_error_document(outcome, "s", raw))
    if isinstance(outcome, Forward):
        return ("forward", outcome.topic, repr(outcome.record))
    return repr(outcome) if isinstance(outcome, dict) else type(outcome).__name__


def _describe_error(document: Record) -> str:
    return to_json({name: value for name, value in document.items() if name not in _VARYING})


def run(pipeline: Pipeline, raw: Raw) -> list[object]:
    """Return the outcomes and reports of a message that is processed by itself."""
    return [
        (describe(outcome, raw), [describe(report, raw) for report in reports])
        for outcome, reports in pipeline.processed(raw)
    ]


def run_loop(pipeline: Pipeline, raws: list[Raw]) -> object:
    """Return what the loop of a run writes for messages, in its order, and its counts."""
    written: list[object] = []

    def add(record: Record) -> None:
        text = to_json(record)
        if json.loads(encode_document(record)) != json.loads(text):  # by orjson, if it is installed
            raise AssertionError(f"the documents differ: {text}")
        written.append(text)

    counts = run_pipeline(pipeline, raws, add, lambda document: written.append(_describe_error(document)))
    return written, counts


def compare(seed: int, number: int) -> tuple[str, Fault | None]:
    """Process messages by both forms of the configuration with a number; return a fault if they differ."""
    rnd = random.Random(f"{seed} {number}")
    compiled, slow, config = make_pair(rnd)
    raws = [make_message(rnd, config["parser"]["parserClassName"]) for _ in range(MESSAGES)]
    with fix_identity(), match_timer():
        if run_loop(compiled, raws) == run_loop(slow, raws):
            raws = [raw for raw in raws[::4] if run(compiled, raw) != run(slow, raw)]
        if not raws:
            return "equal", None
        raw = next((raw for raw in raws if run_loop(compiled, [raw]) != run_loop(slow, [raw])), raws[0])
        found = [run(compiled, raw), run(slow, raw), run_loop(compiled, [raw]), run_loop(slow, [raw])]
    details = "\n".join(map(str, found))
    return "different", Fault(seed, number, "pipeline", "both forms differ", json.dumps(config), repr(raw), details)


def show(seed: int, number: int) -> str:
    """Return the configuration with a number."""
    return json.dumps(make_pair(random.Random(f"{seed} {number}"))[2])
