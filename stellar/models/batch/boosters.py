"""Boosted trees in arrays.

A missing value leads to the left in some nodes, and to the right in others. So a feature has a column for each: one
with -∞ instead of NaN, and one with ∞.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stellar.models.batch.columns import Array, Flags, Floats, read_codes, read_numbers
from stellar.models.batch.fields import SURPRISE, InputFields, Read, find_inside
from stellar.models.batch.links import find_link
from stellar.models.batch.predictions import BatchNumber, BatchShares, assign_shares
from stellar.models.batch.program import Compute, Values
from stellar.models.batch.scope import BatchScope
from stellar.models.batch.trees import ColumnTest, TableBranch, TreeColumns, TreeSearch, TreeTable, build_table
from stellar.models.evaluation.boosting_trees import LARGEST_CATEGORY, weigh_leaf
from stellar.models.forms.boosting import BoostedTree, BoosterForm, Feature, Split
from stellar.models.forms.fields import DataField


def compile_booster(
    form: BoosterForm, target: str | None, scope: BatchScope
) -> dict[str | None, BatchNumber | BatchShares]:
    """Add the steps of boosted trees. Return the predictions by target."""
    sums = scope.program.assign_all(len(form.bases), _compile_sums(form, scope))
    convert_sums, count = find_link(form.link, len(form.bases), is_single=form.is_single)

    def convert(values: Values) -> Sequence[Floats]:
        totals = [values[name].astype(np.float64) for name in sums]
        return convert_sums([total / form.divisor for total in totals] if form.divisor > 1 else totals)

    arrays = scope.program.assign_all(count, convert)
    if form.link.result == "probabilities":
        return {target: assign_shares(range(count), arrays, scope.program)}
    if form.link.result == "class":
        return {target: BatchNumber(scope.program.assign(lambda values: values[arrays[0]].astype(np.int64)))}
    if count == 1:
        return {target: BatchNumber(arrays[0])}
    return {f"prediction({index})": BatchNumber(array) for index, array in enumerate(arrays)}


# -- Inputs -----------------------------------------------------------------------------------------------------------


def declare_features(form: BoosterForm, fields: dict[str, DataField], inputs: InputFields) -> None:
    """Declare the features of a booster, in which a missing value is not a surprise."""
    for feature in form.features:
        if feature.name in fields:
            read = _compile_categories(feature) if feature.categories else _compile_numbers(form, fields[feature.name])
            inputs.declare_as(feature.name, read)


def _compile_numbers(form: BoosterForm, data: DataField) -> Read:
    def read(column: Array) -> tuple[Array, Flags]:
        values, others = read_numbers(column)
        surprises: Flags = np.zeros(len(values), bool) if others is None else others
        for bounds in data.ranges:
            surprises = surprises | ~(find_inside(values, bounds) | np.isnan(values))
        if form.is_single:
            return values.astype(np.float32), surprises
        values[np.abs(values) <= form.zero] = 0.0
        return values, surprises

    return read


def _compile_categories(feature: Feature) -> Read:
    """Return the function that reads the indexes of categories."""
    codes = {category: code for code, category in enumerate(feature.categories)}
    is_string = isinstance(feature.categories[0], str)

    def read(column: Array) -> tuple[Array, Flags]:
        found = read_codes(column, codes, SURPRISE) if is_string else _read_integers(column, codes)
        values = found.astype(np.float64)
        values[found < 0] = np.nan
        missing = np.array([value is None for value in column.tolist()], bool)
        return values, (found < 0) & ~missing

    return read


def _read_integers(column: Array, codes: dict[Any, int]) -> NDArray[np.intp]:
    numbers, _ = read_numbers(column)
    return np.array([codes.get(number, SURPRISE) for number in numbers.tolist()], np.intp)


# -- Trees ------------------------------------------------------------------------------------------------------------


def _compile_sums(form: BoosterForm, scope: BatchScope) -> Callable[[Values], Sequence[Array]]:
    """Return the function that adds the trees to the sums, in their order."""
    dtype = np.float32 if form.is_single else np.float64
    columns = TreeColumns()
    tables = [_build_tree(form, tree, columns, dtype) for tree in form.trees]
    leaves = [np.array([np.nan if leaf is None else leaf for leaf in table.leaves], dtype) for table in tables]
    outputs = [tree.output for tree in form.trees]

    def add(values: Values) -> Sequence[Array]:
        search = TreeSearch(columns.compute(values, dtype))
        sums = [np.full(values.size, base, dtype) for base in form.bases]
        for table, numbers, output in zip(tables, leaves, outputs, strict=True):
            np.add(sums[output], numbers.take(search.find_leaves(table), mode="clip"), out=sums[output])
        return sums

    return add


def _build_tree(form: BoosterForm, tree: BoostedTree, columns: TreeColumns, dtype: type) -> TreeTable:
    def open_node(index: int) -> Any:
        node = tree.nodes[index]
        if not isinstance(node, Split):
            return weigh_leaf(form, tree, node)
        return TableBranch(_find_test(node, form.features[node.feature].name, columns, dtype), node.left, node.right)

    return build_table(0, open_node, dtype)


def _find_test(node: Split, name: str, columns: TreeColumns, dtype: Any) -> ColumnTest:
    if node.operator == "isIn":
        members = (name, node.categories, node.threshold, node.is_missing_left)
        return columns.add_condition(members, _compile_membership(node, name))
    threshold = dtype(node.threshold)
    if node.operator == "lessThan":
        threshold = np.nextafter(threshold, dtype(-np.inf))
    if not np.isfinite(threshold):
        return columns.add_condition((name, node), _compile_test(node, name))
    key = (name, node.is_missing_left, node.is_zero_missing)
    return columns.add(key, _compile_column(node, name)), threshold, False


def _compile_column(node: Split, name: str) -> Compute:
    """Return the values of a feature, with infinity, which decides as it is to be, instead of missing ones."""
    missing, is_zero_missing = -np.inf if node.is_missing_left else np.inf, node.is_zero_missing

    def compute(values: Values) -> Array:
        found = values[name]
        is_missing = np.isnan(found) | (found == 0) if is_zero_missing else np.isnan(found)
        return np.where(is_missing, missing, found)

    return compute


def _compile_test(node: Split, name: str) -> Callable[[Values], Flags]:
    compare = np.less if node.operator == "lessThan" else np.less_equal

    def test(values: Values) -> Flags:
        found = values[name]
        is_missing = np.isnan(found) | (node.is_zero_missing & (found == 0))
        return np.where(is_missing, node.is_missing_left, compare(found, node.threshold))

    return test


def _compile_membership(node: Split, name: str) -> Callable[[Values], Flags]:
    categories = np.array(sorted(node.categories), np.float64)

    def test(values: Values) -> Flags:
        found = values[name]
        is_code = (found >= node.threshold) & (found < LARGEST_CATEGORY)
        is_in = is_code & np.isin(np.trunc(np.where(is_code, found, 0.0)), categories)
        return is_in | (np.isnan(found) & node.is_missing_left)

    return test
