"""The parser of the Common Event Format."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

from .conftest import NOW

Parse = Callable[..., Any]
HEADER = "CEF:0|vendor|product|1.0|100|name|5|"


def extension(parse_one: Parse, text: str) -> dict[str, Any]:
    """Return the fields of an extension."""
    record = parse_one("CEF", HEADER + text)
    header = ("DeviceVendor", "DeviceProduct", "DeviceVersion", "DeviceEvent", "Name", "Severity")
    return {key: value for key, value in record.items() if key not in header}


def test_a_line_is_a_record(parse: Parse) -> None:
    text = "<14>Apr  7 10:10:10 Host.Example CEF: 0|Acme|Fire|1.0|100|worm stopped|High|src=10.0.0.1 spt=1232 msg=a b"
    assert parse("CEF", text) == [
        {
            "DeviceVendor": "Acme",
            "DeviceProduct": "Fire",
            "DeviceVersion": "1.0",
            "DeviceEvent": "100",
            "Name": "worm stopped",
            "Severity": 8,
            "host": "Host.Example",
            "ip_src_addr": "10.0.0.1",
            "ip_src_port": 1232,
            "msg": "a b",
            "timestamp": 1775556610000,
            "original_string": text,
        }
    ]


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("", {}),
        ("no pair", {}),
        ("k=v", {"k": "v"}),
        ("k=  a  b   k2=v2 ", {"k": "a  b", "k2": "v2 "}),  # only the last value is not trimmed
        ("k=v\tk2=v2", {"k": "v", "k2": "v2"}),
        ("a=b=c d=e==f", {"a": "b=c", "d": "e==f"}),  # an equals sign within a value
        (r"a=b\=c d=e\nf", {"a": r"b\=c", "d": r"e\nf"}),  # escapes remain
        (r"a=b\\=c", {"a": r"b\\=c"}),
        ("k =v", {"k ": "v"}),
        ("=v", {"": "v"}),
        ("suser= duser= app=ssl", {"suser": "ssl"}),  # as in Metron, a pair after an empty value is not seen
        ("a=1 a=2", {"a": "2"}),
        ("act=x app=HTTP dst=1.1.1.1", {"deviceAction": "x", "protocol": "HTTP", "ip_dst_addr": "1.1.1.1"}),
        ("msg=\u2028 a\fb \x85", {"msg": "\u2028 a\fb \x85"}),
    ],
)
def test_an_extension_has_pairs(text: str, fields: dict[str, Any], parse_one: Parse) -> None:
    assert extension(parse_one, text) == fields


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("cs1Label=Rule cs1=x", {"Rule": "x"}),
        ("cs1=x cs1Label=My Rule", {"My Rule": "x"}),
        ("cs1=x cs1Label=", {"": "x"}),
        ("cs1Label=Rule", {}),
        ("cs1=x cs1Label=src", {"ip_src_addr": "x"}),
        ("Label=x", {}),
    ],
)
def test_a_label_names_a_field(text: str, fields: dict[str, Any], parse_one: Parse) -> None:
    assert extension(parse_one, text) == fields


def test_an_extension_may_overwrite_the_header(parse_one: Parse) -> None:
    assert parse_one("CEF", HEADER + "Name=other")["Name"] == "other"


@pytest.mark.parametrize(
    ("part", "value"), [(r"a\|b", "a|b"), (r"a\\", "a\\"), (r"a \ b", r"a \ b"), ("", ""), ("a=b", "a=b")]
)
def test_a_backslash_protects_a_bar_in_the_header(part: str, value: str, parse_one: Parse) -> None:
    record = parse_one("CEF", f"CEF:0|{part}|p|1|2|n|5|k=v")
    assert record["DeviceVendor"] == value
    assert record["k"] == "v"


@pytest.mark.parametrize(
    ("text", "severity"),
    [
        ("5", 5),
        ("99", 99),
        ("-1", -1),
        ("+5", 5),
        ("Low", 2),
        ("Medium", 5),
        ("High", 8),
        ("Very-High", 10),
        ("high", 0),
        ("100", 0),
    ],
)
def test_the_severity_is_an_integer(text: str, severity: int, parse_one: Parse) -> None:
    assert parse_one("CEF", f"CEF:0|v|p|1|2|n|{text}|")["Severity"] == severity


@pytest.mark.parametrize("text", ["", "ab", "5 ", "1_"])
def test_another_severity_is_an_error(text: str, parse: Parse) -> None:
    ((_, message),) = parse("CEF", f"CEF:0|v|p|1|2|n|{text}|")
    assert message == f'For input string: "{text}": expected a severity of 0 to 10, Low, Medium, High or Very-High'


def test_a_port_that_is_no_integer_remains_a_string(parse_one: Parse, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert extension(parse_one, "spt=x dpt=99999999999") == {"ip_src_port": "x", "ip_dst_port": "99999999999"}
    assert caplog.messages == ["invalid port '99999999999' in dpt: expected an integer; it remains a string"]


@pytest.mark.parametrize(
    ("rt", "timestamp"),
    [
        ("1423441663000", 1423441663000),
        ("0", 0),
        ("١٢٣", 123),
        ("Feb 09 2015 00:27:43", 1423441663000),
        ("Feb 9 2015 00:27:43.123 UTC", 1423441663123),
        ("Feb 09 2015 00:27:43 EST", 1423459663000),
        ("9 February 2015 00:27:43", 1423441663000),
        ("2015-02-09T00:27:43Z", 1423441663000),
        ("Feb 09 00:27:43", 1770596863000),
        ("Dec 31 23:59:59", 1767225599000),
        ("Feb 29 00:00:00", 1772323200000),  # lenient: 1 March
    ],
)
def test_the_timestamp_is_the_receipt_time(rt: str, timestamp: int, parse: Parse) -> None:
    assert parse("CEF", f"{HEADER}rt={rt}")[0]["timestamp"] == timestamp


@pytest.mark.parametrize("rt", ["", "yesterday", "2015-02-09", "2015-02-30T00:00:00Z", "9" * 20, "9" * 5000])
def test_another_receipt_time_is_an_error(rt: str, parse: Parse) -> None:
    ((_, message),) = parse("CEF", f"{HEADER}rt={rt}")
    assert message.startswith(("rt field present in CEF but cannot be parsed", "invalid time"))


@pytest.mark.parametrize(
    ("header", "timestamp", "host"),
    [
        ("Apr  7 10:10:10 h ", 1775556610000, "h"),
        ("<14>Apr 7 10:10:10 h ", 1775556610000, "h"),
        ("April 07 9:10:10.5 h ", 1775553010500, "h"),
        ("2016-05-01T09:29:11.356-04:00 h ", 1462109351356, "h"),
        ("2016-05-01T09:29:11-0400 h prog: ", 1462109351000, "h"),
        ("2016-05-01T09:29:11Z ", 1462094951000, None),
        ("2016-05-01T09:29:11Z", 1462094951000, None),
        ("junk ", NOW, None),
        ("", NOW, None),
        ("Sept 31 23:59:59 h ", NOW, None),
        ("Apr 7 10:10 h ", NOW, None),
    ],
)
def test_a_syslog_header_has_a_time_and_a_host(header: str, timestamp: int, host: str | None, parse: Parse) -> None:
    (record,) = parse("CEF", f"{header}{HEADER}k=v")
    assert (record["timestamp"], record.get("host")) == (timestamp, host)


def test_an_impossible_time_in_the_syslog_header_is_an_error(parse: Parse) -> None:
    ((_, message),) = parse("CEF", f"Feb 30 10:00:00 h {HEADER}k=v")
    assert message == "Text 'Feb 30 10:00:00' could not be parsed: Invalid date 'FEBRUARY 30'"


def test_the_last_complete_header_counts(parse_one: Parse) -> None:
    assert parse_one("CEF", f"{HEADER}a=b CEF:1|v|p|1|2|n|6|c=d")["Severity"] == 6
    assert parse_one("CEF", f"{HEADER}a=CEF:0|v")["a"] == "CEF:0|v"


@pytest.mark.parametrize(
    "text", ["", "\n", "garbage", "cef:0|a|b|c|d|e|5|", "CEF:0|a|b|c|d|e|x=y", "CEF:|a|b|c|d|e|5|"]
)
def test_a_message_without_a_header_is_an_error(text: str, parse: Parse) -> None:
    ((shown, message),) = parse("CEF", text)
    assert shown == text
    assert "CEF header: expected 'CEF:0|" in message


def test_each_line_is_a_record_or_an_error(parse: Parse) -> None:
    first, bad, second = parse("CEF", f"{HEADER}k=1\r\n\ngarbage\r{HEADER}k=2\n")
    assert (first["k"], second["k"]) == ("1", "2")
    assert second["original_string"] == f"{HEADER}k=2"
    assert bad[0] == "garbage"


@pytest.mark.parametrize(
    "text",
    [
        HEADER + "a=" + "b=" * 1_000_000,
        HEADER + "a= " + " b=" * 1_000_000,
        HEADER + "a=" + "\\=" * 1_000_000,
        HEADER + "a=" + " " * 5_000_000,
        HEADER + "k=" + "x" * 10_000_000,
        "CEF:0|" * 300_000,
        "CEF:0" * 300_000,
        "CEF:0|" + "\\" * 3_000_000,
        " " * 3_000_000 + HEADER,
        "Apr  7 10:10:10" + " " * 3_000_000 + HEADER,
    ],
)
def test_a_long_line_is_read_in_linear_time(text: str, parse: Parse) -> None:
    assert len(parse("CEF", text)) == 1
