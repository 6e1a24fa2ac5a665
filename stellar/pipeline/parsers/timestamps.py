"""Times in the fields of records: epoch milliseconds from numbers in a unit, and from dates in a pattern."""

from __future__ import annotations

import re
from collections.abc import Callable

from stellar.java.date_patterns import parse_date, parse_pattern
from stellar.java.integers import LONG_MAX, LONG_MIN
from stellar.java.timezones import Zone, find_zone
from stellar.pipeline.config.locations import SourceLocation
from stellar.util.abbreviate import quote

NANOSECONDS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
AUTO = "auto"
UNITS = (AUTO, *NANOSECONDS)

# As milliseconds, the first limit is in March 1973 and the second in the year 5138. Numbers below are probably seconds,
# and numbers above are microseconds or nanoseconds
FEWEST_MILLISECONDS = 10**11
MOST_MILLISECONDS = 10**14
_MOST_MICROSECONDS = 10**17

_DECIMAL = re.compile(r"([+-]?)([0-9]{1,30})(?:\.([0-9]{0,30}))?")


def convert_to_milliseconds(text: str, unit: str) -> int:
    """Return the epoch milliseconds of a decimal number in a unit, truncated.

    unit: s, ms, us or ns; auto to infer it from the size of the number, for times after 1973

    Raises ValueError for another string, and for a result of more than 64 bits.
    """
    match = _DECIMAL.fullmatch(text)
    if match is None:
        raise ValueError(f'For input string: "{text}"')
    sign, whole, fraction = match[1], match[2], match[3] or ""
    size = NANOSECONDS[_infer_unit(int(whole)) if unit == AUTO else unit]
    milliseconds = int(whole + fraction) * size // int(10 ** (6 + len(fraction)))
    if sign == "-":
        milliseconds = -milliseconds
    if not LONG_MIN <= milliseconds <= LONG_MAX:
        raise ValueError(f"{text} is out of range for a timestamp in {unit}")
    return milliseconds


def _infer_unit(number: int) -> str:
    if number < FEWEST_MILLISECONDS:
        return "s"
    if number < MOST_MILLISECONDS:
        return "ms"
    return "us" if number < _MOST_MICROSECONDS else "ns"


def parse_zone(name: str, location: SourceLocation) -> Zone:
    """Return the time zone of an id. Raises ConfigError for an unknown id."""
    zone = find_zone(name)
    if zone is None:
        raise location.error(
            f"unknown time zone {quote(name)}: expected an id such as 'UTC', 'Europe/Paris' or 'GMT+05:30'"
        )
    return zone


def make_date_reader(pattern: str, zone: Zone, location: SourceLocation) -> Callable[[str], int]:
    """Return a function that converts dates in a Java date pattern to epoch milliseconds.

    zone: the time zone of dates that do not name one
    location: the pattern's, for errors

    The function raises ValueError for other strings. Raises ConfigError for an invalid pattern.
    """
    try:
        parse_pattern(pattern)
    except ValueError as error:
        raise location.error(f"{error}; a valid one is 'yyyy-MM-dd HH:mm:ss'") from error

    def read(text: str) -> int:
        milliseconds = parse_date(pattern, text, zone)
        if milliseconds is None:
            raise ValueError(f'Unparseable date: "{text}"')
        return milliseconds

    return read
