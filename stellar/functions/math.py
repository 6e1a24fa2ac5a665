"""Arithmetic beyond the operators. What has no answer, such as the root of -1, is NaN or infinite, as in Java."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable
from typing import Any

from stellar.java.integers import LONG_MAX, LONG_MIN
from stellar.language.conversions import to_boolean, to_double, to_long, to_optional_text
from stellar.language.library import stellar
from stellar.language.runtime import described
from stellar.sketches.summaries import OnlineSummary, WindowSummary


@stellar("ABS")
def absolute(number: float | None = None) -> float:
    """The size of a number without its sign.

    number: The number
    returns: Its size, with a fraction; NaN for null

        ABS(-5)  // 5.0
        ABS(2.5)  // 2.5
        ABS(null)  // NaN
        ABS('5')  // error
    """
    return abs(_double(number))


@stellar("CEILING")
def ceiling(number: float | None = None) -> float:
    """The least whole number that is not below a number.

    number: The number
    returns: The whole number, as one with a fraction; NaN for null

        CEILING(2.1)  // 3.0
        CEILING(-2.9)  // -2.0
        CEILING(null)  // NaN
        CEILING(true)  // error
    """
    return _whole(math.ceil, _double(number))


@stellar("FLOOR")
def floor(number: float | None = None) -> float:
    """The greatest whole number that is not above a number.

    number: The number
    returns: The whole number, as one with a fraction; NaN for null

        FLOOR(2.9)  // 2.0
        FLOOR(-2.1)  // -3.0
        FLOOR(null)  // NaN
        FLOOR('2')  // error
    """
    return _whole(math.floor, _double(number))


@stellar("ROUND")
def round_(number: float | None = None) -> float:
    """The whole number next to a number; of two equally near ones the greater.

    number: The number
    returns: The whole number of 64 bits, as one with a fraction; NaN for null

        ROUND(2.5)  // 3.0
        ROUND(-2.5)  // -2.0
        ROUND(1e300)  // 9.223372036854775807e18
        ROUND(null)  // NaN
        ROUND('2')  // error
    """
    value = _double(number)
    if math.isnan(value):
        return value
    if abs(value) > LONG_MAX:
        return float(LONG_MAX if value > 0 else LONG_MIN)
    below = math.floor(value)
    return float(below + (value - below >= 0.5))


@stellar("EXP")
def exponential(number: float | None = None) -> float:
    """The exponential of a number: Euler's number to its power.

    number: The exponent
    returns: The exponential; infinite if it is too large; NaN for null

        EXP(0)  // 1.0
        EXP(1000)  // 1e400
        EXP(null)  // NaN
        EXP([1])  // error
    """
    try:
        return math.exp(_double(number))
    except OverflowError:
        return math.inf


@stellar("LN")
def natural_logarithm(number: float | None = None) -> float:
    """The natural logarithm of a number.

    number: The number
    returns: The logarithm; infinite below zero for 0; NaN for a negative number and null

        LN(1)  // 0.0
        LN(0)  // -1e400
        LN(-1)  // NaN
        LN('1')  // error
    """
    return _logarithm(math.log, number)


@stellar("LOG2")
def logarithm_of_base_2(number: float | None = None) -> float:
    """The logarithm of a number with the base 2.

    number: The number
    returns: The logarithm; infinite below zero for 0; NaN for a negative number and null

        LOG2(8)  // 3.0
        LOG2(0)  // -1e400
        LOG2(null)  // NaN
        LOG2('8')  // error
    """
    return _logarithm(math.log, number) / math.log(2)


@stellar("LOG10")
def logarithm_of_base_10(number: float | None = None) -> float:
    """The logarithm of a number with the base 10.

    number: The number
    returns: The logarithm; infinite below zero for 0; NaN for a negative number and null

        LOG10(1000)  // 3.0
        LOG10(0)  // -1e400
        LOG10(-1)  // NaN
        LOG10('1')  // error
    """
    return _logarithm(math.log10, number)


@stellar("SQRT")
def square_root(number: float | None = None) -> float:
    """The square root of a number.

    number: The number
    returns: The root; NaN for a negative number and null

        SQRT(9)  // 3.0
        SQRT(-1)  // NaN
        SQRT(null)  // NaN
        SQRT('9')  // error
    """
    return _defined(math.sqrt, _double(number))


@stellar("SIN")
def sine(number: float | None = None) -> float:
    """The sine of an angle.

    number: The angle in radians
    returns: The sine; NaN for an infinite angle and null

        SIN(0)  // 0.0
        SIN(1e400)  // NaN
        SIN(null)  // NaN
        SIN('0')  // error
    """
    return _defined(math.sin, _double(number))


@stellar("COS")
def cosine(number: float | None = None) -> float:
    """The cosine of an angle.

    number: The angle in radians
    returns: The cosine; NaN for an infinite angle and null

        COS(0)  // 1.0
        COS(1e400)  // NaN
        COS(null)  // NaN
        COS('0')  // error
    """
    return _defined(math.cos, _double(number))


@stellar("TAN")
def tangent(number: float | None = None) -> float:
    """The tangent of an angle.

    number: The angle in radians
    returns: The tangent; NaN for an infinite angle and null

        TAN(0)  // 0.0
        TAN(1e400)  // NaN
        TAN(null)  // NaN
        TAN('0')  // error
    """
    return _defined(math.tan, _double(number))


@stellar("IS_NAN", surplus="refuse")
def is_nan(number: float) -> bool:
    """Whether a number is NaN, the answer of a calculation that has none.

    number: The number
    returns: True if it is

        IS_NAN(NaN)  // true
        IS_NAN(SQRT(-1))  // true
        IS_NAN(1)  // false
        IS_NAN(null)  // error
    """
    return number != number


@stellar("BIN")
def bin_(value: object, bounds: list[Any] | None = None) -> int:
    """Which of the ranges between bounds a number falls into.

    value: The number
    bounds: The upper bounds of the ranges, each within its range, in rising order
    returns: The number of the range, from 0; that after the last bound if it is beyond; -1 without number or bounds

        BIN(5, [10, 20])  // 0
        BIN(10, [10, 20])  // 0
        BIN(25, [10, 20])  // 2
        BIN(null, [10, 20])  // -1
        BIN(25, [20, 10])  // error
    """
    number = to_double(value)
    if number is None or not bounds:
        return -1
    return bin_of(number, bounds)


def bin_of(number: float, bounds: Iterable[object]) -> int:
    """The index of the first bound that a number does not exceed, or how many bounds there are.

    Raises ValueError if a bound on the way is no number, or less than the one before it.
    """
    index = 0
    before = -math.inf
    for index, bound in enumerate(bounds):
        limit = to_double(bound)
        if limit is None:
            raise ValueError(f"a bound is a number, not {described(bound)}")
        if limit < before:
            raise ValueError("the bounds must rise")
        if number <= limit:
            return index
        before = limit
    return index + 1


@stellar("MAX")
def max_(list_: Iterable[Any] | OnlineSummary | WindowSummary) -> Any:
    """The greatest of several values.

    To be compared, the greatest so far becomes the kind of value that the next one is.

    list: The list or set of numbers, texts or booleans, where nulls are left out; or statistics
    returns: The greatest; null if there is none

        MAX([1, 5.5, 3])  // 5.5
        MAX(['a', null, 'b'])  // 'b'
        MAX(['23', 25])  // 25
        MAX([])  // null
        MAX(['a', 1])  // error
    """
    return _best(list_, operator.gt) if isinstance(list_, Iterable) else list_.maximum


@stellar("MIN")
def min_(list_: Iterable[Any] | OnlineSummary | WindowSummary) -> Any:
    """The least of several values.

    To be compared, the least so far becomes the kind of value that the next one is.

    list: The list or set of numbers, texts or booleans, where nulls are left out; or statistics
    returns: The least; null if there is none

        MIN([1, 1.5])  // 1
        MIN(['b', null, 'a'])  // 'a'
        MIN([])  // null
        MIN([[1], [2]])  // error
    """
    return _best(list_, operator.lt) if isinstance(list_, Iterable) else list_.minimum


def _double(number: float | None) -> float:
    double = to_double(number)
    return math.nan if double is None else double


def _whole(to_whole: Callable[[float], int], number: float) -> float:
    # The sign is kept for -0.0
    return math.copysign(to_whole(number), number) if math.isfinite(number) else number


def _defined(function: Callable[[float], float], number: float) -> float:
    try:
        return function(number)
    except ValueError:
        return math.nan


def _logarithm(function: Callable[[float], float], number: float | None) -> float:
    double = _double(number)
    return _defined(function, double) if double else -math.inf


def _as_kind_of(other: object, value: object) -> Any:
    """A value, converted to the kind of another; None if it can't be."""
    if isinstance(other, str):
        return to_optional_text(value)
    if isinstance(other, bool):
        return to_boolean(value)
    if isinstance(other, float):
        return to_double(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else to_long(value)


def _rank(value: Any) -> Any:
    """What a value is ordered by: NaN is the greatest number, and -0.0 is less than 0.0."""
    if isinstance(value, float):
        return (True, 0.0, 0.0) if math.isnan(value) else (False, value, math.copysign(1, value))
    return value


def _best(values: Iterable[Any], better: Callable[[Any, Any], bool]) -> Any:
    best = None
    for value in values:
        if value is None:
            continue
        if not isinstance(value, str | bool | int | float):
            raise ValueError(f"{described(value)} can't be compared")
        alike = value if best is None else _as_kind_of(value, best)
        if alike is None:
            raise ValueError(f"{described(best)} can't be compared with {described(value)}")
        if best is None or better(_rank(value), _rank(alike)):
            best = value
    return best
