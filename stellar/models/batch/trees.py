"""Trees in arrays: the records of a batch descend from the root, one level with each step.

A test compares a column with a threshold. A node leads to its first child if the column is at most the threshold, and
to the second one, which is beside the first, otherwise; a leaf leads to itself:

    node = first_child[node] + (columns[column[node]] > threshold[node])

A predicate of another form is a column of its own, with 0 where it is true and 1 where it is false. The columns have no
NaN.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from stellar.models.batch.columns import Array, Flags, Floats, Integers
from stellar.models.batch.program import Values
from stellar.models.compiled.fields import NotCompiled

MOST_CONDITIONS = 2000  # columns of predicates
LEVELS = 8  # steps after which records in leaves are left out of the next ones
# A test: column and threshold, and True if the children are exchanged
ColumnTest: TypeAlias = tuple[int, float, bool]


class TreeColumns:
    """The columns that the trees of a model compare."""

    def __init__(self) -> None:
        self._computes: list[Callable[[Values], Array]] = []
        self._indexes: dict[Hashable, int] = {}
        self._conditions = 0

    def add(self, key: Hashable, compute: Callable[[Values], Array]) -> int:
        """Return the index of the column with a key, which is computed once."""
        if key not in self._indexes:
            self._indexes[key] = len(self._computes)
            self._computes.append(compute)
        return self._indexes[key]

    def add_condition(self, key: Hashable, test: Callable[[Values], Flags]) -> ColumnTest:
        """Return the split by a test. Raise NotCompiled if there are too many."""
        if key not in self._indexes:
            self._conditions += 1
        if self._conditions > MOST_CONDITIONS:
            raise NotCompiled
        return self.add(key, lambda values: ~test(values)), 0.5, False

    def compute(self, values: Values, dtype: type = np.float64) -> NDArray[Any]:
        """Return the columns as rows of a matrix."""
        matrix: NDArray[Any] = np.empty((len(self._computes), values.size), dtype)
        for row, compute in zip(matrix, self._computes, strict=True):
            row[:] = compute(values)
        return matrix


@dataclass(frozen=True, slots=True)
class TreeTable:
    """The nodes of a tree, from the root.

    columns: index of the column that a node compares
    thresholds: in the type of the columns
    first_children: index of the first child; of a leaf, its own
    depth: number of levels below the root
    leaves: what the caller stored for each node that is a leaf, None for others
    """

    columns: Integers
    thresholds: Array
    first_children: Integers
    depth: int
    leaves: Sequence[Any]


@dataclass(frozen=True, slots=True)
class TableBranch:
    """A node with a test, and its children as the caller's objects."""

    test: ColumnTest
    if_true: Any
    if_false: Any


def build_table(root: Any, open_node: Callable[[Any], TableBranch | Any], dtype: type = np.float64) -> TreeTable:
    """Return the table of a tree.

    open_node: returns the TableBranch of an object of the caller, or what the caller stores for a leaf
    """
    columns: list[int] = []
    thresholds: list[float] = []
    children: list[int] = []
    leaves: list[Any] = []
    pending = deque([(root, 0)])
    count, depth = 1, 0
    while pending:
        node, depth = pending.popleft()
        opened = open_node(node)
        if isinstance(opened, TableBranch):
            column, threshold, is_exchanged = opened.test
            pair = (opened.if_false, opened.if_true) if is_exchanged else (opened.if_true, opened.if_false)
            pending.extend((child, depth + 1) for child in pair)
            child, leaf = count, None
            count += 2
        else:
            column, threshold, child, leaf = 0, np.inf, len(columns), opened
        columns.append(column)
        thresholds.append(threshold)
        children.append(child)
        leaves.append(leaf)
    return TreeTable(
        np.array(columns, np.intp), np.array(thresholds, dtype), np.array(children, np.intp), depth, leaves
    )


class TreeSearch:
    """The search for the leaves of records in trees.

    matrix: columns of the records
    """

    def __init__(self, matrix: NDArray[Any]) -> None:
        self._matrix = matrix
        self._values = matrix.ravel()
        self._size = matrix.shape[1]
        self._rows = np.arange(self._size)
        self._nodes = np.empty(self._size, np.intp)
        self._positions = np.empty(self._size, np.intp)
        self._found = np.empty(self._size, matrix.dtype)
        self._thresholds = np.empty(self._size, matrix.dtype)
        self._is_above = np.empty(self._size, bool)

    def find_leaves(self, table: TreeTable) -> Integers:
        """Return the leaf of each record; the array is that of the next tree, too."""
        nodes = self._nodes
        if not table.depth:
            nodes.fill(0)
            return nodes
        np.greater(self._matrix[table.columns[0]], table.thresholds[0], out=self._is_above)
        np.add(self._is_above, table.first_children[0], out=nodes)
        starts = table.columns * self._size
        self._descend(table, starts, nodes, self._rows, min(table.depth, LEVELS) - 1)
        for level in range(LEVELS, table.depth, LEVELS):
            active = np.flatnonzero(table.first_children.take(nodes) != nodes)
            still = nodes[active]
            self._descend(table, starts, still, active, min(table.depth - level, LEVELS))
            nodes[active] = still
        return nodes

    def _descend(self, table: TreeTable, starts: Integers, nodes: Integers, rows: Integers, levels: int) -> None:
        """Replace nodes by those some levels below them. The mode `clip` lets numpy write to `out` directly."""
        size = len(nodes)
        positions, found, is_above = self._positions[:size], self._found[:size], self._is_above[:size]
        thresholds = self._thresholds[:size]
        for _ in range(levels):
            starts.take(nodes, out=positions, mode="clip")
            np.add(positions, rows, out=positions)
            self._values.take(positions, out=found, mode="clip")
            table.thresholds.take(nodes, out=thresholds, mode="clip")
            np.greater(found, thresholds, out=is_above)
            table.first_children.take(nodes, out=positions, mode="clip")
            np.add(positions, is_above, out=nodes)


def list_leaves(tables: Sequence[TreeTable], read: Callable[[Any], float]) -> list[Floats]:
    """Return a number of the leaves of each table, by node; NaN for other nodes."""
    return [np.array([np.nan if leaf is None else read(leaf) for leaf in table.leaves]) for table in tables]
