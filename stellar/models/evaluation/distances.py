"""Evaluation of clustering and nearest neighbor models."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from stellar.models.errors import InvalidField, InvalidModel, NotScored
from stellar.models.evaluation.frames import FieldScope, Frame
from stellar.models.evaluation.inputs import parse_constant
from stellar.models.evaluation.predictions import BodyEvaluation, Prediction, Predictions
from stellar.models.evaluation.targets import TargetField
from stellar.models.forms.bodies import ClusteringForm, ComparedField, Measure, NearestForm
from stellar.models.forms.model import ModelForm
from stellar.models.values import describe, to_double, to_string
from stellar.util.abbreviate import quote

Compare = Callable[[Any, Any], float]
# The distance of values from a point; a missing value is None
Distance = Callable[[Sequence[Any], Sequence[Any], float], float]
SIMILARITIES = ("simpleMatching", "jaccard", "tanimoto", "binarySimilarity")


# -- Measures ---------------------------------------------------------------------------------------------------------


def _difference(one: float, other: float) -> float:
    return abs(one - other)


def compile_compare(field: ComparedField, measure: Measure) -> Compare:
    """Return the comparison of two values of a field."""
    match field.compare or measure.compare:
        case "absDiff":
            return _difference
        case "gaussSim":
            if not field.similarity_scale:
                raise InvalidModel(f"field {quote(field.field)} needs similarityScale for gaussSim", measure.origin)
            factor = -math.log(2) / field.similarity_scale / field.similarity_scale
            return lambda one, other: math.exp(factor * (one - other) ** 2)
        case "delta":
            return lambda one, other: 0.0 if one == other else 1.0
    return lambda one, other: 1.0 if one == other else 0.0


def compile_measure(measure: Measure, fields: Sequence[ComparedField]) -> Distance:
    """Return the distance of a measure."""
    if measure.name in SIMILARITIES:
        return _compile_similarity(measure)
    compares = [(compile_compare(field, measure), field.weight) for field in fields]
    power, finish = _POWERS.get(measure.name, (1.0, None))
    if measure.name == "minkowski":
        (power,) = measure.parameters
        if not power > 0:
            raise InvalidModel(f"invalid p-parameter {power}: expected a number above 0", measure.origin)
    if measure.name == "chebychev":
        return _compile_chebychev(compares)

    def measure_distance(values: Sequence[Any], point: Sequence[Any], adjustment: float) -> float:
        total = 0.0
        for value, coordinate, (compare, weight) in zip(values, point, compares, strict=True):
            if value is not None:
                distance = compare(value, coordinate)
                total += weight * (distance if power == 1 else distance**power)
        total *= adjustment
        return total ** (1 / power) if finish is None and power != 1 else math.sqrt(total) if finish else total

    return measure_distance


# name → power of each difference, True for the square root of the sum
_POWERS: dict[str, tuple[float, bool | None]] = {
    "euclidean": (2.0, True),
    "squaredEuclidean": (2.0, False),
    "cityBlock": (1.0, False),
}


def _compile_chebychev(compares: list[tuple[Compare, float]]) -> Distance:
    def measure_distance(values: Sequence[Any], point: Sequence[Any], adjustment: float) -> float:
        return max(
            weight * compare(value, coordinate) * adjustment
            for value, coordinate, (compare, weight) in zip(values, point, compares, strict=True)
            if value is not None
        )

    return measure_distance


def _compile_similarity(measure: Measure) -> Distance:
    combine = _SIMILARITIES[measure.name]
    parameters = measure.parameters

    def measure_similarity(values: Sequence[Any], point: Sequence[Any], adjustment: float) -> float:
        counts = [0, 0, 0, 0]
        for value, coordinate in zip(values, point, strict=True):
            if value is not None:
                _check_binary(value)
                _check_binary(coordinate)
                counts[2 * (value == 1) + (coordinate == 1)] += 1
        above, below = combine(counts, parameters)
        if below == 0:
            raise NotScored(f"measure {quote(measure.name)} is undefined for this record")
        return above / below

    return measure_similarity


def _check_binary(value: Any) -> None:
    if value not in (0, 1):
        raise NotScored(f"expected 0 or 1 for a measure of similarity, got {describe(value)}")


Counts = list[int]
_SIMILARITIES: dict[str, Callable[[Counts, tuple[float, ...]], tuple[float, float]]] = {
    "simpleMatching": lambda n, _: (n[3] + n[0], sum(n)),
    "jaccard": lambda n, _: (n[3], n[3] + n[2] + n[1]),
    "tanimoto": lambda n, _: (n[3] + n[0], n[3] + 2 * (n[2] + n[1]) + n[0]),
    "binarySimilarity": lambda n, p: (
        p[3] * n[3] + p[2] * n[2] + p[1] * n[1] + p[0] * n[0],
        p[7] * n[3] + p[6] * n[2] + p[5] * n[1] + p[4] * n[0],
    ),
}


def find_adjustment(values: Sequence[Any], weights: Sequence[float]) -> float:
    """Return the factor that makes up for missing values. Raise NotScored if all are missing."""
    if None not in values:
        return 1.0
    present = sum(weight for value, weight in zip(values, weights, strict=True) if value is not None)
    if not present:
        raise NotScored("all fields of the distance are missing; set one")
    return sum(weights) / present


def read_values(frame: Frame, fields: Sequence[ComparedField]) -> list[float | None]:
    """Return the numbers of the compared fields."""
    return [_to_number(frame.get(field.field), field.field) for field in fields]


def _to_number(value: Any, name: str) -> float | None:
    try:
        return None if value is None else to_double(value)
    except ValueError:
        raise InvalidField(name, f"expected a number, got {describe(value)}") from None


# -- Clustering -------------------------------------------------------------------------------------------------------


def compile_clustering(form: ClusteringForm, target: TargetField, scope: FieldScope) -> BodyEvaluation:
    """Return the evaluation of a ClusteringModel."""
    fields = [field for field in form.fields if field.is_center_field]
    for field in fields:
        scope.require(field.field, form.origin)
    measure = compile_measure(form.measure, fields)
    weights = form.missing_weights or (1.0,) * len(fields)
    if len(weights) != len(fields):
        raise InvalidModel("expected as many weights as fields of the centres", form.origin)
    if not form.clusters:
        raise InvalidModel("missing <Cluster>; add one", form.origin)
    clusters = [(cluster.id or str(index), cluster.center) for index, cluster in enumerate(form.clusters, 1)]
    names = {name: cluster.name for (name, _), cluster in zip(clusters, form.clusters, strict=True) if cluster.name}
    is_similarity = form.measure.name in SIMILARITIES

    def evaluate(frame: Frame) -> Predictions:
        values = read_values(frame, fields)
        adjustment = find_adjustment(values, weights)
        affinities = {name: measure(values, center, adjustment) for name, center in clusters}
        ranked = tuple(sorted(affinities, key=affinities.__getitem__, reverse=is_similarity))
        return {target.name: Prediction(ranked[0], affinities=affinities, entities=ranked, displays=names)}

    return evaluate


# -- Nearest neighbors ------------------------------------------------------------------------------------------------


def compile_nearest(
    form: NearestForm, model: ModelForm, targets: list[TargetField], scope: FieldScope
) -> BodyEvaluation:
    """Return the evaluation of a NearestNeighborModel."""
    points = _read_points(form, scope)
    measure = compile_measure(form.measure, form.fields)
    names = [_name_instance(form, index) for index in range(len(form.instances))]
    predictors = [(target.name, _compile_scoring(form, target)) for target in targets if target.name is not None]
    is_similarity = form.measure.name in SIMILARITIES
    weights = [1.0] * len(form.fields)

    def evaluate(frame: Frame) -> Predictions:
        values = [frame.get(field.field) for field in form.fields]
        adjustment = find_adjustment(values, weights)
        affinities = [measure(values, point, adjustment) for point in points]
        order = sorted(range(len(points)), key=affinities.__getitem__, reverse=is_similarity)
        by_name = dict(zip(names, affinities, strict=True))
        ranked = tuple(names[index] for index in order)
        nearest = [(index, affinities[index]) for index in order[: form.neighbors]]
        if not predictors:
            return {None: Prediction(ranked[0], affinities=by_name, entities=ranked)}
        return {name: Prediction(predict(nearest), affinities=by_name, entities=ranked) for name, predict in predictors}

    return evaluate


def _read_points(form: NearestForm, scope: FieldScope) -> list[list[Any]]:
    kinds = []
    for field in form.fields:
        kind = scope.require(field.field, form.origin).type
        kinds.append((field.field, "double" if kind is None else kind.data))
    points = []
    for index, instance in enumerate(form.instances, 1):
        for name, _ in kinds:
            if name not in instance:
                raise InvalidModel(f"training instance {index} has no {quote(name, 80)}", form.origin)
        points.append([parse_constant(instance[name], data, form.origin) for name, data in kinds])
    return points


def _name_instance(form: NearestForm, index: int) -> str:
    if form.id_variable is None:
        return str(index + 1)
    try:
        return form.instances[index][form.id_variable]
    except KeyError:
        raise InvalidModel(f"training instance {index + 1} has no {quote(form.id_variable, 80)}", form.origin) from None


Nearest = list[tuple[int, float]]


def _compile_scoring(form: NearestForm, target: TargetField) -> Callable[[Nearest], Any]:
    name = target.name or ""
    strings = [instance.get(name) for instance in form.instances]
    if None in strings:
        raise InvalidModel(f"training instance {strings.index(None) + 1} has no {quote(name, 80)}", form.origin)
    values = [target.parse(string or "", form.origin) for string in strings]
    if target.type is not None and target.type.operation == "continuous":
        numbers = [to_double(value) for value in values]
        return _compile_number(form, numbers)
    is_weighted = form.categorical_method == "weightedMajorityVote"
    cases = Counter(values)

    def vote(nearest: Nearest) -> Any:
        votes: dict[Any, float] = {}
        for index, distance in nearest:
            weight = 1 / (distance + form.threshold) if is_weighted else 1.0
            votes[values[index]] = votes.get(values[index], 0.0) + weight
        most = max(votes.values())
        # the standard decides a tie by the number of training instances, then by the least value
        return min(
            (value for value in votes if votes[value] == most), key=lambda value: (-cases[value], to_string(value))
        )

    return vote


def _compile_number(form: NearestForm, numbers: list[float]) -> Callable[[Nearest], float]:
    if form.continuous_method == "median":
        return lambda nearest: find_median([numbers[index] for index, _ in nearest])
    if form.continuous_method == "average":
        return lambda nearest: sum(numbers[index] for index, _ in nearest) / len(nearest)

    def average(nearest: Nearest) -> float:
        weights = [1 / (distance + form.threshold) for _, distance in nearest]
        total = sum(weight * numbers[index] for weight, (index, _) in zip(weights, nearest, strict=True))
        return total / sum(weights)

    return average


def find_median(values: Sequence[float]) -> float:
    """Return the median."""
    ordered = sorted(values)
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[middle]
    return ordered[middle - 1] + 0.5 * (ordered[middle] - ordered[middle - 1])
