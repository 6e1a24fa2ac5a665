"""Mathematical functions. Undefined results, such as the square root of -1, are NaN or infinite, as in Java."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable
from typing import Any

from stellar.java.integers import LONG_MAX, LONG_MIN
from stellar.language.conversions import to_boolean, to_double, to_long, to_optional_string
from stellar.language.library import stellar
from stellar.language.python_values import from_python
from stellar.language.runtime import describe
from stellar.sketches.summaries import OnlineSummary, WindowSummary


@stellar("ABS", pure=True)
def absolute(number: float | None = None) -> float:
    """Return a number without its sign.

    number: The number
    returns: Its magnitude, a double; NaN for null

        ABS(-5)  // 5.0
        ABS(2.5)  // 2.5
        ABS(null)  // NaN
        ABS('5')  // error
    """
    return abs(_to_double(number))


@stellar("CEILING", pure=True)
def ceiling(number: float | None = None) -> float:
    """Round a number up to an integer.

    number: The number
    returns: The integer, as a double; NaN for null

        CEILING(2.1)  // 3.0
        CEILING(-2.9)  // -2.0
        CEILING(null)  // NaN
        CEILING(true)  // error
    """
    return _round_to_integer(math.ceil, _to_double(number))


@stellar("FLOOR", pure=True)
def floor(number: float | None = None) -> float:
    """Round a number down to an integer.

    number: The number
    returns: The integer, as a double; NaN for null

        FLOOR(2.9)  // 2.0
        FLOOR(-2.1)  // -3.0
        FLOOR(null)  // NaN
        FLOOR('2')  // error
    """
    return _round_to_integer(math.floor, _to_double(number))


@stellar("ROUND", pure=True)
def round_(number: float | None = None) -> float:
    """Round to the nearest integer; halves are rounded up.

    number: The number
    returns: The integer, as a double within the range of a 64-bit integer; NaN for null

        ROUND(2.5)  // 3.0
        ROUND(-2.5)  // -2.0
        ROUND(1e300)  // 9.223372036854775807e18
        ROUND(null)  // NaN
        ROUND('2')  // error
    """
    value = _to_double(number)
    if math.isnan(value):
        return value
    if abs(value) > LONG_MAX:
        return float(LONG_MAX if value > 0 else LONG_MIN)
    below = math.floor(value)
    return float(below + (value - below >= 0.5))


@stellar("EXP", pure=True)
def exponential(number: float | None = None) -> float:
    """Raise Euler's number to a power.

    number: The exponent
    returns: The power; infinity if it is out of range; NaN for null

        EXP(0)  // 1.0
        EXP(1000)  // 1e400
        EXP(null)  // NaN
        EXP([1])  // error
    """
    try:
        return math.exp(_to_double(number))
    except OverflowError:
        return math.inf


@stellar("LN", pure=True)
def natural_logarithm(number: float | None = None) -> float:
    """Take the natural logarithm (base e) of a number.

    number: The number
    returns: The logarithm; negative infinity for 0; NaN for a negative number and null

        LN(1)  // 0.0
        LN(0)  // -1e400
        LN(-1)  // NaN
        LN('1')  // error
    """
    return _compute_logarithm(math.log, number)


@stellar("LOG2", pure=True)
def logarithm_of_base_2(number: float | None = None) -> float:
    """Take the logarithm to base 2 of a number.

    number: The number
    returns: The logarithm; negative infinity for 0; NaN for a negative number and null

        LOG2(8)  // 3.0
        LOG2(0)  // -1e400
        LOG2(null)  // NaN
        LOG2('8')  // error
    """
    return _compute_logarithm(math.log, number) / math.log(2)


@stellar("LOG10", pure=True)
def logarithm_of_base_10(number: float | None = None) -> float:
    """Take the logarithm to base 10 of a number.

    number: The number
    returns: The logarithm; negative infinity for 0; NaN for a negative number and null

        LOG10(1000)  // 3.0
        LOG10(0)  // -1e400
        LOG10(-1)  // NaN
        LOG10('1')  // error
    """
    return _compute_logarithm(math.log10, number)


@stellar("SQRT", pure=True)
def square_root(number: float | None = None) -> float:
    """Take the square root of a number.

    number: The number
    returns: The root; NaN for a negative number and null

        SQRT(9)  // 3.0
        SQRT(-1)  // NaN
        SQRT(null)  // NaN
        SQRT('9')  // error
    """
    return _apply_or_nan(math.sqrt, _to_double(number))


@stellar("SIN", pure=True)
def sine(number: float | None = None) -> float:
    """Compute the sine of an angle.

    number: The angle in radians
    returns: The sine; NaN for an infinite angle and null

        SIN(0)  // 0.0
        SIN(1e400)  // NaN
        SIN(null)  // NaN
        SIN('0')  // error
    """
    return _apply_or_nan(math.sin, _to_double(number))


@stellar("COS", pure=True)
def cosine(number: float | None = None) -> float:
    """Compute the cosine of an angle.

    number: The angle in radians
    returns: The cosine; NaN for an infinite angle and null

        COS(0)  // 1.0
        COS(1e400)  // NaN
        COS(null)  // NaN
        COS('0')  // error
    """
    return _apply_or_nan(math.cos, _to_double(number))


@stellar("TAN", pure=True)
def tangent(number: float | None = None) -> float:
    """Compute the tangent of an angle.

    number: The angle in radians
    returns: The tangent; NaN for an infinite angle and null

        TAN(0)  // 0.0
        TAN(1e400)  // NaN
        TAN(null)  // NaN
        TAN('0')  // error
    """
    return _apply_or_nan(math.tan, _to_double(number))


@stellar("IS_NAN", pure=True, surplus="refuse")
def is_nan(number: float) -> bool:
    """Test whether a number is NaN, the result of an undefined calculation.

    number: The number
    returns: True if it is

        IS_NAN(NaN)  // true
        IS_NAN(SQRT(-1))  // true
        IS_NAN(1)  // false
        IS_NAN(null)  // error
    """
    return number != number


@stellar("BIN", pure=True)
def bin_(value: object, bounds: list[Any] | None = None) -> int:
    """Return the index of the bin that contains a number.

    value: The number
    bounds: Upper bounds of the bins, inclusive, in ascending order
    returns: The index, from 0; the number of bounds if the number exceeds all of them; -1 if the number or the bounds
        are missing

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
    """Return the index of the first bound that is at least a number, or the number of bounds if all are less.

    Raises ValueError if a bound up to there is not a number, or is less than the one before it.
    """
    index = 0
    before = -math.inf
    for index, bound in enumerate(bounds):
        limit = to_double(bound)
        if limit is None:
            raise ValueError(f"expected a number as bound, got {describe(bound)}")
        if limit < before:
            raise ValueError("expected bounds in ascending order")
        if number <= limit:
            return index
        before = limit
    return index + 1


@stellar("MAX", pure=True)
def max_(list_: Iterable[Any] | OnlineSummary | WindowSummary) -> Any:
    """Return the greatest of several values.

    Before each comparison, the greatest value so far is converted to the type of the next one.

    list: List or set of numbers, strings or booleans, in which nulls are ignored; or statistics
    returns: The greatest; null if there are no values

        MAX([1, 5.5, 3])  // 5.5
        MAX(['a', null, 'b'])  // 'b'
        MAX(['23', 25])  // 25
        MAX([])  // null
        MAX(['a', 1])  // error
    """
    return _find_extreme(list_, operator.gt) if isinstance(list_, Iterable) else list_.maximum


@stellar("MIN", pure=True)
def min_(list_: Iterable[Any] | OnlineSummary | WindowSummary) -> Any:
    """Return the least of several values.

    Before each comparison, the least value so far is converted to the type of the next one.

    list: List or set of numbers, strings or booleans, in which nulls are ignored; or statistics
    returns: The least; null if there are no values

        MIN([1, 1.5])  // 1
        MIN(['b', null, 'a'])  // 'a'
        MIN([])  // null
        MIN([[1], [2]])  // error
    """
    return _find_extreme(list_, operator.lt) if isinstance(list_, Iterable) else list_.minimum


def _to_double(number: float | None) -> float:
    double = to_double(number)
    return math.nan if double is None else double


def _round_to_integer(rounding: Callable[[float], int], number: float) -> float:
    # copysign preserves -0.0
    return math.copysign(rounding(number), number) if math.isfinite(number) else number


def _apply_or_nan(function: Callable[[float], float], number: float) -> float:
    try:
        return function(number)
    except ValueError:
        return math.nan


def _compute_logarithm(function: Callable[[float], float], number: float | None) -> float:
    double = _to_double(number)
    return _apply_or_nan(function, double) if double else -math.inf


def _convert_like(other: object, value: object) -> Any:
    """Convert a value to the type of another. Return None if that is not possible."""
    if isinstance(other, str):
        return to_optional_string(value)
    if isinstance(other, bool):
        return to_boolean(value)
    if isinstance(other, float):
        return to_double(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else to_long(value)


def _sort_key(value: Any) -> Any:
    """Return the sort key of a value: NaN is the greatest number, and -0.0 is less than 0.0."""
    if isinstance(value, float):
        return (True, 0.0, 0.0) if math.isnan(value) else (False, value, math.copysign(1, value))
    return value


def _find_extreme(values: Iterable[Any], better: Callable[[Any, Any], bool]) -> Any:
    best = None
    for value in map(from_python, values):
        if value is None:
            continue
        if not isinstance(value, str | bool | int | float):
            raise ValueError(f"cannot compare {describe(value)}: expected numbers, strings or booleans")
        converted = value if best is None else _convert_like(value, best)
        if converted is None:
            raise ValueError(f"cannot compare {describe(best)} with {describe(value)}")
        if best is None or better(_sort_key(value), _sort_key(converted)):
            best = value
    return best
