"""The fields of a parsed date, and the instant that they define, as Java's calendar computes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from stellar.java.calendar import MS_A_DAY, LocalDateTime, day_number, on_or_before
from stellar.java.timezones import Zone

# The values of numeric pattern letters
NUMBERS: dict[str, Callable[[LocalDateTime], int]] = {
    "w": lambda local: local.week_of_year_and_year[0],
    "W": lambda local: local.week_of_month,
    "D": lambda local: local.day_of_year,
    "d": lambda local: local.day,
    "F": lambda local: (local.day - 1) // 7 + 1,
    "u": lambda local: (local.weekday + 5) % 7 + 1,
    "H": lambda local: local.hour,
    "k": lambda local: local.hour or 24,
    "K": lambda local: local.hour % 12,
    "h": lambda local: local.hour % 12 or 12,
    "m": lambda local: local.minute,
    "s": lambda local: local.second,
    "S": lambda local: local.millisecond,
}


@dataclass
class DateFields:
    """The fields of a parsed date.

    values: values by pattern letter: `H` is the hour of the day, `K` that of half a day, `E` the day of the week
        (Sunday is 1), `M` the month from 1
    order: rank of each letter; a later field takes precedence over an earlier one
    offset: milliseconds from UTC, if the string had an offset
    zone: the zone, if the string had its name
    savings: milliseconds of daylight saving time, if the name was that of one of the two times of the zone
    near_century: True for a year of two digits at the limit of the century
    """

    values: dict[str, int] = field(default_factory=dict)
    order: dict[str, int] = field(default_factory=dict)
    offset: int | None = None
    zone: Zone | None = None
    savings: int | None = None
    near_century: bool = False

    def set(self, letter: str, value: int) -> None:
        self.values[letter] = value
        self.order[letter] = 1 + max(self.order.values(), default=0)

    def set_offset(self, offset: int) -> None:
        self.offset, self.zone, self.savings = offset, None, None

    def rank(self, *letters: str) -> int:
        """Return the rank of the last of several fields; 0 if one of them is missing."""
        ranks = [self.order.get(letter, 0) for letter in letters]
        return max(ranks) if min(ranks) else 0


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


# The fields that Java's calendar sets from the date of a week
_OF_WEEK_DATE = "GyMdw"


def is_within_ranges(fields: DateFields) -> bool:
    ignored = _OF_WEEK_DATE if _has_week_date(fields) else ""
    return all(
        least <= fields.values[letter] <= most
        for letter, (least, most) in _RANGES.items()
        if letter in fields.values and letter not in ignored
    )


def is_consistent(fields: DateFields, epoch: int, zone: Zone) -> bool:
    """Return True if the local time has the values of all parsed fields."""
    local = LocalDateTime(epoch, _offset_at(fields, epoch, zone))
    actual = {
        "G": local.era,
        "y": local.year,
        "Y": local.week_of_year_and_year[1],
        "M": local.month,
        "E": local.weekday,
        "a": local.hour // 12,
        **{letter: NUMBERS[letter](local) for letter in "wWDdFHKmsS"},
    }
    ignored = _OF_WEEK_DATE if _has_week_date(fields) else "Y"
    return all(actual[letter] == value for letter, value in fields.values.items() if letter not in ignored)


def _offset_at(fields: DateFields, epoch: int, zone: Zone) -> int:
    """Return the offset at an instant.

    zone: the zone of strings without one
    """
    if fields.offset is not None:
        return fields.offset
    zone = fields.zone or zone
    savings = 0 if fields.savings is None else fields.savings - zone.savings_at(epoch)
    return zone.offset(epoch) + savings


def _has_week_date(fields: DateFields) -> bool:
    """Return True if the year of a week defines the date, because it was parsed after a year."""
    return fields.order.get("Y", 0) > fields.order.get("y", 0)


def compute_epoch(fields: DateFields, zone: Zone) -> int:
    values = fields.values
    milliseconds = _milliseconds_of_day(fields)
    days, rest = divmod(milliseconds, MS_A_DAY)
    if _has_week_date(fields):
        number = _week_date(values) + days
    else:
        year = values.get("y", 1970)
        number = _find_day(fields, 1 - year if values.get("G") == 0 else year) + days
    reading = number * MS_A_DAY + rest
    return reading - _offset(fields, reading, zone)


def _offset(fields: DateFields, reading: int, zone: Zone) -> int:
    """Return the offset of a local time.

    zone: the zone of strings without one
    """
    if fields.offset is not None:
        return fields.offset
    zone = fields.zone or zone
    if fields.savings is None:
        return zone.offset_of_wall(reading)
    return zone.standard_offset_of_wall(reading) + fields.savings


def _milliseconds_of_day(fields: DateFields) -> int:
    values = fields.values
    hours = values.get("H", 0)
    if "K" in values or "a" in values:
        half_hours = fields.rank("K", "a") or (0 if "H" in values else max(fields.rank("K"), fields.rank("a")))
        if half_hours > fields.rank("H"):
            hours = values.get("K", 0) + 12 * values.get("a", 0)
    return ((hours * 60 + values.get("m", 0)) * 60 + values.get("s", 0)) * 1000 + values.get("S", 0)


def _week_date(values: dict[str, int]) -> int:
    """Return the number of the day given by week year, week and day of the week."""
    year, week, day = values["Y"], values.get("w", 1), values.get("E", 1)
    first_week = on_or_before(day_number(1 - year if values.get("G") == 0 else year, 1), 1)
    if not 1 <= day <= 7:  # Java counts these from Monday
        weeks, day_from_monday = divmod(day - 1, 7)
        week, day = week + weeks, (day_from_monday + 1) % 7 + 1
    return first_week + 7 * (week - 1) + day - 1


def _find_day(fields: DateFields, year: int) -> int:
    """Return the number of the day; if several sets of fields define one, the set parsed last counts."""
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
    if best == week_of_month and by("W") >= by("w") and (week_of_month != nth or by("W") >= by("F")):
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
