"""Dates are parsed and formatted like Java's SimpleDateFormat does."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stellar.java import date_patterns as _date_patterns
from stellar.java.calendar import LocalDateTime, day_number, year_month_day
from stellar.java.date_patterns import format_date, parse_date
from stellar.java.timezones import DEFAULT, Zone, zone

AUTUMN = 1508769960123  # 2017-10-23 14:46:00.123

FORMATTED = [
    ("G yy yyy yyyyy Y", "UTC", "AD 17 2017 02017 2017"),
    ("M MM MMM MMMM L LL LLL LLLL", "UTC", "10 10 Oct October 10 10 Oct October"),
    ("w W D d F E EEEE u", "UTC", "43 4 296 23 4 Mon Monday 1"),
    ("a H k K h m s S SSSSS", "UTC", "PM 14 14 2 2 46 0 123 00123"),
    ("z zzzz Z X XX XXX", "America/New_York", "EDT Eastern Daylight Time -0400 -04 -0400 -04:00"),
    ("z zzzz Z X XX XXX", "Asia/Kolkata", "IST India Standard Time +0530 +05 +0530 +05:30"),
    ("z zzzz", "Europe/Paris", "CEST Central European Summer Time"),
    ("z zzzz", "Asia/Kathmandu", "NPT Nepal Time"),
    ("z zzzz Z", "Australia/Lord_Howe", "LHDT Lord Howe Daylight Time +1100"),
    ("z zzzz", "America/Sao_Paulo", "BRST Brasilia Summer Time"),
    ("z zzzz", "America/Caracas", "VET Venezuela Time"),
    ("z zzzz Z", "Europe/Dublin", "IST Irish Summer Time +0100"),
    ("z zzzz Z", "IST", "IST India Standard Time +0530"),
    ("z zzzz", "SystemV/EST5", "EST Eastern Standard Time"),
    ("z zzzz", "Factory", "GMT Greenwich Mean Time"),
    ("z zzzz", "GMT-0", "GMT-00:00 GMT-00:00"),
    ("z zzzz", "GMT-3", "GMT-03:00 GMT-03:00"),
    ("z zzzz", "../etc/passwd", "GMT Greenwich Mean Time"),
    ("z", "GMT+530", "GMT+05:30"),
    ("'at' h 'o''clock' ''yy''", "UTC", "at 2 o'clock '17'"),
    ("''''", "UTC", "''"),
    ("d.M.yyyy|", "PST", "23.10.2017|"),
]


@pytest.mark.parametrize(("pattern", "zone_name", "string"), FORMATTED)
def test_a_timestamp_is_formatted(pattern, zone_name, string):
    assert format_date(pattern, AUTUMN, zone(zone_name)) == string


PARSED = [
    # Pattern, string, and the parsed timestamp formatted in UTC
    ("yyyy-MM-dd", "2017-10-23 and more", "2017-10-23 00:00:00.0"),
    ("yyyy-MM-dd", "2017-13-45", "2018-02-14 00:00:00.0"),
    ("yyyyMMdd", "20171023", "2017-10-23 00:00:00.0"),
    ("yyyyMMddHHmmss", "20171023144600", "2017-10-23 14:46:00.0"),
    ("d MMMM yyyy", "23 october 2017", "2017-10-23 00:00:00.0"),
    ("d MMMM yyyy", "23 oct 2017", "2017-10-23 00:00:00.0"),
    ("EEE w Y", "Tue 43 2017", "2017-10-24 00:00:00.0"),
    ("E W MMM yyyy", "Tue 2 Oct 2017", "2017-10-10 00:00:00.0"),
    ("E F MMM yyyy", "Tue 2 Oct 2017", "2017-10-10 00:00:00.0"),
    ("E F MMM yyyy", "Tue -1 Oct 2017", "2017-10-31 00:00:00.0"),
    ("E", "Tue", "1970-01-06 00:00:00.0"),
    ("D yyyy", "296 2017", "2017-10-23 00:00:00.0"),
    ("u W MMM yyyy", "7 2 Oct 2017", "2017-10-08 00:00:00.0"),
    ("yyyy G", "44 BC", "0044-01-01 00:00:00.0"),
    ("h a", "12 AM", "1970-01-01 00:00:00.0"),
    ("h:mm a", "2:46 pm", "1970-01-01 14:46:00.0"),
    ("K:mm a", "2:46 PM", "1970-01-01 14:46:00.0"),
    ("a", "PM", "1970-01-01 12:00:00.0"),
    ("k", "24", "1970-01-01 00:00:00.0"),
    ("HH:mm:ss.S", "1:2:3.5", "1970-01-01 01:02:03.5"),
    ("HH:mm z", "10:00 EDT", "1970-01-01 14:00:00.0"),
    ("HH:mm z", "10:00 pacific standard time", "1970-01-01 18:00:00.0"),
    ("HH:mm z", "10:00 GMT", "1970-01-01 10:00:00.0"),
    ("HH:mmz", "10:00GMT+2:30", "1970-01-01 07:30:00.0"),
    ("HH:mm Z", "10:00 -0330", "1970-01-01 13:30:00.0"),
    ("HH:mm z", "10:00 IST", "1970-01-01 08:00:00.0"),
    ("yyyy-MM HH:mm z", "2017-07 10:00 EST", "2017-07-01 15:00:00.0"),
    ("yyyy-MM HH:mm z", "2017-01 10:00 EDT", "2017-01-01 14:00:00.0"),
    ("yyyy HH:mm z", "2017 10:00 nepal time", "2017-01-01 04:15:00.0"),
    ("yyyy HH:mm z", "2017 10:00 CST", "2017-01-01 16:00:00.0"),
    ("yyyy HH:mm z Z", "2017 10:00 EST +0100", "2017-01-01 09:00:00.0"),
    ("yyyy HH:mm Z z", "2017 10:00 +0100 EST", "2017-01-01 15:00:00.0"),
    ("HH:mmX", "10:00Z", "1970-01-01 10:00:00.0"),
    ("HH:mmX", "10:00+02", "1970-01-01 08:00:00.0"),
    ("HH:mmXX", "10:00+0230", "1970-01-01 07:30:00.0"),
    ("HH:mmXXX", "10:00+02:30", "1970-01-01 07:30:00.0"),
    ("yyyy-MM-dd", "1582-10-04", "1582-10-04 00:00:00.0"),
    ("yyyy-MM-dd", "1582-10-10", "1582-10-20 00:00:00.0"),
    ("yyyy", "292278994", "292278994-01-01 00:00:00.0"),
]


@pytest.mark.parametrize(("pattern", "string", "formatted"), PARSED)
def test_a_string_is_parsed(pattern, string, formatted):
    timestamp = parse_date(pattern, string, DEFAULT)
    assert format_date("yyyy-MM-dd HH:mm:ss.S", timestamp, DEFAULT) == formatted


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        *(("yyyy", "x"), ("yyyy", ""), ("", "2017"), ("yyyy-MM", "2017/10"), ("yyyyMMdd", "201710")),
        *(
            ("MMM", "10"),
            ("a", "noon"),
            ("z", "Mars"),
            ("Z", "+9999"),
            ("XXX", "+0230"),
            ("X", "2"),
            ("yyyy-MM", "2017-"),
        ),
    ],
)
def test_a_string_that_does_not_match_is_not_a_date(pattern, text):
    assert parse_date(pattern, text, DEFAULT) is None


@pytest.mark.parametrize(
    ("pattern", "text", "fits"),
    [
        *(("yyyy-MM-dd", "2016-02-29", True), ("yyyy-MM-dd", "2017-02-29", False), ("HH:mm", "24:00", False)),
        *(("E yyyy-MM-dd", "Mon 2017-10-23", True), ("E yyyy-MM-dd", "Tue 2017-10-23", False)),
        *(
            ("h a", "13 PM", False),
            ("h a", "12 PM", True),
            ("kk", "24", True),
            ("kk", "0", False),
            ("yyyy", "-5", False),
        ),
        *(("D yyyy", "366 2016", True), ("D yyyy", "366 2017", False), ("HH:mm X", "10:00 +02", True)),
    ],
)
def test_strict_parsing_requires_existing_dates(pattern, text, fits):
    assert (parse_date(pattern, text, DEFAULT, lenient=False) is not None) is fits


@pytest.mark.parametrize(
    ("zone_name", "name", "hour"),
    [
        ("Asia/Kolkata", "IST", 4.5),
        ("Europe/Dublin", "IST", 9),
        ("Asia/Jerusalem", "IST", 8),
        ("Asia/Shanghai", "CST", 2),
        ("America/New_York", "CST", 16),
    ],
)
def test_the_name_of_a_zone_means_the_given_zone_first(zone_name, name, hour):
    noon = parse_date("yyyy-MM-dd HH:mm z", f"2017-07-01 10:00 {name}", zone(zone_name))
    assert noon == 1498867200000 + hour * 3_600_000


@pytest.mark.parametrize(
    ("pattern", "string", "fits"),
    [
        ("YYYY", "2017", True),
        ("YYYY", "2016", True),
        ("YYYY-ww-u", "2017-05-3", True),
        ("YYYY w", "2016 53", True),
        ("YYYY w", "2017 53", False),
        ("YYYY yyyy-MM-dd", "2016 2017-01-01", True),
        ("yyyy YYYY", "2018 2017", True),
    ],
)
def test_the_year_of_a_week_defines_a_date_if_it_is_the_last_year(pattern, string, fits):
    assert (parse_date(pattern, string, DEFAULT, lenient=False) is not None) is fits


def test_an_id_that_only_java_has_is_an_error() -> None:
    with pytest.raises(ValueError, match="unsupported time zone 'SystemV/EST5EDT', which only Java knows"):
        zone("SystemV/EST5EDT")


@pytest.mark.parametrize("pattern", ["j", "yyyy-MM-dd'T", "XXXX", "P", "'"])
def test_an_invalid_pattern_is_rejected(pattern):
    with pytest.raises(ValueError, match="date pattern"):
        format_date(pattern, 0, DEFAULT)
    with pytest.raises(ValueError, match="date pattern"):
        parse_date(pattern, "2017", DEFAULT)


@pytest.mark.parametrize(
    ("wall", "moment"),
    [
        ("2017-03-12 01:59", 1489301940000),
        ("2017-03-12 02:30", 1489303800000),  # skipped by the clock: standard time applies
        ("2017-03-12 03:00", 1489302000000),
        ("2017-11-05 01:30", 1509863400000),  # occurs twice: standard time applies
    ],
)
def test_a_time_in_a_daylight_saving_transition_is_parsed(wall, moment):
    assert parse_date("yyyy-MM-dd HH:mm", wall, zone("America/New_York")) == moment


def test_a_two_digit_year_is_within_80_years_before_and_20_after():
    this_year = int(format_date("yyyy", int(time.time() * 1000), DEFAULT))
    for year in range(this_year - 79, this_year + 20):
        assert format_date("yyyy", parse_date("yy", f"{year % 100:02}", DEFAULT), DEFAULT) == str(year)


@given(st.integers(-(2**63), 2**63 - 1))
def test_calendar_fields_convert_back_to_the_same_day(epoch):
    moment = LocalDateTime(epoch)
    assert year_month_day(moment.number) == (moment.astronomical_year, moment.month, moment.day)
    assert day_number(moment.astronomical_year, moment.month, moment.day) == moment.number
    assert 1 <= moment.week_of_month <= 6
    assert 1 <= moment.week_of_year_and_year[0] <= 54


@given(st.integers(-62_000_000_000_000, 200_000_000_000_000), st.sampled_from(["UTC", "Asia/Tokyo", "GMT-9:30", "EST"]))
def test_a_formatted_timestamp_parses_to_the_same_timestamp(epoch, zone_name):
    pattern = "yyyy-MM-dd'T'HH:mm:ss.SSSZ"
    assert parse_date(pattern, format_date(pattern, epoch, zone(zone_name)), DEFAULT) == epoch


COMMON_PATTERNS = st.lists(
    st.sampled_from(
        [
            *(
                "yyyy",
                "yy",
                "M",
                "MM",
                "MMM",
                "MMMM",
                "d",
                "dd",
                "HH",
                "h",
                "a",
                "mm",
                "ss",
                "S",
                "SSS",
                "D",
                "E",
                "EEEE",
            ),
            *("z", "Z", "-", " ", ":", "'T'", "'1'", "%", "kk", "w"),
        ]
    ),
    max_size=9,
).map("".join)
ZONES = st.sampled_from(["UTC", "America/New_York", "Europe/Dublin", "GMT+5:30", "Australia/Lord_Howe"]).map(zone)


@given(COMMON_PATTERNS, st.integers(-(10**12), 10**13), ZONES)
def test_the_fast_path_of_formatting_agrees_with_the_general_one(pattern: str, epoch: int, where: Zone) -> None:
    moment = LocalDateTime(epoch, where.offset(epoch))
    pieces = _date_patterns.parse_pattern(pattern)
    expected = "".join(
        part if isinstance(part, str) else _date_patterns._format_field(part, moment, where) for part in pieces
    )
    assert format_date(pattern, epoch, where) == expected


@given(COMMON_PATTERNS, st.integers(-(10**12), 10**13), ZONES, st.text("0123456789 -:x", max_size=3), st.booleans())
def test_the_fast_path_of_parsing_agrees_with_the_general_one(
    pattern: str, epoch: int, where: Zone, after: str, lenient: bool
) -> None:
    text = format_date(pattern, epoch, where) + after
    assert parse_date(pattern, text, where, lenient=lenient) == _date_patterns._parse_any(
        pattern, text, where, lenient=lenient
    )


@given(st.text("0123456789-: ", min_size=8, max_size=20), ZONES, st.booleans())
def test_the_fast_path_agrees_on_any_digits(text: str, where: Zone, lenient: bool) -> None:
    for pattern in ("yyyy-MM-dd", "yyyyMMdd", "d-M-yyyy H:m", "yyyy-MM-dd HH:mm:ss"):
        assert parse_date(pattern, text, where, lenient=lenient) == _date_patterns._parse_any(
            pattern, text, where, lenient=lenient
        )
