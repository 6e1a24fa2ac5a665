"""Conversions of values to strings, booleans and numbers, by the rules of Metron's Java.

`to_string` converts every value. The others return None for null and for values that can't be converted, convert the
first element of a list, set or bytes, and raise ValueError for Python objects that are not Stellar values.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from types import FunctionType

from stellar.java.doubles import print_double
from stellar.java.integers import INT_MAX, INT_MIN, LONG_MAX, LONG_MIN
from stellar.language.limits import check_string, measure
from stellar.language.python_values import describe_foreign, from_python, is_foreign

FLOAT_MAX = (2 - 2**-23) * 2.0**127
# The nearest binary32 number to this one and larger ones is infinite
_FLOAT_OVERFLOW = (2 - 2**-24) * 2.0**127

_BOOLEANS = {
    **dict.fromkeys(("true", "yes", "y", "on", "1"), True),
    **dict.fromkeys(("false", "no", "n", "off", "0"), False),
}
# The characters that Java's String.trim removes
JAVA_WHITESPACE = "".join(map(chr, range(0x21)))
_INTEGER = re.compile(r"[+-]?\d+")
_DECIMAL = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)[fd]?", re.ASCII | re.IGNORECASE)
_HEXADECIMAL = re.compile(r"([+-]?0x(?:[\da-f]+\.?[\da-f]*|\.[\da-f]+)p[+-]?\d+)[fd]?", re.ASCII | re.IGNORECASE)
_WORD = re.compile(r"[+-]?(?:NaN|Infinity)")


def to_string(value: object) -> str:
    """Convert a value to a string as Java prints it: `true`, `null`, `1.0E7`, `[a, b]`, `{k=v}`; bytes are UTF-8.

    Raises LimitExceeded for a value that is too large, such as a list that contains itself.
    """
    if value.__class__ is str:
        return value
    if value.__class__ in _SCALARS:
        return _WRITERS[value.__class__](value)
    measure(value)
    return check_string(_to_string(value))


def _to_string(value: object) -> str:
    write = _WRITERS.get(value.__class__)
    if write is not None:
        return write(value)
    value = from_python(value)
    for kind, write in _WRITERS.items():  # a subclass
        if isinstance(value, kind):
            return write(value)
    if isinstance(value, Mapping):  # `_`, all fields: a null counts as missing
        return _map_to_string((key, item) for key, item in value.items() if item is not None)
    if type(value).__str__ is object.__str__ and type(value).__repr__ is object.__repr__ and is_foreign(value):
        raise ValueError(f"can't convert {describe_foreign(value)} to a string")
    return str(value)


def _list_to_string(values: Iterable[object]) -> str:
    return f"[{', '.join(map(_to_string, values))}]"


def _map_to_string(items: Iterable[tuple[object, object]]) -> str:
    return "{" + ", ".join([f"{_to_string(key)}={_to_string(value)}" for key, value in items]) + "}"


# In this order, because a bool is also an int
_WRITERS: dict[type, Callable[..., str]] = {
    str: str.__str__,
    bool: lambda value: "true" if value else "false",
    int: int.__repr__,
    float: print_double,
    type(None): lambda _: "null",
    list: _list_to_string,
    dict: lambda value: _map_to_string(value.items()),
    set: _list_to_string,
    frozenset: _list_to_string,
    tuple: _list_to_string,
    bytes: lambda value: value.decode("utf-8", "replace"),
    FunctionType: lambda _: "a lambda",
}
_SCALARS = frozenset({bool, int, float, type(None)})


def first_of(value: object) -> object:
    """Return the first element of a list, set or bytes, None if it is empty; any other value unchanged."""
    value = from_python(value)
    if isinstance(value, list | set):
        return from_python(next(iter(value), None))
    if isinstance(value, bytes):
        return int.from_bytes(value[:1], signed=True) if value else None
    return value


def _require_own(value: object, noun: str) -> None:
    """Raise ValueError for a foreign object, for which null would be a wrong result."""
    if is_foreign(value):
        raise ValueError(f"can't convert {describe_foreign(value)} to {noun}")


def to_optional_string(value: object) -> str | None:
    """Convert a value, or the first element of a collection, to a string; None for null."""
    if value.__class__ is str:
        return value
    value = first_of(value)
    return None if value is None else to_string(value)


def to_boolean(value: object) -> bool | None:
    """Convert a value to a boolean by its string: `true yes y on 1` or `false no n off 0`, in any case; else None."""
    if value.__class__ is bool:
        return value
    if value.__class__ is str:
        return _BOOLEANS.get(value.lower())
    value = first_of(value)
    if value is None or isinstance(value, float | Mapping):
        return None
    _require_own(value, "a boolean")
    return _BOOLEANS.get(to_string(value).lower())


def to_integer(value: object) -> int | None:
    """Convert to an integer of 32 bits; None if it is out of range.

    A float is truncated, and NaN is 0. A string must consist of an optional sign and digits.
    """
    return _within(_truncate(first_of(value)), INT_MIN, INT_MAX)


def to_long(value: object) -> int | None:
    """Convert to an integer of 64 bits, like `to_integer`; but a float out of range becomes the nearest integer.

    A date becomes its epoch milliseconds.
    """
    number = first_of(value)
    if isinstance(number, datetime):
        number = round((number if number.tzinfo else number.replace(tzinfo=UTC)).timestamp() * 1000)
    integer = _truncate(number)
    if integer is not None and isinstance(number, float):
        return max(LONG_MIN, min(LONG_MAX, integer))
    return _within(integer, LONG_MIN, LONG_MAX)


def _truncate(value: object) -> int | None:
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        if value - value == 0:
            return int(value)
        return 0 if value != value else LONG_MAX if value > 0 else LONG_MIN
    if isinstance(value, str):
        digits = value.strip(JAVA_WHITESPACE)
        # A longer one is out of range or has leading zeros; Python rejects more than 4,300 digits
        if _INTEGER.fullmatch(digits) and len(digits) < 4000:
            return int(digits)
    _require_own(value, "an integer")
    return None


def _within(number: int | None, least: int, most: int) -> int | None:
    return number if number is not None and least <= number <= most else None


def to_double(value: object) -> float | None:
    """Convert to a float. Strings are parsed as in Java: `1e3`, `.5`, `1.5d`, `NaN`, `Infinity`, `0x1p3`, trimmed."""
    value = first_of(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, int):
        try:
            return float(value)
        except OverflowError:
            return math.inf if value > 0 else -math.inf
    _require_own(value, "a number")
    return _parse_double(value.strip(JAVA_WHITESPACE)) if isinstance(value, str) else None


def _parse_double(string: str) -> float | None:
    if match := _DECIMAL.fullmatch(string):
        return float(match[1])
    if match := _HEXADECIMAL.fullmatch(string):
        try:
            return float.fromhex(match[1])
        except OverflowError:
            return -math.inf if string.startswith("-") else math.inf
    return float(string) if _WORD.fullmatch(string) else None


def to_float(value: object) -> float | None:
    """Convert to a float in the range of 32-bit floats, without rounding to their precision.

    A number above the range becomes None. A number below it, and a string out of range, becomes infinite.
    """
    value = first_of(value)
    number = to_double(value)
    if number is None or -FLOAT_MAX <= number <= FLOAT_MAX or number != number:
        return number
    if number > FLOAT_MAX and not isinstance(value, str):
        return None
    if abs(number) < _FLOAT_OVERFLOW:
        return math.copysign(FLOAT_MAX, number)
    return math.copysign(math.inf, number)
