"""Predicates as tests of arrays, for records without missing values."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np

from stellar.models.batch.columns import Flags
from stellar.models.batch.expressions import find_field
from stellar.models.batch.program import Values
from stellar.models.batch.scope import BatchField, BatchScope
from stellar.models.compiled.fields import NotCompiled
from stellar.models.evaluation.inputs import parse_constant
from stellar.models.forms.predicates import Always, Combination, FieldComparison, Predicate, SetMembership

BatchTest = Callable[[Values], Flags]

COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "equal": np.equal,
    "notEqual": np.not_equal,
    "lessThan": np.less,
    "lessOrEqual": np.less_equal,
    "greaterThan": np.greater,
    "greaterOrEqual": np.greater_equal,
}
_COMBINATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "and": np.logical_and,
    "or": np.logical_or,
    "xor": np.logical_xor,
}


def find_constant(form: Predicate, scope: BatchScope) -> bool | None:
    """Return the value of a predicate that is the same for all records, None for other predicates.

    A field that is tested for a missing value is declared, so records in which it is missing are surprises.
    """
    match form:
        case Always():
            return form.value
        case FieldComparison() if form.operator in ("isMissing", "isNotMissing"):
            find_field(form.field, scope)
            return form.operator == "isNotMissing"
    return None


def parse_bound(form: FieldComparison, field: BatchField) -> float:
    """Return the number that a field is compared with."""
    is_equality = form.operator in ("equal", "notEqual")
    data = "double" if field.kind == "integer" and not is_equality else field.kind
    return float(parse_constant(form.value or "", data, form.origin))


def compile_test(form: Predicate, scope: BatchScope) -> BatchTest:
    """Return the test of a predicate."""
    if (constant := find_constant(form, scope)) is not None:
        return lambda values: np.full(values.size, constant)
    match form:
        case FieldComparison():
            return _compile_comparison(form, scope)
        case SetMembership():
            return _compile_membership(form, scope)
        case Combination():
            return _compile_combination(form, scope)
    raise NotCompiled


def _compile_comparison(form: FieldComparison, scope: BatchScope) -> BatchTest:
    field = find_field(form.field, scope)
    array, compare = field.array, COMPARISONS[form.operator]
    if field.kind != "string":
        bound = parse_bound(form, field)
        return lambda values: compare(values[array], bound)
    if form.operator not in ("equal", "notEqual"):
        raise NotCompiled
    code = scope.inputs.encode(form.field, form.value or "")
    return lambda values: compare(values[array], code)


def _compile_membership(form: SetMembership, scope: BatchScope) -> BatchTest:
    field = find_field(form.field, scope)
    array, negated = field.array, form.negated
    if field.kind == "string":
        codes = [scope.inputs.encode(form.field, value) for value in form.values]
        # codes start at -1, so the flag of code c is at c + 1; later codes of the field are in no set of before
        flags = np.zeros(max(codes, default=-1) + 2, bool)
        flags[[code + 1 for code in codes]] = True
        last = len(flags) - 1
        return lambda values: (
            np.where(values[array] < last, flags.take(values[array] + 1, mode="clip"), False) ^ negated
        )
    members = np.array([parse_constant(value, field.kind, form.origin) for value in form.values], np.float64)
    return lambda values: np.isin(values[array], members, invert=negated)


def _compile_combination(form: Combination, scope: BatchScope) -> BatchTest:
    if form.operator == "surrogate":
        return compile_test(form.predicates[0], scope)
    tests = [compile_test(predicate, scope) for predicate in form.predicates]
    combine = _COMBINATIONS[form.operator]
    return lambda values: reduce(combine, [test(values) for test in tests])
