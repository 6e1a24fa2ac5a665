"""Properties of a syntax tree that are known before it is evaluated."""

from __future__ import annotations

from dataclasses import dataclass
from types import FunctionType
from typing import Any

from stellar.language import nodes as n
from stellar.language import runtime
from stellar.language.compiler.operators import (
    ARITHMETIC,
    EXACT,
    MOST_INLINE_OPERATIONS,
    MOST_INLINE_VARIABLES,
)
from stellar.language.library import Kind, Library


def static_class(node: n.Expr, library: Library) -> type | None:
    """The class that a node's value surely has, if that can be told."""
    match node:
        case n.Literal(value):
            return value.__class__
        case n.Comparison() | n.Membership() | n.Negation() | n.Conjunction() | n.Disjunction() | n.Exists():
            return bool
        case n.ListLiteral():
            return list
        case n.MapLiteral():
            return dict
        case n.Lambda():
            return FunctionType
        case n.Call(name) if name in library:
            returns = library[name].returns
            # Any and object, which are classes to Python, tell nothing
            return returns if isinstance(returns, type) and returns not in (Any, object) else None
    return None


def may_be_lambda(node: n.Expr, library: Library) -> bool:
    if isinstance(node, n.Variable | n.Lambda | n.Conditional | n.Match):
        return True
    return isinstance(node, n.Call) and static_class(node, library) is None


def surely_accepted(node: n.Expr, kind: Kind, library: Library) -> bool:
    if isinstance(node, n.Literal):
        return kind.accepts(node.value)
    return static_class(node, library) in kind.classes


def literal_members(node: n.Expr) -> frozenset[Any] | None:
    """The items of a list literal of texts alone, or of integers alone; None for anything else."""
    if not isinstance(node, n.ListLiteral) or not node.items:
        return None
    values = [item.value for item in node.items if isinstance(item, n.Literal)]
    classes = {value.__class__ for value in values}
    if len(values) == len(node.items) and (classes == {str} or classes == {int}):
        return frozenset(values)
    return None


def chain(node: n.Arithmetic) -> tuple[n.Expr, list[n.Arithmetic]]:
    """`a + b + c` as a, and the operations from left to right."""
    steps = [node]
    while isinstance(steps[-1].left, n.Arithmetic):
        steps.append(steps[-1].left)
    return steps[-1].left, steps[::-1]


@dataclass(frozen=True, slots=True)
class InlineTree:
    """Arithmetic on a few variables and numbers alone, for which one guard serves.

    node: the tree, with what holds only numbers worked out
    variables: the variables, in the order in which they are read
    divisors: those that something is divided by
    for_integers: whether it may be calculated with ints as it may with floats
    """

    node: n.Expr
    variables: list[str]
    divisors: frozenset[str]
    for_integers: bool

    @property
    def constant(self) -> int | float | None:
        value = self.node.value if isinstance(self.node, n.Literal) else None
        return value if isinstance(value, int | float) else None

    @classmethod
    def of(cls, node: n.Arithmetic) -> InlineTree | None:
        """The tree, or None if the node holds anything else, too many variables, or a division that can't be inline."""
        folded = fold(node)
        if folded is None:
            return None
        parts = list(n.walk(folded))
        variables = list(dict.fromkeys(part.name for part in parts if isinstance(part, n.Variable)))
        divisors = [part.right for part in parts if isinstance(part, n.Arithmetic) and part.operator == "/"]
        numbers = [part.value for part in parts if isinstance(part, n.Literal)]
        if "_" in variables or len(variables) > MOST_INLINE_VARIABLES:
            return None
        if sum(isinstance(part, n.Arithmetic) for part in parts) > MOST_INLINE_OPERATIONS:
            return None
        if not all(isinstance(d, n.Variable) or (isinstance(d, n.Literal) and d.value) for d in divisors):
            return None
        if any(isinstance(number, int) and abs(number) > EXACT for number in numbers) and variables:
            return None
        named = frozenset(d.name for d in divisors if isinstance(d, n.Variable))
        return cls(folded, variables, named, not divisors and all(isinstance(number, int) for number in numbers))


def fold(node: n.Expr) -> n.Expr | None:
    """A calculation with what holds only numbers worked out; None if it holds more than variables and numbers."""
    match node:
        case n.Variable():
            return node
        case n.Literal(value):
            return node if runtime.is_number(value) else None
        case n.Minus(operand):
            inner = fold(operand)
            if isinstance(inner, n.Literal):
                return n.Literal(runtime.negate(inner.value), span=node.span)
            return None if inner is None else n.Minus(inner, span=node.span)
        case n.Arithmetic(symbol, left, right):
            one, other = fold(left), fold(right)
            if one is None or other is None:
                return None
            if isinstance(one, n.Literal) and isinstance(other, n.Literal):
                try:
                    return n.Literal(ARITHMETIC[symbol][1](one.value, other.value), span=node.span)
                except ValueError:
                    return None  # it is an error, and must be one when it is reached
            return n.Arithmetic(symbol, one, other, span=node.span)
    return None
