"""The operators: the Python node for the inline form, the helper for everything else, and the limits of inlining."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

from stellar.language import runtime

# Operator: the Python node for the inline form, the helper for everything else
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
# Up to here an int and the float of the same value are interchangeable
EXACT = 2**53
# Inline operations on integers up to here can't reach the limit on results, which the helpers know
SMALL = 2**62
MOST_INLINE_OPERATIONS = 16
MOST_INLINE_VARIABLES = 4
LONGEST_INLINE_CHAIN = 16
