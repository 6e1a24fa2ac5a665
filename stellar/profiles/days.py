"""The days that a window includes or excludes: days of the week, dates and holidays, all in UTC."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import date
from functools import lru_cache
from typing import Any

from stellar.java.calendar import MS_A_DAY, LocalDateTime, weekday
from stellar.java.date_patterns import parse_date
from stellar.java.timezones import DEFAULT
from stellar.util.abbreviate import quote
from stellar.util.optional_imports import import_optional
from stellar.util.suggestions import find_nearest

log = logging.getLogger(__name__)

# Called with milliseconds since 1970
IsDay = Callable[[int], bool]

_WEEK = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
_DATE_PATTERN = "yyyy/MM/dd"
_DEFAULT_COUNTRY = "us"  # of Java's default locale, see SYSTEM_PROPERTY_GET('user.country')


def make_is_day(name: str, arguments: Sequence[str]) -> IsDay:
    """Return a predicate for the days of a name, in lowercase and singular: monday, weekday, weekend, holiday, date.

    Raises ValueError for invalid arguments, and LookupError if the package for holidays is missing.
    """
    if name in _WEEK:
        return on_weekdays(_WEEK.index(name) + 1)
    if name == "weekday":
        return on_weekdays(2, 3, 4, 5, 6)
    if name == "weekend":
        return on_weekdays(1, 7)
    return _is_date(arguments) if name == "date" else _is_holiday(arguments)


def on_weekdays(*numbers: int) -> IsDay:
    """Return a predicate for days of the week; 1 is Sunday."""
    return lambda time: weekday(time // MS_A_DAY) in numbers


def on_same_weekday(now: int) -> IsDay:
    """Return a predicate for the day of the week of a time."""
    return on_weekdays(weekday(now // MS_A_DAY))


def _is_date(arguments: Sequence[str]) -> IsDay:
    if not arguments:
        raise ValueError("missing date: write it as in date:2016/12/25 or date:25.12.2016:dd.MM.yyyy")
    pattern = arguments[1] if len(arguments) > 1 else _DATE_PATTERN
    moment = parse_date(pattern, arguments[0], DEFAULT)
    if moment is None:
        raise ValueError(f"invalid date {quote(arguments[0])}: expected the form {quote(pattern)}")
    day = moment // MS_A_DAY
    return lambda time: time // MS_A_DAY == day


def _is_holiday(arguments: Sequence[str]) -> IsDay:
    calendar = _open_calendar(arguments[0] if arguments else _DEFAULT_COUNTRY, *arguments[1:])

    def is_holiday(time: int) -> bool:
        day = LocalDateTime(time)
        return date(day.year, day.month, day.day) in calendar

    return is_holiday


@lru_cache(maxsize=64)
def _open_calendar(name: str, *regions: str) -> Any:
    """Return the holidays of a country, by its code or its name, with those of a region.

    Raises ValueError for an unknown country.
    """
    holidays = import_optional("holidays", "holidays")
    markets = {code.lower(): code for code in holidays.list_supported_financial()}
    if name.lower() in markets:
        return holidays.financial_holidays(markets[name.lower()])
    countries = {code.lower(): code for code in holidays.list_supported_countries()}
    names = {_letters(getattr(holidays, code).__base__.__name__): code for code in countries.values()}
    code = countries.get(name.lower()) or names.get(_letters(name))
    if code is None:
        near = find_nearest(name, [*countries, *names])
        hint = f"did you mean {near}?" if near else "expected a country, such as us or UNITED_STATES"
        raise ValueError(f"unknown calendar of holidays {quote(name)}: {hint}")
    return holidays.country_holidays(code, subdiv=_find_region(holidays, code, regions))


def _letters(name: str) -> str:
    return "".join(character for character in name.lower() if character.isalnum())


def _find_region(holidays: Any, code: str, regions: Sequence[str]) -> str | None:
    """Return the region of a country; None for an unknown one, which has the holidays of the country, as in Metron."""
    if not regions:
        return None
    known = {region.lower(): region for region in holidays.list_supported_countries()[code]}
    if regions[0].lower() not in known:
        log.warning(
            "unknown region %s of the calendar of holidays %s: holidays of the country are used",
            quote(regions[0]),
            code,
        )
    return known.get(regions[0].lower())
