"""Trees of XGBoost: arrays by node."""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence

from stellar.models.boosters.documents import MOST_NODES, check_tree
from stellar.models.boosters.json_document import JsonValue
from stellar.models.forms.boosting import Split

_NO_CATEGORIES: frozenset[int] = frozenset()


def read_tree(tree: JsonValue, features: int) -> tuple[Split | float, ...]:
    """Return the nodes of a tree: splits, and the values of leaves."""
    parameters = tree.get("tree_param")
    count = parameters.get("num_nodes").integer(1, MOST_NODES)
    if parameters.get("size_leaf_vector").integer(0, MOST_NODES) > 1:
        parameters.refuse("trees with several outputs are not supported; train with multi_strategy=one_output_per_tree")
    left, right = tree.get("left_children").integers(count), tree.get("right_children").integers(count)
    conditions = tree.get("split_conditions")
    indices = tree.get("split_indices").integers(count)
    defaults = tree.get("default_left").flags(count)
    categories = _read_categories(tree, count)
    nodes: list[Split | float] = []
    for index, condition in enumerate(_round_conditions(conditions, count, left)):
        if left[index] == -1:
            nodes.append(condition)
            continue
        children, is_missing_left = (left[index], right[index]), bool(defaults[index])
        members = categories.get(index)
        if members is not None:  # a category of the set leads to the right in XGBoost
            children, is_missing_left = children[::-1], not is_missing_left
            condition = 0.0
        operator = "lessThan" if members is None else "isIn"
        nodes.append(
            Split(indices[index], operator, condition, members or _NO_CATEGORIES, is_missing_left, False, *children)
        )
    check_tree(nodes, features, tree.origin)
    return tuple(nodes)


def _round_conditions(conditions: JsonValue, count: int, left: Sequence[int]) -> list[float]:
    """Return the thresholds and the values of leaves as binary32 numbers."""
    numbers = array("f", conditions.numbers(count)).tolist()
    for index, number in enumerate(numbers):
        if number != number or (left[index] == -1 and math.isinf(number)):
            conditions.refuse(f"node {index} has the value {number}, expected a finite number; train again")
    return numbers


def _read_categories(tree: JsonValue, count: int) -> dict[int, frozenset[int]]:
    """Return the categories of nodes that test for them."""
    stored = tree.find("split_type")
    kinds = {index for index, kind in enumerate([] if stored is None else stored.integers(count)) if kind}
    if not kinds:
        return {}
    values = tree.get("categories").integers()
    nodes = tree.get("categories_nodes").integers()
    starts = tree.get("categories_segments").integers(len(nodes))
    sizes = tree.get("categories_sizes").integers(len(nodes))
    result: dict[int, frozenset[int]] = {}
    for node, start, size in zip(nodes, starts, sizes, strict=True):
        if start < 0 or size < 0 or start + size > len(values):
            tree.refuse(f"the categories of node {node} are not in 'categories'; export the model again")
        result[node] = frozenset(values[start : start + size])
    if set(result) != kinds:
        tree.refuse("'split_type' and 'categories_nodes' differ; export the model again")
    return result
