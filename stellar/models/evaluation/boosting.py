"""Evaluation of boosted trees."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Sequence
from typing import Any

from stellar.models.errors import InvalidField
from stellar.models.evaluation.boosting_links import compile_link
from stellar.models.evaluation.frames import FieldScope, Frame
from stellar.models.evaluation.predictions import BodyEvaluation, Predictions
from stellar.models.evaluation.targets import TargetField
from stellar.models.forms.boosting import BoostedTree, BoosterForm, Feature, Split
from stellar.models.values import describe, round_single

Test = Callable[[Any], bool]
# A split: feature, test, and the nodes if it is true and if it is false; or the value of a leaf
Node = tuple[int, Test, int, int] | float
Input = Callable[[Frame], float]
LARGEST_CATEGORY = 2**31


def compile_booster(form: BoosterForm, target: TargetField, scope: FieldScope) -> BodyEvaluation:
    """Return the evaluation of boosted trees."""
    used = sorted({node.feature for tree in form.trees for node in tree.nodes if isinstance(node, Split)})
    for feature in used:
        scope.require(form.features[feature].name, form.origin)
    inputs = [_compile_input(form.features[feature], form) for feature in used]
    positions = {feature: index for index, feature in enumerate(used)}
    add = _compile_sums(form, positions)
    convert = compile_link(form.link, target.name, form.is_single)
    divisor = form.divisor

    def evaluate(frame: Frame) -> Predictions:
        sums = add([read(frame) for read in inputs])
        return convert([total / divisor for total in sums] if divisor > 1 else sums)

    return evaluate


# -- Inputs -----------------------------------------------------------------------------------------------------------


def _compile_input(feature: Feature, form: BoosterForm) -> Input:
    if feature.categories:
        return _read_category(feature)
    to_width = round_single if form.is_single else None
    name, zero = feature.name, form.zero

    def read(frame: Frame) -> float:
        value = frame.get(name)
        if value is None:
            return math.nan
        if not isinstance(value, float):
            raise InvalidField(name, f"expected a number, got {describe(value)}")
        if to_width is not None:
            return to_width(value)
        return 0.0 if -zero <= value <= zero else value

    return read


def _read_category(feature: Feature) -> Input:
    codes: dict[Any, float] = {category: float(index) for index, category in enumerate(feature.categories)}
    codes[None] = math.nan
    name = feature.name

    def read(frame: Frame) -> float:
        value = frame.get(name)
        if isinstance(value, list):
            raise InvalidField(name, f"expected a category, got {describe(value)}")
        return codes[value]

    return read


# -- Trees ------------------------------------------------------------------------------------------------------------


def _compile_sums(form: BoosterForm, positions: dict[int, int]) -> Callable[[Sequence[float]], list[float]]:
    """Return a function that adds the leaves of a record, in the order of trees."""
    trees = [(_compile_nodes(tree, positions), tree.output, _weigh(tree)) for tree in form.trees]
    start = array("f" if form.is_single else "d", form.bases)

    def add(values: Sequence[float]) -> list[float]:
        sums = start[:]  # assignment rounds to the width
        for nodes, output, weight in trees:
            node = nodes[0]
            while isinstance(node, tuple):
                feature, test, left, right = node
                node = nodes[left if test(values[feature]) else right]
            sums[output] += node if weight is None else weight(node)
        return sums.tolist()

    return add


def _weigh(tree: BoostedTree) -> Callable[[float], float] | None:
    if tree.weight == 1.0:
        return None
    return lambda value: round_single(value * tree.weight)


def _compile_nodes(tree: BoostedTree, positions: dict[int, int]) -> list[Node]:
    return [(positions[node.feature], *_compile_test(node)) if isinstance(node, Split) else node for node in tree.nodes]


def _compile_test(node: Split) -> tuple[Test, int, int]:
    """Return a test with the nodes if it is true and if it is false.

    Each comparison with NaN is false, so a missing value leads to the left if the opposite comparison is tested.
    """
    if node.operator == "isIn":
        return _compile_membership(node), node.left, node.right
    threshold = node.threshold
    if node.is_zero_missing:
        return _compile_zero_test(node), node.left, node.right
    if node.operator == "lessThan":
        if node.is_missing_left:
            return threshold.__le__, node.right, node.left
        return threshold.__gt__, node.left, node.right
    if node.is_missing_left:
        return threshold.__lt__, node.right, node.left
    return threshold.__ge__, node.left, node.right


def _compile_zero_test(node: Split) -> Test:
    threshold, is_left = node.threshold, node.is_missing_left
    return lambda value: is_left if value == 0 or value != value else value <= threshold


def _compile_membership(node: Split) -> Test:
    categories, smallest, is_missing_left = node.categories, node.threshold, node.is_missing_left

    def test(value: float) -> bool:
        if value != value:
            return is_missing_left
        return smallest <= value < LARGEST_CATEGORY and int(value) in categories

    return test
