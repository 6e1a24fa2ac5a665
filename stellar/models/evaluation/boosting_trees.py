"""Sums of boosted trees: by a search in each tree at first, and by generated code after some records.

A comparison with NaN is false. So a missing value leads to the left if the opposite comparison is written, with the
children exchanged, and each split is one comparison:

    x < 0.5, missing to the right           A if x < 0.5 else B
    x < 0.5, missing to the left            B if x >= 0.5 else A
    x <= 0.5, zero and missing to the left  B if x > 0.5 and x != 0 else A

XGBoost adds binary32 numbers. An `array` of them rounds each sum, which is the fastest way that Python has. Sums of
binary64 numbers are local variables.
"""

from __future__ import annotations

import ast
from array import array
from collections.abc import Callable, Sequence
from typing import Any

from stellar.models.forms.boosting import BoostedTree, BoosterForm, Split
from stellar.models.values import identity, round_single
from stellar.util.function_builder import FunctionBuilder, call, constant, load

RECORDS_BEFORE_CODE = 100  # a batch of fewer records does not pay for the code
MOST_DEPTH = 40  # of nested expressions
NODES_OF_FUNCTION = 2000
LARGEST_CATEGORY = 2**31
Test = Callable[[float], bool]
Values = Sequence[float]
Sums = list[float]
# A split: feature, test, and the nodes if it is true and if it is false; or the value of a leaf
Node = tuple[int, Test, int, int] | float
# A function that adds trees to sums
Add = Callable[[Values, Any], None]


class TreeSums:
    """The sums of trees by output.

    positions: of the features in the values of a record
    """

    def __init__(self, form: BoosterForm, positions: dict[int, int]) -> None:
        self._form = form
        self._positions = positions
        self._start = array("f" if form.is_single else "d", form.bases)
        self._searches = [_compile_search(form, tree, positions) for tree in form.trees]
        self._records = 0
        self._groups = group_trees(form.trees)
        # Functions of all trees, and the number of groups that are generated. Both are replaced at once, so threads
        # that generate a group at the same time leave one of two equal results.
        self._state: tuple[list[Add], int] = (self._searches, 0)

    def add(self, values: Values) -> Sums:
        """Return the sums for the values of a record."""
        functions, generated = self._state
        sums = self._start[:]
        for add in functions:
            add(values, sums)
        if generated < len(self._groups):
            self._records += 1
            if self._records > RECORDS_BEFORE_CODE:
                self._generate(functions, generated)
        return sums.tolist()

    def _generate(self, functions: list[Add], generated: int) -> None:
        """Generate the code of one group, so that no record waits for all of them."""
        group = self._groups[generated]
        # Each group that is generated is one function, before the searches of the trees that are left
        searches = functions[generated + len(group) :]
        function = functions[generated]
        if len(group) > 1 or find_depth(group[0]) <= MOST_DEPTH:
            function = write_trees(self._form, group, self._positions)
        self._state = ([*functions[:generated], function, *searches], generated + 1)


def group_trees(trees: Sequence[BoostedTree]) -> list[list[BoostedTree]]:
    """Return the trees in groups, each for one function. A deep tree is a group, as code cannot be nested so deep."""
    groups: list[list[BoostedTree]] = []
    room = 0
    for tree in trees:
        is_deep = find_depth(tree) > MOST_DEPTH
        if is_deep or len(tree.nodes) > room:
            groups.append([])
            room = NODES_OF_FUNCTION
        groups[-1].append(tree)
        room = 0 if is_deep else room - len(tree.nodes)
    return groups


def weigh_leaf(form: BoosterForm, tree: BoostedTree, value: float) -> float:
    """Return what a leaf adds."""
    if tree.weight == 1.0:
        return value
    return (round_single if form.is_single else identity)(value * tree.weight)


def find_depth(tree: BoostedTree) -> int:
    """Return the number of splits on the longest path."""
    deepest, pending = 0, [(0, 0)]
    while pending:
        index, depth = pending.pop()
        node = tree.nodes[index]
        if isinstance(node, Split):
            pending += ((node.left, depth + 1), (node.right, depth + 1))
        deepest = max(deepest, depth)
    return deepest


# -- Search -----------------------------------------------------------------------------------------------------------


def _compile_search(form: BoosterForm, tree: BoostedTree, positions: dict[int, int]) -> Add:
    nodes: list[Node] = [
        (positions[node.feature], *_compile_test(node)) if isinstance(node, Split) else weigh_leaf(form, tree, node)
        for node in tree.nodes
    ]
    output = tree.output

    def add(values: Values, sums: Any) -> None:
        node = nodes[0]
        while isinstance(node, tuple):
            feature, test, left, right = node
            node = nodes[left if test(values[feature]) else right]
        sums[output] += node

    return add


def _compile_test(node: Split) -> tuple[Test, int, int]:
    """Return a test, with the nodes if it is true and if it is false."""
    if node.operator == "isIn":
        return compile_membership(node), node.left, node.right
    threshold, is_left = node.threshold, node.is_missing_left
    if node.operator == "lessThan":
        straight, opposite = threshold.__gt__, threshold.__le__
    else:
        straight, opposite = threshold.__ge__, threshold.__lt__
    if node.is_zero_missing:
        return lambda value: is_left if value == 0 or value != value else straight(value), node.left, node.right
    return (opposite, node.right, node.left) if is_left else (straight, node.left, node.right)


def goes_to_left(node: Split, value: float) -> bool:
    """Return True if a value leads to the left child."""
    test, true, _ = _compile_test(node)
    return test(value) == (true == node.left)


def compile_membership(node: Split) -> Test:
    """Return the test of a split by categories."""
    categories, smallest, is_missing_left = node.categories, node.threshold, node.is_missing_left

    def test(value: float) -> bool:
        if value != value:
            return is_missing_left
        return smallest <= value < LARGEST_CATEGORY and int(value) in categories

    return test


# -- Code -------------------------------------------------------------------------------------------------------------


def write_trees(form: BoosterForm, trees: Sequence[BoostedTree], positions: dict[int, int]) -> Add:
    """Return a function that adds trees: each is a nested conditional expression."""
    builder = FunctionBuilder("values", "sums")
    builder.unpack([f"x{position}" for position in range(len(positions))], load("values"))
    outputs = sorted({tree.output for tree in trees})
    if not form.is_single:
        for output in outputs:
            builder.assign(f"sum{output}", _write_sum(output, ast.Load()))
    for tree in trees:
        total = _write_sum(tree.output, ast.Store()) if form.is_single else ast.Name(f"sum{tree.output}", ast.Store())
        builder.add(ast.AugAssign(total, ast.Add(), _write_node(builder, form, tree, positions, 0)))
    if not form.is_single:
        for output in outputs:
            builder.add(ast.Assign([_write_sum(output, ast.Store())], load(f"sum{output}")))
    return builder.link("add_trees")


def _write_sum(output: int, context: ast.expr_context) -> ast.Subscript:
    """`sums[output]`"""
    return ast.Subscript(load("sums"), constant(output), context)


def _write_node(
    builder: FunctionBuilder, form: BoosterForm, tree: BoostedTree, positions: dict[int, int], index: int
) -> ast.expr:
    node = tree.nodes[index]
    if not isinstance(node, Split):
        return constant(weigh_leaf(form, tree, node))
    value = load(f"x{positions[node.feature]}")
    left, right = (_write_node(builder, form, tree, positions, child) for child in (node.left, node.right))
    if node.operator == "isIn":
        return ast.IfExp(call(builder.bind(compile_membership(node), "is_in"), value), left, right)
    test = _write_comparison(node, value)
    return ast.IfExp(test, right, left) if node.is_missing_left else ast.IfExp(test, left, right)


def _write_comparison(node: Split, value: ast.expr) -> ast.expr:
    """Return the comparison that a missing value fails: the opposite one if it leads to the left."""
    straight, opposite = (ast.Lt(), ast.GtE()) if node.operator == "lessThan" else (ast.LtE(), ast.Gt())
    operator = opposite if node.is_missing_left else straight
    comparison = ast.Compare(value, [operator], [constant(node.threshold)])
    if not node.is_zero_missing:
        return comparison
    return ast.BoolOp(ast.And(), [comparison, ast.Compare(value, [ast.NotEq()], [constant(0.0)])])
