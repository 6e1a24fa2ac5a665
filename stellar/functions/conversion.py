"""One kind of value made of another."""

from __future__ import annotations

from stellar.language import conversions
from stellar.language.library import stellar


@stellar("TO_STRING")
def to_string(input_: object) -> str | None:
    """The text of a value.

    input: Any value
    returns: Its text; null for null

        TO_STRING(12.5)  // '12.5'
        TO_STRING(1e10)  // '1.0E10'
        TO_STRING([1, null, 'a'])  // '[1, null, a]'
        TO_STRING({'a' : true})  // '{a=true}'
        TO_STRING(null)  // null
    """
    if input_.__class__ is str:
        return input_
    return None if input_ is None else conversions.to_text(input_)


@stellar("TO_INTEGER")
def to_integer(input_: object) -> int | None:
    """A whole number of 32 bits.

    input: A number, whose fraction is cut off; a text of digits; true or false; a list, for its first element
    returns: The number; null if there is none, or if it is too large

        TO_INTEGER('42')  // 42
        TO_INTEGER(-1.9)  // -1
        TO_INTEGER(true)  // 1
        TO_INTEGER('12.7')  // null
        TO_INTEGER(null)  // null
    """
    return conversions.to_integer(input_)


@stellar("TO_LONG")
def to_long(input_: object) -> int | None:
    """A whole number of 64 bits.

    input: A number, whose fraction is cut off; a text of digits; true or false; a list, for its first element
    returns: The number; null if there is none. A float that is too large gives the largest

        TO_LONG('1528192393123')  // 1528192393123
        TO_LONG(1e20)  // 9223372036854775807
        TO_LONG('1e3')  // null
        TO_LONG(null)  // null
    """
    return conversions.to_long(input_)


@stellar("TO_DOUBLE")
def to_double(input_: object) -> float | None:
    """A number with a fraction.

    input: A number; a text such as `1e3`, `.5` or `Infinity`; true or false; a list, for its first element
    returns: The number; null if there is none

        TO_DOUBLE('1e3')  // 1000.0
        TO_DOUBLE(7)  // 7.0
        TO_DOUBLE('1,000')  // null
        TO_DOUBLE(null)  // null
    """
    return conversions.to_double(input_)


@stellar("TO_FLOAT")
def to_float(input_: object) -> float | None:
    """A number with a fraction, within the range of 32-bit ones; its precision is kept.

    input: A number; a text such as `1e3`, `.5` or `Infinity`; true or false; a list, for its first element
    returns: The number; null if there is none, or if it is too large

        TO_FLOAT('0.25')  // 0.25
        TO_FLOAT(3.4e38)  // 3.4e38
        TO_FLOAT(1e39)  // null
        TO_FLOAT(null)  // null
    """
    return conversions.to_float(input_)
