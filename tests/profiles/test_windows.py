"""The language of windows, and the periods that a window selects."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from stellar.profiles.periods import Period, find_period, list_periods, read_duration, to_milliseconds
from stellar.profiles.windows import InvalidWindow, parse_window

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000


def milliseconds(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


NOW = milliseconds("2017-12-26T12:00")  # a Tuesday


@pytest.mark.parametrize(
    "selector", ["1 hour", "1 hours", "1 hour(s)", "1 HOUR(S)", "1hour", "1 hour window", " 60 minutes\n"]
)
def test_a_width_is_the_time_until_now(selector: str) -> None:
    assert parse_window(selector).find_intervals(NOW) == [(NOW - HOUR, NOW)]


@pytest.mark.parametrize(
    "selector",
    [
        "from 2 hours ago to 30 minutes ago",
        "starting from 2 hours until 30 minutes",
        "STARTING FROM 2 HOURS AGO UNTIL 30 MINUTES AGO",
        "from 30 minutes ago to 2 hours ago ",
    ],
)
def test_a_duration_is_one_interval_in_whichever_order_it_is_written(selector: str) -> None:
    assert parse_window(selector).find_intervals(NOW) == [(NOW - 2 * HOUR, NOW - 30 * MINUTE)]


@pytest.mark.parametrize(
    ("selector", "hours_ago"),
    [
        ("30 minute window every 1 hour from 2 hours ago to 30 minutes ago", [2, 1]),
        ("30 minute windows for every 1 hour starting from 3 hours ago", [3, 2, 1]),
        ("2 hours every 1 hour from 3 hours ago", [3, 2]),  # they overlap
        ("1 hour every 1 hour from 30 minutes ago", []),
    ],
)
def test_a_width_is_repeated(selector: str, hours_ago: list[int]) -> None:
    assert [start for start, _ in parse_window(selector).find_intervals(NOW)] == [NOW - n * HOUR for n in hours_ago]


@pytest.mark.parametrize(
    ("days", "count"),
    [
        ("", 14),
        ("including tuesdays", 2),
        ("includes this day of the week", 2),
        ("INCLUDE THIS DAY OF WEEK", 2),
        ("including tuesdays, wednesdays", 4),
        ("excluding weekends", 10),
        ("excluding weekdays", 4),
        ("including saturdays excluding weekends", 0),
        ("excludes holidays:us", 13),
        ("excluding holidays", 13),
        ("excluding holidays:UNITED_STATES", 13),
        ("excluding holidays:us:nyc", 13),
        ("excluding holidays:de", 13),
        ("including holidays:us excluding weekends", 1),
        ("including date:20171225:yyyyMMdd", 1),
        ("including date:2017-12-25:yyyy-MM-dd", 1),
        ("including date:2017/12/25", 1),
        ("including date:2017/12/25, date:2017/12/24", 2),
        ("excluding date:2017/12/25", 13),
        ("including dates:2017/12/25", None),
    ],
)
def test_days_are_included_and_excluded_by_the_start_of_an_interval(days: str, count: int | None) -> None:
    selector = f"30 minute window every 24 hours from 14 days ago {days}"
    if count is None:
        with pytest.raises(InvalidWindow):
            parse_window(selector)
    else:
        assert len(parse_window(selector).find_intervals(NOW)) == count


def test_excluded_days_win_over_included_ones() -> None:
    selector = "30 minute window every 24 hours from 7 days ago including mondays, tuesdays excluding date:2017/12/25"
    (interval,) = parse_window(selector).find_intervals(NOW)
    assert interval == (milliseconds("2017-12-19T12:00"), milliseconds("2017-12-19T12:30"))


@pytest.mark.parametrize(
    ("selector", "message", "marked"),
    [
        ("30 minuete window", "expected a unit: seconds, minutes, hours or days, got 'minuete'", "minuete"),
        ("30p minute window", "expected a unit: seconds, minutes, hours or days, got 'p'", "p"),
        ("0 minutes", "expected a width such as '30 minutes', or 'from', got '0'", "0"),
        ("1 Hour", "expected a unit: seconds, minutes, hours or days, got 'Hour'", "Hour"),
        (
            "1 hour every 24 months from 14 days ago",
            "expected a unit: seconds, minutes, hours or days, got 'months'",
            "months",
        ),
        ("1 hour every 2 hours", "expected 'from' and an interval, such as 'from 14 days ago'", "^"),
        (
            "from 1 hour including mondays",
            "expected the end: a window without a width takes no days, got 'including'",
            "including",
        ),
        (
            "1 hour excluding mondays including tuesdays",
            "expected 'every', 'including', 'excluding' or the end, got 'including'",
            "including",
        ),
        (
            "1 hour including hoolidays:us",
            "expected a day such as 'tuesdays', 'weekends', 'holidays:us' or 'date:2016/12/25', got 'hoolidays'",
            "hoolidays",
        ),
        ("1 hour including mondays,", "expected a day such as", "^"),
        ("1 hour including date", "missing date: write it as in date:2016/12/25", "date"),
        ("1 hour including date:2017", "invalid date '2017': expected the form 'yyyy/MM/dd'", "date:2017"),
        ("1 hour including date:2017:jjj", "jjj", "date:2017:jjj"),
        ("1 hour including holidays:nowhere", "unknown calendar of holidays 'nowhere'", "holidays:nowhere"),
        ("1 hour including current day of the week", "expected 'this day of the week'", "current day of the week"),
        ("99999999999999999999 days", "expected a number up to 9223372036854775807", "99999999999999999999"),
    ],
)
def test_an_invalid_window_is_shown_with_the_reason(selector: str, message: str, marked: str) -> None:
    with pytest.raises(InvalidWindow) as refused:
        parse_window(selector)
    first, source, carets = str(refused.value).split("\n")
    assert message in first
    assert source == f"1 | {selector}"
    assert carets.strip() == "^" * len(marked)


@pytest.mark.parametrize("selector", ["", "  ", "\n"])
def test_an_empty_window_is_invalid(selector: str) -> None:
    with pytest.raises(InvalidWindow, match="the window is empty; write one such as '1 hour'"):
        parse_window(selector)


def test_periods_are_selected_by_their_start() -> None:
    now = milliseconds("2017-12-26T12:07")
    periods = parse_window("30 minutes every 1 hour from 2 hours ago").select(now, 15 * MINUTE)
    starts = [milliseconds(f"2017-12-26T{time}") for time in ("10:15", "10:30", "11:15", "11:30")]
    assert [period.start for period in periods] == starts


def test_both_ends_of_an_interval_belong_to_it() -> None:
    assert len(parse_window("30 minutes").select(NOW, 15 * MINUTE)) == 3


@pytest.mark.parametrize(
    ("selector", "now", "message"),
    [
        ("1 hour", 1000, "the periods begin before 1970"),
        ("9223372036854775807 days", NOW, "the periods begin before 1970"),
        ("from 17000 days", NOW, "24,480,001 periods of 60,000 ms are selected, more than 1,000,000"),
        ("1 second every 1 second from 17000 days", NOW, "the window has 1,468,800,000 intervals, more than 1,000,000"),
    ],
)
def test_an_unlimited_selection_is_an_error(selector: str, now: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_window(selector).select(now, MINUTE)


def test_a_period_is_named_by_the_number_of_periods_since_1970() -> None:
    period = find_period(1_530_978_697_769, 15 * MINUTE)
    assert (period.id, period.start, period.end) == (1_701_087, 1_530_978_300_000, 1_530_979_200_000)
    assert period == Period(1_701_087, 15 * MINUTE)
    assert str(period) == (
        "ProfilePeriod{period=1701087, durationMillis=900000, "
        "startTime=2018-07-07T15:45:00Z, endTime=2018-07-07T16:00:00Z}"
    )


def test_periods_begin_with_the_one_that_contains_the_start() -> None:
    assert [period.id for period in list_periods(5, 20, 10)] == [0, 1, 2]
    assert [period.id for period in list_periods(-5, 9, 10)] == [0]


def test_a_time_before_1970_has_no_period() -> None:
    with pytest.raises(ValueError, match="invalid time -1: it is before 1970"):
        find_period(-1, MINUTE)


@pytest.mark.parametrize(
    ("amount", "unit", "expected"),
    [
        (15, "MINUTES", 900_000),
        (1_999_999, "NANOSECONDS", 1),
        (2, "DAYS", 2 * DAY),
        (2**62, "DAYS", 2**63 - 1),
        (-1, "SECONDS", -1000),
    ],
)
def test_an_amount_of_a_time_unit_is_converted(amount: int, unit: str, expected: int) -> None:
    assert to_milliseconds(amount, unit) == expected


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, 900_000),
        ({"profiler.period.duration": "5"}, 300_000),
        ({"profiler.period.duration": 1, "profiler.period.duration.units": "HOURS"}, HOUR),
        ({"profiler.period.duration.units": "SECONDS"}, 15_000),
    ],
)
def test_the_duration_of_periods_is_configured(settings: dict[str, object], expected: int) -> None:
    assert read_duration(settings) == expected


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"profiler.period.duration": 0},
            "invalid profiler.period.duration: expected an integer of 1 or more, got the integer 0",
        ),
        (
            {"profiler.period.duration": "x"},
            "invalid profiler.period.duration: expected an integer of 1 or more, got the string 'x'",
        ),
        (
            {"profiler.period.duration.units": "minutes"},
            "invalid profiler.period.duration.units: unknown time unit the string 'minutes'",
        ),
        (
            {"profiler.period.duration.units": "NANOSECONDS"},
            "invalid profiler.period.duration: expected a millisecond or more",
        ),
    ],
)
def test_an_invalid_duration_is_an_error(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_duration(settings)
