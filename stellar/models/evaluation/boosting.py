"""Evaluation of boosted trees."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from stellar.models.evaluation.boosting_links import compile_link
from stellar.models.evaluation.boosting_trees import TreeSums, goes_to_left, weigh_leaf
from stellar.models.evaluation.frames import FieldScope, Frame
from stellar.models.evaluation.predictions import Predictions
from stellar.models.evaluation.targets import TargetField
from stellar.models.evaluation.tracing import ScoreStep
from stellar.models.forms.boosting import BoosterForm, Feature, Split
from stellar.models.values import round_single

Input = Callable[[Frame], float]
Inputs = Callable[[Frame], Sequence[float]]
# The values of the features of a record, None unless all are finite floats
ReadNumbers = Callable[[Mapping[str, Any]], Sequence[float] | None]


class BoosterEvaluation:
    """The evaluation of boosted trees.

    read_numbers: reads a record without the treatment of its fields, None for features with categories
    """

    def __init__(self, form: BoosterForm, target: TargetField, scope: FieldScope) -> None:
        used = sorted({node.feature for tree in form.trees for node in tree.nodes if isinstance(node, Split)})
        for feature in used:
            scope.require(form.features[feature].name, form.origin)
        features = [form.features[feature] for feature in used]
        self.form = form
        self.read_numbers = _compile_numbers(form, features)
        self._used = used
        self._read = _compile_inputs(form, features, self.read_numbers)
        self._add = TreeSums(form, {feature: index for index, feature in enumerate(used)}).add
        self._convert = compile_link(form.link, target.name, form.is_single)

    def __call__(self, frame: Frame) -> Predictions:
        """Return the predictions for a record."""
        values = self._read(frame)
        if frame.steps is not None:
            frame.steps.extend(explain_trees(self.form, dict(zip(self._used, values, strict=True))))
        return self._convert(self.add(values))

    def add(self, values: Sequence[float]) -> list[float]:
        """Return the sums of the trees, or their averages, for the values of features."""
        sums, divisor = self._add(values), self.form.divisor
        return [total / divisor for total in sums] if divisor > 1 else sums


def explain_trees(form: BoosterForm, values: dict[int, float]) -> list[ScoreStep]:
    """Return a step for each tree: the splits on the path of a record, and what the leaf adds to the sum."""
    steps: list[ScoreStep] = []
    for tree in form.trees:
        path: list[str] = []
        node = tree.nodes[0]
        while isinstance(node, Split):
            goes_left = goes_to_left(node, values[node.feature])
            path.append(_describe(form, node, goes_left))
            node = tree.nodes[node.left if goes_left else node.right]
        steps.append(ScoreStep(tree.origin, " and ".join(path) or "true", weigh_leaf(form, tree, node)))
    return steps


def _describe(form: BoosterForm, node: Split, goes_left: bool) -> str:
    """Return a split as a formula."""
    if node.operator == "isIn":
        formula = f"{form.features[node.feature].name} in {sorted(node.categories)}"
    else:
        operator = "<" if node.operator == "lessThan" else "<="
        formula = f"{form.features[node.feature].name} {operator} {node.threshold}"
    return formula if goes_left else f"not {formula}"


# -- Inputs -----------------------------------------------------------------------------------------------------------


def _compile_inputs(form: BoosterForm, features: Sequence[Feature], read_numbers: ReadNumbers | None) -> Inputs:
    """Return a function that reads the values of features.

    Records whose values are finite floats take a short way, which gives the values that the fields would.
    """
    inputs = [_compile_input(feature, form) for feature in features]

    def read_fields(frame: Frame) -> Sequence[float]:
        return [read(frame) for read in inputs]

    if read_numbers is None:
        return read_fields

    def read(frame: Frame) -> Sequence[float]:
        values = read_numbers(frame.record)
        return read_fields(frame) if values is None else values

    return read


def _compile_numbers(form: BoosterForm, features: Sequence[Feature]) -> ReadNumbers | None:
    if any(feature.categories for feature in features):
        return None
    names = [feature.name for feature in features]
    convert = _round_all(len(names)) if form.is_single else _flush_zeros(form.zero)

    def read(record: Mapping[str, Any]) -> Sequence[float] | None:
        values: list[Any] = list(map(record.get, names))
        if set(map(type, values)) == _FLOATS and math.isfinite(sum(values)):
            with suppress(OverflowError):  # a number that is infinite in binary32 is refused by its field
                return convert(values)
        return None

    return read


_FLOATS = {float}


def _round_all(count: int) -> Callable[[list[Any]], Sequence[float]]:
    """Round numbers to binary32. Raise OverflowError for one that is infinite in it."""
    singles = struct.Struct(f"<{count}f")  # the native format returns infinity

    def convert(values: list[Any]) -> Sequence[float]:
        return singles.unpack(singles.pack(*values))

    return convert


def _flush_zeros(zero: float) -> Callable[[list[Any]], Sequence[float]]:
    """Replace numbers that LightGBM reads as zero."""
    return lambda values: [0.0 if -zero <= value <= zero else value for value in values]


def _compile_input(feature: Feature, form: BoosterForm) -> Input:
    if feature.categories:
        return _read_category(feature)
    to_width = round_single if form.is_single else None
    name, zero = feature.name, form.zero

    def read(frame: Frame) -> float:
        value = frame.get(name)
        if value is None:
            return math.nan
        if to_width is not None:
            return to_width(value)
        return 0.0 if -zero <= value <= zero else value

    return read


def _read_category(feature: Feature) -> Input:
    codes: dict[Any, float] = {category: float(index) for index, category in enumerate(feature.categories)}
    codes[None] = math.nan
    name = feature.name
    return lambda frame: codes[frame.get(name)]
