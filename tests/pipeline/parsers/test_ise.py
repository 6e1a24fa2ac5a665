"""The parser of Cisco ISE."""

from __future__ import annotations

from typing import Any

import pytest

from stellar.pipeline.config.locations import SourceLocation
from stellar.pipeline.parsers import Settings
from stellar.pipeline.parsers import ise as module
from stellar.pipeline.parsers.ise import IseParser

LOCATION = SourceLocation("parsers/ise.json", "parserConfig")
HEADER = "Aug  6 16:54:12 10.34.84.145 Aug  7 00:13:24 pdp01 CISE 0000024680 1 0 2014-08-07 00:13:24.527 -07:00 5405"
NOW = 1_781_524_800_000


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "now", lambda: NOW)


def parse(text: str) -> dict[str, Any]:
    (record,) = IseParser(Settings({}, LOCATION))(text)
    return record


def fields(text: str) -> dict[str, Any]:
    return {key: value for key, value in parse(text).items() if key != "timestamp"}


def test_the_timestamp_is_the_date_with_the_year_in_the_header() -> None:
    assert parse(f"{HEADER}, a=b")["timestamp"] == 1_407_395_604_527


@pytest.mark.parametrize("header", ["", "no date", "a=b"])
def test_without_a_date_the_timestamp_is_now(header: str) -> None:
    assert parse(header)["timestamp"] == NOW


@pytest.mark.parametrize(
    ("text", "record"),
    [
        ("h, a=x\\,y", {"header": "h", "a": "x\\,y"}),
        ("h, a=b=c", {"header": "h", "a": {"b": "c"}}),
        ("h, a=b=c=d", {"header": "h", "a": {"b": {"c": "d"}}}),
        ("h, a=, b=1", {"header": "h", "a": None, "b": "1"}),
        ("h, a=(TAG=0) VLAN", {"header": "h", "a": "(tag=0) VLAN"}),
        ("h, a={x=1, y; },", {"header": "h", "a": "{x=1, y; }"}),
        ("h, a={x}", {"header": "h", "a": "{x}"}),
        ("h # comment, x=\n, a=b", {"header": "h # comment", "x": None, "a": "b"}),
        ("h,# comment, x=\na=b // not a comment", {"header": "h", "a": "b // not a comment"}),
        ("h,/* a=1, */ b=2", {"header": "h", "b": "2"}),
        ("h, a=\\u0041\\\\u0042", {"header": "h", "a": "A\\\\u0042"}),
        ('h, a=\\"b', {"header": "h", "a": '\\"b'}),
        ("h, a=1\n\\\n,b=2", None),
    ],
)
def test_the_grammar(text: str, record: dict[str, Any] | None) -> None:
    if record is None:
        with pytest.raises(ValueError, match="expected ',' or the end"):
            parse(text)
    else:
        assert fields(text) == record


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('a "b"', "unexpected '\"' at character 3"),
        ("h, a\tb=c", "unexpected '\\t' at character 5"),
        ("h,=b", "expected ',' or the end, got '=' at character 3"),
        ("h, a", "expected '=' after the key 'a', got the end at character 5"),
        ("h, ab cd, e=f", "expected '=' after the key 'ab cd', got ',' at character 9"),
        ("h, a={x=1}", "expected ',' after '}', got the end at character 11"),
        ("h, a=\\u00g", "invalid escape '\\\\u00g': expected four hexadecimal digits"),
        ("h, Device Port=a=b", "'Device Port' contains '=': expected an address or a port"),
        ("a=" * 100_000, "too many '=' in a value"),
    ],
)
def test_an_error_says_where_and_what(text: str, message: str) -> None:
    with pytest.raises(ValueError) as raised:  # noqa: PT011 (the message is compared below)
        parse(text)
    assert str(raised.value) == message


@pytest.mark.parametrize("unit", ["#,", "//,", "/*,", "{,", "\\,", "a, "])
def test_long_records_take_linear_time(unit: str) -> None:
    """Comments without an end must not be searched for from each of their beginnings."""
    try:
        parse(unit * 300_000)
    except ValueError:
        pass
    else:
        assert unit == "\\,"


def test_a_record_without_a_timestamp_is_valid() -> None:
    assert IseParser(Settings({}, LOCATION)).complaint({}) is None
