"""Extent of the body of a lambda in Metron: it ends before a `?`, and in parentheses before an operator (D12)."""

from __future__ import annotations

import re
from typing import Any, TypeVar

from stellar.language import nodes as n

N = TypeVar("N", bound=n.Node)


def as_metron_groups_lambdas(tree: n.Expr, source: str) -> n.Expr:
    """Convert a tree to the one that Metron builds for the same source."""
    return _Grouping(source).expression(tree)


class _Grouping:
    def __init__(self, source: str) -> None:
        self.source = source

    def expression(self, node: n.Expr) -> n.Expr:
        """Convert a node in a position for any expression, where Metron tries a conditional before a lambda."""
        if isinstance(node, n.Lambda) and self.ends_in_ternary(node):
            return self.parts(_hoist(node.parameters, node.body))
        return self.parts(node)

    def operand(self, node: n.Expr, opening: int | None = None) -> n.Expr:
        """Convert a node in the position of an operand or an argument.

        opening: offset of the parenthesis of the call, for its first argument
        """
        if isinstance(node, n.Lambda) and self.in_parentheses(node, opening):
            return self.parts(_hoist(node.parameters, node.body))
        return self.parts(node)

    def parts(self, node: n.Expr) -> n.Expr:
        match node:
            case n.Call(_, arguments):
                opening = self.source.find("(", node.span.start)
                return replace(node, arguments=tuple(self.operand(part, opening) for part in arguments))
            case n.ListLiteral(items):
                return replace(node, items=tuple(map(self.operand, items)))
            case n.MapLiteral(pairs):
                return replace(node, pairs=tuple((self.operand(key), self.expression(value)) for key, value in pairs))
            case n.Lambda(_, body):
                return replace(node, body=self.expression(body))
            case n.Conditional(condition, then, otherwise):
                branches = (self.expression(then), self.expression(otherwise))
                return replace(node, condition=self.operand(condition), then=branches[0], otherwise=branches[1])
            case n.Match(clauses, default):
                grouped = tuple((self.operand(check), self.expression(action)) for check, action in clauses)
                return replace(node, clauses=grouped, default=self.expression(default))
        return node

    def ends_in_ternary(self, node: n.Lambda) -> bool:
        body: n.Expr = node
        while isinstance(body, n.Lambda):
            body = body.body
        return isinstance(body, n.Conditional) and not re.match(r"(?:if|IF)\b", self.source[body.span.start :])

    def in_parentheses(self, node: n.Lambda, opening: int | None) -> bool:
        before = self.source[: node.span.start].rstrip()
        return before.endswith("(") and len(before) - 1 != opening


def _hoist(parameters: tuple[str, ...], body: n.Expr) -> n.Expr:
    """Return the body with only its first operand in the lambda."""
    match body:
        case n.Conditional(condition, _, _):
            return replace(body, condition=_hoist(parameters, condition))
        case n.Conjunction(operands) | n.Disjunction(operands):
            return replace(body, operands=(_hoist(parameters, operands[0]), *operands[1:]))
        case n.Comparison(_, left, _):
            return replace(body, left=_hoist(parameters, left))
        case n.Membership(item, _, _):
            return replace(body, item=_hoist(parameters, item))
        case n.Lambda(inner, further):
            return _hoist_lambda(parameters, inner, further)
    return n.Lambda(parameters, body, span=body.span)


def _hoist_lambda(parameters: tuple[str, ...], inner: tuple[str, ...], body: n.Expr) -> n.Expr:
    hoisted = _hoist(inner, body)
    return (
        n.Lambda(parameters, hoisted, span=body.span) if isinstance(hoisted, n.Lambda) else _hoist(parameters, hoisted)
    )


def replace(node: N, **changes: Any) -> N:
    """Return a copy of a node with other values of some attributes."""
    values = {name: getattr(node, name) for name in (*node.__match_args__, "span")}
    return type(node)(**(values | changes))
