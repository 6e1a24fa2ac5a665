"""Code that reads the fields of an ordinary record: each has a value of its type that needs no treatment.

Any other record is passed to the complete evaluation.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass

from stellar.models.compiled.thresholds import find_lower_bound, find_upper_bound
from stellar.models.evaluation.inputs import compile_check, find_listed
from stellar.models.forms.fields import DataField, MiningField
from stellar.util.function_builder import FunctionBuilder, call, constant, load


class NotCompiled(Exception):
    """A form that has no compiled function."""


@dataclass(frozen=True, slots=True)
class LocalValue:
    """A value that the code has in a local variable.

    kind: double, float, integer or string; a float is not rounded to binary32 yet
    """

    name: str
    kind: str


def compare(left: ast.expr, operator: ast.cmpop, right: ast.expr) -> ast.expr:
    """`left operator right`"""
    return ast.Compare(left, [operator], [right])


def negate(test: ast.expr) -> ast.expr:
    """`not test`"""
    return ast.UnaryOp(ast.Not(), test)


def find_kind(data: DataField, field: MiningField) -> str:
    """Return the kind of a field's variable. Raise NotCompiled for ordered categories and for other types."""
    is_ordinal = (field.operation or data.type.operation) == "ordinal" and data.type.order
    if is_ordinal or data.type.data not in ("double", "float", "integer", "string"):
        raise NotCompiled
    return data.type.data


def read_field(
    builder: FunctionBuilder, data: DataField, field: MiningField, local: LocalValue, fall_back: ast.stmt
) -> None:
    """Add code that reads a field, and falls back for a value that is not ordinary."""
    value = local.name
    builder.assign(value, call(load("get"), constant(data.name)))
    if local.kind == "string":
        _check_string(builder, data, value, fall_back)
        return
    _check_class(builder, value, local.kind, fall_back)
    for test in _find_surprises(builder, data, field, value):
        builder.add(ast.If(test, [fall_back], []))


def _is_class(value: str, kind: ast.expr) -> ast.expr:
    return compare(ast.Attribute(load(value), "__class__", ast.Load()), ast.Is(), kind)


def _check_string(builder: FunctionBuilder, data: DataField, value: str, fall_back: ast.stmt) -> None:
    tests = [negate(_is_class(value, builder.bind(str, "str")))]
    if valid := find_listed(data, "valid"):
        tests.append(compare(load(value), ast.NotIn(), builder.bind(valid, "valid")))
    if others := find_listed(data, "missing") | find_listed(data, "invalid"):
        tests.append(compare(load(value), ast.In(), builder.bind(others, "others")))
    builder.add(ast.If(ast.BoolOp(ast.Or(), tests) if len(tests) > 1 else tests[0], [fall_back], []))


def _check_class(builder: FunctionBuilder, value: str, kind: str, fall_back: ast.stmt) -> None:
    """Add the check of the class; an integer becomes a float, if the field is one."""
    is_int = _is_class(value, builder.bind(int, "int"))
    in_range = ast.Compare(constant(-(2**31)), [ast.LtE(), ast.LtE()], [load(value), constant(2**31 - 1)])
    is_small = ast.BoolOp(ast.And(), [is_int, in_range])
    if kind == "integer":
        builder.add(ast.If(negate(is_small), [fall_back], []))
        return
    to_float = ast.Assign([ast.Name(value, ast.Store())], call(builder.bind(float, "float"), load(value)))
    is_float = _is_class(value, builder.bind(float, "float"))
    builder.add(ast.If(negate(is_float), [ast.If(is_small, [to_float], [fall_back])], []))


def _find_surprises(builder: FunctionBuilder, data: DataField, field: MiningField, value: str) -> list[ast.expr]:
    """Return tests of values that are invalid, missing or extreme."""
    tests: list[ast.expr] = []
    if _lists_numbers(data) or len(data.ranges) > 1 or data.type.operation != "continuous":
        if data.type.data == "float":
            raise NotCompiled
        tests.append(call(builder.bind(compile_check(data), "check"), load(value)))
        if missing := find_listed(data, "missing"):
            tests.append(compare(load(value), ast.In(), builder.bind(missing, "missing")))
    elif data.ranges:
        (bounds,) = data.ranges
        low = _find_low(bounds.low, data.type.data, bounds.is_low_open)
        high = _find_high(bounds.high, data.type.data, bounds.is_high_open)
        tests.append(_outside(value, low, high))
    elif data.type.data != "integer":
        tests.append(compare(load(value), ast.NotEq(), load(value)))
    if field.outliers != "asIs":
        kind = data.type.data
        tests.append(_outside(value, _find_low(field.low, kind, False), _find_high(field.high, kind, False)))
    return tests


def _lists_numbers(data: DataField) -> bool:
    """Return True if a field lists values other than NaN as a missing one, which is not in any range."""
    return any(value.role != "missing" or value.value != "NaN" for value in data.values)


Bound = tuple[float, ast.cmpop] | None


def _find_low(bound: float | None, kind: str, is_open: bool) -> Bound:
    if bound is None:
        return None
    if kind == "float":
        return find_lower_bound(bound, is_open=is_open), ast.Lt()
    return bound, ast.Lt() if is_open else ast.LtE()


def _find_high(bound: float | None, kind: str, is_open: bool) -> Bound:
    if bound is None:
        return None
    if kind == "float":
        return find_upper_bound(bound, is_open=is_open), ast.LtE()
    return bound, ast.Lt() if is_open else ast.LtE()


def _outside(value: str, low: Bound, high: Bound) -> ast.expr:
    """`not low <= value <= high`, which is true for NaN"""
    if low is None and high is None:
        return compare(load(value), ast.NotEq(), load(value))
    if low is None:
        assert high is not None  # one of them is
        return negate(compare(load(value), high[1], constant(high[0])))
    if high is None:
        return negate(compare(constant(low[0]), low[1], load(value)))
    return negate(ast.Compare(constant(low[0]), [low[1], high[1]], [load(value), constant(high[0])]))
