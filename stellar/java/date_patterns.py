"""Parsing and formatting of dates by Java's date patterns (SimpleDateFormat, in English)."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from operator import itemgetter
from typing import Any, NamedTuple

from stellar.java.calendar import MS_A_DAY, LocalDateTime, day_number
from stellar.java.date_fields import NUMBERS, DateFields, compute_epoch, is_consistent, is_within_ranges
from stellar.java.timezones import DEFAULT, Zone, find_zone
from stellar.java.zone_names import LONGEST_NAME, ZoneNames, find_zone_at
from stellar.util.abbreviate import quote
from stellar.util.clock import now
from stellar.util.memoize import memoize_for

MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_FROM_MONDAY = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
WEEKDAYS = ("Sunday", *_FROM_MONDAY[:6])
HALVES = ("AM", "PM")
ERAS = ("BC", "AD")


@dataclass(frozen=True)
class Letters:
    """A run of one pattern letter.

    adjacent: True if a numeric field follows directly, so this one has as many digits as letters
    """

    letter: str
    count: int
    adjacent: bool = False


_LETTERS = "GyYMLwWDdFEuaHkKhmsSzZX"
_NUMERIC = frozenset("yYwWDdFuHkKhmsS")
_ITEM = re.compile(r"''|'((?:[^']|'')+)'|([A-Za-z])\2*|[^A-Za-z']+")


@memoize_for(512)
def parse_pattern(pattern: str) -> tuple[Letters | str, ...]:
    """Split a pattern into runs of letters and literal strings.

    Raises ValueError for an invalid pattern.
    """
    items: list[Letters | str] = []
    at = 0
    while at < len(pattern):
        match = _ITEM.match(pattern, at)
        if match is None:
            raise ValueError(f"invalid date pattern {quote(pattern)}: unclosed quote")
        items.append(_pattern_item(pattern, match))
        at = match.end()
    return tuple(
        Letters(part.letter, part.count, adjacent=_is_numeric(follower)) if isinstance(part, Letters) else part
        for part, follower in zip(items, (*items[1:], ""), strict=False)
    )


def _pattern_item(pattern: str, match: re.Match[str]) -> Letters | str:
    quoted, letter = match.groups()
    if quoted is not None:
        return str(quoted).replace("''", "'")
    if letter is None:
        return "'" if match[0] == "''" else match[0]
    count = len(match[0])
    if letter not in _LETTERS or (letter == "X" and count > 3):
        raise ValueError(f"invalid date pattern {quote(pattern)}: unknown letters {quote(match[0])}")
    return Letters(letter, count)


def _is_numeric(part: Letters | str) -> bool:
    if not isinstance(part, Letters):
        return False
    return part.letter in _NUMERIC or (part.letter in "ML" and part.count <= 2)


# -- Formatting -------------------------------------------------------------------------------------------------------


def format_date(pattern: str, epoch: int, zone: Zone) -> str:
    """Format an instant, in epoch milliseconds, as local time of a zone."""
    template = _template(pattern)
    offset = zone.offset(epoch)
    seconds, milliseconds = divmod(epoch + offset, 1000)
    if template and 0 <= seconds < _FAST_UNTIL:
        values: tuple[Any, ...] = time.gmtime(seconds)
        if template.has_extra_values:
            values = (*values, *_extra_values(values, milliseconds), template.has_zone and zone.name(epoch, long=False))
        result: str = template.format % template.pick(values)
        return result
    local = LocalDateTime(epoch, offset)
    return "".join(
        part if isinstance(part, str) else _format_field(part, local, zone) for part in parse_pattern(pattern)
    )


class _FormatTemplate(NamedTuple):
    """A pattern as a format string for Python's %.

    pick: returns its arguments from a struct_time, extended by `_extra_values` if `has_extra_values`
    """

    format: str
    pick: Callable[[Any], Any]
    has_extra_values: bool
    has_zone: bool


# The year 9999
_FAST_UNTIL = 253_370_764_800
# The index in a struct_time of each letter
_STRUCT_TIME_INDEX = {"y": 0, "M": 1, "L": 1, "d": 2, "H": 3, "m": 4, "s": 5, "D": 7}
_MONTH, _WEEKDAY, _HALF, _YEAR_OF_CENTURY, _HOUR_OF_HALF, _MILLISECOND, _ZONE = range(9, 16)


def _extra_values(values: tuple[Any, ...], milliseconds: int) -> tuple[Any, ...]:
    hour = values[3]
    return (
        MONTHS[values[1] - 1],
        _FROM_MONDAY[values[6]],
        HALVES[hour >= 12],
        values[0] % 100,
        hour % 12 or 12,
        milliseconds,
    )


@memoize_for(512)
def _template(pattern: str) -> _FormatTemplate | None:
    """Return the template of a pattern; None if it has letters that a struct_time does not provide."""
    format_, indices = "", []
    for part in parse_pattern(pattern):
        if isinstance(part, str):
            format_ += part.replace("%", "%%")
            continue
        argument = _argument_of(part)
        if argument is None:
            return None
        index, conversion = argument
        indices.append(index)
        format_ += conversion
    if not indices:
        return None
    return _FormatTemplate(format_, itemgetter(*indices), max(indices) >= _MONTH, _ZONE in indices)


def _argument_of(part: Letters) -> tuple[int, str] | None:
    """Return the index and the conversion of a run of letters; None if a struct_time does not provide it."""
    letter, count = part.letter, part.count
    if letter == "E":
        return _WEEKDAY, "%.3s" if count <= 3 else "%s"
    if letter in "ML" and count > 2:
        return _MONTH, "%.3s" if count == 3 else "%s"
    if letter == "a" or (letter == "z" and count < 4):
        return _HALF if letter == "a" else _ZONE, "%s"
    index = {"h": _HOUR_OF_HALF, "S": _MILLISECOND}.get(letter, _STRUCT_TIME_INDEX.get(letter))
    if letter == "y" and count == 2:
        index = _YEAR_OF_CENTURY
    return None if index is None else (index, f"%0{count}d")


def _format_field(part: Letters, local: LocalDateTime, zone: Zone) -> str:
    letter, count = part.letter, part.count
    if letter in NUMBERS:
        return _pad(NUMBERS[letter](local), count)
    if letter in "yY":
        year = local.year if letter == "y" else local.week_of_year_and_year[1]
        return _pad(abs(year) % 100, 2) if count == 2 else _pad(year, count)
    if letter in "ML":
        name = MONTHS[local.month - 1]
        return _pad(local.month, count) if count <= 2 else name[:3] if count == 3 else name
    if letter == "E":
        return WEEKDAYS[local.weekday - 1][: 3 if count <= 3 else None]
    if letter == "a":
        return HALVES[local.hour >= 12]
    if letter == "G":
        return ERAS[local.era]
    if letter == "z":
        return zone.name(local.epoch, long=count >= 4)
    return _format_offset(part, local.offset)


def _pad(number: int, count: int) -> str:
    return f"{'-' * (number < 0)}{abs(number):0{count}d}"


def _format_offset(part: Letters, milliseconds: int) -> str:
    minutes = abs(milliseconds) // 60_000  # Java drops the seconds of old offsets
    if part.letter == "X" and minutes == 0:
        return "Z"
    hours, rest = divmod(minutes, 60)
    sign = "-" if milliseconds < 0 else "+"
    if part.letter == "X" and part.count == 1:
        return f"{sign}{hours:02}"
    return f"{sign}{hours:02}{':' * (part.letter == 'X' and part.count == 3)}{rest:02}"


# -- Parsing ----------------------------------------------------------------------------------------------------------


def parse_date(pattern: str, string: str, zone: Zone, *, lenient: bool = True) -> int | None:
    """Parse the beginning of a string and return epoch milliseconds; None if it does not match the pattern.

    lenient: accept values out of range, such as month 13 for January of the next year
    """
    # In UTC every local time exists, so the fast path needs no strict check
    if (lenient or zone is DEFAULT) and (shape := _shape(pattern)) and (match := shape.regex.match(string)):
        try:
            year, month, day, hour, minute, second = [
                int(match[group]) if group else default for group, default in shape.groups
            ]
            number = datetime(year, month, day, hour, minute, second).toordinal() - _EPOCH_DAY
        except ValueError:
            pass  # out of range, which may be valid if lenient
        else:
            reading = number * MS_A_DAY + ((hour * 60 + minute) * 60 + second) * 1000
            return (
                reading - zone.offset_of_wall(reading) + (int(match[shape.milliseconds]) if shape.milliseconds else 0)
            )
    return _parse_any(pattern, string, zone, lenient=lenient)


def _parse_any(pattern: str, string: str, zone: Zone, *, lenient: bool) -> int | None:
    fields = DateFields()
    at = 0
    for part in parse_pattern(pattern):
        end = (
            _match_literal(part, string, at)
            if isinstance(part, str)
            else _parse_field(part, string, at, zone, fields, lenient)
        )
        if end is None:
            return None
        at = end
    if at == 0:
        return None
    if not lenient and not is_within_ranges(fields):
        return None
    epoch = compute_epoch(fields, zone)
    if fields.near_century and epoch < _century_start():
        fields.values["y"] += 100
        epoch = compute_epoch(fields, zone)
    return epoch if lenient or is_consistent(fields, epoch, zone) else None


class _Shape(NamedTuple):
    """A regular expression for the common form of dates of a pattern.

    groups: for year, month, day, hour, minute and second the number of its group, or 0, and the default
    milliseconds: the number of the group of the milliseconds, or 0
    """

    regex: re.Pattern[str]
    groups: tuple[tuple[int, int], ...]
    milliseconds: int


_EPOCH_DAY = datetime(1970, 1, 1).toordinal()
_DIGITS_OF = {"y": 4, "M": 2, "d": 2, "H": 2, "m": 2, "s": 2, "S": 3}


@memoize_for(512)
def _shape(pattern: str) -> _Shape | None:
    """Return the shape of a pattern of a full year and other numbers, each at most once; None for other patterns."""
    regex, letters = "", []
    for part in parse_pattern(pattern):
        if isinstance(part, str):
            if part[:1].isdigit():
                return None
            regex += re.escape(part)
            continue
        most = _DIGITS_OF.get(part.letter)
        if most is None or part.letter in letters or part.count > most or (part.letter == "y" and part.count < 3):
            return None
        letters.append(part.letter)
        digits = f"[0-9]{{{part.count if part.adjacent else f'1,{most}'}}}"
        regex += "(19[7-9][0-9]|[2-9][0-9]{3})" if part.letter == "y" else f"({digits})"
    if "y" not in letters:
        return None
    groups = tuple((letters.index(letter) + 1 if letter in letters else 0, default) for letter, default in _DEFAULTS)
    return _Shape(re.compile(regex + r"(?!\d)"), groups, letters.index("S") + 1 if "S" in letters else 0)


_DEFAULTS = (("y", 1970), ("M", 1), ("d", 1), ("H", 0), ("m", 0), ("s", 0))


def _match_literal(literal: str, string: str, at: int) -> int | None:
    return at + len(literal) if string.startswith(literal, at) else None


# Java's number format, which reads the fields, also accepts its signs for NaN and infinity
_NUMBER = re.compile("-?(?:\\d+|∞)|\ufffd")


def _parse_field(part: Letters, string: str, at: int, zone: Zone, fields: DateFields, lenient: bool) -> int | None:
    """Parse a field into `fields` and return the offset after it; None if it does not match."""
    start = at
    while start < len(string) and string[start] in " \t":
        start += 1
    if start == len(string):
        return None
    letter = part.letter
    if _is_numeric(part):
        return _parse_number(part, string, at, start, fields, lenient)
    if letter in "zZ":
        return _parse_zone(string, at, start, zone, fields)
    if letter == "X":
        return _parse_iso_zone(part, string, start, fields)
    # Java does not skip whitespace before names
    names, first = {"M": (MONTHS, 1), "L": (MONTHS, 1), "E": (WEEKDAYS, 1), "a": (HALVES, 0), "G": (ERAS, 0)}[letter]
    index, end = _match_name(string, at, names)
    if end is None:
        return None
    fields.set("M" if letter == "L" else letter, index + first)
    return end


def _match_name(string: str, at: int, names: tuple[str, ...]) -> tuple[int, int | None]:
    for length in (None, 3):
        for index, name in enumerate(names):
            short = name[:length]
            if string[at : at + len(short)].lower() == short.lower():
                return index, at + len(short)
    return 0, None


def _parse_number(part: Letters, string: str, at: int, start: int, fields: DateFields, lenient: bool) -> int | None:
    letter, count = part.letter, part.count
    end = at + count if part.adjacent else len(string)
    match = _NUMBER.match(string, start, end) if end <= len(string) else None
    if match is None:
        return None
    value = _as_int(match[0])
    if letter in "yY":
        if count <= 2 and re.fullmatch(r"\d\d", match[0]):
            value = _in_century(value, fields)
        fields.set(letter, value)
    elif letter in "kh":
        most = 24 if letter == "k" else 12
        if not lenient and not 1 <= value <= most:
            return None
        fields.set("H" if letter == "k" else "K", 0 if value == most else value)
    elif letter == "u":
        fields.set("E", value % 7 + 1 if 1 <= value <= 7 else value)
    else:
        fields.set("M" if letter == "L" else letter, value)
    return match.end()


def _as_int(digits: str) -> int:
    """Convert digits as Java does: the lowest 32 bits of a number of 64 bits, the nearest int for a larger one."""
    if digits == "\ufffd":
        return 0
    value = int(digits[:40].replace("∞", "9" * 20))
    if not -(2**63) <= value < 2**63:
        return 2**31 - 1 if value > 0 else -(2**31)
    return (value + 2**31) % 2**32 - 2**31


def _century_start() -> int:
    """Return the epoch milliseconds of 80 years ago."""
    today = LocalDateTime(now())
    number = day_number(today.astronomical_year - 80, today.month, today.day)
    return number * MS_A_DAY + today.millisecond_of_day


def _in_century(value: int, fields: DateFields) -> int:
    """Return the year for two digits, in the century that began 80 years ago."""
    first = LocalDateTime(_century_start()).astronomical_year
    fields.near_century = value == first % 100
    return value + first // 100 * 100 + (100 if value < first % 100 else 0)


# -- Zones


_HHMM = re.compile(r"([01]\d|2[0-3])([0-5]\d)", re.ASCII)
_HH_MM = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)", re.ASCII)
_HH_COLON_MM = re.compile(r"([01]\d|2[0-3]):([0-5]\d)", re.ASCII)
_HH = re.compile(r"([01]\d|2[0-3])", re.ASCII)


def _parse_zone(string: str, at: int, start: int, zone: Zone, fields: DateFields) -> int | None:
    if string[start] in "+-":
        return _parse_offset(string, start, _HHMM, fields)
    if string[at : at + 3].upper() == "GMT":
        after = at + 3
        if string[after : after + 1] in ("+", "-"):
            return _parse_offset(string, after, _HH_MM, fields)
        fields.set_offset(0)
        return after
    return _parse_zone_name(string, start, zone, fields)


def _parse_offset(string: str, start: int, form: re.Pattern[str], fields: DateFields) -> int | None:
    match = form.match(string, start + 1)
    if match is None:
        return None
    minutes = int(match[1]) * 60 + (int(match[2]) if form.groups > 1 else 0)
    fields.set_offset(minutes * 60_000 * (-1 if string[start] == "-" else 1))
    return match.end()


def _parse_zone_name(string: str, start: int, zone: Zone, fields: DateFields) -> int | None:
    found = _find_zone_name(string[start : start + LONGEST_NAME], zone)
    if found is None:
        return None
    fields.zone, names, index = found
    # A name of both times, and one of a daylight saving time that the zone does not have any more, means either
    if index >= 2:
        fields.savings = fields.zone.savings or None
    else:
        fields.savings = None if names[index].lower() == names[index + 2].lower() else 0
    if fields.savings is not None:
        fields.offset = None
    return start + len(names[index])


@lru_cache(512)
def _find_zone_name(string: str, zone: Zone) -> tuple[Zone, ZoneNames, int] | None:
    """Return the zone whose name is at the beginning of a string, with its names and the index of the name.

    It is the zone for strings without one, the default zone, or the first of all zones, if it has the name.
    """
    for known in (zone, DEFAULT):
        if (names := known.names) and (index := names.match(string, 0)) is not None:
            return known, names, index
    found = find_zone_at(string, 0)
    if found is None or (other := find_zone(found[0])) is None or (names := other.names) is None:
        return None
    return other, names, found[1]


def _parse_iso_zone(part: Letters, string: str, start: int, fields: DateFields) -> int | None:
    if string[start] == "Z":
        fields.set_offset(0)
        return start + 1
    if string[start] not in "+-":
        return None
    return _parse_offset(string, start, (_HH, _HHMM, _HH_COLON_MM)[part.count - 1], fields)
