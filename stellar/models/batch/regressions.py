"""Regressions as sums of columns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

from stellar.models.batch.columns import Floats
from stellar.models.batch.expressions import find_field, find_number
from stellar.models.batch.links import invert_link
from stellar.models.batch.predictions import BatchNumber, BatchPrediction, BatchShares, assign_shares
from stellar.models.batch.program import Compute, Values, map_each, map_rows
from stellar.models.batch.scope import BatchScope
from stellar.models.compiled.fields import NotCompiled
from stellar.models.evaluation.arithmetic import raise_power
from stellar.models.evaluation.general_regression import find_combination, find_inverse_link, find_names
from stellar.models.evaluation.inputs import parse_constant
from stellar.models.evaluation.regression import find_normalization
from stellar.models.evaluation.targets import TargetField
from stellar.models.forms.bodies import Cell, Equation, GeneralRegressionForm, RegressionForm, Term
from stellar.models.forms.model import ModelForm
from stellar.models.values import identity

Total: TypeAlias = Callable[[Values], Floats]


def compile_regression(
    form: RegressionForm, model: ModelForm, target: TargetField, scope: BatchScope
) -> BatchPrediction:
    """Add the steps of a RegressionModel."""
    sums = [_compile_sum(equation, scope) for equation in form.equations]
    if model.function != "classification":
        return BatchNumber(scope.program.assign(lambda values: invert_link(form.normalization, sums[0](values))))
    categories = tuple(target.parse(equation.category or "", equation.origin) for equation in form.equations)
    if len(sums) == 2 and form.normalization == "logit" and not target.is_ordinal:
        share = scope.program.assign(lambda values: invert_link("logit", sums[0](values)))
        other = scope.program.assign(lambda values: 1.0 - values[share])
        return assign_shares(categories, (share, other), scope.program)
    return _assign_shares(categories, sums, find_normalization(form, target, identity), scope)


def _assign_shares(
    categories: tuple[object, ...],
    sums: Sequence[Total],
    normalize: Callable[[list[float]], list[float]],
    scope: BatchScope,
) -> BatchShares:
    count = len(categories)

    def compute(values: Values) -> list[Floats]:
        return map_rows(normalize, [total(values) for total in sums], count)

    return assign_shares(categories, scope.program.assign_all(count, compute), scope.program)


def _compile_sum(form: Equation, scope: BatchScope) -> Total:
    """Return the sum of an equation, whose terms are added in their order."""
    terms = [_compile_term(term, scope) for term in form.terms]
    intercept = form.intercept

    def compute(values: Values) -> Floats:
        total = np.zeros(values.size)
        for term in terms:
            total += term(values)
        total += intercept
        return total

    return compute


def _compile_term(term: Term, scope: BatchScope) -> Compute:
    coefficient = term.coefficient
    if term.category is not None:
        return _compile_category_term(term.factors[0][0], term.category, coefficient, term, scope)
    arrays = [(find_number(name, scope), exponent) for name, exponent in term.factors]
    if len(arrays) == 1 and arrays[0][1] == 1:
        (array, _), *_ = arrays
        return lambda values: coefficient * values[array]

    def compute(values: Values) -> Floats:
        product = np.ones(values.size)
        for array, exponent in arrays:
            product *= _raise(values[array], exponent)
        return coefficient * product

    return compute


def _raise(values: Floats, exponent: float) -> Floats:
    return values if exponent == 1 else map_each(lambda value: raise_power(value, exponent), values)


def _compile_category_term(
    name: str, category: str, coefficient: float, term: Term | Cell, scope: BatchScope
) -> Compute:
    field = find_field(name, scope)
    if field.kind != "string":
        raise NotCompiled
    array, code = field.array, scope.inputs.encode(name, category)
    return lambda values: np.where(values[array] == code, coefficient, 0.0)


# -- Generalized linear models ----------------------------------------------------------------------------------------


def compile_general_regression(
    form: GeneralRegressionForm, model: ModelForm, target: TargetField, scope: BatchScope
) -> BatchPrediction:
    """Add the steps of a GeneralRegressionModel."""
    if form.kind == "CoxRegression":
        raise NotCompiled
    if model.function == "classification":
        return _compile_general_classification(form, target, scope)
    total = _compile_predictor(form, None, scope)
    if form.trials is not None or form.trials_variable is not None:
        raise NotCompiled
    if form.kind in ("regression", "generalLinear"):
        return BatchNumber(scope.program.assign(total))
    invert = find_inverse_link(form)
    return BatchNumber(scope.program.assign(lambda values: map_each(lambda v: invert(v, identity), total(values))))


def _compile_general_classification(
    form: GeneralRegressionForm, target: TargetField, scope: BatchScope
) -> BatchPrediction:
    names = find_names(form, target)
    reference, combine = find_combination(form, names, identity)
    sums = [_return_zero if name == reference else _compile_predictor(form, name, scope) for name in names]
    return _assign_shares(tuple(target.parse(name, form.origin) for name in names), sums, combine, scope)


def _return_zero(values: Values) -> Floats:
    return np.zeros(values.size)


def _compile_predictor(form: GeneralRegressionForm, category: str | None, scope: BatchScope) -> Total:
    """Return the linear predictor of a category."""
    if form.offset_variable is not None:
        raise NotCompiled
    betas = {cell.parameter: cell.value for cell in form.coefficients if cell.category in (None, category)}
    products = _compile_parameters(form, category, scope)
    terms = [(beta, products.get(name, ())) for name, beta in betas.items()]
    offset = form.offset or 0.0

    def compute(values: Values) -> Floats:
        total = np.zeros(values.size)
        for beta, factors in terms:
            product: Floats | float = 1.0
            for factor in factors:
                product = product * factor(values)
            total += beta * product
        total += offset
        return total

    return compute


def _compile_parameters(
    form: GeneralRegressionForm, category: str | None, scope: BatchScope
) -> dict[str, list[Compute]]:
    matrices = {predictor.field for predictor in (*form.factors, *form.covariates) if predictor.matrix}
    factors = {predictor.field for predictor in form.factors} - {predictor.field for predictor in form.covariates}
    products: dict[str, list[Compute]] = {}
    for owner, cell in form.cells:
        if owner in (None, category):
            if cell.field in matrices:
                raise NotCompiled
            compile_cell = _compile_factor if cell.field in factors else _compile_covariate
            products.setdefault(cell.parameter, []).append(compile_cell(cell, form, scope))
    return products


def _compile_factor(cell: Cell, form: GeneralRegressionForm, scope: BatchScope) -> Compute:
    field = find_field(cell.field, scope)
    if field.kind == "string":
        return _compile_category_term(cell.field, cell.value, 1.0, cell, scope)
    array, category = field.array, float(parse_constant(cell.value, field.kind, form.origin))
    return lambda values: (values[array] == category).astype(np.float64)


def _compile_covariate(cell: Cell, form: GeneralRegressionForm, scope: BatchScope) -> Compute:
    array, power = find_number(cell.field, scope), parse_constant(cell.value, "double", form.origin)
    return lambda values: _raise(values[array], power)
