"""Tests of the sums of trees: generated code equals the search, whatever the trees are."""

from __future__ import annotations

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from stellar.models.boosters.documents import check_tree
from stellar.models.errors import KeyOrigin
from stellar.models.evaluation.boosting_trees import RECORDS_BEFORE_CODE, TreeSums, group_trees
from stellar.models.forms.boosting import BoostedTree, BoosterForm, Feature, Link, Split

ORIGIN = KeyOrigin("tests", 0)
NUMBERS = st.sampled_from([math.nan, 0.0, -0.0, 0.5, -0.5, 1.0, 2.0, 3.0, 1e-35, 7.0, math.inf, -math.inf])
LEAVES = st.floats(-10, 10, width=32)


@st.composite
def trees(draw: st.DrawFn) -> BoostedTree:
    """A tree whose splits lead to leaves or to later splits."""
    count = draw(st.integers(0, 12))
    nodes: list[Split | float] = []
    free = [0]
    for index in range(count):
        free.remove(index)
        left = max([*free, index]) + 1
        free += [left, left + 1]
        operator = draw(st.sampled_from(["lessThan", "lessOrEqual", "isIn"]))
        threshold = draw(st.sampled_from([-0.5, 0.0, 0.5, 2.0]))
        categories = draw(st.frozensets(st.integers(0, 7)))
        flags = st.booleans()
        nodes.append(
            Split(draw(st.integers(0, 2)), operator, threshold, categories, draw(flags), draw(flags), left, left + 1)
        )
    nodes += [draw(LEAVES) for _ in range(len(free))]
    check_tree(nodes, 3, ORIGIN)
    return BoostedTree(tuple(nodes), draw(st.integers(0, 1)), draw(st.sampled_from([1.0, 0.3])), ORIGIN)


@st.composite
def forms(draw: st.DrawFn) -> BoosterForm:
    is_single = draw(st.booleans())
    drawn = tuple(draw(st.lists(trees(), min_size=1, max_size=6)))
    features = tuple(Feature(name) for name in "abc")
    return BoosterForm(drawn, features, (0.5, 0.0), Link("identity", "number"), is_single, 1, 0.0, ORIGIN)


@settings(max_examples=150, deadline=None)
@given(forms(), st.lists(st.tuples(NUMBERS, NUMBERS, NUMBERS), min_size=1, max_size=8))
def test_code_equals_the_search(form: BoosterForm, rows: list[tuple[float, ...]]) -> None:
    sums = TreeSums(form, {0: 0, 1: 1, 2: 2})
    found = [sums.add(row) for row in rows]
    for _ in range(RECORDS_BEFORE_CODE + len(form.trees)):
        sums.add(rows[0])
    assert [sums.add(row) for row in rows] == found


def test_trees_are_grouped_in_their_order() -> None:
    def build(size: int) -> BoostedTree:
        return BoostedTree((0.0,) * size, 0, 1.0, ORIGIN)

    sizes = [1500, 400, 300, 3000, 10, 10]
    groups = group_trees([build(size) for size in sizes])
    assert [[len(tree.nodes) for tree in group] for group in groups] == [[1500, 400], [300], [3000], [10, 10]]
