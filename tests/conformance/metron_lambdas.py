"""Where the original lets the body of a lambda end: before a `?`, and in parentheses before an operator (D12)."""

from __future__ import annotations

import re
from dataclasses import replace

from stellar.language import nodes as n


def as_metron_groups_lambdas(tree: n.Expr, source: str) -> n.Expr:
    """The tree that Metron makes of the text of this one."""
    return _Grouping(source).expression(tree)


class _Grouping:
    def __init__(self, source: str) -> None:
        self.source = source

    def expression(self, node: n.Expr) -> n.Expr:
        """A node where any expression may stand: there a conditional is tried before a lambda."""
        if isinstance(node, n.Lambda) and self.ends_in_ternary(node):
            return self.parts(_hoisted(node.parameters, node.body))
        return self.parts(node)

    def operand(self, node: n.Expr, opening: int | None = None) -> n.Expr:
        """A node where an operand or an argument stands.

        opening: where the parenthesis of the call is, for its first argument
        """
        if isinstance(node, n.Lambda) and self.in_parentheses(node, opening):
            return self.parts(_hoisted(node.parameters, node.body))
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


def _hoisted(parameters: tuple[str, ...], body: n.Expr) -> n.Expr:
    """The body, of which only the first operand is the lambda's."""
    match body:
        case n.Conditional(condition, _, _):
            return replace(body, condition=_hoisted(parameters, condition))
        case n.Conjunction(operands) | n.Disjunction(operands):
            return replace(body, operands=(_hoisted(parameters, operands[0]), *operands[1:]))
        case n.Comparison(_, left, _):
            return replace(body, left=_hoisted(parameters, left))
        case n.Membership(item, _, _):
            return replace(body, item=_hoisted(parameters, item))
        case n.Lambda(inner, further):
            return _hoisted_lambda(parameters, inner, further)
    return n.Lambda(parameters, body, span=body.span)


def _hoisted_lambda(parameters: tuple[str, ...], inner: tuple[str, ...], body: n.Expr) -> n.Expr:
    hoisted = _hoisted(inner, body)
    return (
        n.Lambda(parameters, hoisted, span=body.span)
        if isinstance(hoisted, n.Lambda)
        else _hoisted(parameters, hoisted)
    )
