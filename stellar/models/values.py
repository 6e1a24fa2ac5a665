"""Values of a model's fields: their types, conversions and order.

A missing value is None. Integers, doubles, strings and booleans are Python's; a binary32 number is a `Single`, so that
arithmetic on two of them can give a third. Dates and times are those of `datetime`.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable
from datetime import date, datetime, time
from typing import Any

from stellar.java.doubles import print_double
from stellar.util.abbreviate import quote

_BINARY32 = struct.Struct("f")
_LARGEST_INTEGER = 2**31 - 1


class Single(float):
    """A binary32 number."""

    __slots__ = ()


def round_single(value: float) -> float:
    """Return the nearest binary32 number; infinity beyond the largest, for which the native format has no error."""
    return _BINARY32.unpack(_BINARY32.pack(value))[0]  # type: ignore[no-any-return]


def identity(value: float) -> float:
    """Return the value, which is the rounding of binary64 arithmetic."""
    return value


# -- Numbers ----------------------------------------------------------------------------------------------------------

_NUMBER = re.compile(r"\s*[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?[fFdD]?|NaN|Infinity|INF)\s*", re.ASCII)
_PLAIN_NUMBER = re.compile(r"-?\d+(?:\.\d+)?", re.ASCII)
_INTEGER = re.compile(r"[+-]?\d{1,400}", re.ASCII)


def parse_double(string: str) -> float:
    """Return the number of a string, as Java reads it. Raise ValueError for others."""
    if _PLAIN_NUMBER.fullmatch(string) is not None:  # most are
        return float(string)
    if _NUMBER.fullmatch(string) is None:
        raise ValueError(f"expected a number, got {quote(string, 80)}")
    stripped = string.strip()
    return float(stripped[:-1] if stripped[-1] in "fFdD" and stripped[-2] in "0123456789." else stripped)


def parse_integer(string: str) -> int:
    """Return the integer of a string; `3.0` is one."""
    if _INTEGER.fullmatch(string):
        return _in_range(int(string))
    try:
        return integer_of_double(parse_double(string))
    except ValueError:
        raise ValueError(f"expected an integer, got {quote(string, 80)}") from None


def integer_of_double(value: float) -> int:
    """Return the integer that a float is equal to. Raise ValueError for others."""
    if not value.is_integer():
        raise ValueError(f"expected an integer, got {quote(value)}")
    return _in_range(int(value))


def _in_range(value: int) -> int:
    if not -_LARGEST_INTEGER - 1 <= value <= _LARGEST_INTEGER:
        raise ValueError(f"expected an integer of 32 bits, got {quote(value, 40)}")
    return value


def parse_boolean(string: str) -> bool:
    """Return the boolean of a string."""
    lowered = string.strip().lower()
    if lowered in ("true", "1", "1.0"):
        return True
    if lowered in ("false", "0", "0.0"):
        return False
    raise ValueError(f"expected true or false, got {quote(string, 80)}")


# -- Conversions ------------------------------------------------------------------------------------------------------


def to_string(value: Any) -> str:
    """Return the string of a value, with numbers as Java prints them."""
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case Single():
            return print_single(value)
        case float():
            return print_double(value)
        case datetime():
            return value.isoformat()
        case int() | date() | time():
            return str(value)
    raise ValueError(f"expected a single value, got {quote(value, 80)}")


def name_share(category: Any) -> str:
    """Return the name of the probability of a category in a result."""
    return f"probability({to_string(category)})"


def print_single(value: float) -> str:
    """Return the shortest string that denotes a binary32 number, as Java prints it."""
    if not math.isfinite(value):
        return print_double(value)
    for digits in range(1, 10):
        shortest = float(f"{value:.{digits}g}")
        if round_single(shortest) == value:
            return print_double(shortest)
    return print_double(value)


def to_double(value: Any) -> float:
    """Convert a value to a binary64 number."""
    if isinstance(value, str):
        return parse_double(value)
    if isinstance(value, int | float):
        try:
            return float(value)
        except OverflowError:
            raise ValueError("expected a number of 64 bits, got an integer beyond its range") from None
    raise ValueError(f"expected a number, got {describe(value)}")


def to_single(value: Any) -> float:
    """Convert a value to a binary32 number."""
    return value if isinstance(value, Single) else Single(round_single(to_double(value)))


def to_integer(value: Any) -> int:
    """Convert a value to an integer. Raise ValueError for a fraction."""
    if isinstance(value, str):
        return parse_integer(value)
    if isinstance(value, int):
        return _in_range(int(value))
    if isinstance(value, float):
        return integer_of_double(value)
    raise ValueError(f"expected an integer, got {describe(value)}")


def to_boolean(value: Any) -> bool:
    """Convert a value to a boolean; 1 is true and 0 is false."""
    if isinstance(value, str):
        return parse_boolean(value)
    if isinstance(value, int | float) and value in (0, 1):
        return bool(value)
    raise ValueError(f"expected true or false, got {describe(value)}")


def to_date(value: Any) -> date:
    """Convert a value to a date."""
    if isinstance(value, str):
        return date.fromisoformat(value)
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, date):
        return value
    raise ValueError(f"expected a date as 2026-01-31, got {describe(value)}")


def to_time(value: Any) -> time:
    """Convert a value to a time of day."""
    if isinstance(value, str):
        return time.fromisoformat(value)
    if isinstance(value, datetime):
        return value.time()
    if isinstance(value, time):
        return value
    raise ValueError(f"expected a time as 23:59:59, got {describe(value)}")


def to_datetime(value: Any) -> datetime:
    """Convert a value to a date with a time."""
    if isinstance(value, str):
        return datetime.fromisoformat(value)
    if isinstance(value, datetime):
        return value
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day)
    raise ValueError(f"expected a date and time as 2026-01-31T23:59:59, got {describe(value)}")


def describe(value: object) -> str:
    """Return a value, abbreviated, for messages."""
    return f"{quote(value, 80)}"


Conversion = Callable[[Any], Any]

# The conversions by the name of the type
CONVERSIONS: dict[str, Conversion] = {
    "string": to_string,
    "integer": to_integer,
    "float": to_single,
    "double": to_double,
    "boolean": to_boolean,
    "date": to_date,
    "time": to_time,
    "dateTime": to_datetime,
}
_ELAPSED = re.compile(r"(date|dateTime)(Days|Seconds)Since\[(\d{1,4}|0)\]|timeSeconds")


def find_conversion(data_type: str) -> Conversion | None:
    """Return the conversion to a type, or None for an unknown type."""
    if data_type in CONVERSIONS:
        return CONVERSIONS[data_type]
    if (match := _ELAPSED.fullmatch(data_type)) is None:
        return None
    if data_type == "timeSeconds":
        return _to_seconds_of_day
    kind, unit, year = match[1], match[2], int(match[3]) or 1
    if (kind, unit) not in (("date", "Days"), ("dateTime", "Seconds")):
        return None
    start = datetime(year if match[3] != "0" else 1, 1, 1)
    return _days_since(start) if unit == "Days" else _seconds_since(start)


def _to_seconds_of_day(value: Any) -> int:
    if isinstance(value, int):
        return value
    at = to_time(value)
    return at.hour * 3600 + at.minute * 60 + at.second


def _days_since(start: datetime) -> Conversion:
    return lambda value: value if type(value) is int else (to_date(value) - start.date()).days


def _seconds_since(start: datetime) -> Conversion:
    def convert(value: Any) -> int:
        return value if type(value) is int else math.floor((to_datetime(value) - start).total_seconds())

    return convert


def infer_constant(string: str) -> Any:
    """Return the value of a constant without a type: an integer, a double or a string."""
    for parse in (parse_integer if _INTEGER.fullmatch(string) else parse_double, parse_double):
        try:
            return parse(string)
        except ValueError:
            continue
    return string


def type_of(value: Any) -> str:
    """Return the name of a value's type."""
    for kind, name in _TYPES:
        if isinstance(value, kind):
            return name
    raise ValueError(f"expected a single value, got {describe(value)}")


_TYPES: tuple[tuple[type, str], ...] = (
    (str, "string"),
    (bool, "boolean"),
    (int, "integer"),
    (Single, "float"),
    (float, "double"),
    (datetime, "dateTime"),
    (date, "date"),
    (time, "time"),
)
