"""Tests of a variable for literals, such as `port == 22` and `user in ['a', 'b']`, as sets of values."""

from __future__ import annotations

from types import NoneType
from typing import Any, NamedTuple

from stellar.language import nodes as n
from stellar.language.compiler.analysis import literal_members
from stellar.language.compiler.operators import EXACT

Key = tuple[type, Any]


class ValueTest(NamedTuple):
    """A test that is true exactly for some values of a variable, as long as its class is Stellar's own."""

    variable: str
    keys: frozenset[Key]


def find_test(node: n.Expr) -> ValueTest | None:
    """Return the test that a node is: a variable compared with literals by `==` or `in`, or several with `or`."""
    match node:
        case n.Comparison("==", n.Variable(name), n.Literal(value)) | n.Comparison(
            "==", n.Literal(value), n.Variable(name)
        ):
            keys = _list_equal(value)
        case n.Membership(n.Variable(name), container, False):
            # Members are compared by class and value
            keys = [(type(member), member) for member in literal_members(container) or ()]
        case n.Disjunction(operands):
            return _unite([find_test(operand) for operand in operands])
        case _:
            return None
    return ValueTest(name, frozenset(keys)) if keys and name != "_" else None


def _unite(tests: list[ValueTest | None]) -> ValueTest | None:
    known = [test for test in tests if test is not None]
    if len(known) < len(tests) or len({test.variable for test in known}) > 1:
        return None
    return ValueTest(known[0].variable, frozenset().union(*(test.keys for test in known)))


def _list_equal(value: Any) -> list[Key]:
    """Return the keys of all values that equal a literal; none if that depends on rounding."""
    match value:
        case None:
            return [(NoneType, None)]
        case bool() | str():
            return [(type(value), value)]
    if not abs(value) < EXACT:  # also if it is not a number
        return []
    keys: list[Key] = [(float, float(value))]
    return [*keys, (int, int(value))] if value == int(value) else keys
