"""The abstract syntax tree; each node has its span in the source."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import assert_never

from stellar.language.source import Span

NOWHERE = Span(0, 0)


@dataclass(frozen=True, slots=True)
class Node:
    """A node. Its span takes no part in equality, so tests compare with hand-written trees."""

    span: Span = field(default=NOWHERE, kw_only=True, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Literal(Node):
    """`true`, `null`, `NaN`, a number or a string."""

    value: bool | int | float | str | None


@dataclass(frozen=True, slots=True)
class Variable(Node):
    """A field of the record, or a parameter of an enclosing lambda. `_` is all fields."""

    name: str


@dataclass(frozen=True, slots=True)
class Exists(Node):
    """`exists(name)`: true if a variable is not null."""

    name: str


@dataclass(frozen=True, slots=True)
class ListLiteral(Node):
    """`[a, b]`"""

    items: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class MapLiteral(Node):
    """`{key : value}`; of two equal keys the first wins."""

    pairs: tuple[tuple[Expr, Expr], ...]


@dataclass(frozen=True, slots=True)
class Call(Node):
    """`NAME(argument, …)`"""

    name: str
    arguments: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Minus(Node):
    """`-operand`"""

    operand: Expr


@dataclass(frozen=True, slots=True)
class Arithmetic(Node):
    """`left + right`, and `-`, `*`, `/`."""

    operator: str
    left: Expr
    right: Expr


@dataclass(frozen=True, slots=True)
class Comparison(Node):
    """`left == right`, and `!=`, `<`, `<=`, `>`, `>=`."""

    operator: str
    left: Expr
    right: Expr


@dataclass(frozen=True, slots=True)
class Membership(Node):
    """`item in container`, or `item not in container`."""

    item: Expr
    container: Expr
    negated: bool


@dataclass(frozen=True, slots=True)
class Negation(Node):
    """`not operand`"""

    operand: Expr


@dataclass(frozen=True, slots=True)
class Conjunction(Node):
    """`a and b and …`"""

    operands: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Disjunction(Node):
    """`a or b or …`"""

    operands: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Conditional(Node):
    """`condition ? then : otherwise`, also written IF THEN ELSE."""

    condition: Expr
    then: Expr
    otherwise: Expr


@dataclass(frozen=True, slots=True)
class Match(Node):
    """`match { check => action, …, default => default }`"""

    clauses: tuple[tuple[Expr, Expr], ...]
    default: Expr


@dataclass(frozen=True, slots=True)
class Lambda(Node):
    """`(parameter, …) -> body`"""

    parameters: tuple[str, ...]
    body: Expr


Expr = (
    Literal
    | Variable
    | Exists
    | ListLiteral
    | MapLiteral
    | Call
    | Minus
    | Arithmetic
    | Comparison
    | Membership
    | Negation
    | Conjunction
    | Disjunction
    | Conditional
    | Match
    | Lambda
)


def children(node: Expr) -> tuple[Expr, ...]:
    """Return the child nodes in the order of evaluation."""
    match node:
        case Literal() | Variable() | Exists():
            return ()
        case Arithmetic(_, left, right) | Comparison(_, left, right) | Membership(left, right, _):
            return (left, right)
        case Call(_, items) | ListLiteral(items) | Conjunction(items) | Disjunction(items):
            return items
        case Minus(child) | Negation(child) | Lambda(_, child):
            return (child,)
        case Conditional(condition, then, otherwise):
            return (condition, then, otherwise)
        case MapLiteral(pairs):
            return tuple(child for pair in pairs for child in pair)
        case Match(clauses, default):
            return (*(child for clause in clauses for child in clause), default)
        case _:
            assert_never(node)


def walk(node: Expr) -> Iterator[Expr]:
    """Yield a node and its descendants in source order, each before its children."""
    stack = [node]
    while stack:
        node = stack.pop()
        yield node
        stack.extend(reversed(children(node)))


def outline(tree: Expr) -> list[tuple[str, ...]]:
    """Flatten a tree to a list that is equal exactly for trees of the same meaning.

    Comparing trees themselves equates 1, 1.0 and true, distinguishes two NaNs, and recurses too deep for long chains.
    """
    return [(type(node).__name__, str(len(children(node))), *describe_attributes(node)) for node in walk(tree)]


def describe_attributes(node: Expr) -> tuple[str, ...]:
    """Return the attributes of a node that are not nodes, in a form that distinguishes 1, 1.0 and true."""
    return tuple(repr(getattr(node, name)) for name in _ATTRIBUTES if hasattr(node, name))


# The fields of nodes that are not children
_ATTRIBUTES = ("value", "name", "operator", "negated", "parameters")
