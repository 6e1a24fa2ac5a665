"""Evaluation of regression models."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from stellar.models.errors import InvalidField, InvalidModel, NotScored
from stellar.models.evaluation.arithmetic import cumulate_normal, raise_power
from stellar.models.evaluation.frames import FieldScope, Frame
from stellar.models.evaluation.inputs import parse_constant
from stellar.models.evaluation.predictions import BodyEvaluation, Prediction, Predictions, find_winner
from stellar.models.evaluation.targets import TargetField
from stellar.models.evaluation.tracing import ScoreStep, describe_term
from stellar.models.forms.bodies import Equation, RegressionForm, Term
from stellar.models.forms.model import ModelForm
from stellar.models.values import describe, identity, round_single
from stellar.util.abbreviate import quote

Rounding = Callable[[float], float]
# The value of a term, None if a number is missing
TermValue = Callable[[Frame], float | None]


def compile_regression(
    form: RegressionForm, model: ModelForm, target: TargetField, scope: FieldScope
) -> BodyEvaluation:
    """Return the evaluation of a RegressionModel."""
    to_width = round_single if model.is_single else identity
    sums = [compile_equation(equation, scope, to_width) for equation in form.equations]
    if model.function == "classification":
        return _compile_classification(form, sums, target, to_width)
    if len(sums) != 1:
        raise InvalidModel(f"expected one <RegressionTable> for regression, got {len(sums)}", form.origin)
    if form.normalization == "simplemax":
        raise InvalidModel("normalizationMethod 'simplemax' is for classification", form.origin)
    inverse, total = INVERSES[form.normalization], sums[0]

    def evaluate(frame: Frame) -> Predictions:
        value = total(frame)
        return {target.name: Prediction(None if value is None else inverse(value, to_width))}

    return evaluate


# -- Sums -------------------------------------------------------------------------------------------------------------


def read_number(frame: Frame, name: str) -> float | None:
    """Return the number of a field, None if it is missing."""
    value = frame.get(name)
    if value is None or isinstance(value, int | float):
        return value
    raise InvalidField(name, f"expected a number, got {describe(value)}")


def compile_equation(form: Equation, scope: FieldScope, to_width: Rounding) -> TermValue:
    """Return a function of a frame that returns the sum, or None if a number is missing."""
    terms = [_compile_term(term, scope, to_width) for term in form.terms]
    intercept = to_width(form.intercept)

    def evaluate(frame: Frame) -> float | None:
        total = 0.0
        for term in terms:
            value = term(frame)
            if value is None:
                return None
            total = to_width(total + value)
        if frame.steps is not None:
            frame.steps.extend(_trace_terms(form, [term(frame) for term in terms]))
        return to_width(total + intercept)

    return evaluate


def _trace_terms(form: Equation, values: list[float | None]) -> list[ScoreStep]:
    steps = [ScoreStep(term.origin, describe_term(term), value) for term, value in zip(form.terms, values, strict=True)]
    return [ScoreStep(form.origin, "intercept", form.intercept), *steps]


def _compile_term(form: Term, scope: FieldScope, to_width: Rounding) -> TermValue:
    kinds = [scope.require(name, form.origin).type for name, _ in form.factors]
    coefficient = to_width(form.coefficient)
    if form.category is not None:
        (name, _), kind = form.factors[0], kinds[0]
        data = "string" if kind is None else kind.data
        return _categorical_term(name, parse_constant(form.category, data, form.origin), coefficient)
    if len(form.factors) == 1 and form.factors[0][1] == 1:
        return _linear_term(form.factors[0][0], coefficient, to_width)
    return _product_term(form.factors, coefficient, to_width)


def _categorical_term(name: str, category: Any, coefficient: float) -> TermValue:
    return lambda frame: coefficient if frame.get(name) == category else 0.0


def _linear_term(name: str, coefficient: float, to_width: Rounding) -> TermValue:
    def evaluate(frame: Frame) -> float | None:
        value = read_number(frame, name)
        return None if value is None else to_width(coefficient * to_width(value))

    return evaluate


def _product_term(factors: tuple[tuple[str, float], ...], coefficient: float, to_width: Rounding) -> TermValue:
    def evaluate(frame: Frame) -> float | None:
        product = 1.0
        for name, exponent in factors:
            if (value := read_number(frame, name)) is None:
                return None
            product = to_width(product * to_width(raise_power(float(value), exponent)))
        return to_width(coefficient * product)

    return evaluate


# -- Normalization ----------------------------------------------------------------------------------------------------


def exponential(value: float) -> float:
    """Return e to a power, infinity instead of an overflow."""
    try:
        return math.exp(value)
    except OverflowError:
        return math.inf


def inverse_logit(value: float, to_width: Rounding = identity) -> float:
    """Return the logistic function."""
    return to_width(1.0 / to_width(1.0 + to_width(exponential(-value))))


def logistic(value: float) -> float:
    """Return the logistic function in binary64: `inverse_logit` without calls."""
    try:
        return 1.0 / (1.0 + math.exp(-value))
    except OverflowError:
        return 0.0


def _inverse_cloglog(value: float, to_width: Rounding) -> float:
    return to_width(1.0 - to_width(exponential(-to_width(exponential(value)))))


def _inverse_loglog(value: float, to_width: Rounding) -> float:
    return to_width(exponential(-to_width(exponential(-value))))


def _inverse_cauchit(value: float, to_width: Rounding) -> float:
    return to_width(0.5 + to_width(to_width(math.atan(value)) / to_width(math.pi)))


INVERSES: dict[str, Callable[[float, Rounding], float]] = {
    "none": lambda value, _: value,
    "exp": lambda value, to_width: to_width(exponential(value)),
    "logit": inverse_logit,
    "softmax": inverse_logit,
    "probit": lambda value, to_width: to_width(cumulate_normal(value)),
    "cloglog": _inverse_cloglog,
    "loglog": _inverse_loglog,
    "cauchit": _inverse_cauchit,
}


def limit_share(value: float, _: Rounding) -> float:
    """Return a share that is not normalized, limited to 0–1."""
    return min(max(value, 0.0), 1.0)


def divide_by_sum(values: list[float], to_width: Rounding) -> list[float]:
    """Return values that add up to 1."""
    total = 0.0
    for value in values:
        total = to_width(total + value)
    if not total:
        raise NotScored("the shares of the categories are undefined, as their sum is 0")
    return [to_width(value / total) for value in values]


def softmax(values: list[float], to_width: Rounding) -> list[float]:
    """Return the shares of the exponentials of values."""
    largest = max(values)
    if math.isinf(largest):
        return [math.nan] * len(values)
    return divide_by_sum([to_width(exponential(to_width(value - largest))) for value in values], to_width)


def _compile_classification(
    form: RegressionForm, sums: list[TermValue], target: TargetField, to_width: Rounding
) -> BodyEvaluation:
    categories = [_parse_category(equation, target) for equation in form.equations]
    normalize = find_normalization(form, target, to_width)

    def evaluate(frame: Frame) -> Predictions:
        values = []
        for total in sums:
            if (value := total(frame)) is None:
                return {target.name: Prediction(None)}
            values.append(value)
        shares = dict(zip(categories, normalize(values), strict=True))
        return {target.name: Prediction(find_winner(shares), probabilities=shares)}

    return evaluate


def _parse_category(equation: Equation, target: TargetField) -> Any:
    if equation.category is None:
        raise InvalidModel("missing attribute 'targetCategory'; add it", equation.origin)
    return target.parse(equation.category, equation.origin)


def find_normalization(
    form: RegressionForm, target: TargetField, to_width: Rounding
) -> Callable[[list[float]], list[float]]:
    """Return the function from the sums of the categories to their shares."""
    method = form.normalization
    if method == "softmax" and not target.is_ordinal:
        return lambda values: softmax(values, to_width)
    if method == "simplemax" and not target.is_ordinal:
        return lambda values: divide_by_sum(values, to_width)
    if method in ("exp", "simplemax", "softmax"):
        raise InvalidModel(f"normalizationMethod {quote(method)} is not for this classification", form.origin)
    inverse = limit_share if method == "none" else INVERSES[method]
    if target.is_ordinal:
        return lambda values: accumulate_shares([inverse(value, to_width) for value in values], to_width)
    if len(form.equations) == 2:
        return lambda values: _complement(inverse(values[0], to_width), to_width)
    if method == "none":
        # the last category has the rest
        return lambda values: [*values[:-1], to_width(1.0 - sum(values[:-1]))]
    return lambda values: divide_by_sum([inverse(value, to_width) for value in values], to_width)


def _complement(share: float, to_width: Rounding) -> list[float]:
    return [share, to_width(1.0 - share)]


def accumulate_shares(cumulated: list[float], to_width: Rounding) -> list[float]:
    """Return the shares of ordered categories from those of all categories up to each."""
    bounds = [*cumulated[:-1], 1.0]
    return [to_width(bound - below) for bound, below in zip(bounds, [0.0, *bounds[:-1]], strict=True)]
