"""Evaluation of generalized linear, multinomial, ordinal and Cox models."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from stellar.models.errors import InvalidField, InvalidModel
from stellar.models.evaluation.arithmetic import raise_power
from stellar.models.evaluation.frames import FieldScope, Frame
from stellar.models.evaluation.inputs import parse_constant
from stellar.models.evaluation.predictions import BodyEvaluation, Prediction, Predictions, find_winner
from stellar.models.evaluation.regression import (
    INVERSES,
    accumulate_shares,
    exponential,
    inverse_logit,
    read_number,
    softmax,
)
from stellar.models.evaluation.targets import TargetField
from stellar.models.forms.bodies import BaselineHazard, Cell, GeneralRegressionForm, Predictor
from stellar.models.forms.model import ModelForm
from stellar.models.values import identity, round_single
from stellar.util.abbreviate import quote

Rounding = Callable[[float], float]
Inverse = Callable[[float, Rounding], float]
# A factor of a parameter, None if its field is missing
FactorValue = Callable[[Frame], float | None]
Sum = Callable[[Frame], float | None]


def compile_general_regression(
    form: GeneralRegressionForm, model: ModelForm, target: TargetField, scope: FieldScope
) -> BodyEvaluation:
    """Return the evaluation of a GeneralRegressionModel."""
    to_width = round_single if model.is_single else identity
    if form.kind == "CoxRegression":
        return _compile_cox(form, target, scope, to_width)
    if model.function == "classification":
        return _compile_classification(form, target, scope, to_width)
    total = _compile_sum(form, None, scope, to_width)
    invert = INVERSES["none"] if form.kind in ("regression", "generalLinear") else find_inverse_link(form)
    trials = _compile_optional(form.trials, form.trials_variable, 1.0, form, scope)

    def evaluate(frame: Frame) -> Predictions:
        if (value := total(frame)) is None:
            return {target.name: Prediction(None)}
        count = trials(frame)
        return {target.name: Prediction(None if count is None else to_width(invert(value, to_width) * count))}

    return evaluate


# -- Sums -------------------------------------------------------------------------------------------------------------


def _compile_sum(form: GeneralRegressionForm, category: str | None, scope: FieldScope, to_width: Rounding) -> Sum:
    """Return the linear predictor of a category."""
    betas = {cell.parameter: cell.value for cell in form.coefficients if cell.category in (None, category)}
    products = _compile_parameters(form, category, scope)
    for name in betas:
        if name not in form.parameters:
            raise InvalidModel(f"unknown parameterName {quote(name, 80)}", form.origin)
    terms = [(to_width(beta), products.get(name, ())) for name, beta in betas.items()]
    offset = _compile_optional(form.offset, form.offset_variable, 0.0, form, scope)

    def evaluate(frame: Frame) -> float | None:
        total = 0.0
        for beta, factors in terms:
            product = 1.0
            for factor in factors:
                if (value := factor(frame)) is None:
                    return None
                product = to_width(product * value)
            total = to_width(total + to_width(beta * product))
        extra = offset(frame)
        return None if extra is None else to_width(total + extra)

    return evaluate


def _compile_optional(
    constant: float | None, name: str | None, default: float, form: GeneralRegressionForm, scope: FieldScope
) -> Sum:
    if name is None:
        value = default if constant is None else constant
        return lambda frame: value
    scope.require(name, form.origin)
    return lambda frame: read_number(frame, name)


def _compile_parameters(
    form: GeneralRegressionForm, category: str | None, scope: FieldScope
) -> dict[str, list[FactorValue]]:
    predictors = {predictor.field: (predictor, True) for predictor in form.factors}
    predictors |= {predictor.field: (predictor, False) for predictor in form.covariates}
    products: dict[str, list[FactorValue]] = {}
    for owner, cell in form.cells:
        if owner not in (None, category):
            continue
        if cell.field not in predictors:
            raise InvalidModel(f"unknown predictorName {quote(cell.field, 80)}", form.origin)
        predictor, is_factor = predictors[cell.field]
        compile_cell = _compile_factor if is_factor else _compile_covariate
        products.setdefault(cell.parameter, []).append(compile_cell(cell, predictor, form, scope))
    return products


def _compile_factor(cell: Cell, predictor: Predictor, form: GeneralRegressionForm, scope: FieldScope) -> FactorValue:
    kind, name = scope.require(cell.field, form.origin).type, cell.field
    data = "string" if kind is None else kind.data
    if predictor.matrix:
        return _compile_contrast(cell, predictor, data, form)
    category = parse_constant(cell.value, data, form.origin)

    def evaluate(frame: Frame) -> float | None:
        value = frame.get(name)
        return None if value is None else float(value == category)

    return evaluate


def _compile_contrast(cell: Cell, predictor: Predictor, data: str, form: GeneralRegressionForm) -> FactorValue:
    categories = [parse_constant(value, data, form.origin) for value in predictor.categories]
    name = cell.field
    try:
        column = predictor.categories.index(cell.value)
        table = {category: predictor.matrix[row][column] for row, category in enumerate(categories)}
    except (ValueError, IndexError):
        raise InvalidModel(
            f"the matrix of {quote(name, 80)} has no column for {quote(cell.value, 80)}", form.origin
        ) from None

    def evaluate(frame: Frame) -> float | None:
        value = frame.get(name)
        if value is None:
            return None
        if value not in table:
            raise InvalidField(name, f"{quote(value, 80)} is not a category of the contrast")
        return table[value]

    return evaluate


def _compile_covariate(cell: Cell, predictor: Predictor, form: GeneralRegressionForm, scope: FieldScope) -> FactorValue:
    scope.require(cell.field, form.origin)
    name, power = cell.field, parse_constant(cell.value, "double", form.origin)
    if predictor.matrix:
        raise InvalidModel("a <Matrix> of a covariate is not supported", form.origin)

    def evaluate(frame: Frame) -> float | None:
        value = read_number(frame, name)
        return value if value is None or power == 1 else raise_power(float(value), power)

    return evaluate


# -- Links ------------------------------------------------------------------------------------------------------------


def find_inverse_link(form: GeneralRegressionForm) -> Inverse:
    """Return the inverse of the link function. Raise InvalidModel if a parameter of it is missing."""
    link = form.link
    if link is None:
        raise InvalidModel("missing attribute 'linkFunction'; add it", form.origin)
    if link == "negbin":
        dispersion = _require(form.distribution_parameter, "distParameter", form)
        return lambda value, to_width: _divide(
            1.0, to_width(dispersion * to_width(to_width(exponential(-value)) - 1.0)), to_width
        )
    if link in ("power", "oddspower"):
        parameter = _require(form.link_parameter, "linkParameter", form)
        return _invert_power(parameter) if link == "power" else _invert_odds(parameter)
    return LINKS[link]


def _require(value: float | None, name: str, form: GeneralRegressionForm) -> float:
    if value is None:
        raise InvalidModel(f"missing attribute {quote(name)}; add it", form.origin)
    return value


def _divide(value: float, divisor: float, to_width: Rounding) -> float:
    return to_width(value / divisor) if divisor else math.inf


def _invert_power(parameter: float) -> Inverse:
    if parameter == 0:
        return INVERSES["exp"]
    return lambda value, to_width: to_width(raise_power(value, to_width(1.0 / parameter)))


def _invert_odds(parameter: float) -> Inverse:
    if parameter == 0:
        return inverse_logit

    def invert(value: float, to_width: Rounding) -> float:
        power = to_width(raise_power(to_width(1.0 + to_width(parameter * value)), to_width(-1.0 / parameter)))
        return to_width(1.0 / to_width(1.0 + power))

    return invert


LINKS: dict[str, Inverse] = {
    **INVERSES,
    "identity": INVERSES["none"],
    "log": INVERSES["exp"],
    "logc": lambda value, to_width: to_width(1.0 - to_width(exponential(value))),
}


# -- Classification ---------------------------------------------------------------------------------------------------


def find_names(form: GeneralRegressionForm, target: TargetField) -> list[str]:
    """Return the categories of the target, as strings, in their order."""
    named = list(dict.fromkeys(cell.category for cell in form.coefficients if cell.category is not None))
    if target.order:
        return list(target.order)
    return named if form.reference is None else [*named, form.reference]


def _compile_classification(
    form: GeneralRegressionForm, target: TargetField, scope: FieldScope, to_width: Rounding
) -> BodyEvaluation:
    names = find_names(form, target)
    if len(names) < 2:
        raise InvalidModel("expected two categories of the target or more", form.origin)
    categories = [target.parse(name, form.origin) for name in names]
    reference, combine = find_combination(form, names, to_width)
    sums = [None if name == reference else _compile_sum(form, name, scope, to_width) for name in names]

    def evaluate(frame: Frame) -> Predictions:
        values = []
        for total in sums:
            value = 0.0 if total is None else total(frame)
            if value is None:
                return {target.name: Prediction(None)}
            values.append(value)
        shares = dict(zip(categories, combine(values), strict=True))
        return {target.name: Prediction(find_winner(shares), probabilities=shares)}

    return evaluate


def find_combination(
    form: GeneralRegressionForm, names: list[str], to_width: Rounding
) -> tuple[str, Callable[[list[float]], list[float]]]:
    """Return the category whose linear predictor is 0, and the function from linear predictors to shares."""
    if form.kind == "ordinalMultinomial":
        cumulate = INVERSES[form.cumulative_link or "logit"]
        return names[-1], lambda values: accumulate_shares([cumulate(value, to_width) for value in values], to_width)
    reference = form.reference or names[-1]
    if form.kind == "multinomialLogistic":
        return reference, lambda values: softmax(values, to_width)
    if len(names) != 2 or form.kind not in ("generalizedLinear", "regression", "generalLinear"):
        raise InvalidModel(f"modelType {quote(form.kind)} with {len(names)} categories is not supported", form.origin)
    invert = find_inverse_link(form) if form.kind == "generalizedLinear" else INVERSES["none"]
    first, trials = names[0] != reference, 1.0 if form.trials is None else form.trials

    def combine(values: list[float]) -> list[float]:
        share = to_width(invert(values[0 if first else 1], to_width) * trials)
        other = to_width(1.0 - share)
        return [share, other] if first else [other, share]

    return reference, combine


# -- Cox regression ---------------------------------------------------------------------------------------------------


def _compile_cox(
    form: GeneralRegressionForm, target: TargetField, scope: FieldScope, to_width: Rounding
) -> BodyEvaluation:
    total = _compile_sum(form, None, scope, to_width)
    betas = {cell.parameter: cell.value for cell in form.coefficients}
    reference = sum(beta * form.parameters.get(name, 0.0) for name, beta in betas.items())
    if form.end_time is None or not form.hazards:
        raise InvalidModel("missing endTimeVariable or <BaseCumHazardTables>; add them", form.origin)
    scope.require(form.end_time, form.origin)
    find_hazard = _compile_hazard(form, scope)
    end_time = form.end_time

    def evaluate(frame: Frame) -> Predictions:
        time = read_number(frame, end_time)
        if time is None:
            raise InvalidField(end_time, "it is missing; set it")
        hazard = find_hazard(frame, time)
        if hazard == 0:
            return {target.name: Prediction(0.0)}
        value = total(frame)
        if hazard is None or value is None:
            return {target.name: Prediction(None)}
        return {target.name: Prediction(hazard * exponential(value - reference))}

    return evaluate


def _compile_hazard(form: GeneralRegressionForm, scope: FieldScope) -> Callable[[Frame, float], float | None]:
    if form.strata is None:
        (hazard,) = form.hazards[:1]
        return lambda _, time: find_cumulated(hazard, time)
    kind, name = scope.require(form.strata, form.origin).type, form.strata
    data = "string" if kind is None else kind.data
    tables: dict[Any, BaselineHazard] = {
        parse_constant(hazard.stratum or "", data, form.origin): hazard for hazard in form.hazards
    }

    def find(frame: Frame, time: float) -> float | None:
        hazard = tables.get(frame.get(name))
        return None if hazard is None else find_cumulated(hazard, time)

    return find


def find_cumulated(hazard: BaselineHazard, time: float) -> float | None:
    """Return the cumulated hazard at a time; None beyond the table."""
    if time > hazard.max_time or not hazard.cells:
        return None
    if time < hazard.cells[0][0]:
        return 0.0
    return max((cell for cell in hazard.cells if cell[0] <= time), key=lambda cell: cell[0])[1]
