"""Derived fields of numbers as operations on arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from stellar.models.batch.fields import round_singles
from stellar.models.batch.program import Compute, Values, map_each
from stellar.models.batch.scope import BatchField, BatchScope
from stellar.models.compiled.expressions import FLOAT_FUNCTIONS
from stellar.models.compiled.fields import NotCompiled
from stellar.models.evaluation.expressions import FUNCTIONS
from stellar.models.forms.expressions import Apply, ConstantForm, ExpressionForm, FieldRef, NormContinuous, NormDiscrete
from stellar.models.forms.fields import DerivedField

_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
}


def find_field(name: str, scope: BatchScope) -> BatchField:
    """Return a field. A derived field is added to the program on first use.

    Raise NotCompiled for a field that a batch cannot compute.
    """
    if (field := scope.find_known(name)) is not None:
        return field
    if (form := scope.derived.pop(name, None)) is None:
        raise NotCompiled
    field = compile_field(form, scope)
    scope.declare(name, field)
    return field


def find_number(name: str, scope: BatchScope) -> str:
    """Return the array of a field of numbers."""
    field = find_field(name, scope)
    if field.kind == "string":
        raise NotCompiled
    return field.array


def compile_field(form: DerivedField, scope: BatchScope) -> BatchField:
    """Add the steps of a derived field, or of an output with an expression."""
    kind = form.type.data
    if kind not in ("double", "float") or not _has_field(form.expression):
        raise NotCompiled
    compute, is_float = _compile(form.expression, scope)
    if not is_float:
        raise NotCompiled
    if kind == "double":
        return BatchField(scope.program.assign(compute), kind)
    return BatchField(scope.program.assign(lambda values: round_singles(compute(values))), kind)


def _has_field(form: ExpressionForm) -> bool:
    """Return True for an expression whose value is an array."""
    if isinstance(form, Apply):
        return any(_has_field(argument) for argument in form.arguments)
    return not isinstance(form, ConstantForm)


def is_exact(value: int) -> bool:
    """Return True for an integer that a double is equal to."""
    return -(2**53) <= value <= 2**53


def _compile(form: ExpressionForm, scope: BatchScope) -> tuple[Compute, bool]:
    """Return an expression, and True if its value is a double: arithmetic of integers has other rules."""
    match form:
        case ConstantForm() if form.value.__class__ is float or (form.value.__class__ is int and is_exact(form.value)):
            value = float(form.value)
            return lambda _: value, form.value.__class__ is float
        case FieldRef() if form.missing is None:
            return _compile_field_ref(form, scope)
        case Apply():
            return _compile_apply(form, scope)
        case NormContinuous():
            return _compile_norm_continuous(form, scope), True
        case NormDiscrete():
            return _compile_norm_discrete(form, scope), True
    raise NotCompiled


def _compile_field_ref(form: FieldRef, scope: BatchScope) -> tuple[Compute, bool]:
    field = find_field(form.field, scope)
    if field.kind not in ("double", "integer"):
        raise NotCompiled
    array = field.array
    return lambda values: values[array], field.kind == "double"


def _compile_apply(form: Apply, scope: BatchScope) -> tuple[Compute, bool]:
    if form.missing is not None or form.default is not None or form.invalid != "returnInvalid":
        raise NotCompiled
    arguments = [_compile(argument, scope) for argument in form.arguments]
    if form.function in FLOAT_FUNCTIONS and len(arguments) == 1 and _has_field(form):
        return _compile_call(FUNCTIONS[form.function][0], arguments[0][0]), True
    if form.function not in _OPERATORS or len(arguments) != 2 or not (arguments[0][1] or arguments[1][1]):
        raise NotCompiled
    divisor = form.arguments[1]
    if form.function == "/" and not (isinstance(divisor, ConstantForm) and divisor.value):
        raise NotCompiled
    return _compile_operation(_OPERATORS[form.function], arguments[0][0], arguments[1][0]), True


def _compile_call(function: Callable[[float], Any], argument: Compute) -> Compute:
    return lambda values: map_each(function, argument(values))


def _compile_operation(operate: Callable[[Any, Any], Any], left: Compute, right: Compute) -> Compute:
    return lambda values: operate(left(values), right(values))


def _compile_norm_continuous(form: NormContinuous, scope: BatchScope) -> Compute:
    array, outliers = find_number(form.field, scope), form.outliers
    x, y = (np.array(numbers, np.float64) for numbers in zip(*form.points, strict=True))

    def compute(values: Values) -> Any:
        numbers = values[array]
        index = np.clip(np.searchsorted(x, numbers, side="right"), 1, len(x) - 1)
        before = index - 1
        found = y[before] + (numbers - x[before]) / (x[index] - x[before]) * (y[index] - y[before])
        if outliers != "asIs":
            is_low, is_high = numbers < x[0], numbers > x[-1]
            found[is_low], found[is_high] = (np.nan, np.nan) if outliers == "asMissingValues" else (y[0], y[-1])
        return found

    return compute


def _compile_norm_discrete(form: NormDiscrete, scope: BatchScope) -> Compute:
    field = find_field(form.field, scope)
    if field.kind != "string":
        raise NotCompiled
    array, code = field.array, scope.inputs.encode(form.field, form.value)
    return lambda values: (values[array] == code).astype(np.float64)
