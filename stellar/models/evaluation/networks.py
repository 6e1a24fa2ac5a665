"""Evaluation of neural networks."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from stellar.models.errors import InvalidModel, NotScored
from stellar.models.evaluation.expressions import compile_derived
from stellar.models.evaluation.frames import FieldScope, Frame
from stellar.models.evaluation.predictions import BodyEvaluation, Prediction, Predictions, find_winner
from stellar.models.evaluation.regression import divide_by_sum, exponential, inverse_logit, softmax
from stellar.models.evaluation.targets import TargetField
from stellar.models.forms.bodies import Layer, NetworkForm, Neuron
from stellar.models.forms.expressions import ExpressionForm, FieldRef, NormContinuous, NormDiscrete
from stellar.models.forms.model import ModelForm
from stellar.models.values import identity, round_single, to_double
from stellar.util.abbreviate import quote

Rounding = Callable[[float], float]

ACTIVATIONS: dict[str, Callable[[float], float]] = {
    "logistic": inverse_logit,
    "tanh": math.tanh,
    "identity": identity,
    "exponential": exponential,
    "reciprocal": lambda value: 1.0 / value if value else math.copysign(math.inf, value),
    "square": lambda value: value * value,
    "Gauss": lambda value: exponential(-(value * value)),
    "sine": math.sin,
    "cosine": math.cos,
    "Elliott": lambda value: value / (1.0 + abs(value)),
    "arctan": lambda value: 2.0 * math.atan(value) / math.pi,
    "rectifier": lambda value: value if value > 0 else 0.0,
}


def compile_network(
    form: NetworkForm, model: ModelForm, targets: list[TargetField], scope: FieldScope
) -> BodyEvaluation:
    """Return the evaluation of a NeuralNetwork."""
    to_width = round_single if model.is_single else identity
    derive = compile_derived(scope)
    inputs = [(name, derive(field)) for name, field in form.inputs]
    layers = [_compile_layer(layer, to_width) for layer in form.layers]
    by_target = [(target, _compile_outputs(form, model, target, len(targets))) for target in targets]

    def evaluate(frame: Frame) -> Predictions:
        values: dict[str, float] = {}
        for name, field in inputs:
            if (value := field(frame)) is None:
                return {target.name: Prediction(None) for target in targets}
            values[name] = to_width(to_double(value))
        for layer in layers:
            layer(values)
        return {target.name: predict(values) for target, predict in by_target}

    return evaluate


# -- Layers -----------------------------------------------------------------------------------------------------------


def _compile_layer(layer: Layer, to_width: Rounding) -> Callable[[dict[str, float]], None]:
    activations = [_compile_neuron(neuron, layer, to_width) for neuron in layer.neurons]
    names = [neuron.id for neuron in layer.neurons]
    normalize = _NORMALIZATIONS[layer.normalization]

    def evaluate(values: dict[str, float]) -> None:
        outputs = [activate(values) for activate in activations]
        if normalize is not None:
            outputs = normalize(outputs, to_width)
        values.update(zip(names, outputs, strict=True))

    return evaluate


_NORMALIZATIONS: dict[str, Callable[[list[float], Rounding], list[float]] | None] = {
    "none": None,
    "softmax": softmax,
    "simplemax": divide_by_sum,
}


def _compile_neuron(neuron: Neuron, layer: Layer, to_width: Rounding) -> Callable[[dict[str, float]], float]:
    if layer.activation == "radialBasis":
        return _compile_radial(neuron, layer)
    activate = ACTIVATIONS.get(layer.activation) or _threshold_at(layer.threshold)
    connections = [(name, to_width(weight)) for name, weight in neuron.connections]
    bias = to_width(neuron.bias)

    def evaluate(values: dict[str, float]) -> float:
        total = 0.0
        for name, weight in connections:
            total = to_width(total + to_width(weight * values[name]))
        try:
            return to_width(activate(to_width(total + bias)))
        except (OverflowError, ValueError):
            raise NotScored(f"neuron {quote(neuron.id)} has no value for this record") from None

    return evaluate


def _threshold_at(threshold: float) -> Callable[[float], float]:
    return lambda value: 1.0 if value > threshold else 0.0


def _compile_radial(neuron: Neuron, layer: Layer) -> Callable[[dict[str, float]], float]:
    width = layer.width if neuron.width is None else neuron.width
    altitude = layer.altitude if neuron.altitude is None else neuron.altitude
    if not width:
        raise InvalidModel(f"neuron {quote(neuron.id)} has no width for radialBasis; add it", layer.origin)
    scale, fan_in = 1.0 / (2.0 * width * width), len(neuron.connections)
    factor = fan_in * math.log(altitude) if altitude and altitude > 0 else 0.0

    def evaluate(values: dict[str, float]) -> float:
        squares = sum((values[name] - weight) ** 2 for name, weight in neuron.connections)
        return exponential(factor - squares * scale)

    return evaluate


# -- Outputs ----------------------------------------------------------------------------------------------------------


def _find_field(expression: ExpressionForm) -> str | None:
    return expression.field if isinstance(expression, FieldRef | NormContinuous | NormDiscrete) else None


def _compile_outputs(
    form: NetworkForm, model: ModelForm, target: TargetField, count: int
) -> Callable[[dict[str, float]], Prediction]:
    ends = [
        (name, field.expression, field)
        for name, field in form.outputs
        if count == 1 or _find_field(field.expression) == target.name
    ]
    if not ends:
        raise InvalidModel(f"no <NeuralOutput> of the target {quote(target.name)}", form.origin)
    if model.function == "classification":
        return _compile_categories(ends, target)
    name, expression, field = ends[0]
    denormalize = invert_norm(expression, field.origin)
    return lambda values: Prediction(denormalize(values[name]))


def _compile_categories(ends: list[Any], target: TargetField) -> Callable[[dict[str, float]], Prediction]:
    pairs = []
    for name, expression, field in ends:
        if not isinstance(expression, NormDiscrete):
            raise InvalidModel("expected <NormDiscrete> in the output of a classification", field.origin)
        pairs.append((name, target.parse(expression.value, field.origin)))

    def predict(values: dict[str, float]) -> Prediction:
        shares = {category: values[name] for name, category in pairs}
        winner = find_winner(shares)
        entity = next(name for name, category in pairs if category == winner)
        return Prediction(winner, probabilities=shares, entities=(entity,))

    return predict


def invert_norm(expression: ExpressionForm, origin: Any) -> Callable[[float], float]:
    """Return the function from a normalized value to the original one."""
    if isinstance(expression, FieldRef):
        return identity
    if not isinstance(expression, NormContinuous):
        raise InvalidModel("expected <FieldRef> or <NormContinuous> in the output of a regression", origin)
    points = expression.points

    def invert(value: float) -> float:
        index = 1
        while index < len(points) - 1 and value > points[index][1]:
            index += 1
        (x, y), (next_x, next_y) = points[index - 1], points[index]
        return x + (value - y) / (next_y - y) * (next_x - x) if next_y != y else x

    return invert
