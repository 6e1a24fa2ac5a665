"""Dates by the patterns of java.time."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stellar.java.time_patterns import DateFormatError, compile_time_pattern

NEW_YORK = ZoneInfo("America/New_York")


def parse(pattern: str, string: str) -> str:
    milliseconds = compile_time_pattern(pattern).parse(string, UTC)
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds").removesuffix("+00:00")


@pytest.mark.parametrize(
    ("pattern", "string", "date"),
    [
        ("MM/dd/yy-HH:mm:ss.SSSSSS", "02/30/16-16:01:04.877970", "2016-02-29T16:01:04.877"),
        ("MM/dd/yy-HH:mm:ss.SSSSSS", "12/31/99-24:00:00.000000", "2100-01-01T00:00:00.000"),
        ("M/d/yyyy H:m", "1/9/2016 5:4", "2016-01-09T05:04:00.000"),
        ("yyyyMMddHHmm", "201601090504", "2016-01-09T05:04:00.000"),
        ("yMMddHH", "2016010905", "2016-01-09T05:00:00.000"),
        ("d MMM uuuu h a", "9 Jan 2016 12 AM", "2016-01-09T00:00:00.000"),
        ("EEEE d MMMM uuuu K:mm a", "Saturday 9 January 2016 5:04 PM", "2016-01-09T17:04:00.000"),
        ("uuuu-DDD'T'kk", "2016-060T24", "2016-02-29T00:00:00.000"),
        ("yyyy-MM-dd'T'HH:mm[:ss[.SSS]][X]", "2016-01-09T05:04", "2016-01-09T05:04:00.000"),
        ("yyyy-MM-dd'T'HH:mm[:ss[.SSS]][XXX]", "2016-01-09T05:04:03.5+02:00", None),
        ("yyyy-MM-dd'T'HH:mm[:ss[.SSS]][XXX]", "2016-01-09T05:04:03.500+02:00", "2016-01-09T03:04:03.500"),
        ("yyyy-MM-dd''HH:mm:ssX", "2016-01-09'05:04:03-0530", "2016-01-09T10:34:03.000"),
        ("yyyy-MM-dd HH:mm:ssZ", "2016-01-09 05:04:03+0100", "2016-01-09T04:04:03.000"),
    ],
)
def test_a_date_is_read(pattern: str, string: str, date: str | None) -> None:
    if date is None:
        with pytest.raises(DateFormatError):
            parse(pattern, string)
    else:
        assert parse(pattern, string) == date


@pytest.mark.parametrize(
    ("pattern", "string", "message"),
    [
        ("MM/dd/yy HH", "1/27/16 05", "expected 2 digits for 'M' at character 1"),
        ("MM/dd/yy HH", "01/27/16 05 ", "unexpected ' ' at character 12"),
        ("MM/dd/yy HH", "13/27/16 05", "13 is out of range for 'M': expected 1–12"),
        ("MM/dd/yy HH:mm", "01/27/16 24:01", "24 is out of range for the hour, except in 24:00"),
        ("yyyy-MM-dd HH", "20160-01-27 05", "expected at least 4 digits for 'y' at character 1"),
        ("yyyy-MM-dd HH", "-016-01-27 05", "expected at least 4 digits for 'y' at character 1"),
        ("MM/dd HH", "01/27 05", "no year"),
        ("yyyy HH", "2016 05", "no month and day"),
        ("yyyy-MM-dd", "2016-01-27", "no hour"),
        ("yyyy-MM-dd HH ss", "2016-01-27 05 06", "no minute"),
        ("yyyy-MM-dd hh", "2016-01-27 05", "no hour"),
        ("d MMM yyyy HH", "9 jan 2016 05", "expected Jan … Dec at character 3"),
        ("EEE d MMM yyyy HH", "Mon 9 Jan 2016 05", "the date is not a Monday"),
        ("yyyy-DDD HH", "2015-366 05", "2015 has no day 366"),
        ("yyyy-MM-dd HHX", "2016-01-27 05+1900", "offset +1900 is out of range"),
        ("HH HH yyyy-MM-dd", "05 06 2016-01-27", "two different values for 'H'"),
    ],
)
def test_an_error_says_where_and_what(pattern: str, string: str, message: str) -> None:
    with pytest.raises(DateFormatError) as raised:
        parse(pattern, string)
    assert str(raised.value) == message


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("", "the pattern is empty"),
        ("bad b", "unknown or unsupported pattern letter 'b'"),
        ("yyyy 'x", "unclosed quote at character 6"),
        ("HHH", "unsupported number of letters: HHH"),
        ("yyyy]", "']' without '['"),
        ("yyyy{", "reserved character '{'; put it into quotes"),
    ],
)
def test_an_invalid_pattern_is_an_error(pattern: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message.replace('[', chr(92) + '[')}"):
        compile_time_pattern(pattern)


@pytest.mark.parametrize(
    ("string", "utc"),
    [
        ("03/13/16-02:30", "2016-03-13T07:30"),  # does not exist: an hour later
        ("11/06/16-01:30", "2016-11-06T05:30"),  # exists twice: the first one
    ],
)
def test_a_change_of_the_clock(string: str, utc: str) -> None:
    milliseconds = compile_time_pattern("MM/dd/yy-HH:mm").parse(string, NEW_YORK)
    assert datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="minutes")[:16] == utc


@pytest.mark.parametrize(
    ("pattern", "missing"),
    [("MM/dd-HH:mm", ["a year"]), ("yy-MM hh", ["a month and a day", "an hour"]), ("uuuu-DDD[ hh a]", [])],
)
def test_a_pattern_knows_what_it_lacks(pattern: str, missing: list[str]) -> None:
    assert compile_time_pattern(pattern).missing == missing


@given(st.datetimes(min_value=datetime(1000, 1, 1)))
def test_what_python_formats_is_read(date: datetime) -> None:
    milliseconds = compile_time_pattern("yyyy-MM-dd'T'HH:mm:ss.SSSSSS").parse(f"{date:%Y-%m-%dT%H:%M:%S.%f}", UTC)
    assert milliseconds == (date - datetime(1970, 1, 1)) // timedelta(milliseconds=1)


@given(st.text(alphabet="yMdHmsSahKuDEXZ[]'. -:", max_size=12), st.text(max_size=12))
def test_any_pattern_and_string_give_a_date_or_an_error(pattern: str, string: str) -> None:
    with suppress(ValueError):
        assert isinstance(compile_time_pattern(pattern).parse(string, UTC), int)
