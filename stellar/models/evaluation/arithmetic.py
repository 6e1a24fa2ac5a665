"""Built-in functions of numbers, comparisons and logic, by JPMML's rules.

Arguments are values; a missing one is None. A function that does not accept it raises NotScored. The type of a result
is the common type of the arguments: two integers give an integer, and binary32 numbers stay such.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import NormalDist
from typing import Any

from stellar.models.errors import NotScored
from stellar.models.values import (
    Single,
    describe,
    find_conversion,
    parse_double,
    round_single,
    to_boolean,
    to_double,
    to_integer,
    to_single,
    type_of,
)
from stellar.util.abbreviate import quote

Function = Callable[..., Any]


class UndefinedNumber(NotScored):
    """A function whose result is not a number; Apply may treat it as missing."""


# -- Arguments --------------------------------------------------------------------------------------------------------


def to_number(value: Any) -> float:
    """Return the number of an argument."""
    return parse_double(value) if isinstance(value, str) else to_double(value)


def check_present(name: str, arguments: Sequence[Any]) -> None:
    """Raise NotScored if an argument is missing."""
    for position, value in enumerate(arguments, 1):
        if value is None:
            raise NotScored(f"function {quote(name)} does not accept a missing value as argument {position}")


_WIDTHS = {"integer": 0, "float": 1, "double": 2}


def common_type(values: Sequence[Any]) -> int:
    """Return 0 for integers, 1 for binary32 and 2 for binary64 numbers."""
    widest = 0
    for value in values:
        if (width := _WIDTHS.get(name := type_of(value))) is None:
            raise NotScored(f"expected a number, got the {name} {describe(value)}")
        widest = max(widest, width)
    return widest


def convert_common(value: Any, width: int) -> Any:
    """Return a number in a common type."""
    if width == 0:
        return to_integer(value)
    return Single(round_single(value)) if width == 1 else float(value)


# -- Arithmetic -------------------------------------------------------------------------------------------------------


def _arithmetic(name: str, on_integers: Function, on_floats: Function) -> Function:
    def calculate(left: Any, right: Any) -> Any:
        if left is None or right is None:
            return None
        width = common_type((left, right))
        if width:
            return convert_common(on_floats(float(left), float(right)), width)
        try:
            return to_integer(on_integers(left, right))
        except (ZeroDivisionError, ValueError) as error:
            raise NotScored(f"function {quote(name)} failed for {left} and {right}: {error}") from None

    return calculate


def divide_integers(left: int, right: int) -> int:
    """Return the quotient, truncated toward zero."""
    quotient = abs(left) // abs(right)
    return quotient if (left < 0) == (right < 0) else -quotient


def divide_floats(left: float, right: float) -> float:
    """Return the quotient; a division by zero gives infinity or NaN."""
    if right != 0:
        return left / right
    if left == 0 or left != left:
        return math.nan
    return math.copysign(math.inf, left) * math.copysign(1, right)


def _modulo(left: float, right: float) -> float:
    """Return the remainder with the sign of the divisor."""
    if right == 0 or math.isinf(left) or left != left or right != right:
        return math.nan
    return left % right


def _multiply(left: float, right: float) -> float:
    return left * right


def _threshold(left: Any, right: Any) -> Any:
    check_present("threshold", (left, right))
    return convert_common(1 if left > right else 0, common_type((left, right)))


def _power(base: Any, exponent: Any) -> Any:
    check_present("pow", (base, exponent))
    width = common_type((base, exponent))
    result = defined("pow", raise_power(float(base), float(exponent)))
    return convert_common(result, width)


def raise_power(base: float, exponent: float) -> float:
    """Return base to the exponent as IEEE 754 does: infinity instead of an overflow."""
    try:
        result = math.pow(base, exponent)
    except OverflowError:
        return -math.inf if base < 0 and exponent % 2 == 1 else math.inf
    except ValueError:
        return math.inf if base == 0 else math.nan
    return result


def defined(name: str, value: float) -> float:
    """Return a number. Raise UndefinedNumber for NaN."""
    if value != value:
        raise UndefinedNumber(f"function {quote(name)} has no result for these arguments")
    return value


def _unary(name: str, calculate: Callable[[float], float]) -> Function:
    def apply(value: Any) -> float:
        check_present(name, (value,))
        number = to_number(value)
        try:
            return defined(name, calculate(number))
        except OverflowError:
            return math.inf if name != "sinh" or number > 0 else -math.inf
        except ValueError:
            return defined(name, math.nan)

    return apply


def logarithm(value: float, calculate: Callable[[float], float] = math.log) -> float:
    """Return a logarithm; minus infinity for zero."""
    return -math.inf if value == 0 else calculate(value)


def _logarithm_plus_one(value: float) -> float:
    return -math.inf if value == -1 else math.log1p(value)


def _rounded(name: str, calculate: Callable[[float], int]) -> Function:
    def apply(value: Any) -> int:
        check_present(name, (value,))
        number = to_number(value)
        try:
            return to_integer(calculate(number))
        except (ValueError, OverflowError):
            raise NotScored(f"function {quote(name)} has no integer for {number}") from None

    return apply


def _absolute(value: Any) -> Any:
    check_present("abs", (value,))
    number = to_number(value) if isinstance(value, str) else value
    return convert_common(abs(number), common_type((number,)))


def _round_to_even(value: Any) -> Any:
    check_present("rint", (value,))
    number = to_number(value) if isinstance(value, str) else value
    rounded = number if not math.isfinite(number) else round(float(number))
    return convert_common(rounded, common_type((number,)))


def _binary(name: str, calculate: Callable[[float, float], float]) -> Function:
    def apply(left: Any, right: Any) -> float:
        check_present(name, (left, right))
        return defined(name, calculate(to_number(left), to_number(right)))

    return apply


# -- Aggregates -------------------------------------------------------------------------------------------------------


def _aggregate(calculate: Callable[[list[Any], int], Any]) -> Function:
    def apply(*values: Any) -> Any:
        present = [value for value in values if value is not None]
        return calculate(present, common_type(present)) if present else None

    return apply


def _average(values: list[Any], width: int) -> Any:
    return convert_common(sum(map(float, values)) / len(values), width or 2)


def _sum(values: list[Any], width: int) -> Any:
    return convert_common(sum(values), width)


def _product(values: list[Any], width: int) -> Any:
    return convert_common(math.prod(values), width)


# -- Comparisons and logic --------------------------------------------------------------------------------------------


def convert_like(value: Any, model: Any) -> Any:
    """Return a value in the type of another."""
    convert = _LIKE.get(name := type_of(model)) or find_conversion(name)
    assert convert is not None  # the types of values are known
    return convert(value)


def convert_to_compare(value: Any, model: Any) -> Any:
    """Return a value that can be ordered with another. Raise NotScored for strings, which have no order."""
    if isinstance(model, str):
        raise NotScored("strings cannot be ordered; compare them with equal, or use an ordinal field")
    if type_of(model) == "integer":
        return to_number(value)
    return convert_like(value, model)


_LIKE: dict[str, Callable[[Any], Any]] = {
    "double": to_number,
    "float": to_single,
    "integer": to_integer,
    "boolean": to_boolean,
}


def _equality(name: str, negated: bool) -> Function:
    def apply(left: Any, right: Any) -> bool:
        check_present(name, (left, right))
        return are_equal(left, right) is not negated

    return apply


def are_equal(left: Any, right: Any) -> bool:
    """Return True if a value, in the type of the first one, is equal to it."""
    convert = find_conversion(type_of(left))
    assert convert is not None  # the types of values are known
    return bool(left == convert(right))


def _order(name: str, compare: Callable[[Any, Any], bool]) -> Function:
    def apply(left: Any, right: Any) -> bool:
        check_present(name, (left, right))
        return compare(left, convert_to_compare(right, left))

    return apply


def _membership(name: str, negated: bool) -> Function:
    def apply(value: Any, *values: Any) -> bool:
        if value is None:
            return negated
        return any(item is not None and are_equal(value, item) for item in values) is not negated

    return apply


def expect_boolean(value: Any, name: str) -> bool:
    """Return the boolean of an argument. Raise NotScored for others."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return to_boolean(value)
    raise NotScored(f"function {quote(name)} expects true or false, got {describe(value)}")


def _logic(name: str, combine: Callable[[list[bool]], bool]) -> Function:
    def apply(*values: Any) -> bool:
        check_present(name, values)
        return combine([expect_boolean(value, name) for value in values])

    return apply


def _negate(value: Any) -> bool:
    check_present("not", (value,))
    return not expect_boolean(value, "not")


# -- Distributions ----------------------------------------------------------------------------------------------------


def _distribution(name: str, calculate: Callable[[NormalDist, float], float]) -> Function:
    def apply(value: Any, mean: Any = 0.0, deviation: Any = 1.0) -> float:
        check_present(name, (value, mean, deviation))
        if not to_number(deviation) > 0:
            raise NotScored(f"function {quote(name)} expects a deviation above 0, got {describe(deviation)}")
        return calculate(NormalDist(to_number(mean), to_number(deviation)), to_number(value))

    return apply


def _quantile(distribution: NormalDist, probability: float) -> float:
    if probability in (0, 1):
        return math.inf if probability else -math.inf
    if not 0 < probability < 1:
        raise NotScored(f"expected a probability of 0–1, got {probability}")
    return distribution.inv_cdf(probability)


def _cumulate(distribution: NormalDist, value: float) -> float:
    return cumulate_normal((value - distribution.mean) / distribution.stdev)


def cumulate_normal(value: float) -> float:
    """Return the probability that a standard normal number is at most a value."""
    return 0.5 * math.erfc(-value / math.sqrt(2))


# -- Table ------------------------------------------------------------------------------------------------------------

ANY = 10_000
# name → function, least and most arguments
FUNCTIONS: dict[str, tuple[Function, int, int]] = {
    "+": (_arithmetic("+", lambda a, b: a + b, lambda a, b: a + b), 2, 2),
    "-": (_arithmetic("-", lambda a, b: a - b, lambda a, b: a - b), 2, 2),
    "*": (_arithmetic("*", _multiply, _multiply), 2, 2),
    "/": (_arithmetic("/", divide_integers, divide_floats), 2, 2),
    "modulo": (_arithmetic("modulo", lambda a, b: a % b, _modulo), 2, 2),
    "x-modulo": (_arithmetic("x-modulo", lambda a, b: a % b, _modulo), 2, 2),
    "min": (_aggregate(lambda values, width: convert_common(min(values), width)), 1, ANY),
    "max": (_aggregate(lambda values, width: convert_common(max(values), width)), 1, ANY),
    "sum": (_aggregate(_sum), 1, ANY),
    "product": (_aggregate(_product), 1, ANY),
    "avg": (_aggregate(_average), 1, ANY),
    "log10": (_unary("log10", lambda value: logarithm(value, math.log10)), 1, 1),
    "ln": (_unary("ln", logarithm), 1, 1),
    "ln1p": (_unary("ln1p", _logarithm_plus_one), 1, 1),
    "sqrt": (_unary("sqrt", math.sqrt), 1, 1),
    "exp": (_unary("exp", math.exp), 1, 1),
    "expm1": (_unary("expm1", math.expm1), 1, 1),
    "sin": (_unary("sin", math.sin), 1, 1),
    "cos": (_unary("cos", math.cos), 1, 1),
    "tan": (_unary("tan", math.tan), 1, 1),
    "asin": (_unary("asin", math.asin), 1, 1),
    "acos": (_unary("acos", math.acos), 1, 1),
    "atan": (_unary("atan", math.atan), 1, 1),
    "sinh": (_unary("sinh", math.sinh), 1, 1),
    "cosh": (_unary("cosh", math.cosh), 1, 1),
    "tanh": (_unary("tanh", math.tanh), 1, 1),
    "x-atan2": (_binary("x-atan2", math.atan2), 2, 2),
    "hypot": (_binary("hypot", math.hypot), 2, 2),
    "abs": (_absolute, 1, 1),
    "pow": (_power, 2, 2),
    "threshold": (_threshold, 2, 2),
    "floor": (_rounded("floor", math.floor), 1, 1),
    "ceil": (_rounded("ceil", math.ceil), 1, 1),
    "round": (_rounded("round", lambda value: math.floor(value + 0.5)), 1, 1),
    "rint": (_round_to_even, 1, 1),
    "equal": (_equality("equal", False), 2, 2),
    "notEqual": (_equality("notEqual", True), 2, 2),
    "lessThan": (_order("lessThan", lambda a, b: a < b), 2, 2),
    "lessOrEqual": (_order("lessOrEqual", lambda a, b: a <= b), 2, 2),
    "greaterThan": (_order("greaterThan", lambda a, b: not a <= b), 2, 2),
    "greaterOrEqual": (_order("greaterOrEqual", lambda a, b: not a < b), 2, 2),
    "and": (_logic("and", all), 2, ANY),
    "or": (_logic("or", any), 2, ANY),
    "not": (_negate, 1, 1),
    "isIn": (_membership("isIn", False), 2, ANY),
    "isNotIn": (_membership("isNotIn", True), 2, ANY),
    "isMissing": (lambda value: value is None, 1, 1),
    "isNotMissing": (lambda value: value is not None, 1, 1),
    "normalCDF": (_distribution("normalCDF", _cumulate), 3, 3),
    "normalPDF": (_distribution("normalPDF", NormalDist.pdf), 3, 3),
    "normalIDF": (_distribution("normalIDF", _quantile), 3, 3),
    "stdNormalCDF": (_distribution("stdNormalCDF", _cumulate), 1, 1),
    "stdNormalPDF": (_distribution("stdNormalPDF", NormalDist.pdf), 1, 1),
    "stdNormalIDF": (_distribution("stdNormalIDF", _quantile), 1, 1),
    "erf": (_unary("erf", math.erf), 1, 1),
}
