"""The parser by regular expressions."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest

from stellar.language.errors import ConfigError
from stellar.pipeline.config.locations import SourceLocation
from stellar.pipeline.parsers.parser import Settings
from stellar.pipeline.parsers.regular_expressions import RegularExpressionsParser

LOGIN = {"recordType": "login", "regex": ".*user=(?<user>\\S+).*"}


def parser(**options: Any) -> RegularExpressionsParser:
    options = {"recordTypeRegex": "login|logout", "fields": [LOGIN], **options}
    return RegularExpressionsParser(Settings(options, SourceLocation("parsers/x.json", "parserConfig")))


def parse(text: str, **options: Any) -> dict[str, Any]:
    """Return the fields of a record, without its timestamp."""
    (record,) = parser(**options)(text)
    assert record.pop("timestamp") > 0
    return record


@pytest.mark.parametrize(
    ("text", "options", "fields"),
    [
        ("login user=a", {}, {"user": "a"}),
        ("LOGIN user=a", {"recordTypeRegex": "(?i)login"}, {"user": "a"}),
        ("LOGIN user=a", {}, {}),
        ("login user=a\nb", {}, {}),  # the dot does not match the end of a line
        ("login user=a \u2028b", {}, {}),
        ("login", {"recordTypeRegex": "(?<type>login)"}, {"type": "login"}),
        ("login user=a", {"recordTypeRegex": "login (?<user>user)"}, {"user": "user"}),  # not a known type
        ("<5>login", {"messageHeaderRegex": ["^NO(?<x>.)", "^<(?<pri>\\d)>(?<rest> *)"]}, {"pri": "5"}),
        ("\u2003login", {"messageHeaderRegex": "^(?<blank>.)(?<first>.)"}, {"first": "l"}),
        ("a", {"messageHeaderRegex": ["", "(?<a>a)"]}, {}),  # an empty expression matches everything
        ("userA", {"recordTypeRegex": "user(?<userID>A)", "convertCamelCaseToUnderScore": True}, {"user_i_d": "A"}),
        ("a", {"recordTypeRegex": "(?<IPAddr>a)", "convertCamelCaseToUnderScore": True}, {"i_p_addr": "a"}),
    ],
)
def test_groups_become_fields(text: str, options: dict[str, Any], fields: dict[str, Any]) -> None:
    assert parse(text, **options) == {**fields, "original_string": text}


def test_a_record_is_trimmed() -> None:
    assert parse("\x00 login user= \r\n") == {"original_string": "login user="}


def test_an_empty_record_is_invalid() -> None:
    parse_record = parser()
    (record,) = parse_record(" \n")
    assert record == {"original_string": ""}
    assert parse_record.complaint(record) == "record has no timestamp"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"recordTypeRegex": " "}, "recordTypeRegex: Invalid config :recordTypeRegex is missing in parserConfig; spec"),
        ({"recordTypeRegex": 5}, "recordTypeRegex: expected a string, got 5"),
        ({"recordTypeRegex": "(["}, "recordTypeRegex: Invalid config : invalid regular expression '([': unclosed ["),
        ({"recordTypeRegex": "(?<a>x)(?<a>y)"}, "recordTypeRegex: Invalid config : invalid regular expression"),
        ({"recordTypeRegex": r"\(?<a>"}, "recordTypeRegex: invalid group (?<a>: its parenthesis is escaped or quoted"),
        ({"fields": None}, "fields: expected a list of objects with recordType and regex, got null"),
        ({"fields": ["x"]}, "fields[0]: expected an object with recordType and regex, got 'x'"),
        ({"fields": [{"recordType": 5, "regex": "x"}]}, "fields[0].recordType: expected a string, got 5"),
        ({"fields": [{"recordType": "x", "regex": 5}]}, "fields[0].regex: expected a regular expression or a list"),
        ({"fields": [{"recordType": "x", "regex": [5]}]}, "fields[0].regex[0]: expected a regular expression, got 5"),
        (
            {"fields": [LOGIN, {"recordType": "x", "regex": ["a", "(?<a_b>x)"]}]},
            "fields[1].regex[1]: Invalid config : invalid regular expression '(?<a_b>x)': unknown kind of group at",
        ),
        ({"messageHeaderRegex": 5}, "messageHeaderRegex: expected a regular expression or a list of them, got 5"),
        ({"messageHeaderRegex": ["a", "["]}, "messageHeaderRegex[1]: Invalid config : invalid regular expression '['"),
        ({"convertCamelCaseToUnderScore": "true"}, "convertCamelCaseToUnderScore: expected true or false, got 'true'"),
        ({"matchTimeoutMs": "1"}, "matchTimeoutMs: expected a positive integer of milliseconds, got '1'"),
    ],
)
def test_an_invalid_option_is_rejected(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parser(**options)
    assert str(refused.value).startswith(f"parsers/x.json: parserConfig.{message}")


@pytest.mark.parametrize("value", [None, ""])
def test_a_header_is_optional(value: object) -> None:
    assert parse("login user=a", messageHeaderRegex=value) == {"user": "a", "original_string": "login user=a"}


def test_definitions_without_effect_are_reported() -> None:
    fields = [{"recordType": "a"}, {"regex": "b"}, LOGIN, {"recordType": "LOGIN", "regex": ["x", "(?<a>.*)"]}]
    parse_record = parser(fields=fields)
    assert [(location.path, message) for location, message in parse_record.find_warnings()] == [
        ("parserConfig.fields[0]", "ignored, because it has no regex"),
        ("parserConfig.fields[1]", "ignored, because it has no recordType"),
        ("parserConfig.fields[3]", "replaces the other regular expressions of the record type 'LOGIN'"),
        ("parserConfig.fields[3].regex[0]", "ignored, because it has no named groups"),
    ]
    (record,) = parse_record("login user=a")
    assert record["a"] == "login user=a"


def test_a_record_type_without_definition_is_reported_once(caplog: pytest.LogCaptureFixture) -> None:
    parse_record = parser()
    for _ in range(3):
        assert "user" not in next(parse_record("logout user=a"))
    assert caplog.text.count("the record type 'logout' has no definition in fields") == 1


@pytest.mark.parametrize(
    ("options", "location"),
    [
        ({"recordTypeRegex": "(?:(?:a|aa)+)+$"}, "recordTypeRegex"),
        ({"messageHeaderRegex": "(?:(?:a|aa)+)+$"}, "messageHeaderRegex"),
        (
            {"recordTypeRegex": "a", "fields": [{"recordType": "a", "regex": ["(?<x>x)", "(?<a>(?:(?:a|aa)+)+)"]}]},
            "fields\\[0\\].regex\\[1\\]",
        ),
    ],
)
def test_the_time_for_a_record_is_limited(
    options: dict[str, Any], location: str, bounded: Callable[[], AbstractContextManager[None]]
) -> None:
    message = f"parserConfig.{location} did not match within 50 ms for the record; simplify the regular expression or"
    with bounded(), pytest.raises(TimeoutError, match=message):
        list(parser(matchTimeoutMs=50, **options)("a" * 5000 + "!"))


def test_a_long_record_is_parsed() -> None:
    long = "x" * 10_000_000
    assert parse(f"login user={long}")["user"] == long
