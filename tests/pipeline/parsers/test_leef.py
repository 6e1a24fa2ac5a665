"""The parser of the Log Event Extended Format."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from .conftest import NOW

Parse = Callable[..., Any]
HEADER = {"DeviceVendor": "v", "DeviceProduct": "p", "DeviceVersion": "1", "DeviceEvent": "e"}


def attributes(parse_one: Parse, text: str) -> dict[str, Any]:
    return {key: value for key, value in parse_one("LEEF", text).items() if key not in HEADER}


def test_a_line_is_a_record(parse: Parse) -> None:
    text = "2016-05-01T09:29:11Z Host LEEF:2.0|v|p|1|e|^| src=10.0.0.1^dst=2.1.2.2^srcPort=81^dstPort=21^cat=a b"
    assert parse("LEEF", text) == [
        {
            **HEADER,
            "host": "Host",
            "ip_src_addr": "10.0.0.1",
            "ip_dst_addr": "2.1.2.2",
            "ip_src_port": 81,
            "ip_dst_port": 21,
            "cat": "a b",
            "timestamp": 1462094951000,
            "original_string": text,
        }
    ]


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("LEEF:1.0|v|p|1|e|a=1\tb=2", {"a": "1", "b": "2"}),
        ("LEEF:|v|p|1|e|a=1\tb=2", {"a": "1", "b": "2"}),
        ("LEEF:1.0|v|p|1|e|^|a=1", {"^|a": "1"}),  # version 1.0 names no delimiter
        ("LEEF:2.0|v|p|1|e|a=1\tb=2", {"a": "1", "b": "2"}),
        ("LEEF:2.0|v|p|1|e||a=1\tb=2", {"a": "1", "b": "2"}),
        ("LEEF:2.0|v|p|1|e|;|a=1;b=2", {"a": "1", "b": "2"}),
        ("LEEF:2.0|v|p|1|e|x5e|a=1^b=2", {"a": "1", "b": "2"}),
        ("LEEF:2.0|v|p|1|e|0x09|a=1\tb=2", {"a": "1", "b": "2"}),
        ("LEEF:2.0|v|p|1|e|^;|a=1^b=2;c=3", {"a": "1", "b": "2", "c": "3"}),  # each character is a delimiter
        ("LEEF:2.0|v|p|1|e|]|a=1]b=2", {"a": "1", "b": "2"}),
        ("LEEF:2.0|v|p|1|e|\\|a=1", {"a": "1"}),
        ("LEEF:2.0|v|p|1|e|a=1\tb=x|y", {"a": "1", "b": "x|y"}),
        ("LEEF:2.0|v|p|1|e|^|a=1\\^2^b=3", {"a": "1\\^2", "b": "3"}),
        ("LEEF:2.0|v|p|1|e|^|a=^b=x=y", {"a": "", "b": "x=y"}),
        ("LEEF:1.0|v|p|1|e|\ta=1\t", {"a": "1"}),
        ("LEEF:1.0|v|p|1|e|", {}),
        ("LEEF:2.0|v|p|1|e|^| a=1^ b=2", {"a": "1", " b": "2"}),
        ("LEEF:0|v|p|1|e| cs1=x y cs1Label=Rule dst=1.1.1.1", {"Rule": "x y", "ip_dst_addr": "1.1.1.1"}),
    ],
)
def test_attributes_are_separated_by_the_delimiter(text: str, fields: dict[str, Any], parse_one: Parse) -> None:
    assert attributes(parse_one, text) == fields


def test_a_port_that_is_no_integer_remains_a_string(parse_one: Parse) -> None:
    fields = attributes(parse_one, "LEEF:1.0|v|p|1|e|srcPort=x\tdstPort=")
    assert fields == {"ip_src_port": "x", "ip_dst_port": ""}


@pytest.mark.parametrize(
    ("time", "timestamp"),
    [
        ("devTime=1462116551356", 1462116551356),
        ("devTime=May 01 2016 09:29:11.356 UTC", 1462094951356),
        ("devTime=May 1 2016 09:29:11.356 -0400", 1462109351356),
        ("devTime=2016-05-01T09:29:11Z", 1462094951000),
        ("devTime=2016-05-01^devTimeFormat=yyyy-MM-dd", 1462060800000),
        ("devTime=Dec 31^devTimeFormat=MMM dd", 1767139200000),
        ("devTime=10:11:12^devTimeFormat=HH:mm:ss", 1767262272000),  # 1 January of this year
        ("devTime=Dec 31 2026 23:59:59", 1767225599000),  # more than 4 days ahead: a year earlier
        ("x=y", NOW),
    ],
)
def test_the_timestamp_is_the_time_of_the_device(time: str, timestamp: int, parse: Parse) -> None:
    assert parse("LEEF", f"LEEF:2.0|v|p|1|e|^|{time}")[0]["timestamp"] == timestamp


@pytest.mark.parametrize(
    ("time", "message"),
    [
        ("devTime=", "devTime field present in LEEF but cannot be parsed: ''"),
        ("devTime=abc", "devTime field present in LEEF but cannot be parsed: 'abc'"),
        ("devTime=x^devTimeFormat=yyyy", "devTime field present in LEEF but cannot be parsed: 'x'"),
        ("devTime=x^devTimeFormat=epoch", "invalid date pattern 'epoch': unknown letters 'e'"),
        ("devTime=x^devTimeFormat='", 'invalid date pattern "\'": unclosed quote'),
    ],
)
def test_another_time_is_an_error(time: str, message: str, parse: Parse) -> None:
    ((_, shown),) = parse("LEEF", f"LEEF:2.0|v|p|1|e|^|{time}")
    assert shown == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no LEEF header: expected 'LEEF:1.0|' or 'LEEF:2.0|' in the line"),
        ("garbage", "no LEEF header: expected 'LEEF:1.0|' or 'LEEF:2.0|' in the line"),
        ("LEEF:3.0|v|p|1|e|a=1", "unknown LEEF version '3.0': expected 1.0, 2.0 or 0"),
        ("LEEF:1.0|v|p|1", "invalid LEEF header: expected 'LEEF:1.0|vendor|product|version|event|'"),
        ("LEEF:1.0|v|p|1|e|bad", "invalid attribute 'bad': expected key=value, with '\\t' between attributes"),
    ],
)
def test_another_line_is_an_error(text: str, message: str, parse: Parse) -> None:
    assert parse("LEEF", text) == [(text, message)]


def test_each_line_is_a_record_or_an_error(parse: Parse) -> None:
    first, bad, second = parse("LEEF", "LEEF:1.0|v|p|1|e|a=1\nLEEF:1.0|v|p|1|e|bad\r\n\nLEEF:1.0|v|p|1|e|a=2\u2028b\n")
    assert (first["a"], second["a"]) == ("1", "2\u2028b")
    assert bad[0] == "LEEF:1.0|v|p|1|e|bad"


@pytest.mark.parametrize(
    "text",
    [
        "LEEF:" * 500_000,
        "LEEF:1.0|" * 300_000,
        "LEEF:9|" + "x" * 5_000_000,
        "LEEF:2.0|v|p|1|e|^|" + "a=1^" * 500_000,
        "LEEF:2.0|v|p|1|e|^|a=" + "\\^" * 1_000_000,
        "LEEF:2.0|v|p|1|e|^|a=" + "=" * 3_000_000,
        "LEEF:0|v|p|1|e|a=" + "b=" * 1_000_000,
        "LEEF:2.0|v|p|1|e|" + "x" * 5_000_000,
    ],
)
def test_a_long_line_is_read_in_linear_time(text: str, parse: Parse) -> None:
    assert len(parse("LEEF", text)) == 1
