"""The parser of Snort alerts."""

from __future__ import annotations

from typing import Any

import pytest

from stellar.language.errors import ConfigError
from stellar.pipeline.config.locations import SourceLocation
from stellar.pipeline.parsers import Settings
from stellar.pipeline.parsers.snort import SnortParser

LOCATION = SourceLocation("parsers/snort.json", "parserConfig")
ALERT = '01/27/16-16:01:04.877970 ,129,12,1,"TCP, small",TCP,10.0.2.2,56642,10.0.2.15,22' + "," * 17


def make_parser(**options: Any) -> SnortParser:
    return SnortParser(Settings(options, LOCATION))


def parse(text: str, **options: Any) -> dict[str, Any]:
    (record,) = make_parser(**options)(text)
    return record


def test_an_alert_has_27_fields_and_is_an_alert() -> None:
    record = parse(ALERT)
    assert len(record) == 29
    assert record["msg"] == "TCP, small"
    assert record["is_alert"] == "true"
    assert record["timestamp"] == 1_453_910_464_877


def test_the_sentence_of_an_error_shows_the_bytes_as_utf_8() -> None:
    with pytest.raises(ValueError, match=r"^Unable to parse message: é$"):
        parse("é".encode().decode("latin-1"), readCharset="ISO-8859-1")


@pytest.mark.parametrize("name", ["dateFormat", "timeZone"])
@pytest.mark.parametrize("value", ["", None])
def test_an_empty_option_is_the_default(name: str, value: str | None) -> None:
    assert parse(ALERT, **{name: value}) == parse(ALERT)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("# comment", "the line is a comment"),
        ("", "expected 27 values, got 1"),
        (ALERT[:-1], "expected 27 values, got 26"),
        (ALERT.replace("01/27/16", "1/27/16"), "expected 2 digits for 'M' at character 1"),
        (f'{ALERT}"', "Un-terminated quoted field at end of CSV line"),
    ],
)
def test_the_reason_of_an_error_is_its_cause(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=r"^Unable to parse message: ") as raised:
        parse(text)
    assert str(raised.value.__cause__) == reason


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dateFormat": "bad b"}, "invalid date pattern 'bad b': unknown or unsupported pattern letter 'b'"),
        ({"dateFormat": 5}, "expected a string, got 5"),
        ({"timeZone": "+02:00"}, r"Unable to find ZoneId '\+02:00': expected a region such as 'America/New_York'"),
        ({"timeZone": "EST"}, "Unable to find ZoneId 'EST'"),
    ],
)
def test_an_invalid_option_is_an_error_at_the_start(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_parser(**options)


def test_a_pattern_without_a_year_is_a_warning() -> None:
    ((location, message),) = make_parser(dateFormat="MM/dd-HH:mm:ss.SSSSSS").find_warnings()
    assert str(location) == "parsers/snort.json: parserConfig.dateFormat"
    assert message == "no alert has a readable date: the pattern lacks a year"
    assert not list(make_parser().find_warnings())
