"""Evaluation of support vector machines."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from stellar.models.errors import InvalidField, InvalidModel
from stellar.models.evaluation.frames import FieldScope, Frame
from stellar.models.evaluation.inputs import parse_constant
from stellar.models.evaluation.predictions import BodyEvaluation, Prediction
from stellar.models.evaluation.regression import exponential, read_number
from stellar.models.evaluation.targets import TargetField
from stellar.models.forms.bodies import Kernel, VectorEntry, VectorMachine, VectorMachineForm
from stellar.models.forms.model import ModelForm

Vector = Sequence[float]
KernelFunction = Callable[[Vector, Vector], float]
Decision = Callable[[Vector], float]


def dot(one: Vector, other: Vector) -> float:
    """Return the scalar product."""
    return sum([a * b for a, b in zip(one, other, strict=True)])


def compile_kernel(form: Kernel) -> KernelFunction:
    """Return the function of a kernel."""
    gamma, coef0, degree = form.gamma, form.coef0, form.degree
    match form.name:
        case "linear":
            return dot
        case "polynomial":
            return lambda x, y: (gamma * dot(x, y) + coef0) ** degree
        case "sigmoid":
            return lambda x, y: math.tanh(gamma * dot(x, y) + coef0)
    return lambda x, y: exponential(-gamma * sum([(a - b) ** 2 for a, b in zip(x, y, strict=True)]))


def compile_vector_machine(
    form: VectorMachineForm, model: ModelForm, target: TargetField, scope: FieldScope
) -> BodyEvaluation:
    """Return the evaluation of a SupportVectorMachineModel."""
    kernel = compile_kernel(form.kernel)
    read = _compile_vector(form, scope)
    decisions = [_compile_decision(machine, form, kernel) for machine in form.machines]
    if not decisions:
        raise InvalidModel("missing <SupportVectorMachine>; add one", form.origin)
    if model.function == "classification":
        return _compile_classification(form, decisions, target, read)
    if len(decisions) != 1:
        raise InvalidModel(f"expected one <SupportVectorMachine> for regression, got {len(decisions)}", form.origin)
    return lambda frame: {target.name: Prediction(decisions[0](read(frame)))}


def _compile_vector(form: VectorMachineForm, scope: FieldScope) -> Callable[[Frame], list[float]]:
    entries = [_compile_entry(entry, form, scope) for entry in form.entries]
    return lambda frame: [entry(frame) for entry in entries]


def _compile_entry(entry: VectorEntry, form: VectorMachineForm, scope: FieldScope) -> Callable[[Frame], float]:
    kind, name = scope.require(entry.field, form.origin).type, entry.field
    if entry.category is None:
        return lambda frame: _require_number(frame, name)
    category = parse_constant(entry.category, "string" if kind is None else kind.data, form.origin)
    coefficient = entry.coefficient
    return lambda frame: coefficient if frame.get(name) == category else 0.0


def _require_number(frame: Frame, name: str) -> float:
    if (value := read_number(frame, name)) is None:
        raise InvalidField(name, "it is missing; set it, or train with a replacement")
    return float(value)


def _compile_decision(machine: VectorMachine, form: VectorMachineForm, kernel: KernelFunction) -> Decision:
    absolute = machine.absolute
    if form.representation == "Coefficients":
        if len(machine.coefficients) != len(form.entries):
            raise InvalidModel("expected as many coefficients as fields", machine.origin)
        return lambda vector: dot(machine.coefficients, vector) + absolute
    pairs = [
        (coefficient, form.dictionary[name])
        for coefficient, name in zip(machine.coefficients, machine.vectors, strict=True)
    ]

    def decide(vector: Vector) -> float:
        total = 0.0
        for coefficient, support in pairs:
            total += coefficient * kernel(vector, support)
        return total + absolute

    return decide


# -- Classification ---------------------------------------------------------------------------------------------------


def _compile_classification(
    form: VectorMachineForm, decisions: list[Decision], target: TargetField, read: Callable[[Frame], list[float]]
) -> BodyEvaluation:
    choose = _compile_votes if form.method == "OneAgainstOne" else _compile_largest
    predict = choose(form, decisions, target)
    return lambda frame: {target.name: predict(read(frame))}


def _parse_categories(form: VectorMachineForm, target: TargetField) -> list[tuple[Any, Any]]:
    categories = []
    for machine in form.machines:
        if machine.category is None:
            raise InvalidModel("missing attribute 'targetCategory'; add it", machine.origin)
        if form.method == "OneAgainstOne" and machine.alternate is None:
            raise InvalidModel("missing attribute 'alternateTargetCategory'; add it", machine.origin)
        alternate = None if machine.alternate is None else target.parse(machine.alternate, machine.origin)
        categories.append((target.parse(machine.category, machine.origin), alternate))
    return categories


def _compile_votes(
    form: VectorMachineForm, decisions: list[Decision], target: TargetField
) -> Callable[[Vector], Prediction]:
    categories = _parse_categories(form, target)
    thresholds = [form.threshold if machine.threshold is None else machine.threshold for machine in form.machines]

    def predict(vector: Vector) -> Prediction:
        votes: dict[Any, float] = {}
        for decide, (category, alternate), threshold in zip(decisions, categories, thresholds, strict=True):
            value = decide(vector)
            chosen = category if (value > threshold if form.uses_max_wins else value < threshold) else alternate
            votes[chosen] = votes.get(chosen, 0) + 1
        shares = {category: count / len(decisions) for category, count in votes.items()}
        return Prediction(max(shares, key=shares.__getitem__), probabilities=shares)

    return predict


def _compile_largest(
    form: VectorMachineForm, decisions: list[Decision], target: TargetField
) -> Callable[[Vector], Prediction]:
    categories = _parse_categories(form, target)
    if len(decisions) == 1 and categories[0][1] is not None:
        return _compile_votes(form, decisions, target)

    def predict(vector: Vector) -> Prediction:
        values = {category: decide(vector) for decide, (category, _) in zip(decisions, categories, strict=True)}
        choose = max if form.uses_max_wins else min
        return Prediction(choose(values, key=values.__getitem__), affinities=values)

    return predict
