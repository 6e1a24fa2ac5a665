"""Conversion between types."""

from __future__ import annotations

from typing import Any

from stellar.language import conversions
from stellar.language.library import stellar


@stellar("TO_STRING", pure=True)
def to_string(input_: Any) -> str | None:
    """Convert a value to a string.

    input: Any value
    returns: The string; null for null

        TO_STRING(12.5)  // '12.5'
        TO_STRING(1e10)  // '1.0E10'
        TO_STRING([1, null, 'a'])  // '[1, null, a]'
        TO_STRING({'a' : true})  // '{a=true}'
        TO_STRING(null)  // null
    """
    if input_.__class__ is str:
        return input_
    return None if input_ is None else conversions.to_string(input_)


@stellar("TO_INTEGER", pure=True)
def to_integer(input_: Any) -> int | None:
    """Convert a value to a 32-bit integer.

    input: A number, which is truncated; a string of digits; a boolean; a list, whose first element is converted
    returns: The integer; null if the value is not convertible or out of range

        TO_INTEGER('42')  // 42
        TO_INTEGER(-1.9)  // -1
        TO_INTEGER(true)  // 1
        TO_INTEGER('12.7')  // null
        TO_INTEGER(null)  // null
    """
    return conversions.to_integer(input_)


@stellar("TO_LONG", pure=True)
def to_long(input_: Any) -> int | None:
    """Convert a value to a 64-bit integer.

    input: A number, which is truncated; a string of digits; a boolean; a list, whose first element is converted
    returns: The integer; null if the value is not convertible. A float that is out of range gives the nearest limit

        TO_LONG('1528192393123')  // 1528192393123
        TO_LONG(1e20)  // 9223372036854775807
        TO_LONG('1e3')  // null
        TO_LONG(null)  // null
    """
    return conversions.to_long(input_)


@stellar("TO_DOUBLE", pure=True)
def to_double(input_: Any) -> float | None:
    """Convert a value to a double.

    input: A number; a string such as `1e3`, `.5` or `Infinity`; a boolean; a list, whose first element is converted
    returns: The double; null if the value is not convertible

        TO_DOUBLE('1e3')  // 1000.0
        TO_DOUBLE(7)  // 7.0
        TO_DOUBLE('1,000')  // null
        TO_DOUBLE(null)  // null
    """
    return conversions.to_double(input_)


@stellar("TO_FLOAT", pure=True)
def to_float(input_: Any) -> float | None:
    """Convert a value to a float. The range is that of 32 bits, the precision that of 64.

    input: A number; a string such as `1e3`, `.5` or `Infinity`; a boolean; a list, whose first element is converted
    returns: The float; null if the value is not convertible or out of range

        TO_FLOAT('0.25')  // 0.25
        TO_FLOAT(3.4e38)  // 3.4e38
        TO_FLOAT(1e39)  // null
        TO_FLOAT(null)  // null
    """
    return conversions.to_float(input_)
