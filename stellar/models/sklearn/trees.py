"""Decision trees, and the forests of them.

Trees compare features as binary32 numbers. Their thresholds are replaced by the largest binary64 numbers that round to
at most them, so that a comparison of binary64 numbers has the same result.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from stellar.models.compiled.thresholds import find_upper_bound
from stellar.models.errors import NotExported
from stellar.models.forms.bodies import ScoreShare, TreeForm, TreeNode
from stellar.models.forms.model import ModelForm
from stellar.models.forms.predicates import FieldComparison, Predicate, SetMembership
from stellar.models.sklearn.columns import ORIGIN, Columns, FeatureSchema, list_items
from stellar.models.sklearn.export import Export, allows_missing
from stellar.models.sklearn.goals import ALWAYS, Goal, build_ensemble, classify, predict_number

# The score of a leaf, and the shares of its categories
Leaf = tuple[str, tuple[ScoreShare, ...]]


@dataclass(frozen=True, slots=True)
class TreeArrays:
    """The nodes of a binary tree.

    left, right: indexes of children; negative for leaves
    features: indexes of columns
    thresholds: up to which a record goes to the left
    missing_left: a record without the feature goes to the left; empty if it is not accepted
    members: categories that go to the left, by node, instead of a threshold
    """

    left: list[int]
    right: list[int]
    features: list[int]
    thresholds: list[float]
    missing_left: list[bool]
    members: dict[int, tuple[str, ...]]


def read_arrays(tree: Any, *, with_missing: bool) -> TreeArrays:
    """Return the nodes of a tree of scikit-learn."""
    left = list_items(tree.children_left)
    pairs = zip(list_items(tree.threshold), left, strict=True)
    return TreeArrays(
        left,
        list_items(tree.children_right),
        list_items(tree.feature),
        [find_upper_bound(threshold, is_open=False) if child >= 0 else 0.0 for threshold, child in pairs],
        [bool(value) for value in list_items(tree.missing_go_to_left)] if with_missing else [],
        {},
    )


class TreeBuilder:
    """Builds the form of a tree, with its nodes in the order of a document."""

    def __init__(
        self, arrays: TreeArrays, columns: Columns, schema: FeatureSchema, read_leaf: Callable[[int], Leaf]
    ) -> None:
        self._arrays = arrays
        self._columns = columns
        self._schema = schema
        self._read_leaf = read_leaf
        self._positions: dict[int, int] = {}
        self._children: list[list[int]] = []
        self._nodes: list[tuple[int, Predicate]] = []

    def build(self) -> TreeForm:
        """Return the form."""
        stack: list[tuple[int, Predicate, int]] = [(0, ALWAYS, -1)]
        while stack:
            index, predicate, parent = stack.pop()
            position = self._positions[index] = len(self._nodes)
            self._nodes.append((index, predicate))
            self._children.append([])
            if parent >= 0:
                self._children[parent].append(position)
            if self._arrays.left[index] >= 0:
                stack += [(*branch, position) for branch in reversed(self._split(index))]
        nodes = tuple(self._build_node(position) for position in range(len(self._nodes)))
        strategy = "defaultChild" if self._arrays.missing_left else "none"
        return TreeForm(nodes, strategy, 1.0, "returnNullPrediction", ORIGIN)

    def _split(self, index: int) -> list[tuple[int, Predicate]]:
        """Return the children of a node with their predicates, of which the second is always true."""
        arrays = self._arrays
        column = self._columns[arrays.features[index]]
        left, right = arrays.left[index], arrays.right[index]
        if column.indicator is not None and 0 <= arrays.thresholds[index] < 1:
            name, category = column.indicator
            return [(right, FieldComparison(name, "equal", category, ORIGIN)), (left, ALWAYS)]
        name = self._schema.name_column(column)
        if index in arrays.members:
            return [(left, SetMembership(name, arrays.members[index], False, ORIGIN)), (right, ALWAYS)]
        return [(left, _compare(name, arrays.thresholds[index])), (right, ALWAYS)]

    def _build_node(self, position: int) -> TreeNode:
        index, predicate = self._nodes[position]
        children = tuple(self._children[position])
        score, shares = (None, ()) if children else self._read_leaf(index)
        return TreeNode(
            id=str(position + 1) if self._arrays.missing_left else None,
            score=score,
            count=None,
            default_child=self._find_default(index) if children else None,
            predicate=predicate,
            shares=shares,
            children=children,
            origin=ORIGIN,
        )

    def _find_default(self, index: int) -> str | None:
        """Return the child of a record without the feature. Without the field of an indicator it is 0."""
        arrays = self._arrays
        if not arrays.missing_left:
            return None
        is_left = arrays.missing_left[index] or self._columns[arrays.features[index]].indicator is not None
        return str(self._positions[arrays.left[index] if is_left else arrays.right[index]] + 1)


def _compare(name: str, threshold: float) -> Predicate:
    """Return the predicate of the left child; with an infinite threshold it has all records with the feature."""
    if math.isinf(threshold):
        return FieldComparison(name, "isNotMissing", None, ORIGIN)
    return FieldComparison(name, "lessOrEqual", repr(threshold), ORIGIN)


def build_tree(estimator: Any, columns: Columns, export: Export, read_leaf: Callable[[int], Leaf]) -> TreeForm:
    """Return the form of a decision tree."""
    tree = estimator.tree_
    for column in columns:
        export.schema.limit_to_single(column)
    arrays = read_arrays(tree, with_missing=allows_missing(estimator) and _can_miss(columns, export))
    return TreeBuilder(arrays, columns, export.schema, read_leaf).build()


def _can_miss(columns: Columns, export: Export) -> bool:
    return any(export.schema.can_miss(column) for column in columns)


def read_tree_classifier(estimator: Any, columns: Columns, goal: Goal, export: Export) -> ModelForm:
    """Return the model of a classifier that is a tree."""
    return classify(build_class_tree(estimator, columns, goal, export), goal)


def build_class_tree(estimator: Any, columns: Columns, goal: Goal, export: Export) -> TreeForm:
    """Return the tree of a classifier, whose leaves have the shares of the classes."""
    _check_single_output(estimator)
    tree = estimator.tree_
    values, weights = list_items(tree.value), list_items(tree.weighted_n_node_samples)

    def read_leaf(index: int) -> Leaf:
        shares = values[index][0][: len(goal.categories)]
        best = shares.index(max(shares))
        return goal.categories[best], build_shares(goal.categories, shares, weights[index])

    return build_tree(estimator, columns, export, read_leaf)


def build_shares(categories: tuple[str, ...], shares: list[float], weight: float) -> tuple[ScoreShare, ...]:
    """Return the shares of categories among records of a weight."""
    pairs = zip(categories, shares, strict=True)
    return tuple(ScoreShare(category, share * weight, None, share) for category, share in pairs)


def read_tree_regressor(estimator: Any, columns: Columns, goal: Goal, export: Export) -> ModelForm:
    """Return the model of a regressor that is a tree."""
    return predict_number(build_number_tree(estimator, columns, export), goal)


def build_number_tree(estimator: Any, columns: Columns, export: Export) -> TreeForm:
    """Return the tree of a regressor."""
    _check_single_output(estimator)
    values = list_items(estimator.tree_.value)
    return build_tree(estimator, columns, export, lambda index: (repr(values[index][0][0]), ()))


def _check_single_output(estimator: Any) -> None:
    if (count := estimator.n_outputs_) != 1:
        raise NotExported(f"{type(estimator).__name__} has {count} targets; train one estimator for each")


# -- Forests ----------------------------------------------------------------------------------------------------------


def read_forest_classifier(estimator: Any, columns: Columns, goal: Goal, export: Export) -> ModelForm:
    """Return the model of a forest, whose shares are the average of those of its trees."""
    _check_single_output(estimator)
    inner = goal.inside()
    trees = (classify(build_class_tree(tree, columns, inner, export), inner) for tree in estimator.estimators_)
    return classify(build_ensemble("average", trees), goal)


def read_forest_regressor(estimator: Any, columns: Columns, goal: Goal, export: Export) -> ModelForm:
    """Return the model of a forest, whose number is the average of those of its trees."""
    _check_single_output(estimator)
    inner = goal.inside()
    trees = (predict_number(build_number_tree(tree, columns, export), inner) for tree in estimator.estimators_)
    return predict_number(build_ensemble("average", trees), goal)


def select_columns(columns: Columns, indexes: Any) -> Columns:
    """Return the columns that an estimator of an ensemble was trained with."""
    return tuple(columns[int(index)] for index in indexes)
