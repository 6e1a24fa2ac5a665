"""The syntax tree: what a Stellar text means, and where in the text each part of it stands."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import assert_never

from stellar.language.source import Span

NOWHERE = Span(0, 0)


@dataclass(frozen=True, slots=True)
class Node:
    """A part of an expression. Its span takes no part in equality, so tests compare with trees written by hand."""

    span: Span = field(default=NOWHERE, kw_only=True, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Literal(Node):
    """`true`, `null`, `NaN`, a number or a text."""

    value: bool | int | float | str | None


@dataclass(frozen=True, slots=True)
class Variable(Node):
    """A field of the record, or a parameter of an enclosing lambda. `_` is all fields."""

    name: str


@dataclass(frozen=True, slots=True)
class Exists(Node):
    """`exists(name)`: whether a variable has a value."""

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
    """The parts of a node, in the order in which they are evaluated."""
    match node:
        case Literal() | Variable() | Exists():
            return ()
        case Arithmetic(_, left, right) | Comparison(_, left, right) | Membership(left, right, _):
            return (left, right)
        case Call(_, parts) | ListLiteral(parts) | Conjunction(parts) | Disjunction(parts):
            return parts
        case Minus(part) | Negation(part) | Lambda(_, part):
            return (part,)
        case Conditional(condition, then, otherwise):
            return (condition, then, otherwise)
        case MapLiteral(pairs):
            return tuple(part for pair in pairs for part in pair)
        case Match(clauses, default):
            return (*(part for clause in clauses for part in clause), default)
        case _:
            assert_never(node)


def walk(node: Expr) -> Iterator[Expr]:
    """A node and all below it, each before its parts, in the order of the text."""
    waiting = [node]
    while waiting:
        node = waiting.pop()
        yield node
        waiting.extend(reversed(children(node)))


def outline(tree: Expr) -> list[tuple[str, ...]]:
    """A tree as a flat list, which is equal for trees that mean the same, and for no others.

    Trees themselves take 1, 1.0 and true for one and NaN for two, and are compared by a recursion, which chains of
    thousands are too long for.
    """
    return [
        (
            type(node).__name__,
            str(len(children(node))),
            *(repr(getattr(node, name)) for name in _OWN if hasattr(node, name)),
        )
        for node in walk(tree)
    ]


# What the nodes have besides their children
_OWN = ("value", "name", "operator", "negated", "parameters")
