"""Nodes are compared by their class and values, without their spans."""

from __future__ import annotations

import pytest

from stellar.language import nodes as n
from stellar.language.parser import parse
from stellar.language.source import Span

X, ONE = n.Variable("x"), n.Literal(1)


@pytest.mark.parametrize(
    ("source", "tree"),
    [
        ("x + 1", n.Arithmetic("+", X, ONE)),
        ("x in [1]", n.Membership(X, n.ListLiteral((ONE,)), False)),
        ("exists(x) ? 1 : x", n.Conditional(n.Exists("x"), ONE, X)),
        ("x -> x", n.Lambda(("x",), X)),
    ],
)
def test_the_span_takes_no_part_in_equality(source, tree):
    parsed = parse(source)
    assert parsed == tree
    assert hash(parsed) == hash(tree)
    assert parsed.span == Span(0, len(source))
    assert tree.span == n.NOWHERE


def test_nodes_of_other_classes_or_values_differ():
    assert n.Variable("x") != n.Exists("x")
    assert n.Variable("x") != n.Variable("y")
    assert n.Variable("x") != "x"


def test_a_node_is_shown_with_its_values():
    assert (
        repr(n.Comparison("<", X, ONE)) == "Comparison(operator='<', left=Variable(name='x'), right=Literal(value=1))"
    )
