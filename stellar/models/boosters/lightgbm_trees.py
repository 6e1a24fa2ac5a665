"""Trees of LightGBM: arrays of splits and of leaves."""

from __future__ import annotations

import math
from itertools import pairwise

from stellar.models.boosters.documents import MOST_NODES, check_tree
from stellar.models.boosters.lightgbm_text import Section
from stellar.models.forms.boosting import Split
from stellar.util.abbreviate import quote

MOST_WORDS = 100_000  # of 32 categories, in a tree
_NO_CATEGORIES: frozenset[int] = frozenset()
# The bits of a decision type
_CATEGORICAL, _DEFAULT_LEFT = 1, 2
_NO_MISSING, _ZERO_MISSING, _NAN_MISSING = 0, 1, 2
SMALLEST_CATEGORY = math.nextafter(-1.0, 0.0)  # LightGBM truncates -0.5 to 0


def read_tree(tree: Section, features: int) -> tuple[Split | float, ...]:
    """Return the nodes of a tree: splits, and behind them the values of leaves."""
    leaves = tree.integer("num_leaves", 1, MOST_NODES)
    if "is_linear" in tree.values and tree.string("is_linear") != "0":
        tree.refuse("is_linear", "linear trees are not supported; train with linear_tree=false")
    values = tree.numbers("leaf_value", leaves)
    if not all(map(math.isfinite, values)):
        tree.refuse("leaf_value", "a leaf is not finite; train again")
    nodes: tuple[Split | float, ...] = tuple(values)
    if leaves > 1:
        nodes = (*_read_splits(tree, leaves - 1), *values)
    check_tree(nodes, features, tree.origin)
    return nodes


def _read_splits(tree: Section, count: int) -> list[Split]:
    thresholds = tree.numbers("threshold", count)
    decisions = tree.integers("decision_type", count)
    left, right = tree.integers("left_child", count), tree.integers("right_child", count)
    sets = _read_sets(tree)
    splits: list[Split] = []
    for index, feature in enumerate(tree.integers("split_feature", count)):
        children = tuple(child if child >= 0 else count + ~child for child in (left[index], right[index]))
        missing = _find_missing(tree, decisions[index])
        if decisions[index] & _CATEGORICAL:
            splits.append(_build_membership(tree, feature, thresholds[index], sets, children))
        else:
            is_left = bool(decisions[index] & _DEFAULT_LEFT)
            splits.append(_build_comparison(feature, thresholds[index], missing, is_left, children))
    return splits


def _find_missing(tree: Section, decision: int) -> int:
    missing = decision >> 2
    if missing not in (_NO_MISSING, _ZERO_MISSING, _NAN_MISSING):
        tree.refuse("decision_type", f"decision type {decision} is not supported; export with LightGBM 4")
    return missing


def _build_comparison(
    feature: int, threshold: float, missing: int, is_default_left: bool, children: tuple[int, ...]
) -> Split:
    """Without missing values in training, NaN is read as zero."""
    is_missing_left = threshold >= 0.0 if missing == _NO_MISSING else is_default_left
    return Split(
        feature, "lessOrEqual", threshold, _NO_CATEGORIES, is_missing_left, missing == _ZERO_MISSING, *children
    )


def _build_membership(
    tree: Section, feature: int, threshold: float, sets: list[frozenset[int]], children: tuple[int, ...]
) -> Split:
    """The threshold is the index of a set."""
    if not threshold.is_integer() or not 0 <= threshold < len(sets):
        tree.refuse("threshold", f"expected the index of a set, got {quote(threshold)}; export the model again")
    return Split(feature, "isIn", SMALLEST_CATEGORY, sets[int(threshold)], False, False, *children)


def _read_sets(tree: Section) -> list[frozenset[int]]:
    """Return the sets of categories, which are bits of integers."""
    count = tree.integer("num_cat", 0, MOST_NODES)
    if not count:
        return []
    bounds = tree.integers("cat_boundaries", count + 1)
    if bounds[0] != 0 or bounds != sorted(bounds) or bounds[-1] > MOST_WORDS:
        tree.refuse("cat_boundaries", f"expected ascending integers from 0 to at most {MOST_WORDS}")
    words = tree.integers("cat_threshold", bounds[-1])
    if not all(0 <= word < 2**32 for word in words):
        tree.refuse("cat_threshold", "expected integers of 32 bits; export the model again")
    return [_find_members(words[start:end]) for start, end in pairwise(bounds)]


def _find_members(words: list[int]) -> frozenset[int]:
    return frozenset(
        32 * index + bit for index, word in enumerate(words) if word for bit in range(32) if word >> bit & 1
    )
