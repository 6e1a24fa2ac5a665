"""Evaluation of naive Bayes classifiers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from stellar.models.errors import InvalidModel
from stellar.models.evaluation.expressions import compile_derived
from stellar.models.evaluation.frames import Evaluation, FieldScope, Frame
from stellar.models.evaluation.inputs import parse_constant
from stellar.models.evaluation.predictions import BodyEvaluation, Prediction, Predictions, find_winner
from stellar.models.evaluation.regression import softmax
from stellar.models.evaluation.targets import TargetField
from stellar.models.forms.bodies import BayesForm, BayesInput
from stellar.models.forms.fields import FieldType
from stellar.models.forms.model import ModelForm
from stellar.models.values import identity, round_single, to_double
from stellar.util.abbreviate import quote

# Adds the logarithms of a value's probabilities to those of the categories
Likelihood = Callable[[Frame, list[float]], None]


def compile_bayes(form: BayesForm, model: ModelForm, target: TargetField, scope: FieldScope) -> BodyEvaluation:
    """Return the evaluation of a NaiveBayesModel."""
    to_width = round_single if model.is_single else identity
    if not form.threshold >= 0 or any(count <= 0 for count in form.counts.values()) or not form.counts:
        raise InvalidModel("expected counts above 0 and a threshold from 0", form.origin)
    names = list(form.counts)
    categories = [target.parse(name, form.origin) for name in names]
    priors = [math.log(count) for count in form.counts.values()]
    likelihoods = [_compile_input(entry, names, form.threshold, scope) for entry in form.inputs]

    def evaluate(frame: Frame) -> Predictions:
        logarithms = list(priors)
        for add in likelihoods:
            add(frame, logarithms)
        shares = dict(zip(categories, softmax(logarithms, to_width), strict=True))
        return {target.name: Prediction(find_winner(shares), probabilities=shares)}

    return evaluate


def logarithm(probability: float) -> float:
    """Return a logarithm; minus infinity for zero."""
    return math.log(probability) if probability > 0 else -math.inf


def _compile_input(entry: BayesInput, names: list[str], threshold: float, scope: FieldScope) -> Likelihood:
    read, kind = _compile_value(entry, scope)
    if entry.distributions:
        return _compile_distributions(entry, names, threshold, read)
    totals = {name: sum(counts.get(name, 0.0) for counts in entry.counts.values()) for name in names}
    data = "string" if kind is None else kind.data
    table = {
        parse_constant(value, data, entry.origin): [
            logarithm(counts[name] / totals[name] if counts.get(name) else threshold) for name in names
        ]
        for value, counts in entry.counts.items()
    }

    def add(frame: Frame, logarithms: list[float]) -> None:
        value = read(frame)
        for index, part in enumerate(table.get(value, ())):
            logarithms[index] += part

    return add


def _compile_value(entry: BayesInput, scope: FieldScope) -> tuple[Evaluation, FieldType | None]:
    if entry.derived is not None:
        return compile_derived(scope)(entry.derived), entry.derived.type
    kind, name = scope.require(entry.field, entry.origin).type, entry.field
    return (lambda frame: frame.get(name)), kind


def _compile_distributions(entry: BayesInput, names: list[str], threshold: float, read: Evaluation) -> Likelihood:
    densities = []
    for name in names:
        if name not in entry.distributions:
            raise InvalidModel(f"no distribution for category {quote(name, 80)}", entry.origin)
        densities.append(_compile_density(*entry.distributions[name], entry))

    def add(frame: Frame, logarithms: list[float]) -> None:
        if (value := read(frame)) is None:
            return
        number = to_double(value)
        for index, density in enumerate(densities):
            logarithms[index] += logarithm(max(density(number), threshold))

    return add


def _compile_density(kind: str, parameters: tuple[float, float], entry: BayesInput) -> Callable[[float], float]:
    mean, variance = parameters
    if not variance > 0:
        raise InvalidModel(f"invalid variance or mean {variance}: expected a number above 0", entry.origin)
    if kind == "PoissonDistribution":
        return lambda value: _poisson(value, mean)
    factor = 1 / math.sqrt(2 * math.pi * variance)
    return lambda value: factor * math.exp(-((value - mean) ** 2) / (2 * variance))


def _poisson(value: Any, mean: float) -> float:
    if value < 0 or value != math.floor(value):
        return 0.0
    return math.exp(value * math.log(mean) - mean - math.lgamma(value + 1))
