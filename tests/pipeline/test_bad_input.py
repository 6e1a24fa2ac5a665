"""Bad input of every kind through every parser: each message is accounted for, and nothing fails inside."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from stellar.pipeline.build import build_pipeline
from stellar.pipeline.config.loading import SensorConfig
from stellar.pipeline.config.schema import GlobalConfig, ParserConfig
from stellar.pipeline.parsers import PARSERS
from stellar.pipeline.pipeline import Pipeline
from stellar.pipeline.records import Raw, Record, Rejected
from stellar.pipeline.run import run_pipeline

OPTIONS: dict[str, Record] = {
    "Grok": {"grokPath": "/patterns/squid", "patternLabel": "SQUID_DELIMITED", "timestampField": "timestamp"},
    "GrokWebSphere": {
        "grokPath": "/patterns/websphere",
        "patternLabel": "WEBSPHERE",
        "timestampField": "timestamp_string",
        "dateFormat": "yyyy MMM dd HH:mm:ss",
    },
    "RegularExpressions": {
        "recordTypeRegex": "(?<kind>kind|other)",
        "fields": [{"recordType": "kind", "regex": "(?<name>[a-z]+) .*"}],
    },
    "CSV": {"columns": ["timestamp", "b"], "timestampFormat": "yyyy-MM-dd HH:mm:ss"},
}

LARGE = 10 * 1024 * 1024
MESSAGES: dict[str, bytes] = {
    "nothing": b"",
    "whitespace": b" \t ",
    "zero bytes": b"\x00" * 100,
    "every byte": bytes(range(256)) * 4,
    "invalid UTF-8": b"a\xff\xfe,\xed\xa0\x80 b=\xc3",
    "line separators": "a\u2028b\u0085c\x0cd,e=f".encode(),
    "surrogate escapes": b'{"a":"\\ud800","timestamp":1}',
    "deep lists": b"[" * 100_000,
    "deep maps": b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
    "duplicate keys": b'{"a":1,"a":2,"a":{"a":3}}',
    "no numbers": b'{"a":NaN,"b":Infinity,"timestamp":-Infinity}',
    "a large number": b'{"a":1' + b"0" * 5_000 + b',"timestamp":1E400}',
    "year 0": b"0000-00-00 00:00:00,x",
    "the last year of Java": b"292278994-08-17 07:12:55,x",
    "a date far ahead": b"<14>1 999999-12-31T23:59:59Z h a p m - x",
    "quotes": b'"' * 999,
    "pairs": b"=" * 10_000,
    "blanks": b" " * 50_000 + b"|",
    "bars": b"CEF:0" + b"|" * 10_000,
}


def build(name: str) -> Pipeline:
    parser = ParserConfig.model_validate({"parserClassName": name, "parserConfig": OPTIONS.get(name, {})})
    return build_pipeline(SensorConfig("x", parser, directory=Path("nowhere")))


INTERNAL = re.compile(r"(Type|Attribute|Key|Index|Recursion|Assertion|Name|Memory|Overflow|NotImplemented)Error\b")


def run(name: str, *messages: bytes) -> list[Record]:
    """Run messages, check the counts and the kinds of errors, and return the error documents."""
    records: list[Record] = []
    errors: list[Any] = []
    counts = run_pipeline(build(name), map(Raw, messages), records.append, errors.append)
    assert counts.read == len(messages)
    assert counts.parsed == counts.out + counts.dropped + counts.rejected
    assert (counts.out, counts.rejected + counts.reports) == (len(records), len(errors))
    assert [each["exception"] for each in errors if INTERNAL.match(str(each.get("exception", "")))] == []
    return errors


@pytest.mark.parametrize("message", MESSAGES)
@pytest.mark.parametrize("name", PARSERS)
def test_bad_input_is_accounted_for(name: str, message: str) -> None:
    run(name, MESSAGES[message])


@pytest.mark.parametrize("name", PARSERS)
def test_a_line_of_ten_megabytes_is_accounted_for(name: str) -> None:
    run(name, b"x" * LARGE)


def test_a_bad_message_does_not_stop_the_next_one() -> None:
    errors = run("JSONMap", b"[" * 100_000, b'{"a":1}', b"\xff", b'{"a":2}')
    assert len(errors) == 2


BOMB = "(a|aa)+$"


@pytest.mark.parametrize(
    ("parser", "settings", "reason"),
    [
        (
            {
                "fieldTransformations": [
                    {"transformation": "REGEX_SELECT", "input": "a", "output": "b", "config": {"x": BOMB}}
                ]
            },
            {},
            "REGEX_SELECT: the regular expression for 'x' took longer than 1000 ms for a; simplify it",
        ),
        (
            {},
            {"fieldValidations": [{"validation": "REGEX_MATCH", "input": "a", "config": {"pattern": BOMB}}]},
            f"REGEX_MATCH: the regular expression '{BOMB}' took longer than 1000 ms; simplify it",
        ),
    ],
)
def test_a_regular_expression_that_takes_too_long_names_itself_and_the_limit(
    parser: Record, settings: Record, reason: str
) -> None:
    config = ParserConfig.model_validate({"parserClassName": "JSONMap", **parser})
    pipeline = build_pipeline(SensorConfig("x", config, globals=GlobalConfig.model_validate(settings)))
    (outcome,) = pipeline(Raw(b'{"a":"' + b"a" * 60 + b'!"}'))
    assert isinstance(outcome, Rejected)
    assert outcome.reason == reason
