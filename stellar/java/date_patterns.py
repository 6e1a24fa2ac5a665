"""Java's date patterns (SimpleDateFormat, in English): texts read as dates by them, and dates written."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from operator import itemgetter
from typing import Any

from stellar.java import timezones as _zones
from stellar.java.calendar import MS_A_DAY, Moment, day_number, on_or_before
from stellar.java.timezones import DEFAULT, Zone

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
    """A run of one pattern letter."""

    letter: str
    count: int
    # Whether another number follows at once, so that this one has as many digits as letters
    crowded: bool = False


_LETTERS = "GyYMLwWDdFEuaHkKhmsSzZX"
_NUMERIC = frozenset("yYwWDdFuHkKhmsS")
_PART = re.compile(r"''|'((?:[^']|'')+)'|([A-Za-z])\2*|[^A-Za-z']+")


@lru_cache(512)
def parts(pattern: str) -> tuple[Letters | str, ...]:
    """A pattern taken apart.

    Raises ValueError, saying what is wrong, for what is no pattern.
    """
    found: list[Letters | str] = []
    at = 0
    while at < len(pattern):
        match = _PART.match(pattern, at)
        if match is None:
            raise ValueError(f"the date pattern {pattern!r} has a quote that does not end")
        found.append(_part(pattern, match))
        at = match.end()
    return tuple(
        Letters(part.letter, part.count, crowded=_is_numeric(follower)) if isinstance(part, Letters) else part
        for part, follower in zip(found, (*found[1:], ""), strict=False)
    )


def _part(pattern: str, match: re.Match[str]) -> Letters | str:
    quoted, letter = match.groups()
    if quoted is not None:
        return str(quoted).replace("''", "'")
    if letter is None:
        return "'" if match[0] == "''" else match[0]
    count = len(match[0])
    if letter not in _LETTERS or (letter == "X" and count > 3):
        raise ValueError(f"the date pattern {pattern!r} has {match[0]!r} in it, which means nothing")
    return Letters(letter, count)


def _is_numeric(part: Letters | str) -> bool:
    if not isinstance(part, Letters):
        return False
    return part.letter in _NUMERIC or (part.letter in "ML" and part.count <= 2)


# -- Writing ----------------------------------------------------------------------------------------------------------


def write(pattern: str, epoch: int, zone: Zone) -> str:
    """A moment, in epoch milliseconds, written by a pattern as clocks in the zone show it."""
    template = _template(pattern)
    offset = zone.offset(epoch)
    seconds, milliseconds = divmod(epoch + offset, 1000)
    if template and 0 <= seconds < _QUICK_UNTIL:
        shown: tuple[Any, ...] = time.gmtime(seconds)
        if template.has_words:
            shown = (*shown, *_words(shown, milliseconds), template.has_zone and zone.name(epoch, long=False))
        written: str = template.text % template.pick(shown)
        return written
    moment = Moment(epoch, offset)
    return "".join(part if isinstance(part, str) else _written(part, moment, zone) for part in parts(pattern))


@dataclass(frozen=True)
class _Template:
    """A pattern as Python's % takes it.

    pick: takes what goes into it from a struct_time, which `_words` lengthen if `has_words`
    """

    text: str
    pick: Callable[[Any], Any]
    has_words: bool
    has_zone: bool


# The year 9999
_QUICK_UNTIL = 253_370_764_800
# Where in a struct_time each letter is found
_SHOWN = {"y": 0, "M": 1, "L": 1, "d": 2, "H": 3, "m": 4, "s": 5, "D": 7}
_MONTH, _WEEKDAY, _HALF, _YEAR_OF_CENTURY, _HOUR_OF_HALF, _MILLISECOND, _ZONE = range(9, 16)


def _words(shown: tuple[Any, ...], milliseconds: int) -> tuple[Any, ...]:
    hour = shown[3]
    return (
        MONTHS[shown[1] - 1],
        _FROM_MONDAY[shown[6]],
        HALVES[hour >= 12],
        shown[0] % 100,
        hour % 12 or 12,
        milliseconds,
    )


@lru_cache(512)
def _template(pattern: str) -> _Template | None:
    """The template for a pattern, if all its letters are common ones."""
    text, indices = "", []
    for part in parts(pattern):
        if isinstance(part, str):
            text += part.replace("%", "%%")
            continue
        placed = _placed(part)
        if placed is None:
            return None
        index, place = placed
        indices.append(index)
        text += place
    if not indices:
        return None
    return _Template(text, itemgetter(*indices), max(indices) >= _MONTH, _ZONE in indices)


def _placed(part: Letters) -> tuple[int, str] | None:
    letter, count = part.letter, part.count
    if letter == "E":
        return _WEEKDAY, "%.3s" if count <= 3 else "%s"
    if letter in "ML" and count > 2:
        return _MONTH, "%.3s" if count == 3 else "%s"
    if letter == "a" or (letter == "z" and count < 4):
        return _HALF if letter == "a" else _ZONE, "%s"
    index = {"h": _HOUR_OF_HALF, "S": _MILLISECOND}.get(letter, _SHOWN.get(letter))
    if letter == "y" and count == 2:
        index = _YEAR_OF_CENTURY
    return None if index is None else (index, f"%0{count}d")


def _written(part: Letters, moment: Moment, zone: Zone) -> str:
    letter, count = part.letter, part.count
    if letter in _NUMBERS:
        return _padded(_NUMBERS[letter](moment), count)
    if letter in "yY":
        year = moment.year if letter == "y" else moment.week_of_year_and_year[1]
        return _padded(abs(year) % 100, 2) if count == 2 else _padded(year, count)
    if letter in "ML":
        name = MONTHS[moment.month - 1]
        return _padded(moment.month, count) if count <= 2 else name[:3] if count == 3 else name
    if letter == "E":
        return WEEKDAYS[moment.weekday - 1][: 3 if count <= 3 else None]
    if letter == "a":
        return HALVES[moment.hour >= 12]
    if letter == "G":
        return ERAS[moment.era]
    if letter == "z":
        return zone.name(moment.epoch, long=count >= 4)
    return _offset(part, moment.offset // 60_000)


_NUMBERS: dict[str, Callable[[Moment], int]] = {
    "w": lambda moment: moment.week_of_year_and_year[0],
    "W": lambda moment: moment.week_of_month,
    "D": lambda moment: moment.day_of_year,
    "d": lambda moment: moment.day,
    "F": lambda moment: (moment.day - 1) // 7 + 1,
    "u": lambda moment: (moment.weekday + 5) % 7 + 1,
    "H": lambda moment: moment.hour,
    "k": lambda moment: moment.hour or 24,
    "K": lambda moment: moment.hour % 12,
    "h": lambda moment: moment.hour % 12 or 12,
    "m": lambda moment: moment.minute,
    "s": lambda moment: moment.second,
    "S": lambda moment: moment.millisecond,
}


def _padded(number: int, count: int) -> str:
    return f"{'-' * (number < 0)}{abs(number):0{count}d}"


def _offset(part: Letters, minutes: int) -> str:
    if part.letter == "X" and minutes == 0:
        return "Z"
    hours, rest = divmod(abs(minutes), 60)
    sign = "-" if minutes < 0 else "+"
    if part.letter == "X" and part.count == 1:
        return f"{sign}{hours:02}"
    return f"{sign}{hours:02}{':' * (part.letter == 'X' and part.count == 3)}{rest:02}"


# -- Reading ----------------------------------------------------------------------------------------------------------


@dataclass
class Fields:
    """What a text said of a date, by pattern letter, and in which order: the later outweighs the earlier.

    `H` stands for the hour of the day, `K` for that of half a day, `E` for the day of the week (Sunday is 1), `M` for
    the month from 1. offset: milliseconds from UTC, where the text had a zone
    """

    values: dict[str, int] = field(default_factory=dict)
    order: dict[str, int] = field(default_factory=dict)
    offset: int | None = None
    near_century: bool = False

    def set(self, letter: str, value: int) -> None:
        self.values[letter] = value
        self.order[letter] = 1 + max(self.order.values(), default=0)

    def rank(self, *letters: str) -> int:
        """How late the last of several was said; 0 if one was not."""
        ranks = [self.order.get(letter, 0) for letter in letters]
        return max(ranks) if min(ranks) else 0


def read(pattern: str, text: str, zone: Zone, *, lenient: bool = True) -> int | None:
    """The epoch milliseconds that the beginning of a text stands for; None if it does not fit the pattern.

    lenient: whether a month 13 is January of the next year, and so on; otherwise that does not fit
    """
    # Of UTC a text can say nothing that clocks do not show
    if (lenient or zone is DEFAULT) and (shape := _shape(pattern)) and (match := shape.text.match(text)):
        try:
            year, month, day, hour, minute, second = [
                int(match[group]) if group else least for group, least in shape.groups
            ]
            number = datetime(year, month, day, hour, minute, second).toordinal() - _EPOCH_DAY
        except ValueError:
            pass  # a day or an hour that there is not, which may be meant for one that there is
        else:
            reading = number * MS_A_DAY + ((hour * 60 + minute) * 60 + second) * 1000
            return (
                reading - zone.offset_of_wall(reading) + (int(match[shape.milliseconds]) if shape.milliseconds else 0)
            )
    return _read_any(pattern, text, zone, lenient=lenient)


def _read_any(pattern: str, text: str, zone: Zone, *, lenient: bool) -> int | None:
    fields = Fields()
    at = 0
    for part in parts(pattern):
        end = _matched(part, text, at) if isinstance(part, str) else _field(part, text, at, zone, fields, lenient)
        if end is None:
            return None
        at = end
    if at == 0:
        return None
    if not lenient and not _within_ranges(fields):
        return None
    epoch = _epoch(fields, zone)
    if fields.near_century and epoch < _century_start():
        fields.values["y"] += 100
        epoch = _epoch(fields, zone)
    return epoch if lenient or _says(fields, epoch, zone) else None


@dataclass(frozen=True)
class _Shape:
    """What texts look like that hold a date in the plainest way for a pattern.

    groups: of year, month, day, hour, minute and second each the group that has it, or 0 and what it is then
    milliseconds: the group that has them, or 0
    """

    text: re.Pattern[str]
    groups: tuple[tuple[int, int], ...]
    milliseconds: int


_EPOCH_DAY = datetime(1970, 1, 1).toordinal()
_DIGITS_OF = {"y": 4, "M": 2, "d": 2, "H": 2, "m": 2, "s": 2, "S": 3}


@lru_cache(512)
def _shape(pattern: str) -> _Shape | None:
    """The shape for a pattern of a year in full and other numbers, each said once."""
    text, letters = "", []
    for part in parts(pattern):
        if isinstance(part, str):
            if part[:1].isdigit():
                return None
            text += re.escape(part)
            continue
        most = _DIGITS_OF.get(part.letter)
        if most is None or part.letter in letters or part.count > most or (part.letter == "y" and part.count < 3):
            return None
        letters.append(part.letter)
        digits = f"[0-9]{{{part.count if part.crowded else f'1,{most}'}}}"
        text += "(19[7-9][0-9]|[2-9][0-9]{3})" if part.letter == "y" else f"({digits})"
    if "y" not in letters:
        return None
    groups = tuple((letters.index(letter) + 1 if letter in letters else 0, least) for letter, least in _LEAST)
    return _Shape(re.compile(text + r"(?!\d)"), groups, letters.index("S") + 1 if "S" in letters else 0)


_LEAST = (("y", 1970), ("M", 1), ("d", 1), ("H", 0), ("m", 0), ("s", 0))


def _matched(literal: str, text: str, at: int) -> int | None:
    return at + len(literal) if text.startswith(literal, at) else None


_NUMBER = re.compile(r"-?\d+")


def _field(part: Letters, text: str, at: int, zone: Zone, fields: Fields, lenient: bool) -> int | None:
    """Where the text goes on after a field, or None if it isn't there; what the field says is put into `fields`."""
    start = at
    while start < len(text) and text[start] in " \t":
        start += 1
    if start == len(text):
        return None
    letter = part.letter
    if _is_numeric(part):
        return _number_field(part, text, at, start, fields, lenient)
    if letter in "zZ":
        return _zone_field(text, at, start, zone, fields)
    if letter == "X":
        return _iso_zone_field(part, text, start, fields)
    # Java looks for names without leaving out blanks
    names, first = {"M": (MONTHS, 1), "L": (MONTHS, 1), "E": (WEEKDAYS, 1), "a": (HALVES, 0), "G": (ERAS, 0)}[letter]
    index, end = _name(text, at, names)
    if end is None:
        return None
    fields.set("M" if letter == "L" else letter, index + first)
    return end


def _name(text: str, at: int, names: tuple[str, ...]) -> tuple[int, int | None]:
    for length in (None, 3):
        for index, name in enumerate(names):
            short = name[:length]
            if text[at : at + len(short)].lower() == short.lower():
                return index, at + len(short)
    return 0, None


def _number_field(part: Letters, text: str, at: int, start: int, fields: Fields, lenient: bool) -> int | None:
    letter, count = part.letter, part.count
    end = at + count if part.crowded else len(text)
    match = _NUMBER.match(text, start, end) if end <= len(text) else None
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
    """The int that Java makes of digits: of a number of 64 bits the lowest 32, of a larger one the nearest."""
    value = int(digits[:40])
    if not -(2**63) <= value < 2**63:
        return 2**31 - 1 if value > 0 else -(2**31)
    return (value + 2**31) % 2**32 - 2**31


def _century_start() -> int:
    """80 years ago."""
    today = Moment(time.time_ns() // 1_000_000)
    number = day_number(today.astronomical_year - 80, today.month, today.day)
    return number * MS_A_DAY + today.millisecond_of_day


def _in_century(value: int, fields: Fields) -> int:
    """A year of two digits within the century that began 80 years ago."""
    first = Moment(_century_start()).astronomical_year
    fields.near_century = value == first % 100
    return value + first // 100 * 100 + (100 if value < first % 100 else 0)


# -- Zones in a text


_HHMM = re.compile(r"([01]\d|2[0-3])([0-5]\d)", re.ASCII)
_HH_MM = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)", re.ASCII)
_HH_COLON_MM = re.compile(r"([01]\d|2[0-3]):([0-5]\d)", re.ASCII)
_HH = re.compile(r"([01]\d|2[0-3])", re.ASCII)


def _zone_field(text: str, at: int, start: int, zone: Zone, fields: Fields) -> int | None:
    if text[start] in "+-":
        return _signed_offset(text, start, _HHMM, fields)
    if text[at : at + 3].upper() == "GMT":
        after = at + 3
        if text[after : after + 1] in ("+", "-"):
            return _signed_offset(text, after, _HH_MM, fields)
        fields.offset = 0
        return after
    return _zone_name(text, start, zone, fields)


def _signed_offset(text: str, start: int, form: re.Pattern[str], fields: Fields) -> int | None:
    match = form.match(text, start + 1)
    if match is None:
        return None
    minutes = int(match[1]) * 60 + (int(match[2]) if form.groups > 1 else 0)
    fields.offset = minutes * 60_000 * (-1 if text[start] == "-" else 1)
    return match.end()


def _zone_name(text: str, start: int, zone: Zone, fields: Fields) -> int | None:
    for name, offset in (*zone.names, *_ZONE_NAMES):
        if text[start : start + len(name)].lower() == name.lower():
            fields.offset = offset
            return start + len(name)
    return None


_ZONE_NAMES = tuple(
    (name, minutes * 60_000) for abbreviation, minutes, long in _zones.NAMES for name in (long, abbreviation)
)


def _iso_zone_field(part: Letters, text: str, start: int, fields: Fields) -> int | None:
    if text[start] == "Z":
        fields.offset = 0
        return start + 1
    if text[start] not in "+-":
        return None
    return _signed_offset(text, start, (_HH, _HHMM, _HH_COLON_MM)[part.count - 1], fields)


# -- From fields to a moment


_RANGES = {
    "y": (1, 292_278_994),
    "Y": (1, 292_278_994),
    "M": (1, 12),
    "w": (1, 53),
    "W": (0, 6),
    "D": (1, 366),
    "d": (1, 31),
    "F": (-1, 6),
    "E": (1, 7),
    "H": (0, 23),
    "K": (0, 11),
    "m": (0, 59),
    "s": (0, 59),
    "S": (0, 999),
}


def _within_ranges(fields: Fields) -> bool:
    return all(
        least <= fields.values[letter] <= most for letter, (least, most) in _RANGES.items() if letter in fields.values
    )


def _says(fields: Fields, epoch: int, zone: Zone) -> bool:
    """Whether a moment shows all that the text said of it."""
    moment = Moment(epoch, zone.offset(epoch) if fields.offset is None else fields.offset)
    shown = {
        "G": moment.era,
        "y": moment.year,
        "Y": moment.week_of_year_and_year[1],
        "M": moment.month,
        "E": moment.weekday,
        "a": moment.hour // 12,
        **{letter: _NUMBERS[letter](moment) for letter in "wWDdFHKmsS"},
    }
    return all(shown[letter] == value for letter, value in fields.values.items())


def _epoch(fields: Fields, zone: Zone) -> int:
    values = fields.values
    clock = _milliseconds_of_clock(fields)
    days, rest = divmod(clock, MS_A_DAY)
    if fields.order.get("Y", 0) > fields.order.get("y", 0):
        number = _day_of_week_date(values) + days
    else:
        year = values.get("y", 1970)
        number = _day(fields, 1 - year if values.get("G") == 0 else year) + days
    reading = number * MS_A_DAY + rest
    return reading - (zone.offset_of_wall(reading) if fields.offset is None else fields.offset)


def _milliseconds_of_clock(fields: Fields) -> int:
    values = fields.values
    hours = values.get("H", 0)
    if "K" in values or "a" in values:
        half_hours = fields.rank("K", "a") or (0 if "H" in values else max(fields.rank("K"), fields.rank("a")))
        if half_hours > fields.rank("H"):
            hours = values.get("K", 0) + 12 * values.get("a", 0)
    return ((hours * 60 + values.get("m", 0)) * 60 + values.get("s", 0)) * 1000 + values.get("S", 0)


def _day_of_week_date(values: dict[str, int]) -> int:
    """The day of a year of weeks, a week in it and a day in that."""
    first_week = on_or_before(day_number(values["Y"], 1), 1)
    return first_week + 7 * (values.get("w", 1) - 1) + values.get("E", 1) - 1


def _day(fields: Fields, year: int) -> int:
    """The day that the text means, by the fields of those said last that make one."""
    values = fields.values
    if values.keys().isdisjoint("DEFWw"):
        return day_number(year, values.get("M", 1), values.get("d", 1))
    by = fields.rank
    of_month, of_year = by("d"), by("D")
    week_of_month, nth, week_of_year = by("W", "E"), by("F", "E"), by("w", "E")
    best = max(of_month, week_of_month, nth, of_year, week_of_year)
    if not best:
        week_of_month, nth, week_of_year = by("W"), max(by("F"), by("E")), by("w")
        best = max(week_of_month, nth, week_of_year)
        if not best:
            of_month = best = by("M")
    if best == of_month:
        return day_number(year, values.get("M", 1), values.get("d", 1))
    first = day_number(year, values.get("M", 1))
    if best == week_of_month and by("W") >= by("w"):
        return _in_week(first, values["W"], values.get("E"))
    if best == nth and by("F") >= by("w"):
        return _nth_weekday(year, values)
    if best == of_year:
        return day_number(year, 1) + values["D"] - 1
    return _in_week(day_number(year, 1), values["w"], values.get("E"))


def _in_week(first: int, week: int, day_of_week: int | None) -> int:
    start = on_or_before(first, 1) + 7 * (week - 1)
    return start if day_of_week is None else start + (day_of_week - 1) % 7


def _nth_weekday(year: int, values: dict[str, int]) -> int:
    month, nth = values.get("M", 1), values.get("F", 1)
    day_of_week = (values.get("E", 1) - 1) % 7 + 1
    if nth >= 0:
        return on_or_before(day_number(year, month) + 7 * nth - 1, day_of_week)
    return on_or_before(day_number(year, month + 1) - 1 + 7 * (nth + 1), day_of_week)
