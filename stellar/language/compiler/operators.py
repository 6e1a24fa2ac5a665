"""Tables of the operators (inline form and helper) and the limits of inlining."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

from stellar.language import nodes as n
from stellar.language import runtime

# Operator: Python's operator for the inline form, and the helper for all other values
ARITHMETIC: dict[str, tuple[ast.operator, Callable[..., Any]]] = {
    "+": (ast.Add(), runtime.add),
    "-": (ast.Sub(), runtime.subtract),
    "*": (ast.Mult(), runtime.multiply),
    "/": (ast.Div(), runtime.divide),
}
COMPARISON: dict[str, tuple[ast.cmpop, Callable[..., Any]]] = {
    "==": (ast.Eq(), runtime.equal),
    "!=": (ast.NotEq(), runtime.unequal),
    "<": (ast.Lt(), runtime.less),
    "<=": (ast.LtE(), runtime.less_or_equal),
    ">": (ast.Gt(), runtime.greater),
    ">=": (ast.GtE(), runtime.greater_or_equal),
}
# Node: Python's operator, and the test of a value other than true that ends the evaluation; None if only true ends it
LOGICAL: dict[type[n.Expr], tuple[ast.boolop, Callable[[Any], bool] | None]] = {
    n.Conjunction: (ast.And(), runtime.ends_and),
    n.Disjunction: (ast.Or(), None),
}
# Integers up to this size are equal to the float of the same value
EXACT = 2**53
# Operations on integers up to this size can't exceed the limit that the helpers check
SMALL = 2**62
MOST_INLINE_OPERATIONS = 16
MOST_INLINE_VARIABLES = 4
LONGEST_INLINE_CHAIN = 16
