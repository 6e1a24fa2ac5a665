"""The abstract syntax tree; each node has its span in the source."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Final, assert_never

from stellar.language.source import Span

NOWHERE = Span(0, 0)


class Node:
    """A node, which is immutable. Its span takes no part in equality, so tests compare with hand-written trees.

    The classes are written out, as dataclasses take a millisecond each when they are imported, and three times as long
    to create a node.
    """

    __slots__ = ("span",)
    __match_args__: ClassVar[tuple[str, ...]] = ()

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self._values() == other._values()

    def __hash__(self) -> int:
        return hash((type(self), self._values()))

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__match_args__)
        return f"{type(self).__name__}({values})"

    def _values(self) -> tuple[object, ...]:
        return tuple(getattr(self, name) for name in self.__match_args__)


class Literal(Node):
    """`true`, `null`, `NaN`, a number or a string."""

    __slots__ = __match_args__ = ("value",)

    def __init__(self, value: bool | int | float | str | None, *, span: Span = NOWHERE) -> None:
        self.value: Final = value
        self.span: Final = span


class Variable(Node):
    """A field of the record, or a parameter of an enclosing lambda. `_` is all fields."""

    __slots__ = __match_args__ = ("name",)

    def __init__(self, name: str, *, span: Span = NOWHERE) -> None:
        self.name: Final = name
        self.span: Final = span


class Exists(Node):
    """`exists(name)`: true if a variable is not null."""

    __slots__ = __match_args__ = ("name",)

    def __init__(self, name: str, *, span: Span = NOWHERE) -> None:
        self.name: Final = name
        self.span: Final = span


class ListLiteral(Node):
    """`[a, b]`"""

    __slots__ = __match_args__ = ("items",)

    def __init__(self, items: tuple[Expr, ...], *, span: Span = NOWHERE) -> None:
        self.items: Final = items
        self.span: Final = span


class MapLiteral(Node):
    """`{key : value}`; of two equal keys the first wins."""

    __slots__ = __match_args__ = ("pairs",)

    def __init__(self, pairs: tuple[tuple[Expr, Expr], ...], *, span: Span = NOWHERE) -> None:
        self.pairs: Final = pairs
        self.span: Final = span


class Call(Node):
    """`NAME(argument, …)`"""

    __slots__ = __match_args__ = ("name", "arguments")

    def __init__(self, name: str, arguments: tuple[Expr, ...], *, span: Span = NOWHERE) -> None:
        self.name: Final = name
        self.arguments: Final = arguments
        self.span: Final = span


class Minus(Node):
    """`-operand`"""

    __slots__ = __match_args__ = ("operand",)

    def __init__(self, operand: Expr, *, span: Span = NOWHERE) -> None:
        self.operand: Final = operand
        self.span: Final = span


class Arithmetic(Node):
    """`left + right`, and `-`, `*`, `/`."""

    __slots__ = __match_args__ = ("operator", "left", "right")

    def __init__(self, operator: str, left: Expr, right: Expr, *, span: Span = NOWHERE) -> None:
        self.operator: Final = operator
        self.left: Final = left
        self.right: Final = right
        self.span: Final = span


class Comparison(Node):
    """`left == right`, and `!=`, `<`, `<=`, `>`, `>=`."""

    __slots__ = __match_args__ = ("operator", "left", "right")

    def __init__(self, operator: str, left: Expr, right: Expr, *, span: Span = NOWHERE) -> None:
        self.operator: Final = operator
        self.left: Final = left
        self.right: Final = right
        self.span: Final = span


class Membership(Node):
    """`item in container`, or `item not in container`."""

    __slots__ = __match_args__ = ("item", "container", "negated")

    def __init__(self, item: Expr, container: Expr, negated: bool, *, span: Span = NOWHERE) -> None:
        self.item: Final = item
        self.container: Final = container
        self.negated: Final = negated
        self.span: Final = span


class Negation(Node):
    """`not operand`"""

    __slots__ = __match_args__ = ("operand",)

    def __init__(self, operand: Expr, *, span: Span = NOWHERE) -> None:
        self.operand: Final = operand
        self.span: Final = span


class Conjunction(Node):
    """`a and b and …`"""

    __slots__ = __match_args__ = ("operands",)

    def __init__(self, operands: tuple[Expr, ...], *, span: Span = NOWHERE) -> None:
        self.operands: Final = operands
        self.span: Final = span


class Disjunction(Node):
    """`a or b or …`"""

    __slots__ = __match_args__ = ("operands",)

    def __init__(self, operands: tuple[Expr, ...], *, span: Span = NOWHERE) -> None:
        self.operands: Final = operands
        self.span: Final = span


class Conditional(Node):
    """`condition ? then : otherwise`, also written IF THEN ELSE."""

    __slots__ = __match_args__ = ("condition", "then", "otherwise")

    def __init__(self, condition: Expr, then: Expr, otherwise: Expr, *, span: Span = NOWHERE) -> None:
        self.condition: Final = condition
        self.then: Final = then
        self.otherwise: Final = otherwise
        self.span: Final = span


class Match(Node):
    """`match { check => action, …, default => default }`"""

    __slots__ = __match_args__ = ("clauses", "default")

    def __init__(self, clauses: tuple[tuple[Expr, Expr], ...], default: Expr, *, span: Span = NOWHERE) -> None:
        self.clauses: Final = clauses
        self.default: Final = default
        self.span: Final = span


class Lambda(Node):
    """`(parameter, …) -> body`"""

    __slots__ = __match_args__ = ("parameters", "body")

    def __init__(self, parameters: tuple[str, ...], body: Expr, *, span: Span = NOWHERE) -> None:
        self.parameters: Final = parameters
        self.body: Final = body
        self.span: Final = span


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
