"""What values become where another kind of value is wanted: texts, truth and numbers, by the rules of Metron's Java.

`to_text` gives every value a text. The others give None for null and for what cannot be converted. Of a list, set or
bytes they take the first element.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from types import FunctionType

from stellar.java.integers import INT_MAX, INT_MIN, LONG_MAX, LONG_MIN

FLOAT_MAX = (2 - 2**-23) * 2.0**127
# From here on the nearest binary32 number is infinite
_FLOAT_OVERFLOW = (2 - 2**-24) * 2.0**127

_TRUTH = {
    **dict.fromkeys(("true", "yes", "y", "on", "1"), True),
    **dict.fromkeys(("false", "no", "n", "off", "0"), False),
}
# What Java's trim takes away
BLANKS = "".join(map(chr, range(0x21)))
_INTEGER = re.compile(r"[+-]?\d+")
_DECIMAL = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)[fd]?", re.ASCII | re.IGNORECASE)
_HEXADECIMAL = re.compile(r"([+-]?0x(?:[\da-f]+\.?[\da-f]*|\.[\da-f]+)p[+-]?\d+)[fd]?", re.ASCII | re.IGNORECASE)
_WORD = re.compile(r"[+-]?(?:NaN|Infinity)")


def to_text(value: object) -> str:
    """The text of a value, as Java prints it: `true`, `null`, `1.0E7`, `[a, b]`, `{k=v}`; bytes are read as UTF-8.

    Raises ValueError for a value that is nested too deep to be written, such as a list that holds itself.
    """
    if value.__class__ is str:
        return value
    try:
        return _text(value)
    except RecursionError:
        raise ValueError("a value nested this deep, or one that holds itself, has no text form") from None


def _text(value: object) -> str:
    write = _WRITERS.get(value.__class__)
    if write is not None:
        return write(value)
    for kind, write in _WRITERS.items():  # a subclass
        if isinstance(value, kind):
            return write(value)
    if isinstance(value, Mapping):  # `_`, all fields: nulls are as good as absent
        return _map_text((key, item) for key, item in value.items() if item is not None)
    return str(value)


def _list_text(values: Iterable[object]) -> str:
    return f"[{', '.join(map(_text, values))}]"


def _map_text(items: Iterable[tuple[object, object]]) -> str:
    return "{" + ", ".join([f"{_text(key)}={_text(value)}" for key, value in items]) + "}"


def _float_text(value: float) -> str:
    if 1e-3 <= value < 1e7 or -1e7 < value <= -1e-3:
        return float.__repr__(value)
    if value == 0:
        return "-0.0" if math.copysign(1, value) < 0 else "0.0"
    if value - value != 0:  # infinite, or not a number
        return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
    sign, digits, exponent = Decimal(float.__repr__(value)).normalize().as_tuple()
    assert isinstance(exponent, int)  # it is finite
    exponent += len(digits) - 1
    if len(digits) == 1 and float(closer := f"{value:.1e}") == value:
        # Java shows two digits at least, and then the best two: 4.9E-324
        sign, digits, _ = Decimal(closer).as_tuple()
        exponent = int(closer.partition("e")[2])
    first, *rest = map(str, digits)
    return f"{'-' * sign}{first}.{''.join(rest) or '0'}E{exponent}"


# The order matters for subclasses: a bool is an int
_WRITERS: dict[type, Callable[..., str]] = {
    str: str.__str__,
    bool: lambda value: "true" if value else "false",
    int: int.__repr__,
    float: _float_text,
    type(None): lambda _: "null",
    list: _list_text,
    dict: lambda value: _map_text(value.items()),
    set: _list_text,
    frozenset: _list_text,
    tuple: _list_text,
    bytes: lambda value: value.decode("utf-8", "replace"),
    FunctionType: lambda _: "a lambda",
}


def first_of(value: object) -> object:
    """What a conversion looks at: of a list, set or bytes the first element, null if there is none; else the value."""
    if isinstance(value, list | tuple | set | frozenset):
        return next(iter(value), None)
    if isinstance(value, bytes):
        return int.from_bytes(value[:1], signed=True) if value else None
    return value


def to_optional_text(value: object) -> str | None:
    """The text of a value, of a list its first element's; None for null."""
    if value.__class__ is str:
        return value
    value = first_of(value)
    return None if value is None else to_text(value)


def to_boolean(value: object) -> bool | None:
    """The truth of a value by its text: `true yes y on 1` and `false no n off 0` in any case; None for all others."""
    if value.__class__ is bool:
        return value
    value = first_of(value)
    if value is None or isinstance(value, float | Mapping):
        return None
    return _TRUTH.get(to_text(value).lower())


def to_integer(value: object) -> int | None:
    """A whole number of 32 bits. A fraction is cut off and NaN is 0; in a text only a sign and digits will do."""
    return _within(_whole(first_of(value)), INT_MIN, INT_MAX)


def to_long(value: object) -> int | None:
    """A whole number of 64 bits, as `to_integer`; but a float beyond them is the last one, and a date its epoch ms."""
    number = first_of(value)
    if isinstance(number, datetime):
        number = round((number if number.tzinfo else number.replace(tzinfo=UTC)).timestamp() * 1000)
    whole = _whole(number)
    if whole is not None and isinstance(number, float):
        return max(LONG_MIN, min(LONG_MAX, whole))
    return _within(whole, LONG_MIN, LONG_MAX)


def _whole(value: object) -> int | None:
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        if value - value == 0:
            return int(value)
        return 0 if value != value else LONG_MAX if value > 0 else LONG_MIN
    if isinstance(value, str):
        text = value.strip(BLANKS)
        # Longer than this it is leading zeros or out of range; and Python refuses to read thousands of digits
        if _INTEGER.fullmatch(text) and len(text) < 4000:
            return int(text)
    return None


def _within(number: int | None, least: int, most: int) -> int | None:
    return number if number is not None and least <= number <= most else None


def to_double(value: object) -> float | None:
    """A float. A text is read as Java reads one: `1e3`, `.5`, `1.5d`, `NaN`, `Infinity`, `0x1p3`, blanks around it."""
    value = first_of(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, int):
        try:
            return float(value)
        except OverflowError:
            return math.inf if value > 0 else -math.inf
    return _read_double(value.strip(BLANKS)) if isinstance(value, str) else None


def _read_double(text: str) -> float | None:
    if match := _DECIMAL.fullmatch(text):
        return float(match[1])
    if match := _HEXADECIMAL.fullmatch(text):
        try:
            return float.fromhex(match[1])
        except OverflowError:
            return -math.inf if text.startswith("-") else math.inf
    return float(text) if _WORD.fullmatch(text) else None


def to_float(value: object) -> float | None:
    """A float within the range of 32-bit ones, not rounded to their precision.

    A number above the range is None, one below it and a text beyond it is infinite.
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
