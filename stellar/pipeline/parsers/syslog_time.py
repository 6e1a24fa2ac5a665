"""Times in the headers of syslog messages.

RFC 3164 writes `Oct  9 13:42:11`, in the zone of the device and without a year; RFC 5424 writes ISO 8601 with an
offset.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo

from stellar.java.calendar import MS_A_DAY, day_number
from stellar.java.date_patterns import MONTHS
from stellar.java.zone_ids import find_zone_id
from stellar.pipeline.parsers.parser import Settings
from stellar.util.abbreviate import quote
from stellar.util.clock import now

# A time without a year is in the past, but clocks of devices may be ahead by this much
TOLERANCE_MS = 4 * MS_A_DAY

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)
_MONTH_NUMBERS = {name[:length].lower(): number for number, name in enumerate(MONTHS, 1) for length in (3, None)}
_ISO = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:Z|([+-])(\d\d):?(\d\d))", re.ASCII)
_CLASSIC = re.compile(
    r"([A-Za-z]+) +(\d{1,2})(?: +(\d{4}))? +(\d{1,2}):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?: +(\d{4}))?", re.ASCII
)


def zone_option(settings: Settings, name: str, default: str = "UTC") -> tzinfo:
    """Return the zone of an option. Raises ConfigError for an unknown id."""
    text = settings.text(name, default)
    zone = find_zone_id(text)
    if zone is None:
        raise (settings.location / name).error(
            f"unknown time zone {quote(text)}: expected a region such as 'Europe/Paris', or an offset such as '+02:00'"
        )
    return zone


def parse_syslog_time(text: str, zone: tzinfo) -> int:
    """Return the epoch milliseconds of a time in a syslog header.

    zone: the zone of a time without an offset

    A time without a year is in the current year, or in the one before if it were more than 4 days ahead. Raises
    ValueError for other forms, and for values out of range.
    """
    if match := _ISO.fullmatch(text):
        return _parse_iso(text, match)
    match = _CLASSIC.fullmatch(text)
    if match is None or (match[3] and match[8]):
        raise ValueError(f"Unsupported date format: '{text}'")
    return _parse_classic(text, match, zone)


def parse_iso_time(text: str) -> int:
    """Return the epoch milliseconds of a time in ISO 8601 with seconds and `Z` or an offset such as `+02:00`.

    Raises ValueError for values out of range.
    """
    if text[11:13] != "24" and (text[-1] == "Z" or text[-5:-3] < "18"):
        try:
            since = datetime.fromisoformat(text) - _EPOCH
        except ValueError:
            pass  # out of range, or the year 0
        else:
            return since.days * MS_A_DAY + since.seconds * 1000 + since.microseconds // 1000
    return parse_syslog_time(text, UTC)


def _parse_iso(text: str, match: re.Match[str]) -> int:
    if match[4] != "24" and (match[9] or "") < "18":
        try:
            return (datetime.fromisoformat(text) - _EPOCH) // _MS
        except ValueError:
            pass  # out of range, or the year 0
    year, month, day, hour, minute, second = map(int, match.groups()[:6])
    _check_ranges(text, month, day, hour, minute, second)
    _check_day(text, year, month, day)
    offset = 0
    if match[8]:
        offset = (int(match[9]) * 60 + int(match[10])) * (-1 if match[8] == "-" else 1)
        if int(match[10]) > 59 or abs(offset) > 18 * 60:
            raise ValueError(f"Text '{text}' could not be parsed: expected an offset of -18:00 to +18:00")
    minutes = day_number(year, month, day, julian=False) * 24 * 60 + hour * 60 + minute - offset
    return (minutes * 60 + second) * 1000 + _milliseconds(match[7])


def _parse_classic(text: str, match: re.Match[str], zone: tzinfo) -> int:
    month = _MONTH_NUMBERS.get(match[1].lower())
    if month is None:
        raise ValueError(f"Text '{text}' could not be parsed: unknown month {quote(match[1])}")
    day, hour, minute, second = int(match[2]), int(match[4]), int(match[5]), int(match[6])
    _check_ranges(text, month, day, hour, minute, second)
    milliseconds = _milliseconds(match[7])

    def instant(year: int) -> int:
        return (datetime(year, month, day, hour, minute, second, tzinfo=zone) - _EPOCH) // _MS + milliseconds

    if year := match[3] or match[8]:
        _check_day(text, int(year), month, day)
        return instant(int(year))
    _check_day(text, 2000, month, day)  # 29 February occurs in some year
    return find_latest(month, day, zone, instant)


def find_latest(month: int, day: int, zone: tzinfo, instant: Callable[[int], int]) -> int:
    """Return the instant of a date without a year: the latest one at most 4 days ahead, in a year that has the date.

    instant: returns the epoch milliseconds in a year
    """
    current = now()
    year = (_EPOCH + timedelta(milliseconds=current)).astimezone(zone).year
    while True:
        if (month, day) != (2, 29) or _is_leap(year):
            found = instant(year)
            if found <= current + TOLERANCE_MS:
                return found
        year -= 1


def _check_ranges(text: str, month: int, day: int, hour: int, minute: int, second: int) -> None:
    for name, value, least, most in (
        ("MonthOfYear", month, 1, 12),
        ("DayOfMonth", day, 1, 31),
        ("HourOfDay", hour, 0, 23),
        ("MinuteOfHour", minute, 0, 59),
        ("SecondOfMinute", second, 0, 59),
    ):
        if not least <= value <= most:
            raise ValueError(
                f"Text '{text}' could not be parsed: Invalid value for {name} (valid values {least} - {most}): {value}"
            )


def _check_day(text: str, year: int, month: int, day: int) -> None:
    if day > (29 if month == 2 and _is_leap(year) else _DAYS[month - 1]):
        raise ValueError(f"Text '{text}' could not be parsed: Invalid date '{MONTHS[month - 1].upper()} {day}'")


_DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def _is_leap(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def _milliseconds(fraction: str | None) -> int:
    return int(f"{fraction:0<3}"[:3]) if fraction else 0
