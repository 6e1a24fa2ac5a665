"""Parsing of dates by the patterns of java.time's DateTimeFormatter, in English.

Unlike SimpleDateFormat, it is strict in form: the whole string must match, and numbers have as many digits as the
pattern. It is smart in values: 30 February is the last day of February, and 24:00 is the next midnight. Other values
out of range are errors.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, timezone, tzinfo

from stellar.java.date_patterns import HALVES, MONTHS, WEEKDAYS
from stellar.util.abbreviate import quote
from stellar.util.memoize import memoize_for

Fields = dict[str, int]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ITEM = re.compile(r"''|'((?:[^']|'')+)'|([A-Za-z])\2*|[\[\]]|[^A-Za-z'\[\]]")


class DateFormatError(ValueError):
    """A string does not match the pattern, or has a value out of range."""


# -- The items of a pattern -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Literal:
    text: str

    def parse(self, string: str, at: int, fields: Fields) -> int:
        if not string.startswith(self.text, at):
            raise DateFormatError(f"expected {quote(self.text)} at character {at + 1}")
        return at + len(self.text)


@dataclass(frozen=True)
class _Number:
    """A number of `least` to `most` digits.

    sign: the signs it may have: "" for none, "-", or "+" for a plus exactly if there are more than `least` digits
    reserved: the number of digits of the numbers that follow directly
    base: the first year of the century of a year of two digits
    """

    letter: str
    least: int
    most: int
    sign: str = ""
    reserved: int = 0
    base: int = 0

    def parse(self, string: str, at: int, fields: Fields) -> int:
        sign = string[at : at + 1] if string[at : at + 1] in ("+", "-") else ""
        if sign and (not self.sign or (sign == "+" and self.sign == "-")):
            raise self._error(at)
        start = at + len(sign)
        length = _count_digits(string, start, self.most + self.reserved)
        if self.reserved:
            length = max(self.least, length - self.reserved)
        if _count_digits(string, start, length) < max(length, self.least):
            raise self._error(at)
        if self.sign == "+" and sign != "-" and (length > self.least) != (sign == "+"):
            raise self._error(at)
        value = int(string[start : start + length])
        if sign == "-" and value == 0:
            raise self._error(at)
        _set(fields, self.letter, self.base + (-value if sign == "-" else value))
        return start + length

    @property
    def has_fixed_width(self) -> bool:
        return self.least == self.most and not self.sign

    def _error(self, at: int) -> DateFormatError:
        digits = f"{self.least}" if self.least == self.most else f"at least {self.least}"
        return DateFormatError(f"expected {digits} digits for {quote(self.letter)} at character {at + 1}")


@dataclass(frozen=True)
class _Fraction:
    """The decimals of a second."""

    digits: int

    def parse(self, string: str, at: int, fields: Fields) -> int:
        if _count_digits(string, at, self.digits) < self.digits:
            raise DateFormatError(f"expected {self.digits} digits for 'S' at character {at + 1}")
        _set(fields, "n", int(string[at : at + self.digits].ljust(9, "0")))
        return at + self.digits


@dataclass(frozen=True)
class _Name:
    """A name, in the case of the table."""

    letter: str
    names: tuple[str, ...]
    first: int

    def parse(self, string: str, at: int, fields: Fields) -> int:
        for index, name in enumerate(self.names):
            if string.startswith(name, at):
                _set(fields, self.letter, index + self.first)
                return at + len(name)
        raise DateFormatError(f"expected {self.names[0]} … {self.names[-1]} at character {at + 1}")


@dataclass(frozen=True)
class _Offset:
    """An offset from UTC, in the form of a regular expression with groups for sign, hours, minutes and seconds."""

    form: re.Pattern[str]

    def parse(self, string: str, at: int, fields: Fields) -> int:
        match = self.form.match(string, at)
        if match is None:
            raise DateFormatError(f"expected an offset such as +02:00 at character {at + 1}")
        sign, hours, minutes, seconds = (*match.groups(), None)[:4]
        total = int(hours or 0) * 3600 + int(minutes or 0) * 60 + int(seconds or 0)
        if total > 18 * 3600 or int(minutes or 0) > 59 or int(seconds or 0) > 59:
            raise DateFormatError(f"offset {match[0]} is out of range")
        _set(fields, "offset", -total if sign == "-" else total)
        return match.end()


@dataclass(frozen=True)
class _Optional:
    """A section in brackets, which is ignored if it does not match."""

    items: tuple[Item, ...]

    def parse(self, string: str, at: int, fields: Fields) -> int:
        found = dict(fields)
        try:
            at = _parse_items(self.items, string, at, found)
        except DateFormatError:
            return at
        fields |= found
        return at


Item = _Literal | _Number | _Fraction | _Name | _Offset | _Optional


def _parse_items(items: tuple[Item, ...], string: str, at: int, fields: Fields) -> int:
    for item in items:
        at = item.parse(string, at, fields)
    return at


def _set(fields: Fields, letter: str, value: int) -> None:
    if fields.setdefault(letter, value) != value:
        raise DateFormatError(f"two different values for {quote(letter)}")


def _count_digits(string: str, at: int, most: int) -> int:
    count = 0
    while count < most and "0" <= string[at + count : at + count + 1] <= "9":
        count += 1
    return count


# -- Patterns ---------------------------------------------------------------------------------------------------------


def _year(letter: str, count: int) -> Item:
    if count == 2:
        return _Number(letter, 2, 2, base=2000)
    return _Number(letter, count, 19, "-" if count < 4 else "+")


def _number(letter: str, count: int) -> Item | None:
    return {1: _Number(letter, 1, 19, "-"), 2: _Number(letter, 2, 2)}.get(count)


def _names(letter: str, count: int, names: tuple[str, ...], first: int) -> Item | None:
    short = tuple(name[:3] for name in names)
    return {3: _Name(letter, short, first), 4: _Name(letter, names, first)}.get(count)


_NO_Z, _Z = r"([+-])", r"(?:Z|([+-])"
_OFFSET_FORMS = {
    1: r"(\d\d)(\d\d)?",
    2: r"(\d\d)(\d\d)",
    3: r"(\d\d):(\d\d)",
    4: r"(\d\d)(\d\d)(\d\d)?",
    5: r"(\d\d):(\d\d)(?::(\d\d))?",
}


def _offset(letter: str, count: int) -> Item | None:
    if letter == "Z":
        count = {1: 2, 2: 2, 3: 2, 5: 5}.get(count, 0)
    form = _OFFSET_FORMS.get(count)
    if form is None:
        return None
    has_z = letter == "X" or (letter == "Z" and count == 5)
    return _Offset(re.compile(f"{_Z}{form})" if has_z else f"{_NO_Z}{form}", re.ASCII))


_MAKERS: dict[str, Callable[[str, int], Item | None]] = {
    **dict.fromkeys("uy", _year),
    **dict.fromkeys("dhHkKms", _number),
    **dict.fromkeys("ML", lambda letter, count: _number("M", count) if count < 3 else _names("M", count, MONTHS, 1)),
    "D": lambda letter, count: {1: _Number("D", 1, 19, "-"), 2: _Number("D", 2, 3), 3: _Number("D", 3, 3)}.get(count),
    "E": lambda letter, count: _names("E", max(count, 3), WEEKDAYS, 0),
    "a": lambda letter, count: _Name("a", HALVES, 0) if count == 1 else None,
    "S": lambda letter, count: _Fraction(count) if count <= 9 else None,
    "n": lambda letter, count: _Number("n", count, 19, "-"),
    **dict.fromkeys("XxZ", _offset),
}


@dataclass(frozen=True)
class TimePattern:
    """A pattern that reads dates."""

    pattern: str
    items: tuple[Item, ...]

    @property
    def missing(self) -> list[str]:
        """The fields without which no date is complete: year, month and day, hour."""
        letters = set(_letters(self.items))
        has_hour = letters & {"H", "k"} or (letters & {"h", "K"} and "a" in letters)
        return [
            *(["a year"] if not letters & {"u", "y"} else []),
            *(["a month and a day"] if not ({"M", "d"} <= letters or "D" in letters) else []),
            *(["an hour"] if not has_hour else []),
        ]

    def parse(self, string: str, zone: tzinfo) -> int:
        """Return the epoch milliseconds of a date, which is in a zone unless it has an offset.

        Raises DateFormatError for a string that does not match.
        """
        fields: Fields = {}
        end = _parse_items(self.items, string, 0, fields)
        if end < len(string):
            raise DateFormatError(f"unexpected {quote(string[end : end + 20])} at character {end + 1}")
        return _resolve(fields, zone)


@memoize_for(64)
def compile_time_pattern(pattern: str) -> TimePattern:
    """Return a compiled pattern. Raises ValueError for an invalid one."""
    if not pattern:
        raise ValueError("the pattern is empty")
    sections: list[list[Item]] = [[]]
    for part, letter in _split(pattern):
        if part == "[":
            sections.append([])
        elif part == "]":
            if len(sections) == 1:
                raise ValueError("']' without '['")
            section = tuple(sections.pop())
            sections[-1].append(_Optional(section))
        else:
            sections[-1].append(_make_item(letter, len(part)) if letter else _Literal(part))
    while len(sections) > 1:  # an optional section may extend to the end
        section = tuple(sections.pop())
        sections[-1].append(_Optional(section))
    return TimePattern(pattern, _reserve_digits(sections[0]))


def _split(pattern: str) -> Iterator[tuple[str, str]]:
    """Yield the parts of a pattern, each with its letter, which is empty for a literal or a bracket."""
    at = 0
    while at < len(pattern):
        match = _ITEM.match(pattern, at)
        if match is None:
            raise ValueError(f"unclosed quote at character {at + 1}")
        quoted, letter = match.groups()
        literal = quoted.replace("''", "'") if quoted else "'" if match[0] == "''" else match[0]
        if not letter and literal in ("{", "}", "#"):
            raise ValueError(f"reserved character {quote(literal)}; put it into quotes")
        yield literal, letter or ""
        at = match.end()


def _make_item(letter: str, count: int) -> Item:
    if letter not in _MAKERS:
        raise ValueError(f"unknown or unsupported pattern letter {quote(letter)}; use {' '.join(sorted(_MAKERS))}")
    item = _MAKERS[letter](letter, count)
    if item is None:
        raise ValueError(f"unsupported number of letters: {letter * count}")
    return item


def _reserve_digits(items: list[Item]) -> tuple[Item, ...]:
    """Let a number leave the digits for the numbers of fixed width that follow directly."""
    result: list[Item] = []
    first: int | None = None
    for item in items:
        if isinstance(item, _Optional):
            item = _Optional(_reserve_digits(list(item.items)))
        if not isinstance(item, _Number):
            first = None
        elif first is not None and item.has_fixed_width:
            before = result[first]
            assert isinstance(before, _Number)
            result[first] = replace(before, reserved=before.reserved + item.most)
        else:
            first = len(result)
        result.append(item)
    return tuple(result)


def _letters(items: tuple[Item, ...]) -> Iterator[str]:
    for item in items:
        if isinstance(item, _Optional):
            yield from _letters(item.items)
        elif isinstance(item, _Number | _Name):
            yield item.letter


# -- From fields to an instant ----------------------------------------------------------------------------------------

_RANGES = {
    "y": (1, 9999),
    "u": (1, 9999),
    "M": (1, 12),
    "d": (1, 31),
    "D": (1, 366),
    "H": (0, 24),
    "k": (1, 24),
    "h": (1, 12),
    "K": (0, 11),
    "m": (0, 59),
    "s": (0, 59),
    "n": (0, 999_999_999),
}


def _resolve(fields: Fields, zone: tzinfo) -> int:
    for letter, (least, most) in _RANGES.items():
        if not least <= fields.get(letter, least) <= most:
            raise DateFormatError(f"{fields[letter]} is out of range for {quote(letter)}: expected {least}–{most}")
    date = _date(fields)
    if "E" in fields and (date.weekday() + 1) % 7 != fields["E"]:
        raise DateFormatError(f"the date is not a {WEEKDAYS[fields['E']]}")
    offset = timezone(timedelta(seconds=fields["offset"])) if "offset" in fields else zone
    # In the hour that does not exist, and in the first of the hours that exist twice, the earlier offset applies
    instant = (date + _time(fields)).replace(tzinfo=offset)
    return (instant - _EPOCH) // timedelta(milliseconds=1)


def _date(fields: Fields) -> datetime:
    year = fields.get("u", fields.get("y"))
    if year is None:
        raise DateFormatError("no year")
    if "M" in fields and "d" in fields:
        return datetime(year, fields["M"], min(fields["d"], calendar.monthrange(year, fields["M"])[1]))
    if "D" not in fields:
        raise DateFormatError("no month and day")
    if fields["D"] == 366 and not calendar.isleap(year):
        raise DateFormatError(f"{year} has no day 366")
    return datetime(year, 1, 1) + timedelta(fields["D"] - 1)


def _time(fields: Fields) -> timedelta:
    hour = _hour(fields)
    if ("s" in fields or "n" in fields) and not ("m" in fields and "s" in fields):
        raise DateFormatError("no minute" if "m" not in fields else "no second")
    minute, second, nanosecond = (fields.get(letter, 0) for letter in "msn")
    if hour == 24 and (minute or second or nanosecond):
        raise DateFormatError("24 is out of range for the hour, except in 24:00")
    return timedelta(hours=hour, minutes=minute, seconds=second, microseconds=nanosecond // 1000)


def _hour(fields: Fields) -> int:
    if "H" in fields:
        return fields["H"]
    if "k" in fields:
        return fields["k"] % 24
    half = fields["h"] % 12 if "h" in fields else fields.get("K")
    if half is None or "a" not in fields:
        raise DateFormatError("no hour")
    return half + 12 * fields["a"]
