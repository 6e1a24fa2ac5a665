"""Trees of PMML, and their ensembles, in arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from stellar.models.batch.columns import Array, Floats, Integers
from stellar.models.batch.expressions import find_field
from stellar.models.batch.predicates import compile_test, find_constant, parse_bound
from stellar.models.batch.predictions import BatchNumber, BatchPrediction, BatchShares, assign_shares, make_array
from stellar.models.batch.program import Compute, Values
from stellar.models.batch.scope import BatchScope
from stellar.models.batch.trees import ColumnTest, TableBranch, TreeColumns, TreeSearch, TreeTable, build_table
from stellar.models.compiled.ensembles import (
    find_categories,
    find_common_categories,
    find_segment_target,
    list_trees,
    list_weights,
    read_score,
    read_shares,
)
from stellar.models.compiled.fields import NotCompiled
from stellar.models.compiled.trees import are_complements
from stellar.models.evaluation.targets import TargetField
from stellar.models.forms.bodies import EnsembleForm, TreeForm, TreeNode
from stellar.models.forms.fields import DataField
from stellar.models.forms.model import ModelForm
from stellar.models.forms.predicates import FieldComparison, Predicate

# A node of a tree, and the first of its children that is still possible
_State: TypeAlias = tuple[TreeNode, int]
_ORDERED = {"lessOrEqual": False, "greaterThan": True, "lessThan": False, "greaterOrEqual": True}


class TreeTables:
    """The tables of trees that compare the same columns."""

    def __init__(self, scope: BatchScope) -> None:
        self._scope = scope
        self.columns = TreeColumns()
        self.tables: list[TreeTable] = []

    def add(self, form: TreeForm) -> TreeTable:
        """Add a tree, whose leaves are nodes; None for records without a node. Return its table."""
        returns_last = form.no_true_child == "returnLastPrediction"

        def open_state(state: _State | None) -> Any:
            return None if state is None else self._open(form, state, returns_last)

        root = form.nodes[0]
        if find_constant(root.predicate, self._scope) is not True:
            raise NotCompiled
        table = build_table((root, 0), open_state)
        self.tables.append(table)
        return table

    def _open(self, form: TreeForm, state: _State, returns_last: bool) -> Any:
        """Return the branch, or the leaf, of a node whose first children are excluded."""
        node, index = state
        while index < len(node.children):
            child = form.nodes[node.children[index]]
            constant = find_constant(child.predicate, self._scope)
            if constant is None:
                return TableBranch(self._test(child.predicate), (child, 0), _follow(form, node, index))
            node, index = (child, 0) if constant else (node, index + 1)
        is_leaf = not node.children or (returns_last and node.score is not None)
        return node if is_leaf else None

    def _test(self, form: Predicate) -> ColumnTest:
        if isinstance(form, FieldComparison) and form.operator in _ORDERED:
            field = find_field(form.field, self._scope)
            if field.kind != "string":
                bound, array = parse_bound(form, field), field.array
                if form.operator in ("lessThan", "greaterOrEqual"):
                    bound = float(np.nextafter(bound, -np.inf))
                if np.isfinite(bound):
                    column = self.columns.add(array, lambda values: values[array])
                    return column, bound, _ORDERED[form.operator]
        return self.columns.add_condition(form, compile_test(form, self._scope))


def _follow(form: TreeForm, node: TreeNode, index: int) -> _State:
    """Return the state of a node after the predicate of one of its children is false."""
    if index + 2 == len(node.children):
        child, last = (form.nodes[node.children[position]] for position in (index, index + 1))
        if are_complements(child.predicate, last.predicate):
            return last, 0
    return node, index + 1


# -- Numbers and shares -----------------------------------------------------------------------------------------------


def _list_numbers(table: TreeTable) -> Floats:
    """Return the scores of the leaves, NaN for records without a node."""
    return np.array([np.nan if leaf is None else read_score(leaf) for leaf in table.leaves])


def _list_shares(table: TreeTable, count: int) -> list[Floats]:
    """Return the shares of the leaves, by category."""
    nothing = [np.nan] * count
    return list(np.array([nothing if leaf is None else read_shares(leaf) for leaf in table.leaves]).T.copy())


def compile_tree(form: TreeForm, model: ModelForm, target: TargetField, scope: BatchScope) -> BatchPrediction:
    """Add the steps of a TreeModel."""
    tables = TreeTables(scope)
    table = tables.add(form)

    def find(values: Values) -> Array:
        return TreeSearch(tables.columns.compute(values)).find_leaves(table)

    leaves = scope.program.assign(find)
    if model.function != "classification":
        numbers = _list_numbers(table)
        return BatchNumber(scope.program.assign(lambda values: numbers[values[leaves]]))
    categories = find_categories(form, target)
    shares = _list_shares(table, len(categories))
    arrays = scope.program.assign_all(len(categories), lambda values: [share[values[leaves]] for share in shares])
    chosen = (_find_winner(leaf, target) for leaf in table.leaves)
    winners = make_array([categories[0] if winner is None else winner for winner in chosen])
    return BatchShares(categories, arrays, scope.program.assign(lambda values: winners[values[leaves]]))


def _find_winner(leaf: TreeNode | None, target: TargetField) -> Any:
    """Return the category of a leaf, None for records without a node."""
    if leaf is None:
        return None
    if leaf.score is not None:
        return target.parse(leaf.score, leaf.origin)
    shares = read_shares(leaf)
    return target.parse(leaf.shares[shares.index(max(shares))].value, leaf.origin)


# -- Ensembles --------------------------------------------------------------------------------------------------------


def compile_ensemble(
    form: EnsembleForm, model: ModelForm, target: TargetField, scope: BatchScope, fields: Mapping[str, DataField]
) -> BatchPrediction:
    """Add the steps of an ensemble of trees: a sum, an average or a vote."""
    bodies = list_trees(form, model, fields)
    tables = TreeTables(scope)
    for body in bodies:
        tables.add(body)
    if model.function != "classification":
        return _compile_total(form, tables, scope)
    inner = find_segment_target(form, fields, target)
    if form.method == "majorityVote":
        return _compile_vote(tables, inner, scope)
    if form.method not in ("average", "weightedAverage"):
        raise NotCompiled
    categories = find_common_categories(bodies, inner)
    return assign_shares(categories, _assign_average(form, tables, len(categories), scope), scope.program)


def _compile_total(form: EnsembleForm, tables: TreeTables, scope: BatchScope) -> BatchNumber:
    if form.method not in ("sum", "average", "weightedSum", "weightedAverage"):
        raise NotCompiled
    weights, divisor = list_weights(form)
    numbers = [[_list_numbers(table) * weight] for table, weight in zip(tables.tables, weights, strict=True)]
    add = _compile_sums(tables, numbers, 1)
    if form.method in ("sum", "weightedSum"):
        return BatchNumber(scope.program.assign(lambda values: add(values)[0]))
    return BatchNumber(scope.program.assign(lambda values: add(values)[0] / divisor))


def _assign_average(form: EnsembleForm, tables: TreeTables, count: int, scope: BatchScope) -> tuple[str, ...]:
    weights, divisor = list_weights(form)
    numbers = [
        [share * weight for share in _list_shares(table, count)]
        for table, weight in zip(tables.tables, weights, strict=True)
    ]
    add = _compile_sums(tables, numbers, count)
    return scope.program.assign_all(count, lambda values: [total / divisor for total in add(values)])


def _compile_sums(
    tables: TreeTables, numbers: Sequence[Sequence[Floats]], count: int
) -> Callable[[Values], list[Floats]]:
    """Return the function that adds the numbers of the leaves in the order of the trees.

    numbers: by tree and result
    """

    def add(values: Values) -> list[Floats]:
        search = TreeSearch(tables.columns.compute(values))
        totals = [np.zeros(values.size) for _ in range(count)]
        for table, arrays in zip(tables.tables, numbers, strict=True):
            leaves = search.find_leaves(table)
            for total, array in zip(totals, arrays, strict=True):
                total += array.take(leaves, mode="clip")
        return totals

    return add


def _compile_vote(tables: TreeTables, target: TargetField, scope: BatchScope) -> BatchShares:
    """Add the steps of a vote. Of categories with as many votes, that of the first vote wins."""
    winners = [[_find_winner(leaf, target) for leaf in table.leaves] for table in tables.tables]
    categories = tuple(dict.fromkeys(winner for tree in winners for winner in tree if winner is not None))
    codes = {category: code for code, category in enumerate(categories)} | {None: -1}
    votes = [np.array([codes[winner] for winner in tree], np.intp) for tree in winners]
    count = len(votes)
    table = make_array(categories)
    totals = scope.program.assign(_compile_count(tables, votes, len(categories)))
    winner = scope.program.assign(lambda values: table[values[totals].argmax(axis=0)])
    arrays = scope.program.assign_all(
        len(categories), lambda values: [np.floor(total) / count for total in values[totals]]
    )
    return BatchShares(categories, arrays, winner, is_vote=True)


def _compile_count(tables: TreeTables, votes: Sequence[Integers], categories: int) -> Compute:
    """Return the function that counts votes.

    The first vote for a category adds a fraction, the larger the earlier, by which equal counts differ.
    """
    trees = len(votes)

    def count(values: Values) -> Array:
        search = TreeSearch(tables.columns.compute(values))
        totals = np.zeros((categories, values.size))
        for index, (table, codes) in enumerate(zip(tables.tables, votes, strict=True)):
            voted = codes[search.find_leaves(table)]
            totals[:, voted < 0] = np.nan
            for code, total in enumerate(totals):
                chosen = voted == code
                total[chosen & (total == 0)] = (trees - index) / (trees + 1)
                total[chosen] += 1
        return totals

    return count
