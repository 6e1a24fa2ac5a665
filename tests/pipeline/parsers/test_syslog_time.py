"""Times in syslog headers."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from unittest import mock
from zoneinfo import ZoneInfo

import pytest

from stellar.language.errors import ConfigError
from stellar.pipeline.config.locations import SourceLocation
from stellar.pipeline.parsers.parser import Settings
from stellar.pipeline.parsers.syslog_time import parse_syslog_time, zone_option

NEW_YORK = ZoneInfo("America/New_York")


def parse(text: str, now: str = "2026-06-15T12:00:00+00:00", zone: tzinfo = UTC) -> str:
    """Return a time as ISO 8601 in UTC."""
    with mock.patch("time.time_ns", return_value=int(datetime.fromisoformat(now).timestamp()) * 10**9):
        milliseconds = parse_syslog_time(text, zone)
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds").removesuffix("+00:00")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Oct  9 13:42:11", "2025-10-09T13:42:11.000"),
        ("Oct 9 13:42:11", "2025-10-09T13:42:11.000"),
        ("oct 09 3:42:11.5", "2025-10-09T03:42:11.500"),
        ("OCTOBER 9 2016 13:42:11", "2016-10-09T13:42:11.000"),
        ("Oct  9 13:42:11 2016", "2016-10-09T13:42:11.000"),
        ("2016-10-09T13:42:11Z", "2016-10-09T13:42:11.000"),
        ("2016-10-09T13:42:11.123456-04:30", "2016-10-09T18:12:11.123"),
        ("2016-10-09T13:42:11+0200", "2016-10-09T11:42:11.000"),
    ],
)
def test_both_forms_of_times_are_parsed(text: str, expected: str) -> None:
    assert parse(text) == expected


@pytest.mark.parametrize(
    ("text", "now", "expected"),
    [
        ("Jun 19 11:59:59", "2026-06-15T12:00:00+00:00", "2026-06-19T11:59:59.000"),
        ("Jun 19 12:00:01", "2026-06-15T12:00:00+00:00", "2025-06-19T12:00:01.000"),
        ("Dec 31 23:59:59", "2026-01-01T00:00:05+00:00", "2025-12-31T23:59:59.000"),
        ("Feb 29 00:00:00", "2026-06-15T12:00:00+00:00", "2024-02-29T00:00:00.000"),
        ("Feb 29 00:00:00", "2028-02-25T12:00:00+00:00", "2028-02-29T00:00:00.000"),
        ("Feb 29 00:00:00", "2028-01-25T12:00:00+00:00", "2024-02-29T00:00:00.000"),
    ],
)
def test_a_time_without_a_year_is_the_latest_one_at_most_4_days_ahead(text: str, now: str, expected: str) -> None:
    assert parse(text, now) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Mar 8 2026 02:30:00", "2026-03-08T07:30:00.000"),  # does not exist: an hour later
        ("Nov 1 2026 01:30:00", "2026-11-01T05:30:00.000"),  # exists twice: the first
        ("2026-07-01T00:00:00Z", "2026-07-01T00:00:00.000"),  # has an offset
    ],
)
def test_a_time_without_an_offset_is_in_the_zone(text: str, expected: str) -> None:
    assert parse(text, zone=NEW_YORK) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("9 Oct 13:42:11", "Unsupported date format: '9 Oct 13:42:11'"),
        ("Oct 9 2016 13:42:11 2016", "Unsupported date format: 'Oct 9 2016 13:42:11 2016'"),
        ("", "Unsupported date format: ''"),
        ("Foo 9 13:42:11", "Text 'Foo 9 13:42:11' could not be parsed: unknown month 'Foo'"),
        ("Feb 30 00:00:00", "Text 'Feb 30 00:00:00' could not be parsed: Invalid date 'FEBRUARY 30'"),
        ("2015-02-29T00:00:00Z", "Text '2015-02-29T00:00:00Z' could not be parsed: Invalid date 'FEBRUARY 29'"),
        (
            "2015-13-01T00:00:00Z",
            "Text '2015-13-01T00:00:00Z' could not be parsed: Invalid value for MonthOfYear (valid values 1 - 12): 13",
        ),
        (
            "Oct 9 24:00:00",
            "Text 'Oct 9 24:00:00' could not be parsed: Invalid value for HourOfDay (valid values 0 - 23): 24",
        ),
        (
            "2015-01-01T00:00:00+18:01",
            "Text '2015-01-01T00:00:00+18:01' could not be parsed: expected an offset of -18:00 to +18:00",
        ),
    ],
)
def test_another_time_is_an_error(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=r"could not be parsed|Unsupported") as failed:
        parse(text)
    assert str(failed.value) == message


def test_the_year_0_has_an_instant() -> None:
    assert parse_syslog_time("0000-02-29T00:00:00Z", UTC) < parse_syslog_time("0001-01-01T00:00:00Z", UTC)


def test_the_year_0_in_the_form_of_rfc_3164_is_an_error() -> None:
    with pytest.raises(ValueError, match="year 0 is out of range"):
        parse_syslog_time("Oct 9 0000 00:00:00", UTC)


def test_an_unknown_zone_is_an_error_of_the_configuration() -> None:
    settings = Settings({"zone": "EST"}, SourceLocation("parsers/x.json", "parserConfig"))
    with pytest.raises(ConfigError) as failed:
        zone_option(settings, "zone")
    assert str(failed.value) == (
        "parsers/x.json: parserConfig.zone: unknown time zone 'EST': "
        "expected a region such as 'Europe/Paris', or an offset such as '+02:00'"
    )
