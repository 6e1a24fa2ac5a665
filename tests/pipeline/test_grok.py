"""The Grok parser."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from stellar.java.grok import Grok, NoMatch, load_common_definitions
from stellar.language.errors import ConfigError
from stellar.pipeline.config.locations import SourceLocation
from stellar.pipeline.parsers import Settings, Unreadable
from stellar.pipeline.parsers.grok import GrokParser

COMMON = load_common_definitions()
YAHOO = "1571163620.277    192 127.0.0.1 TCP_MISS/301 366 GET http://yahoo.com/ - DIRECT/72.30.35.10 text/html"


def match(pattern: str, text: str, **more: str) -> dict[str, Any]:
    return Grok("LINE", {**COMMON, **more, "LINE": pattern}).match(text)


def parser(tmp_path: Path, pattern: str = "LINE %{GREEDYDATA:all}", **options: Any) -> GrokParser:
    (tmp_path / "mine").write_text(pattern, encoding="utf-8")
    options = {"grokPath": "mine", "patternLabel": "LINE", **options}
    return GrokParser(Settings(options, SourceLocation("parsers/x.json", "parserConfig"), tmp_path))


@pytest.mark.parametrize(
    ("pattern", "text", "fields"),
    [
        ("%{INT:a} %{WORD:b}", "… 12 x", {"a": 12, "b": "x"}),  # found anywhere
        ("%{WORD:a}-%{WORD:a}", "x-y", {"a": "y"}),  # the later of two equal names is used
        ("(?:%{INT:a}|%{WORD:a})", "12", {"a": 12}),  # unless it did not match
        ("%{WORD:a}(?: %{INT:b})?", "x", {"a": "x", "b": None}),  # an optional group that did not match is null
        (
            "%{WORD} %{WORD:UNWANTED}",
            "x y",
            {"WORD": "x"},
        ),  # the default name is that of the pattern; UNWANTED is dropped
        ("(?<own>[0-9]+) %{WORD:b}", "7 x", {"own": 7, "b": "x"}),
        ("%{DATA:LINE},%{WORD:b}", "a,b", {"b": "b"}),  # the label itself gives no field
        ("%{QS:a}", "say 'it is' now", {"a": "it is"}),  # quotes are removed
        ("%{DATA:a} end", "007 end", {"a": 7}),
        ("%{DATA:a} end", "+5 end", {"a": 5}),
        ("%{DATA:a} end", "-2147483648 end", {"a": -2147483648}),
        ("%{DATA:a} end", "2147483648 end", {"a": "2147483648"}),  # more than 32 bits: a string
        ("%{DATA:a} end", "1.5 end", {"a": "1.5"}),
        ("%{NUMBER:a:float} %{INT:b:string}", "1.5 5", {"a": 1.5, "b": "5"}),
        ("%{NUMBER:a:long}", "99999999999", {"a": 99999999999}),
        ("%{WORD:a;boolean}", "True", {"a": True}),
        ("(?>a+)b%{INT:x}", "aab5", {"x": 5}),  # atomic
        ("(?<=k=)%{INT:a}", "k=3", {"a": 3}),  # look-behind
        (r"\w+ %{INT:a}", "é x 1", {"a": 1}),
        ("%{GREEDYDATA:id.orig_h}", "h", {"id.orig_h": "h"}),
    ],
)
def test_a_pattern_captures(pattern: str, text: str, fields: dict[str, Any]) -> None:
    found = match(pattern, text)
    assert found == fields
    assert [type(value) for value in found.values()] == [type(value) for value in fields.values()]


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("IPV4", ["0.0.0.0", "255.255.255.255", "1.2.3.4"], ["256.1.1.1", "1.2.3", "1.2.3.4567"]),
        (
            "IPV6",
            ["::", "::1", "2001:db8::1", "1:2:3:4:5:6:7:8", "fe80::1%eth0", "::ffff:1.2.3.4", "1:2:3:4:5:6:1.2.3.4"],
            ["1:2", "12345::", "1::2::3", "1:2:3:4:5:6:7:8:9", ":::"],
        ),
        ("IP", ["1.2.3.4", "::1"], ["x", "1.2.3"]),
        ("INT", ["1", "-1", "+20"], ["1.5", "x"]),
        ("NUMBER", ["1", "1.5", "-.5", "1571163620.277"], ["x", "1.2.3"]),
        ("WORD", ["abc_1"], ["a b", "-"]),
        ("NOTSPACE", ["a-b/c"], ["a b"]),
        ("HOSTNAME", ["example.com", "a", "a-b.c_d.co.uk", "x."], ["-x", "a b"]),
        ("IPORHOST", ["example.com", "10.0.0.1", "::1"], ["/"]),
        ("HOSTPORT", ["example.com:80", "10.0.0.1:443"], ["example.com", "x:0"]),
        ("MAC", ["00:1a:2B:3c:4d:5e", "001a.2b3c.4d5e", "00-1a-2B-3c-4d-5e"], ["00:1a"]),
        ("UUID", ["785d4a61-1b87-457e-9cab-4d4f85659df9"], ["785d4a61"]),
        ("QUOTEDSTRING", ['"a \\" b"', "'x'"], ['"open']),
        ("URI", ["http://u@example.com:8080/a/b?c=d&e=f#g", "ftp://x/"], ["example.com"]),
        ("URIPATHPARAM", ["/a/b?c=d"], ["a"]),
        ("UNIXPATH", ["/var/log/x.log"], ["var"]),
        ("WINPATH", [r"C:\Windows\x.exe"], ["C:"]),
        ("EMAILADDRESS", ["a.b@example.com"], ["a.b"]),
        (
            "TIMESTAMP_ISO8601",
            ["2019-10-15T18:20:20Z", "2019-10-15 18:20:20,277", "2019-10-15T18:20:20.277+02:00", "2019-10-15T18:20"],
            ["2019-13-15T18:20:20Z", "15.10.2019"],
        ),
        ("HTTPDATE", ["15/Oct/2019:18:20:20 +0000"], ["15/10/2019"]),
        ("SYSLOGTIMESTAMP", ["Oct  9 13:42:11", "Oct 19 13:42:11"], ["13:42:11"]),
        ("DATESTAMP_RFC2822", ["Tue, 15 Oct 2019 18:20:20 +0000"], ["Oct 2019"]),
        ("DATE", ["10/15/2019", "15.10.2019"], ["2019"]),
        ("TIME", ["23:59:59", "9:05"], ["24:00:00", "9"]),
        ("LOGLEVEL", ["WARN", "error", "Information"], ["loud"]),
        ("BASE16NUM", ["0xff", "DEADbeef"], ["xyz"]),
        ("PATH", ["/a", r"C:\a"], ["a"]),
    ],
)
def test_a_base_pattern_matches_its_kind_only(name: str, good: list[str], bad: list[str]) -> None:
    grok = Grok("WHOLE", {**COMMON, "WHOLE": rf"^%{{{name}:value:string}}$"})
    for text in good:
        assert grok.match(text) == {"value": text}
    for text in bad:
        with pytest.raises(NoMatch):
            grok.match(text)


def test_every_base_pattern_is_a_regular_expression() -> None:
    assert len(COMMON) > 60
    for name in COMMON:
        Grok(name, COMMON)


@pytest.mark.parametrize(
    ("pattern", "more", "message"),
    [
        ("%{WRD:a}", {}, "the pattern WRD, which LINE uses, is not defined; did you mean WORD?"),
        ("%{A}", {"A": "%{B}", "B": "%{A}"}, "the pattern A is recursive: LINE → A → B → A"),
        ("(a", {}, "invalid pattern LINE: unclosed ( at character 3\nLINE (a\n       ^"),
        ("%{INT:a:number}", {}, "unknown type 'number' of a in the pattern LINE; known are"),
    ],
)
def test_an_invalid_pattern_is_rejected(pattern: str, more: dict[str, str], message: str, tmp_path: Path) -> None:
    lines = [f"{name} {text}" for name, text in {"LINE": pattern, **more}.items()]
    with pytest.raises(ConfigError) as refused:
        parser(tmp_path, "\n".join(lines))
    assert str(refused.value).startswith(f"{tmp_path / 'mine'}: LINE: {message}")


def test_matching_a_hostile_string_is_bounded(bounded: Callable[[], AbstractContextManager[None]]) -> None:
    grok = Grok("LINE", {"LINE": "(?:(?:a|aa)+)+$"}, timeout_ms=50)
    with bounded(), pytest.raises(TimeoutError, match=r"the pattern LINE took longer than 50 ms"):
        grok.match("a" * 5000 + "!")


def test_a_timeout_of_a_pattern_suggests_a_fix(tmp_path: Path) -> None:
    slow = parser(tmp_path, "LINE (?:(?:a|aa)+)+$", matchTimeoutMs=50)
    with pytest.raises(TimeoutError, match=r"took longer than 50 ms; simplify the pattern or increase matchTimeoutMs"):
        list(slow("a" * 5000 + "!"))


def test_the_built_in_squid_pattern_parses_a_line() -> None:
    squid = GrokParser(
        Settings({"grokPath": "/patterns/squid", "patternLabel": "SQUID_DELIMITED"}, SourceLocation("x"), None)
    )
    assert list(squid(YAHOO)) == [
        {
            "timestamp": "1571163620.277",
            "elapsed": 192,
            "ip_src_addr": "127.0.0.1",
            "action": "TCP_MISS",
            "code": 301,
            "bytes": 366,
            "method": "GET",
            "url": "http://yahoo.com/",
            "ip_dst_addr": "72.30.35.10",
            "original_string": YAHOO,
        }
    ]


def test_a_missing_match_is_reported_as_in_metron(tmp_path: Path) -> None:
    with pytest.raises(NoMatch) as refused:
        list(parser(tmp_path, "LINE [0-9]+")("garbage"))
    assert str(refused.value) == (
        "Grok statement produced a null message. Original message was: garbage "
        "and the parsed message was: {} . Check the pattern at: mine"
    )


def test_each_line_of_a_message_is_a_record(tmp_path: Path) -> None:
    first, second, third = parser(tmp_path, "LINE %{INT:a}", multiLine="true")("1\nx\n3")
    assert first == {"a": 1, "original_string": "1"}
    assert isinstance(second, Unreadable)
    assert second.text == "x"
    assert third == {"a": 3, "original_string": "3"}


@pytest.mark.parametrize(
    ("text", "timestamp"), [("1571163620.277", 1571163620277), ("1571163632", 1571163632), ("5.5", 55)]
)
def test_the_dot_of_a_timestamp_is_removed(
    text: str, timestamp: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (record,) = parser(tmp_path, "LINE %{NUMBER:t}", timestampField="t")(text)
    assert isinstance(record, dict)
    assert record["timestamp"] == timestamp
    assert ("it may be in seconds" in caplog.text) == (timestamp < 10**11)


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("LINE %{WORD:a}", "Grok parser Error: LINE pattern does not include field t on x"),
        ("LINE %{WORD:t}", "Grok parser Error: t is 'x', not a timestamp, on x"),
    ],
)
def test_a_line_without_a_timestamp_is_rejected(pattern: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        list(parser(tmp_path, pattern, timestampField="t")("x"))


@pytest.mark.parametrize(
    ("record", "complaint"),
    [
        ({"timestamp": 1}, None),
        ({"timestamp": 0}, "invalid timestamp 0: expected milliseconds since 1970, a positive integer"),
        ({"timestamp": "x"}, "invalid timestamp 'x': expected milliseconds since 1970, a positive integer"),
        ({"timestamp": 1.5}, "invalid timestamp 1.5: expected milliseconds since 1970, a positive integer"),
        ({"timestamp": True}, "invalid timestamp True: expected milliseconds since 1970, a positive integer"),
        ({}, "record has no timestamp; set timestampField in parserConfig to the field with the time"),
    ],
)
def test_a_record_is_valid_if_its_timestamp_is(record: dict[str, Any], complaint: str | None, tmp_path: Path) -> None:
    assert parser(tmp_path).complaint(record) == complaint


def test_patterns_of_the_configuration_override_built_in_ones(tmp_path: Path) -> None:
    (tmp_path / "patterns").mkdir()
    (tmp_path / "patterns" / "common").write_text("WORD [xyz]+\n# no pattern\nNOREGEX\n", encoding="utf-8")
    (record,) = parser(tmp_path, "LINE %{WORD:w}")("abcxyz")
    assert record == {"w": "xyz", "original_string": "abcxyz"}


def test_dates_are_parsed_by_their_pattern(tmp_path: Path) -> None:
    read = parser(
        tmp_path,
        "LINE %{TIMESTAMP_ISO8601:t}",
        timestampField="t",
        timeFields=["t"],
        dateFormat="yyyy-MM-dd HH:mm:ss",
        timeZone="Europe/Berlin",
    )
    (record,) = read("2019-10-15 20:20:20")
    assert isinstance(record, dict)
    assert record["timestamp"] == record["t"] == 1571163620000


def test_an_invalid_date_is_rejected(tmp_path: Path) -> None:
    read = parser(tmp_path, "LINE %{WORD:t}", timeFields=["t"], dateFormat="yyyy")
    with pytest.raises(ValueError, match="invalid date 'x': expected the form 'yyyy'"):
        list(read("x"))
