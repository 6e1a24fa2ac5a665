"""Dates: parsing, formatting, and calendar fields.

A timestamp is an integer: milliseconds since the beginning of 1970 in UTC. Patterns are those of Java's
SimpleDateFormat, such as `yyyy-MM-dd HH:mm:ss`. Names are English, weeks begin on Sunday, and the default time zone is
UTC.
"""

from __future__ import annotations

from typing import Any

from stellar.java import date_patterns as _date_patterns
from stellar.java.calendar import LocalDateTime
from stellar.java.date_pitfalls import find_pitfalls
from stellar.java.timezones import DEFAULT, Zone, find_zone, zone
from stellar.language.conversions import to_long, to_string
from stellar.language.library import stellar
from stellar.language.literals import Arguments, LiteralKind, Pitfalls, check_strings
from stellar.language.python_values import from_python
from stellar.language.runtime import describe
from stellar.util import clock
from stellar.util.abbreviate import quote

# Default of arguments for which omitted and null differ
_MISSING: Any = object()

_validate_zone = check_strings(zone)


def _find_unknown_zone(name: object, arguments: Arguments) -> Pitfalls:
    try:
        _validate_zone(name, arguments)
    except ValueError:  # reported as an invalid literal
        return
    if isinstance(name, str) and find_zone(name) is None:
        yield (
            f"unknown time zone {quote(name)}, which is taken as GMT",
            "use a name such as America/New_York or GMT+5:30",
        )


def _require_timestamp(value: object, arguments: Arguments) -> None:
    if len(arguments) < 3:
        _validate_zone(value, arguments)
    elif not isinstance(value, int):
        raise ValueError(f"expected an integer as timestamp, got {describe(value)}")


def _find_unknown_zone_at_end(name: object, arguments: Arguments) -> Pitfalls:
    return _find_unknown_zone(name, arguments) if len(arguments) == 2 else iter(())


DATE_PATTERN = LiteralKind(
    check_strings(_date_patterns.parse_pattern),
    "use letters such as yyyy-MM-dd HH:mm:ss",
    lambda pattern, _: find_pitfalls(str(pattern)),
)
TIME_ZONE = LiteralKind(_validate_zone, "use a name such as America/New_York", _find_unknown_zone)
TIMESTAMP_OR_ZONE = LiteralKind(
    _require_timestamp, "use milliseconds since 1970, or a time zone", _find_unknown_zone_at_end
)


@stellar("NOW", pure=True)
def now() -> int:
    """Return the current time.

    returns: Milliseconds since the beginning of 1970 in UTC

        NOW() > 1500000000000L  // true
        YEAR(NOW()) == YEAR()  // true
    """
    return clock.now()


@stellar("TO_EPOCH_TIMESTAMP", pure=True, literals={"format": DATE_PATTERN, "timezone": TIME_ZONE})
def to_epoch_timestamp(date_time: object, format_: object, timezone: object = None) -> int | None:
    """Parse a string as a date and return its timestamp. Characters after the date are ignored.

    Fields that are out of range carry over: month 13 is January of the next year.

    dateTime: The string
    format: The date pattern, such as `yyyy-MM-dd HH:mm:ss`
    timezone: Time zone for strings without one, such as `America/New_York`, `PST` or `GMT+5:30`; UTC by default
    returns: Milliseconds since the beginning of 1970 in UTC; null for null and for a string that does not match

        TO_EPOCH_TIMESTAMP('2017-10-23 14:46:00', 'yyyy-MM-dd HH:mm:ss')  // 1508769960000L
        TO_EPOCH_TIMESTAMP('2017-10-23 10:46', 'yyyy-MM-dd HH:mm', 'America/New_York')  // 1508769960000L
        TO_EPOCH_TIMESTAMP('yesterday', 'yyyy-MM-dd')  // null
        TO_EPOCH_TIMESTAMP(null, 'yyyy-MM-dd')  // null
        TO_EPOCH_TIMESTAMP('2017', 'jjjj')  // error
    """
    if date_time is None or format_ is None:
        return None
    return _date_patterns.parse_date(to_string(format_), to_string(date_time), _find_zone(timezone))


@stellar("IS_DATE", pure=True, literals={"format": DATE_PATTERN})
def is_date(date: object = None, format_: object = None) -> bool:
    """Test whether a string begins with an existing date.

    date: The string
    format: The date pattern, such as `yyyy-MM-dd`
    returns: True if it does; false if an argument is null

        IS_DATE('2016-02-29', 'yyyy-MM-dd')  // true
        IS_DATE('2017-02-29', 'yyyy-MM-dd')  // false
        IS_DATE('29 Feb', 'yyyy-MM-dd')  // false
        IS_DATE(null, 'yyyy-MM-dd')  // false
        IS_DATE('2017', 'jjjj')  // error
    """
    if date is None or format_ is None:
        return False
    return _date_patterns.parse_date(to_string(format_), to_string(date), DEFAULT, lenient=False) is not None


@stellar(
    "DATE_FORMAT", pure=True, literals={"format": DATE_PATTERN, "timestamp": TIMESTAMP_OR_ZONE, "timezone": TIME_ZONE}
)
def date_format(format_: object, timestamp: Any = _MISSING, timezone: Any = _MISSING) -> str | None:
    """Format a timestamp as a string.

    format: The date pattern, such as `yyyy-MM-dd HH:mm:ss`
    timestamp: Milliseconds since the beginning of 1970 in UTC; now by default. The last argument may also be a time
        zone, then the timestamp is now
    timezone: The time zone, such as `America/New_York`, `PST` or `GMT+5:30`; UTC by default
    returns: The string; null if the pattern is null, or if the timestamp is null and the last argument

        DATE_FORMAT('yyyy-MM-dd HH:mm:ss', 1508769960000L)  // '2017-10-23 14:46:00'
        DATE_FORMAT("EEE, d MMM yyyy HH:mm z", 1508769960000L, 'America/New_York')  // 'Mon, 23 Oct 2017 10:46 EDT'
        DATE_FORMAT('yyyy', null)  // null
        DATE_FORMAT(null, 1508769960000L)  // null
        DATE_FORMAT('jjjj', 1508769960000L)  // error
    """
    timestamp = from_python(timestamp)
    moment, zone_name = timestamp, timezone
    if timezone is _MISSING:
        if timestamp is None:
            return None
        moment = timestamp if isinstance(timestamp, int) and not isinstance(timestamp, bool) else None
        zone_name = timestamp if isinstance(timestamp, str) else None
    elif not isinstance(timestamp, int | None) or isinstance(timestamp, bool):
        raise ValueError(f"DATE_FORMAT expected an integer as timestamp, got {describe(timestamp)}")
    elif not isinstance(timezone, str | None):
        raise ValueError(f"DATE_FORMAT expected a string as timezone, got {describe(timezone)}")
    if format_ is None:
        return None
    return _date_patterns.format_date(
        to_string(format_), now() if moment is None else _require_64_bits(moment), _find_zone(zone_name)
    )


@stellar("DAY_OF_WEEK", pure=True)
def day_of_week(timestamp: object = _MISSING) -> int | None:
    """Return the day of the week of a timestamp: 1 is Sunday, 7 is Saturday.

    timestamp: Milliseconds since the beginning of 1970 in UTC; now by default
    returns: The day; null if the timestamp is not a number

        DAY_OF_WEEK(1508769960000L)  // 2
        DAY_OF_WEEK('1508769960000')  // 2
        DAY_OF_WEEK(null)  // null
    """
    moment = _to_moment(timestamp)
    return None if moment is None else moment.weekday


@stellar("DAY_OF_MONTH", pure=True)
def day_of_month(timestamp: object = _MISSING) -> int | None:
    """Return the day of the month of a timestamp, from 1.

    timestamp: Milliseconds since the beginning of 1970 in UTC; now by default
    returns: The day; null if the timestamp is not a number

        DAY_OF_MONTH(1508769960000L)  // 23
        DAY_OF_MONTH(-1)  // 31
        DAY_OF_MONTH(null)  // null
    """
    moment = _to_moment(timestamp)
    return None if moment is None else moment.day


@stellar("DAY_OF_YEAR", pure=True)
def day_of_year(timestamp: object = _MISSING) -> int | None:
    """Return the day of the year of a timestamp, from 1.

    timestamp: Milliseconds since the beginning of 1970 in UTC; now by default
    returns: The day; null if the timestamp is not a number

        DAY_OF_YEAR(1508769960000L)  // 296
        DAY_OF_YEAR(0)  // 1
        DAY_OF_YEAR('today')  // null
    """
    moment = _to_moment(timestamp)
    return None if moment is None else moment.day_of_year


@stellar("WEEK_OF_MONTH", pure=True)
def week_of_month(timestamp: object = _MISSING) -> int | None:
    """Return the week of the month of a timestamp. Week 1 contains the first day of the month; weeks begin on Sunday.

    timestamp: Milliseconds since the beginning of 1970 in UTC; now by default
    returns: The week; null if the timestamp is not a number

        WEEK_OF_MONTH(1508769960000L)  // 4
        WEEK_OF_MONTH(0)  // 1
        WEEK_OF_MONTH(null)  // null
    """
    moment = _to_moment(timestamp)
    return None if moment is None else moment.week_of_month


@stellar("WEEK_OF_YEAR", pure=True)
def week_of_year(timestamp: object = _MISSING) -> int | None:
    """Return the week of the year of a timestamp. Week 1 contains the first of January; weeks begin on Sunday.

    timestamp: Milliseconds since the beginning of 1970 in UTC; now by default
    returns: The week; null if the timestamp is not a number

        WEEK_OF_YEAR(1508769960000L)  // 43
        WEEK_OF_YEAR(1514678400000L)  // 1
        WEEK_OF_YEAR(null)  // null
    """
    moment = _to_moment(timestamp)
    return None if moment is None else moment.week_of_year_and_year[0]


@stellar("MONTH", pure=True)
def month(timestamp: object = _MISSING) -> int | None:
    """Return the month of a timestamp, from 0: 0 is January, 11 is December.

    timestamp: Milliseconds since the beginning of 1970 in UTC; now by default
    returns: The month; null if the timestamp is not a number

        MONTH(1508769960000L)  // 9
        MONTH(0)  // 0
        MONTH(null)  // null
    """
    moment = _to_moment(timestamp)
    return None if moment is None else moment.month - 1


@stellar("YEAR", pure=True)
def year(timestamp: object = _MISSING) -> int | None:
    """Return the year of a timestamp.

    timestamp: Milliseconds since the beginning of 1970 in UTC; now by default
    returns: The year within its era; null if the timestamp is not a number

        YEAR(1508769960000L)  // 2017
        YEAR('0')  // 1970
        YEAR(null)  // null
    """
    moment = _to_moment(timestamp)
    return None if moment is None else moment.year


def _to_moment(timestamp: object) -> LocalDateTime | None:
    epoch = now() if timestamp is _MISSING else to_long(timestamp)
    return None if epoch is None else LocalDateTime(epoch)


def _require_64_bits(moment: int) -> int:
    if to_long(moment) is None:
        raise ValueError(f"timestamp out of range: {moment} does not fit in 64 bits")
    return moment


def _find_zone(name: object) -> Zone:
    return DEFAULT if name is None or name is _MISSING else zone(to_string(name))
