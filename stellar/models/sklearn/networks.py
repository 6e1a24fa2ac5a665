"""Neural networks."""

from __future__ import annotations

from typing import Any

from stellar.models.errors import NotExported
from stellar.models.forms.bodies import Layer, NetworkForm, Neuron
from stellar.models.forms.expressions import ExpressionForm, NormDiscrete
from stellar.models.forms.fields import DerivedField, FieldType
from stellar.models.forms.model import ModelForm
from stellar.models.sklearn.columns import ORIGIN, Columns, list_items, refer
from stellar.models.sklearn.export import Export
from stellar.models.sklearn.goals import DOUBLE, Goal, classify, predict_number

ACTIVATIONS = {"identity": "identity", "logistic": "logistic", "tanh": "tanh", "relu": "rectifier"}


def read_network_classifier(estimator: Any, columns: Columns, goal: Goal, export: Export) -> ModelForm:
    """Return the model of MLPClassifier."""
    layers = _read_layers(estimator)
    if len(goal.categories) == 2:
        layers.append(_complement(layers[-1].neurons[0].id))
    outputs = tuple(
        (neuron.id, _build_end(NormDiscrete(goal.target, category, None, ORIGIN), FieldType("categorical", "string")))
        for neuron, category in zip(layers[-1].neurons, goal.categories, strict=True)
    )
    return classify(NetworkForm(_read_inputs(columns, export), tuple(layers), outputs, ORIGIN), goal.last())


def read_network_regressor(estimator: Any, columns: Columns, goal: Goal, export: Export) -> ModelForm:
    """Return the model of MLPRegressor."""
    if estimator.n_outputs_ != 1:
        raise NotExported(f"MLPRegressor has {estimator.n_outputs_} targets; train one estimator for each")
    layers = _read_layers(estimator)
    outputs = ((layers[-1].neurons[0].id, _build_end(refer(goal.target), DOUBLE)),)
    return predict_number(NetworkForm(_read_inputs(columns, export), tuple(layers), outputs, ORIGIN), goal.last())


def _read_inputs(columns: Columns, export: Export) -> tuple[tuple[str, DerivedField], ...]:
    return tuple(
        (f"0,{index}", _build_end(refer(export.schema.name_column(column)), DOUBLE))
        for index, column in enumerate(columns)
    )


def _build_end(expression: ExpressionForm, kind: FieldType) -> DerivedField:
    return DerivedField("", kind, expression, ORIGIN)


def _read_layers(estimator: Any) -> list[Layer]:
    layers = []
    pairs = list(zip(estimator.coefs_, estimator.intercepts_, strict=True))
    for number, (weights, biases) in enumerate(pairs, 1):
        is_last = number == len(pairs)
        name = estimator.out_activation_ if is_last else estimator.activation
        by_neuron = zip(*list_items(weights), strict=True)
        neurons = tuple(
            Neuron(
                f"{number},{index}",
                bias,
                None,
                None,
                tuple((f"{number - 1},{origin}", weight) for origin, weight in enumerate(column)),
            )
            for index, (column, bias) in enumerate(zip(by_neuron, list_items(biases), strict=True))
        )
        layers.append(_build_layer("identity" if name == "softmax" else ACTIVATIONS[name], neurons, name))
    return layers


def _build_layer(activation: str, neurons: tuple[Neuron, ...], name: str = "") -> Layer:
    normalization = "softmax" if name == "softmax" else "none"
    return Layer(activation, normalization, 0.0, None, 1.0, neurons, ORIGIN)


def _complement(name: str) -> Layer:
    """Return a layer with the shares of two classes, given the neuron of the second."""
    neurons = (
        Neuron("first", 1.0, None, None, ((name, -1.0),)),
        Neuron("second", 0.0, None, None, ((name, 1.0),)),
    )
    return _build_layer("identity", neurons)
