"""Predicates, compiled to functions of a frame that return True, False or None if they are unknown."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from stellar.models.errors import InvalidField, InvalidModel, Origin
from stellar.models.evaluation.frames import FieldScope, Frame
from stellar.models.evaluation.inputs import parse_constant
from stellar.models.forms.fields import FieldType
from stellar.models.forms.predicates import Always, Combination, FieldComparison, Predicate, SetMembership
from stellar.models.values import parse_double, to_string, type_of
from stellar.util.abbreviate import quote

Test = Callable[[Frame], bool | None]

# NaN is above all other numbers
OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "equal": operator.eq,
    "notEqual": operator.ne,
    "lessThan": operator.lt,
    "lessOrEqual": operator.le,
    "greaterThan": lambda value, bound: not value <= bound,
    "greaterOrEqual": lambda value, bound: not value < bound,
}


def compile_predicate(form: Predicate, scope: FieldScope) -> Test:
    """Return the test of a predicate."""
    match form:
        case Always():
            return _always if form.value else _never
        case FieldComparison():
            return _compile_comparison(form, scope)
        case SetMembership():
            return _compile_membership(form, scope)
    return _compile_combination(form, scope)


def _always(_: Frame) -> bool:
    return True


def _never(_: Frame) -> bool:
    return False


def _compile_comparison(form: FieldComparison, scope: FieldScope) -> Test:
    name, kind = form.field, scope.require(form.field, form.origin).type
    if form.operator == "isMissing":
        return lambda frame: frame.get(name) is None
    if form.operator == "isNotMissing":
        return lambda frame: frame.get(name) is not None
    assert form.value is not None  # the other operators have one
    compare = OPERATORS[form.operator]
    if kind is None:
        return _compare_dynamically(name, form.value, form.operator)
    if form.operator not in ("equal", "notEqual") and kind.operation == "ordinal" and kind.order:
        return _compare_ordinal(name, kind.order, form)
    constant = parse_operand(form.value, form.operator, kind, form.origin)

    def test(frame: Frame) -> bool | None:
        value = frame.get(name)
        return None if value is None else compare(value, constant)

    return test


def parse_operand(string: str, name: str, kind: FieldType, origin: Origin) -> Any:
    """Return the constant that a field is compared with. Integers are compared with any number."""
    if name in ("equal", "notEqual"):
        return parse_constant(string, kind.data, origin)
    if kind.data == "string":
        raise InvalidModel(f"strings cannot be ordered by {quote(name)}; use equal, or a <SimpleSetPredicate>", origin)
    return parse_constant(string, "double" if kind.data == "integer" else kind.data, origin)


def _compare_dynamically(name: str, string: str, operation: str) -> Test:
    compare = OPERATORS[operation]

    def test(frame: Frame) -> bool | None:
        value = frame.get(name)
        if value is None:
            return None
        return compare(value, string if type_of(value) == "string" else parse_double(string))

    return test


def _compare_ordinal(name: str, order: tuple[str, ...], form: FieldComparison) -> Test:
    ranks = {value: rank for rank, value in enumerate(order)}
    compare = OPERATORS[form.operator]
    if form.value not in ranks:
        raise InvalidModel(f"value {quote(form.value, 80)} is not one of the field's values", form.origin)
    constant = ranks[form.value]

    def test(frame: Frame) -> bool | None:
        value = frame.get(name)
        return None if value is None else compare(rank_of(value, ranks, name), constant)

    return test


def rank_of(value: Any, ranks: dict[str, int], name: str) -> int:
    """Return the rank of an ordinal value."""
    if (string := to_string(value)) not in ranks:
        raise InvalidField(name, f"{quote(value, 80)} is not one of the ordered values")
    return ranks[string]


def _compile_membership(form: SetMembership, scope: FieldScope) -> Test:
    name, kind = form.field, scope.require(form.field, form.origin).type
    data = "string" if kind is None else kind.data
    values = frozenset(parse_constant(string, data, form.origin) for string in form.values)
    negated = form.negated

    def test(frame: Frame) -> bool | None:
        value = frame.get(name)
        return None if value is None else (value in values) is not negated

    return test


def _compile_combination(form: Combination, scope: FieldScope) -> Test:
    tests = tuple(compile_predicate(predicate, scope) for predicate in form.predicates)
    return _COMBINATIONS[form.operator](tests)


# All predicates are evaluated, as by JPMML, so an invalid value of any of them is reported
def _all_of(tests: tuple[Test, ...]) -> Test:
    def test(frame: Frame) -> bool | None:
        values = [part(frame) for part in tests]
        return False if False in values else None if None in values else True

    return test


def _any_of(tests: tuple[Test, ...]) -> Test:
    def test(frame: Frame) -> bool | None:
        values = [part(frame) for part in tests]
        return True if True in values else None if None in values else False

    return test


def _odd_of(tests: tuple[Test, ...]) -> Test:
    def test(frame: Frame) -> bool | None:
        result: bool | None = False
        for part in tests:
            value = part(frame)
            result = None if value is None or result is None else result is not value
        return result

    return test


def _first_of(tests: tuple[Test, ...]) -> Test:
    def test(frame: Frame) -> bool | None:
        for part in tests:
            if (value := part(frame)) is not None:
                return value
        return None

    return test


_COMBINATIONS: dict[str, Callable[[tuple[Test, ...]], Test]] = {
    "and": _all_of,
    "or": _any_of,
    "xor": _odd_of,
    "surrogate": _first_of,
}
