"""The parsers of RFC 5424 and RFC 3164."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from stellar.language.errors import ConfigError

from .conftest import NOW

Parse = Callable[..., Any]
RFC_5424 = "<34>1 2003-10-11T22:14:15.003Z host su 77 ID47 "


def test_a_line_of_rfc_5424_is_a_record(parse: Parse) -> None:
    text = RFC_5424 + '[a@1 x="1" y="q\\"u\\]o\\\\te"][b z=""] the message '
    assert parse("Syslog5424", text) == [
        {
            "syslog.header.pri": "34",
            "syslog.header.facility": "4",
            "syslog.header.severity": "2",
            "syslog.header.version": "1",
            "syslog.header.timestamp": "2003-10-11T22:14:15.003Z",
            "syslog.header.hostName": "host",
            "syslog.header.appName": "su",
            "syslog.header.procId": "77",
            "syslog.header.msgId": "ID47",
            "syslog.structuredData.a@1.x": "1",
            "syslog.structuredData.a@1.y": 'q\\"u\\]o\\\\te',
            "syslog.structuredData.b.z": "",
            "syslog.message": "the message",
            "timestamp": 1065910455003,
            "original_string": text,
        }
    ]


@pytest.mark.parametrize(
    ("policy", "expected"),
    [("OMIT", {}), ("NULL", {"syslog.header.hostName": None}), ("DASH", {"syslog.header.hostName": "-"})],
)
def test_a_dash_in_the_header_follows_the_policy(policy: str, expected: Any, parse: Parse) -> None:
    (record,) = parse("Syslog5424", "<34>1 2003-10-11T22:14:15Z - su 77 ID47 -", nilPolicy=policy)
    assert {key: value for key, value in record.items() if key == "syslog.header.hostName"} == expected
    assert "syslog.message" not in record


@pytest.mark.parametrize("policy", ["OMIT", "NULL", "DASH"])
def test_a_missing_time_is_the_current_time(policy: str, parse: Parse) -> None:
    assert parse("Syslog5424", "<34>1 - - - - - -", nilPolicy=policy)[0]["timestamp"] == NOW


@pytest.mark.parametrize(
    "header",
    [
        "1 2003-10-11T22:14:15Z h a p m -",
        "2003-10-11T22:14:15Z h a p m -",
        "<34>2003-10-11T22:14:15Z h a p m -",
        "<999>999 2003-10-11T22:14:15.123456+14:00 h a p m -",
        "<34>12003-10-11T22:14:15Z h a p m -",
        "<34>1 2003-10-11T22:14:15Z     -",
    ],
)
def test_parts_of_the_header_may_be_missing(header: str, parse: Parse) -> None:
    (record,) = parse("Syslog5424", f"{header} x")
    assert record["syslog.message"] == "x"


@pytest.mark.parametrize(
    ("rest", "message"),
    [("-", None), ("- ", None), ("-  ", ""), ("- \t", ""), ("-x", "x"), ("[a]x", "x"), ("[a][b", "[b")],
)
def test_the_message_is_trimmed(rest: str, message: str | None, parse: Parse) -> None:
    (record,) = parse("Syslog5424", RFC_5424 + rest)
    assert record.get("syslog.message") == message


@pytest.mark.parametrize("text", ["日本語 😀", "a\tb", "a\u2028b\fc\x85d", "\ufeffBOM"])
def test_a_message_and_parameters_may_have_any_character(text: str, parse: Parse) -> None:
    (record,) = parse("Syslog5424", f'{RFC_5424}[a@1 x="{text}"] m {text} m')
    assert record["syslog.message"] == f"m {text} m"
    assert record["syslog.structuredData.a@1.x"] == text


@pytest.mark.parametrize(
    "text",
    [
        "garbage",
        "<34>1  2003-10-11T22:14:15Z h a p m - two spaces",
        "<34>1 2003-10-11t22:14:15z h a p m - lowercase",
        "<34>1 2003-10-11T22:14:15 h a p m - no offset",
        "<34>1 2003-10-11T22:14:15.1234567Z h a p m - 7 digits",
        "<34>1 2003-10-11T22:14:15Z h a p m",
        "<34>1 2003-10-11T22:14:15Z hé a p m - x",
        "<34>0 2003-10-11T22:14:15Z h a p m - version 0",
        "<3456>1 2003-10-11T22:14:15Z h a p m - x",
        "<>1 2003-10-11T22:14:15Z h a p m - x",
        RFC_5424 + '[a x="unclosed] m',
        RFC_5424 + "[a x=1] m",
        RFC_5424 + "[] m",
        "<34>1 2003-02-30T22:14:15Z h a p m - no such day",
        "<34>1 2003-10-11T22:14:60Z h a p m - leap second",
    ],
)
def test_another_line_is_an_error(text: str, parse: Parse) -> None:
    ((line, _),) = parse("Syslog5424", text)
    assert line == text


def test_each_line_is_a_record_or_an_error(parse: Parse) -> None:
    text = f"{RFC_5424}- a\r\ngarbage\n\n{RFC_5424}- b\r{RFC_5424}- c\n"
    first, bad, blank, second, third = parse("Syslog5424", text)
    assert [each["syslog.message"] for each in (first, second, third)] == ["a", "b", "c"]
    assert {each["original_string"] for each in (first, second, third)} == {text}
    assert bad[0] == "garbage"
    assert blank == ("", "syslogLine cannot be null: the line is blank")


def test_equal_lines_with_errors_are_one_error(parse: Parse) -> None:
    assert len(parse("Syslog5424", "x\nx\ny\nx")) == 2


@pytest.mark.parametrize("name", ["Syslog5424", "Syslog3164"])
def test_an_empty_message_has_no_lines(name: str, parse: Parse) -> None:
    assert parse(name, "") == []


def test_a_line_of_rfc_3164_is_a_record(parse: Parse) -> None:
    text = "<34>Oct  9 13:42:11 host su:  x "
    (record,) = parse("Syslog3164", text)
    assert record == {
        "syslog.header.pri": "34",
        "syslog.header.facility": "4",
        "syslog.header.severity": "2",
        "syslog.header.timestamp": "Oct  9 13:42:11",
        "syslog.header.hostName": "host",
        "syslog.message": "su:  x",
        "timestamp": 1760017331000,
        "original_string": text,
    }


@pytest.mark.parametrize(
    "text",
    [
        "Oct  9 13:42:11 h m",
        "<34> Oct 09 13:42:11 h m",
        "<34>Oct 9 13:42:11 h m",
        "<34>OCT  9 13:42:11 h m",
        "<34>oct  9 13:42:11 h m",
        "<34>Oct  9 13:42:11.123 h m",
        "<34>Oct  9 2025 13:42:11 h m",
        "<34>2025-10-09T13:42:11Z h m",
        "<34>Oct  9 13:42:11 h",
        "<34>Oct  9 13:42:11  m",
        "<34>Oct  9 13:42:11 日本 m",
    ],
)
def test_more_forms_are_read_than_by_metron(text: str, parse: Parse) -> None:
    (record,) = parse("Syslog3164", text)
    assert record["timestamp"] // 1000 == 1760017331
    assert record["syslog.message"] in ("m", "")


@pytest.mark.parametrize(
    "text",
    ["garbage", "<34>Foo  9 13:42:11 h m", "<34>Oct 32 13:42:11 h m", "<34>1 2003-10-11T22:14:15Z h a p m - x", "\x1b"],
)
def test_another_line_of_rfc_3164_is_an_error(text: str, parse: Parse) -> None:
    ((line, _),) = parse("Syslog3164", text)
    assert line == text


@pytest.mark.parametrize(("zone", "hours"), [("UTC", 0), ("America/New_York", 4), ("Asia/Tokyo", -9), ("+02:00", -2)])
def test_a_time_without_an_offset_is_in_the_zone_of_the_device(zone: str, hours: int, parse: Parse) -> None:
    (record,) = parse("Syslog3164", "Oct  9 13:42:11 h m", deviceTimeZone=zone)
    assert record["timestamp"] == 1760017331000 + hours * 3_600_000


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"nilPolicy": "omit"}, "nilPolicy: unknown policy 'omit'; did you mean OMIT?"),
        ({"nilPolicy": None}, "nilPolicy: missing key 'nilPolicy'"),
        ({"nilPolicy": 5}, "nilPolicy: expected a string, got 5"),
        ({"deviceTimeZone": "Nowhere"}, "deviceTimeZone: unknown time zone 'Nowhere': expected a region such as"),
        ({"deviceTimeZone": ""}, "deviceTimeZone: unknown time zone ''"),
        ({"deviceTimeZone": 5}, "deviceTimeZone: expected a string, got 5"),
    ],
)
def test_options_are_checked(options: dict[str, Any], message: str, parse: Parse) -> None:
    with pytest.raises(ConfigError) as failed:
        parse("Syslog5424", "", **options)
    assert str(failed.value).startswith(f"parsers/x.json: parserConfig.{message}")


@pytest.mark.parametrize("name", ["Syslog5424", "Syslog3164"])
@pytest.mark.parametrize(
    "text",
    [
        RFC_5424 + '[a x="' * 500_000,
        RFC_5424 + '[a x="1"]' * 200_000 + "[a",
        RFC_5424 + "[a" + ' x="1"' * 500_000,
        RFC_5424 + '[a x="' + '\\"' * 1_000_000,
        "<34>1 2003-10-11T22:14:15Z " + "a" * 5_000_000,
        "<34>Oct" + " " * 5_000_000,
        RFC_5424 + "- " + " " * 5_000_000 + "x",
        "\n" * 1_000_000,
    ],
)
def test_a_long_line_is_read_in_linear_time(name: str, text: str, parse: Parse) -> None:
    assert parse(name, text)
