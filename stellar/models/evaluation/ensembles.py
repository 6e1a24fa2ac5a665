"""Evaluation of models of models."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from stellar.models.errors import InvalidModel, NotScored
from stellar.models.evaluation.distances import find_median
from stellar.models.evaluation.frames import FieldScope, Frame
from stellar.models.evaluation.outputs import CHOSEN, SEGMENTS
from stellar.models.evaluation.predicates import Test, compile_predicate
from stellar.models.evaluation.predictions import BodyEvaluation, Prediction, Predictions, Scores, find_winner
from stellar.models.evaluation.targets import TargetField
from stellar.models.forms.bodies import AnomalyForm, EnsembleForm
from stellar.models.forms.model import ModelForm
from stellar.models.values import identity, round_single, to_double
from stellar.util.abbreviate import quote

Rounding = Callable[[float], float]


class InnerModel(Protocol):
    """A model within another."""

    def evaluate(self, frame: Frame) -> Scores:
        """Return the results for a record, given the frame of the model around it."""


CompileInner = Callable[[ModelForm, FieldScope], InnerModel]


@dataclass(frozen=True, slots=True)
class CompiledSegment:
    """A segment."""

    id: str
    test: Test
    weight: float
    model: InnerModel


# A prediction of a segment, with its weight
Weighted = tuple[Prediction, float]
Combine = Callable[[Sequence[Weighted]], Prediction]


def compile_ensemble(
    form: EnsembleForm, model: ModelForm, target: TargetField, scope: FieldScope, compile_inner: CompileInner
) -> BodyEvaluation:
    """Return the evaluation of a MiningModel."""
    segments = []
    for index, segment in enumerate(form.segments, 1):
        test = compile_predicate(segment.predicate, scope)
        inner = compile_inner(segment.model, scope)
        segments.append(CompiledSegment(segment.id or str(index), test, segment.weight, inner))
    if not segments:
        raise InvalidModel("missing <Segment>; add one", form.origin)
    match form.method:
        case "selectFirst":
            return _select_first(segments, target, form.missing)
        case "modelChain":
            return _chain(segments, target, form.missing)
        case "selectAll":
            return _select_all(segments, target, form.missing)
        case "multiModelChain":
            raise InvalidModel("multipleModelMethod 'multiModelChain' is not supported", form.origin)
    return _combine(form, segments, target, _find_combination(form, model))


def _record(frame: Frame, segment: CompiledSegment, scores: Scores) -> None:
    """Make the results of a segment known to the segments that follow and to the outputs."""
    frame.values.setdefault(SEGMENTS, {})[segment.id] = scores
    for name, value in scores.outputs.items():
        frame.values[name] = value


# -- Selections and chains --------------------------------------------------------------------------------------------


def _select_first(segments: list[CompiledSegment], target: TargetField, missing: str) -> BodyEvaluation:
    def evaluate(frame: Frame) -> Predictions:
        for segment in segments:
            if segment.test(frame):
                scores = segment.model.evaluate(frame)
                _record(frame, segment, scores)
                if missing != "continue" and scores.first().value is None:
                    if missing == "returnMissing":
                        break
                    continue
                frame.values[CHOSEN] = scores
                return scores.predictions
        return {target.name: Prediction(None)}

    return evaluate


def _chain(segments: list[CompiledSegment], target: TargetField, missing: str) -> BodyEvaluation:
    def evaluate(frame: Frame) -> Predictions:
        predictions: Predictions = {target.name: Prediction(None)}
        for segment in segments:
            if not segment.test(frame):
                continue
            scores = segment.model.evaluate(frame)
            _record(frame, segment, scores)
            if missing != "continue" and scores.first().value is None:
                if missing == "skipSegment":
                    continue
                return {target.name: Prediction(None)}
            predictions, frame.values[CHOSEN] = scores.predictions, scores
        return predictions

    return evaluate


def _select_all(segments: list[CompiledSegment], target: TargetField, missing: str) -> BodyEvaluation:
    def evaluate(frame: Frame) -> Predictions:
        values = []
        for segment in segments:
            if segment.test(frame):
                scores = segment.model.evaluate(frame)
                _record(frame, segment, scores)
                if (value := scores.first().value) is None and missing == "returnMissing":
                    return {target.name: Prediction(None)}
                values.append(value)
        return {None: Prediction(values)}

    return evaluate


# -- Combinations -----------------------------------------------------------------------------------------------------


def _combine(
    form: EnsembleForm, segments: list[CompiledSegment], target: TargetField, combine: Combine
) -> BodyEvaluation:
    missing, threshold = form.missing, form.missing_threshold
    is_vote = form.method in ("majorityVote", "weightedMajorityVote")

    def evaluate(frame: Frame) -> Predictions:
        weighted: list[Weighted] = []
        lost = total = 0.0
        for segment in segments:
            if not segment.test(frame):
                continue
            scores = segment.model.evaluate(frame)
            _record(frame, segment, scores)
            prediction = scores.first()
            total += segment.weight
            if prediction.value is not None:
                weighted.append((prediction, segment.weight))
                continue
            lost += segment.weight
            if missing == "continue" and is_vote:
                weighted.append((prediction, segment.weight))
            elif missing != "skipSegment":
                return {target.name: Prediction(None)}
        if not total or (lost and lost / total > threshold):
            return {target.name: Prediction(None)}
        if not weighted and form.method not in ("sum", "weightedSum"):
            raise NotScored("no segment has a result for this record")
        return {target.name: combine(weighted)}

    return evaluate


def _find_combination(form: EnsembleForm, model: ModelForm) -> Combine:
    to_width = round_single if model.is_single else identity
    if model.function == "classification":
        if form.method not in CATEGORICAL:
            raise InvalidModel(f"multipleModelMethod {quote(form.method)} is not for classification", form.origin)
        return CATEGORICAL[form.method](to_width)
    if model.function == "clustering":
        if form.method not in ("majorityVote", "weightedMajorityVote"):
            raise InvalidModel(f"multipleModelMethod {quote(form.method)} is not for clustering", form.origin)
        return CATEGORICAL[form.method](to_width)
    if form.method not in NUMERIC:
        raise InvalidModel(f"multipleModelMethod {quote(form.method)} is not for regression", form.origin)
    combine = NUMERIC[form.method]

    def combine_numbers(weighted: Sequence[Weighted]) -> Prediction:
        pairs = [(to_width(to_double(prediction.value)), weight) for prediction, weight in weighted]
        return Prediction(combine(pairs, to_width))

    return combine_numbers


Pairs = Sequence[tuple[float, float]]


def _sum(pairs: Pairs, to_width: Rounding) -> float:
    total = 0.0
    for value, _ in pairs:
        total = to_width(total + value)
    return total


def _sum_weighted(pairs: Pairs, to_width: Rounding) -> float:
    total = 0.0
    for value, weight in pairs:
        total = to_width(total + to_width(value * to_width(weight)))
    return total


def _average_weighted(pairs: Pairs, to_width: Rounding) -> float:
    weights = _sum([(weight, 1.0) for _, weight in pairs], to_width)
    return to_width(_sum_weighted(pairs, to_width) / weights) if weights else math.nan


def find_weighted_median(pairs: Pairs) -> float:
    """Return the first value, in ascending order, up to which there is half of the weight."""
    ordered = sorted(pairs)
    half, reached = sum(weight for _, weight in pairs) / 2, 0.0
    for value, weight in ordered:
        reached += weight
        if reached >= half:
            return value
    return ordered[-1][0]


NUMERIC: dict[str, Callable[[Pairs, Rounding], float]] = {
    "sum": _sum,
    "weightedSum": _sum_weighted,
    "average": lambda pairs, to_width: to_width(_sum(pairs, to_width) / len(pairs)),
    "weightedAverage": _average_weighted,
    "median": lambda pairs, _: find_median([value for value, _ in pairs]),
    "weightedMedian": lambda pairs, _: find_weighted_median(pairs),
    "max": lambda pairs, _: max(value for value, _ in pairs),
}


# -- Categories -------------------------------------------------------------------------------------------------------


def _vote(is_weighted: bool) -> Callable[[Rounding], Combine]:
    """Combine by the number of segments; a segment without a result votes for no result."""

    def compile_vote(to_width: Rounding) -> Combine:
        def combine(weighted: Sequence[Weighted]) -> Prediction:
            votes: dict[Any, float] = {}
            for prediction, weight in weighted:
                votes[prediction.value] = votes.get(prediction.value, 0.0) + (weight if is_weighted else 1.0)
            missing = votes.pop(None, 0.0)
            if not votes:
                raise NotScored("no segment has a result for this record")
            if missing > max(votes.values()):
                return Prediction(None)
            total = sum(votes.values())
            shares = {category: to_width(count / total) for category, count in votes.items()}
            return Prediction(find_winner(shares), probabilities=shares)

        return combine

    return compile_vote


def _shares(prediction: Prediction) -> dict[Any, float]:
    if prediction.probabilities is None:
        raise NotScored("a segment has no probabilities to combine; use majorityVote")
    return dict(prediction.probabilities)


def _average(is_weighted: bool) -> Callable[[Rounding], Combine]:
    def compile_average(to_width: Rounding) -> Combine:
        def combine(weighted: Sequence[Weighted]) -> Prediction:
            sums: dict[Any, float] = {}
            total = 0.0
            for prediction, weight in weighted:
                factor = weight if is_weighted else 1.0
                total += factor
                for category, share in _shares(prediction).items():
                    sums[category] = to_width(sums.get(category, 0.0) + to_width(factor * share))
            shares = {category: to_width(value / total) for category, value in sums.items()}
            return Prediction(find_winner(shares), probabilities=shares)

        return combine

    return compile_average


def _select_share(choose: Callable[[list[float]], float]) -> Callable[[Rounding], Combine]:
    """Average the segments whose share of a category is nearest to the maximum or the median of all segments.

    The category is the one with the largest maximum or median.
    """

    def compile_selection(to_width: Rounding) -> Combine:
        average = _average(False)(to_width)

        def combine(weighted: Sequence[Weighted]) -> Prediction:
            shares = [_shares(prediction) for prediction, _ in weighted]
            categories = list(dict.fromkeys(category for share in shares for category in share))
            chosen = {name: choose([share.get(name, 0.0) for share in shares]) for name in categories}
            winner = find_winner(chosen)
            distances = [abs(share.get(winner, 0.0) - chosen[winner]) for share in shares]
            nearest = min(distances)
            return average([pair for pair, distance in zip(weighted, distances, strict=True) if distance == nearest])

        return combine

    return compile_selection


CATEGORICAL: dict[str, Callable[[Rounding], Combine]] = {
    "majorityVote": _vote(False),
    "weightedMajorityVote": _vote(True),
    "average": _average(False),
    "weightedAverage": _average(True),
    "max": _select_share(max),
    "median": _select_share(find_median),
}


# -- Anomalies --------------------------------------------------------------------------------------------------------


def compile_anomaly(
    form: AnomalyForm, target: TargetField, scope: FieldScope, compile_inner: CompileInner
) -> BodyEvaluation:
    """Return the evaluation of an AnomalyDetectionModel, by the standard."""
    inner = compile_inner(form.model, scope)
    normalize = _find_anomaly(form)

    def evaluate(frame: Frame) -> Predictions:
        prediction = inner.evaluate(frame).first()
        return {target.name: Prediction(None if prediction.value is None else normalize(prediction))}

    return evaluate


def _find_anomaly(form: AnomalyForm) -> Callable[[Prediction], float]:
    if form.algorithm == "iforest":
        if form.sample_size is None or not form.sample_size > 2:
            raise InvalidModel("iforest needs a sampleDataSize above 2", form.origin)
        return _normalize_paths(form.sample_size)
    if form.algorithm != "clusterMeanDist":
        return lambda prediction: to_double(prediction.value)
    distances = form.mean_distances

    def normalize(prediction: Prediction) -> float:
        affinities = prediction.affinities or {}
        index = list(affinities).index(prediction.value)
        return affinities[prediction.value] / distances[index]

    return normalize


def _normalize_paths(size: float) -> Callable[[Prediction], float]:
    expected = 2 * (math.log(size - 1) + 0.57721566490153286) - 2 * (size - 1) / size
    return lambda prediction: 2 ** -(to_double(prediction.value) / expected)
