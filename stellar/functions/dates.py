"""Dates: read and written by patterns, and what the calendar says of them.

A moment is a number of milliseconds since the beginning of 1970 in UTC. Patterns are those of Java's SimpleDateFormat,
such as `yyyy-MM-dd HH:mm:ss`; names are English, weeks begin on Sunday, and where no zone is given UTC is meant.
"""

from __future__ import annotations

import time
from typing import Any

from stellar.java import date_patterns as _date_patterns
from stellar.java.calendar import Moment
from stellar.java.timezones import DEFAULT, Zone, zone
from stellar.language.conversions import to_long, to_text
from stellar.language.library import stellar
from stellar.language.runtime import described

# An argument that was not given, where that is not the same as null
_MISSING: Any = object()


@stellar("NOW")
def now() -> int:
    """This moment.

    returns: Milliseconds since the beginning of 1970

        NOW() > 1500000000000L  // true
        YEAR(NOW()) == YEAR()  // true
    """
    return time.time_ns() // 1_000_000


@stellar("TO_EPOCH_TIMESTAMP")
def to_epoch_timestamp(date_time: object, format_: object, timezone: object = None) -> int | None:
    """The moment that a text stands for. What follows the date in the text is not looked at.

    A month 13 is January of the next year, and so on.

    dateTime: The text
    format: The date pattern, such as `yyyy-MM-dd HH:mm:ss`
    timezone: The zone, such as `America/New_York`, `PST` or `GMT+5:30`, that is meant unless the text has one
    returns: Milliseconds since the beginning of 1970; null for null and for a text that does not fit the pattern

        TO_EPOCH_TIMESTAMP('2017-10-23 14:46:00', 'yyyy-MM-dd HH:mm:ss')  // 1508769960000L
        TO_EPOCH_TIMESTAMP('2017-10-23 10:46', 'yyyy-MM-dd HH:mm', 'America/New_York')  // 1508769960000L
        TO_EPOCH_TIMESTAMP('yesterday', 'yyyy-MM-dd')  // null
        TO_EPOCH_TIMESTAMP(null, 'yyyy-MM-dd')  // null
        TO_EPOCH_TIMESTAMP('2017', 'jjjj')  // error
    """
    if date_time is None or format_ is None:
        return None
    return _date_patterns.read(to_text(format_), to_text(date_time), _zone(timezone))


@stellar("IS_DATE")
def is_date(date: object = None, format_: object = None) -> bool:
    """Whether a text begins with a date that exists.

    date: The text
    format: The date pattern, such as `yyyy-MM-dd`
    returns: True if it does; false if either is null

        IS_DATE('2016-02-29', 'yyyy-MM-dd')  // true
        IS_DATE('2017-02-29', 'yyyy-MM-dd')  // false
        IS_DATE('29 Feb', 'yyyy-MM-dd')  // false
        IS_DATE(null, 'yyyy-MM-dd')  // false
        IS_DATE('2017', 'jjjj')  // error
    """
    if date is None or format_ is None:
        return False
    return _date_patterns.read(to_text(format_), to_text(date), DEFAULT, lenient=False) is not None


@stellar("DATE_FORMAT")
def date_format(format_: object, timestamp: Any = _MISSING, timezone: Any = _MISSING) -> str | None:
    """A moment written by a pattern.

    format: The date pattern, such as `yyyy-MM-dd HH:mm:ss`
    timestamp: The moment in milliseconds since the beginning of 1970; now if it is left out. As the last argument it
        may also be a zone, for now
    timezone: The zone, such as `America/New_York`, `PST` or `GMT+5:30`
    returns: The text; null if the pattern is null, or the moment is null and the last argument

        DATE_FORMAT('yyyy-MM-dd HH:mm:ss', 1508769960000L)  // '2017-10-23 14:46:00'
        DATE_FORMAT("EEE, d MMM yyyy HH:mm z", 1508769960000L, 'America/New_York')  // 'Mon, 23 Oct 2017 10:46 EDT'
        DATE_FORMAT('yyyy', null)  // null
        DATE_FORMAT(null, 1508769960000L)  // null
        DATE_FORMAT('jjjj', 1508769960000L)  // error
    """
    if format_ is None:
        return None
    moment, where = timestamp, timezone
    if timezone is _MISSING:
        if timestamp is None:
            return None
        moment = timestamp if isinstance(timestamp, int) and not isinstance(timestamp, bool) else None
        where = timestamp if isinstance(timestamp, str) else None
    elif not isinstance(timestamp, int | None) or isinstance(timestamp, bool):
        raise ValueError(f"DATE_FORMAT takes a whole number of milliseconds as timestamp, not {described(timestamp)}")
    elif not isinstance(timezone, str | None):
        raise ValueError(f"DATE_FORMAT takes a text as timezone, not {described(timezone)}")
    return _date_patterns.write(to_text(format_), now() if moment is None else _in_64_bits(moment), _zone(where))


@stellar("DAY_OF_WEEK")
def day_of_week(timestamp: object = _MISSING) -> int | None:
    """The day of the week: Sunday is 1, Saturday is 7.

    timestamp: The moment in milliseconds since the beginning of 1970; now if it is left out
    returns: The day; null for what is no number

        DAY_OF_WEEK(1508769960000L)  // 2
        DAY_OF_WEEK('1508769960000')  // 2
        DAY_OF_WEEK(null)  // null
    """
    moment = _moment(timestamp)
    return None if moment is None else moment.weekday


@stellar("DAY_OF_MONTH")
def day_of_month(timestamp: object = _MISSING) -> int | None:
    """The day of the month, from 1.

    timestamp: The moment in milliseconds since the beginning of 1970; now if it is left out
    returns: The day; null for what is no number

        DAY_OF_MONTH(1508769960000L)  // 23
        DAY_OF_MONTH(-1)  // 31
        DAY_OF_MONTH(null)  // null
    """
    moment = _moment(timestamp)
    return None if moment is None else moment.day


@stellar("DAY_OF_YEAR")
def day_of_year(timestamp: object = _MISSING) -> int | None:
    """The day of the year, from 1.

    timestamp: The moment in milliseconds since the beginning of 1970; now if it is left out
    returns: The day; null for what is no number

        DAY_OF_YEAR(1508769960000L)  // 296
        DAY_OF_YEAR(0)  // 1
        DAY_OF_YEAR('today')  // null
    """
    moment = _moment(timestamp)
    return None if moment is None else moment.day_of_year


@stellar("WEEK_OF_MONTH")
def week_of_month(timestamp: object = _MISSING) -> int | None:
    """The week of the month. The first of the month is in week 1, and a week begins on Sunday.

    timestamp: The moment in milliseconds since the beginning of 1970; now if it is left out
    returns: The week; null for what is no number

        WEEK_OF_MONTH(1508769960000L)  // 4
        WEEK_OF_MONTH(0)  // 1
        WEEK_OF_MONTH(null)  // null
    """
    moment = _moment(timestamp)
    return None if moment is None else moment.week_of_month


@stellar("WEEK_OF_YEAR")
def week_of_year(timestamp: object = _MISSING) -> int | None:
    """The week of the year. The first of January is in week 1, and a week begins on Sunday.

    timestamp: The moment in milliseconds since the beginning of 1970; now if it is left out
    returns: The week; null for what is no number

        WEEK_OF_YEAR(1508769960000L)  // 43
        WEEK_OF_YEAR(1514678400000L)  // 1
        WEEK_OF_YEAR(null)  // null
    """
    moment = _moment(timestamp)
    return None if moment is None else moment.week_of_year_and_year[0]


@stellar("MONTH")
def month(timestamp: object = _MISSING) -> int | None:
    """The month, from 0: January is 0, December is 11.

    timestamp: The moment in milliseconds since the beginning of 1970; now if it is left out
    returns: The month; null for what is no number

        MONTH(1508769960000L)  // 9
        MONTH(0)  // 0
        MONTH(null)  // null
    """
    moment = _moment(timestamp)
    return None if moment is None else moment.month - 1


@stellar("YEAR")
def year(timestamp: object = _MISSING) -> int | None:
    """The year.

    timestamp: The moment in milliseconds since the beginning of 1970; now if it is left out
    returns: The year of its era; null for what is no number

        YEAR(1508769960000L)  // 2017
        YEAR('0')  // 1970
        YEAR(null)  // null
    """
    moment = _moment(timestamp)
    return None if moment is None else moment.year


def _moment(timestamp: object) -> Moment | None:
    epoch = now() if timestamp is _MISSING else to_long(timestamp)
    return None if epoch is None else Moment(epoch)


def _in_64_bits(moment: int) -> int:
    if to_long(moment) is None:
        raise ValueError(f"{moment} milliseconds are beyond all dates")
    return moment


def _zone(name: object) -> Zone:
    return DEFAULT if name is None or name is _MISSING else zone(to_text(name))
