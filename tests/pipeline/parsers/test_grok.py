"""The Grok parser."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from stellar.java.grok import NoMatch
from stellar.language.errors import ConfigError
from stellar.pipeline.config.locations import SourceLocation
from stellar.pipeline.parsers import Settings, Unreadable
from stellar.pipeline.parsers.grok import GrokParser

YAHOO = "1571163620.277    192 127.0.0.1 TCP_MISS/301 366 GET http://yahoo.com/ - DIRECT/72.30.35.10 text/html"


def parser(tmp_path: Path, pattern: str = "LINE %{GREEDYDATA:all}", **options: Any) -> GrokParser:
    (tmp_path / "mine").write_text(pattern, encoding="utf-8")
    options = {"grokPath": "mine", "patternLabel": "LINE", **options}
    return GrokParser(Settings(options, SourceLocation("parsers/x.json", "parserConfig"), tmp_path))


def squid(label: str) -> GrokParser:
    options = {"grokPath": "/patterns/squid", "patternLabel": label, "timestampField": "timestamp"}
    return GrokParser(Settings(options, SourceLocation("x")))


def read(parse: GrokParser, line: str) -> dict[str, Any]:
    (record,) = parse(line)
    assert isinstance(record, dict), record
    return record


@pytest.mark.parametrize(
    ("pattern", "more", "message"),
    [
        ("%{WRD:a}", {}, "the pattern WRD, which LINE uses, is not defined; did you mean WORD?"),
        ("%{A}", {"A": "%{B}", "B": "%{A}"}, "the pattern A is recursive: LINE → A → B → A"),
        ("(a", {}, "invalid pattern LINE: unclosed ( at character 3\nLINE (a\n       ^"),
        ("%{WORD:a.b}", {}, "invalid pattern LINE: invalid reference %{WORD:a.b} at character 1: expected %{PATTERN}"),
    ],
)
def test_an_invalid_pattern_is_rejected(pattern: str, more: dict[str, str], message: str, tmp_path: Path) -> None:
    lines = [f"{name} {text}" for name, text in {"LINE": pattern, **more}.items()]
    with pytest.raises(ConfigError) as refused:
        parser(tmp_path, "\n".join(lines))
    assert str(refused.value).startswith(f"{tmp_path / 'mine'}: LINE: {message}")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"patternLabel": ""}, "parserConfig.patternLabel: unknown pattern ''"),
        ({"patternLabel": "LNE"}, "parserConfig.patternLabel: unknown pattern 'LNE'"),
        ({"patternLabel": None}, "parserConfig.patternLabel: missing key 'patternLabel'; the parser requires it"),
        ({"grokPath": ""}, "parserConfig.grokPath: unknown pattern file ''"),
        ({"timeZone": "Nowhere"}, "parserConfig.timeZone: unknown time zone 'Nowhere': expected an id such as 'UTC'"),
        ({"timezone": ""}, "parserConfig.timezone: unknown time zone ''"),
        ({"dateFormat": "QQQ"}, "parserConfig.dateFormat: invalid date pattern 'QQQ': unknown letters 'QQQ'; a valid"),
        ({"dateFormat": 5}, "parserConfig.dateFormat: expected a string, got 5"),
        ({"timestampField": 7}, "parserConfig.timestampField: expected a string, got 7"),
        ({"timestampUnit": "sec"}, "parserConfig.timestampUnit: unknown unit 'sec'; "),
        ({"timeFields": {"a": 1}}, "parserConfig.timeFields: expected a list of strings, got {'a' : 1}"),
        ({"multiLine": "yes"}, "parserConfig.multiLine: expected true or false, got 'yes'"),
        ({"matchTimeoutMs": 0}, "parserConfig.matchTimeoutMs: expected a positive integer of milliseconds, got 0"),
    ],
)
def test_an_invalid_option_is_rejected(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        parser(tmp_path, **options)
    assert str(refused.value).startswith(f"parsers/x.json: {message}")


@pytest.mark.parametrize("name", ["timestampField", "timeFields", "dateFormat", "timeZone", "multiLine"])
def test_null_is_the_default_of_an_option(name: str, tmp_path: Path) -> None:
    assert read(parser(tmp_path, "LINE %{GREEDYDATA:all}", **{name: None}), "a\nb") == {
        "all": "a",
        "original_string": "a\nb",
    }


def test_a_pattern_without_a_regular_expression_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        parser(tmp_path, "LINE x\nA \n")
    message = f"{tmp_path / 'mine'}: the pattern A in line 2 has no regular expression"
    assert str(refused.value) == f"{message}; write its regular expression after the name"


def test_a_timeout_of_a_pattern_suggests_a_fix(
    tmp_path: Path, bounded: Callable[[], AbstractContextManager[None]]
) -> None:
    slow = parser(tmp_path, "LINE (?:(?:a|aa)+)+$", matchTimeoutMs=50)
    message = "the pattern LINE took longer than 50 ms; simplify the pattern or increase matchTimeoutMs"
    with bounded(), pytest.raises(TimeoutError, match=message):
        list(slow("a" * 5000 + "!"))


def test_a_long_line_is_parsed_or_rejected_in_time(
    tmp_path: Path, bounded: Callable[[], AbstractContextManager[None]]
) -> None:
    long = "x" * 10_000_000
    with bounded():
        assert read(squid("SQUID_STRICT"), YAHOO.replace("yahoo.com", long))["url"] == f"http://{long}/"
        (outcome,) = squid("SQUID_STRICT")(f"{YAHOO}/{long}")
        assert isinstance(outcome, dict)
        with pytest.raises(TimeoutError, match="the pattern LINE took longer than 1000 ms"):
            list(parser(tmp_path, "LINE %{NOTSPACE:key}=%{INT:value}$")("=" * 10_000_000))


def test_the_shipped_squid_patterns_parse_a_line() -> None:
    record = {
        "timestamp": 1571163620277,
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
    assert read(squid("SQUID_DELIMITED"), YAHOO) == record
    assert read(squid("SQUID_STRICT"), YAHOO) == record


@pytest.mark.parametrize(
    ("line", "fields"),
    [
        (
            "1571163620.277    192 2001:db8::7 TCP_TUNNEL/200 366 CONNECT cnn.com:443 al99 HIER_DIRECT/2001:db8::1 -",
            {
                "ip_src_addr": "2001:db8::7",
                "url": "cnn.com:443",
                "ip_dst_addr": "2001:db8::1",
                "method": "CONNECT",
            },
        ),
        (
            "1571163620.277     -1 10.0.0.1 TCP_HIT/200 366 GET http://a.com/b 1.2.3.4 c?x=1 - HIER_NONE/- text/html",
            {"elapsed": -1, "url": "http://a.com/b 1.2.3.4 c?x=1", "ip_dst_addr": None},
        ),
        (
            "1571163620.277      0 10.0.0.1 NONE_NONE/000 0 - error:transaction-end-before-headers - HIER_NONE/- -\n",
            {"method": "-", "code": 0, "url": "error:transaction-end-before-headers"},
        ),
        (
            "1571163620.277      9 10.0.0.1 TCP_MISS/200 3000000000 GET http://a/ - PARENT_PARENT/proxy2.example.com -",
            {"ip_dst_addr": None, "bytes": "3000000000"},
        ),
    ],
)
def test_the_strict_squid_pattern_is_not_misled(line: str, fields: dict[str, Any]) -> None:
    assert fields.items() <= read(squid("SQUID_STRICT"), line).items()


@pytest.mark.parametrize(
    "line",
    [f"x {YAHOO}", f"{YAHOO} x y", YAHOO.replace(".277", ""), YAHOO.replace("127.0.0.1", "localhost"), "garbage"],
)
def test_the_strict_squid_pattern_matches_whole_entries_only(line: str) -> None:
    (outcome,) = squid("SQUID_STRICT")(line)
    assert isinstance(outcome, Unreadable)


def test_a_missing_match_is_reported_as_in_metron(tmp_path: Path) -> None:
    (outcome,) = parser(tmp_path, "LINE [0-9]+")("garbage")
    assert isinstance(outcome, Unreadable)
    assert isinstance(outcome.error, NoMatch)
    assert outcome.text == "garbage"
    assert str(outcome.error) == (
        "Grok statement produced a null message. Original message was: garbage "
        "and the parsed message was: {} . Check the pattern at: mine"
    )


def test_each_line_of_a_message_is_a_record(tmp_path: Path) -> None:
    parse = parser(tmp_path, "LINE %{INT:a}", multiLine="true")
    first, *bad, last = parse("1\r\nx\n\rx\r3\u2028\f4\x85\n")
    assert first == {"a": 1, "original_string": "1"}
    assert [each.text for each in bad if isinstance(each, Unreadable)] == ["x", "", "x"]
    assert last == {"a": 3, "original_string": "3\u2028\f4\x85"}
    assert list(parse("")) == []


@pytest.mark.parametrize(
    ("text", "timestamp", "is_reported"),
    [
        ("1571163620.277", 1571163620277, False),
        ("1571163620277", 1571163620277, False),
        ("1571163632", 1571163632, True),  # seconds
        ("1571163620.2", 15711636202, True),
        ("1571163620.27", 157116362027, True),  # a plausible time, but not of these digits
        ("1571163620277123", 1571163620277123, True),  # microseconds
        ("1571163620.277123", 1571163620277123, True),
        ("5.5", 55, True),
    ],
)
def test_the_dot_of_a_timestamp_is_removed(
    text: str, timestamp: int, is_reported: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    parse = parser(tmp_path, "LINE %{NUMBER:t}", timestampField="t")
    assert read(parse, text)["timestamp"] == timestamp
    read(parse, text)
    assert caplog.text.count("set timestampUnit to s, ms, us, ns or auto") == is_reported


@pytest.mark.parametrize(
    ("text", "unit", "timestamp"),
    [
        ("1571163632", "s", 1571163632000),
        ("1571163632.5", "s", 1571163632500),
        ("1571163632.5779", "s", 1571163632577),
        ("-1.5", "s", -1500),
        ("1571163632577.9", "ms", 1571163632577),
        ("007", "ms", 7),
        ("1571163632577901", "us", 1571163632577),
        ("1571163632577901234", "ns", 1571163632577),
        ("1571163632", "auto", 1571163632000),
        ("1571163632.577", "auto", 1571163632577),
        ("1571163632577", "auto", 1571163632577),
        ("1571163632577901", "auto", 1571163632577),
        ("1571163632577901234", "auto", 1571163632577),
    ],
)
def test_a_timestamp_in_another_unit_is_converted(
    text: str, unit: str, timestamp: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    parse = parser(tmp_path, "LINE %{NOTSPACE:t}", timestampField="t", timestampUnit=unit)
    assert read(parse, text)["timestamp"] == timestamp
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("pattern", "options", "text", "message"),
    [
        ("%{WORD:a}", {}, "x", "LINE pattern does not include field t on x"),
        ("(?:%{WORD:t})?,", {}, ",", "LINE pattern does not include field t on ,"),
        ("%{WORD:t}", {}, "x", 'For input string: "x" on x'),
        ("%{NOTSPACE:t}", {}, "99999999999.99999999999", 'For input string: "9999999999999999999999" on 9'),
        ("%{NOTSPACE:t}", {"timestampUnit": "s"}, "1.2.3", 'For input string: "1.2.3" on 1.2.3'),
        ("%{NOTSPACE:t}", {"timestampUnit": "s"}, "9" * 18, f"{'9' * 18} is out of range for a timestamp in s on 9"),
        ("%{WORD:t}", {"timeFields": ["t"], "dateFormat": "yyyy"}, "x", 'Unparseable date: "x" on x'),
    ],
)
def test_a_line_without_a_timestamp_is_rejected(
    pattern: str, options: dict[str, Any], text: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="Grok parser Error: ") as refused:
        list(parser(tmp_path, f"LINE {pattern}", timestampField="t", **options)(text))
    assert str(refused.value).startswith(f"Grok parser Error: {message}")
    (line,) = parser(tmp_path, f"LINE {pattern}", timestampField="t", multiLine=True, **options)(text)
    assert isinstance(line, Unreadable)
    assert message.startswith(str(line.error))


@pytest.mark.parametrize(
    ("record", "complaint"),
    [
        ({"timestamp": 1}, None),
        ({"timestamp": 0}, "invalid timestamp 0: expected milliseconds since 1970, a positive integer"),
        ({"timestamp": "x"}, "invalid timestamp 'x': expected milliseconds since 1970, a positive integer"),
        ({"timestamp": 1.5}, "invalid timestamp 1.5: expected milliseconds since 1970, a positive integer"),
        ({"timestamp": True}, "invalid timestamp true: expected milliseconds since 1970, a positive integer"),
        ({}, "record has no timestamp; set timestampField in parserConfig to the field with the time"),
    ],
)
def test_a_record_is_valid_if_its_timestamp_is(record: dict[str, Any], complaint: str | None, tmp_path: Path) -> None:
    assert parser(tmp_path).complaint(record) == complaint


def test_patterns_of_the_configuration_override_shipped_ones(tmp_path: Path) -> None:
    (tmp_path / "patterns").mkdir()
    (tmp_path / "patterns" / "common").write_text("WORD [xyz]+\n# no pattern\nNOREGEX\n", encoding="utf-8")
    assert read(parser(tmp_path, "LINE %{WORD:w}"), "abcxyz") == {"w": "xyz", "original_string": "abcxyz"}


def test_the_label_can_be_the_field_of_the_timestamp(tmp_path: Path) -> None:
    parse = parser(tmp_path, "LINE %{INT}", timestampField="LINE")
    assert read(parse, "1571163620277") == {
        "INT": "1571163620277",
        "timestamp": 1571163620277,
        "original_string": "1571163620277",
    }


@pytest.mark.parametrize("key", ["timeZone", "timezone"])
def test_dates_are_parsed_by_their_pattern(key: str, tmp_path: Path) -> None:
    options = {"timestampField": "t", "timeFields": ["t"], "dateFormat": "yyyy-MM-dd HH:mm:ss", "timestampUnit": "s"}
    parse = parser(tmp_path, "LINE %{TIMESTAMP_ISO8601:t}", **options, **{key: "Europe/Berlin"})
    record = read(parse, "2019-10-15 20:20:20")
    assert record["timestamp"] == record["t"] == 1571163620000


def test_a_number_is_a_date_as_it_is_written(tmp_path: Path) -> None:
    parse = parser(tmp_path, "LINE %{INT:t}", timestampField="t", timeFields=["t", "t"], dateFormat="ddMMyyyy")
    assert read(parse, "05012016")["timestamp"] == 1451952000000


def test_suspicious_patterns_and_options_are_reported(tmp_path: Path) -> None:
    content = "  INDENTED x\nLINE %{INT:a:int}%{OTHER}\nOTHER \\h \nUNUSED \\H"
    warnings = [
        (str(location).removeprefix(str(tmp_path)), message)
        for location, message in parser(tmp_path, content, timestampField="").find_warnings()
    ]
    assert warnings == [
        (
            "parsers/x.json: parserConfig.timestampField",
            "the name of the field is empty, so all records will be rejected",
        ),
        ("/mine", "line 1 is ignored: expected a name, whitespace and a regular expression, got '  INDENTED x'"),
        (
            "/mine: OTHER",
            r"\h matches horizontal whitespace; for a hexadecimal digit, as in Oniguruma, write [0-9a-fA-F]",
        ),
        ("/mine: OTHER", "the definition ends with whitespace, which the pattern must match"),
        (
            "/mine: LINE",
            "%{INT:a:int} captures the field 'a:int' and converts nothing; use a function such as TO_INTEGER in a "
            "field transformation",
        ),
    ]
