"""Surprises: texts that mean, by Metron's rules which are kept, something else than a reader would think."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from stellar import nodes as n
from stellar.compiler import static_class
from stellar.library import Library
from stellar.source import Span


@dataclass(frozen=True, slots=True)
class Finding:
    """Something in an expression that is allowed, but seldom meant.

    name: the lint's name, such as `mixed-and-or`
    message: what the text really means
    span: where
    hint: how to write it so that nobody is surprised
    """

    name: str
    message: str
    span: Span
    hint: str


@dataclass(frozen=True, slots=True)
class Text:
    """What a lint may look at beside the node: the source, and the functions that there are."""

    source: str
    library: Library

    def parenthesised(self, node: n.Expr) -> bool:
        """Whether the node, an operand of an operator, stands in parentheses of its own."""
        return self.source[: node.span.start].rstrip().endswith("(")


def lint(tree: n.Expr, source: str, library: Library) -> list[Finding]:
    """All findings in an expression, in the order of the text."""
    text = Text(source, library)
    findings = [finding for node in n.walk(tree) for look in LINTS for finding in look(node, text)]
    return sorted(findings, key=lambda finding: (finding.span.start, finding.name))


def product_in_divisor(node: n.Expr, text: Text) -> Iterator[Finding]:
    match node:
        case n.Arithmetic("/", _, n.Arithmetic("*") as divisor) if not text.parenthesised(divisor):
            yield Finding(
                "product-in-divisor",
                "* binds tighter than /, so this divides by the product",
                node.span,
                "put parentheses round the product, or round the division if that comes first",
            )


def mixed_and_or(node: n.Expr, text: Text) -> Iterator[Finding]:
    match node:
        case n.Conjunction((*_, n.Disjunction() as last)) | n.Disjunction((*_, n.Conjunction() as last)) if (
            not text.parenthesised(last)
        ):
            yield Finding(
                "mixed-and-or",
                "and and or have one precedence and group from the right: a and b or c is a and (b or c)",
                node.span,
                "put parentheses round what belongs together",
            )


def swallowed_comparison(node: n.Expr, text: Text) -> Iterator[Finding]:
    match node:
        case n.Membership(_, n.Comparison() as container) if not text.parenthesised(container):
            yield Finding(
                "swallowed-comparison",
                "in takes the comparison after it as its container: a in b == c is a in (b == c)",
                node.span,
                "put parentheses round the membership",
            )


def chained_comparison(node: n.Expr, text: Text) -> Iterator[Finding]:
    match node:
        case n.Comparison(_, n.Comparison() as left, _) if not text.parenthesised(left):
            yield Finding(
                "chained-comparison",
                "this compares the outcome of the first comparison, true or false, with the last operand",
                node.span,
                "join two comparisons with and",
            )


def surplus_arguments(node: n.Expr, text: Text) -> Iterator[Finding]:
    if not isinstance(node, n.Call) or (function := text.library.get(node.name)) is None:
        return
    if function.most is not None and len(node.arguments) > function.most and function.ignores_surplus:
        first, last = node.arguments[function.most], node.arguments[-1]
        yield Finding(
            "surplus-argument",
            f"{node.name} ignores what comes after its {function.most} arguments",
            first.span | last.span,
            f"its form is {function.usage}",
        )


def repeated_key(node: n.Expr, text: Text) -> Iterator[Finding]:
    if not isinstance(node, n.MapLiteral):
        return
    seen: set[tuple[type, object]] = set()
    for key, _ in node.pairs:
        if not isinstance(key, n.Literal):
            continue
        known = (key.value.__class__, key.value)
        if known in seen:
            yield Finding("repeated-key", "of two equal keys the first one counts", key.span, "remove one of the two")
        seen.add(known)


def repeated_parameter(node: n.Expr, text: Text) -> Iterator[Finding]:
    if isinstance(node, n.Lambda) and len(set(node.parameters)) < len(node.parameters):
        yield Finding(
            "repeated-parameter",
            "of two parameters with one name the last one is bound",
            node.span,
            "rename one of them",
        )


def literal_condition(node: n.Expr, text: Text) -> Iterator[Finding]:
    if isinstance(node, n.Conditional):
        checks = [node.condition]
    elif isinstance(node, n.Match):
        checks = [check for check, _ in node.clauses]
        for check in checks:
            if isinstance(check, n.Literal) and check.value is True:
                yield Finding(
                    "literal-match-check",
                    "a literal true always matches here, where the original took it for false",
                    check.span,
                    "use default for the last resort",
                )
    else:
        return
    for check in checks:
        kind = static_class(check, text.library)
        if kind in (int, float, str) or (isinstance(check, n.ListLiteral) and check.items):
            yield Finding(
                "condition-not-boolean",
                "a condition that is neither a boolean, null nor empty is an error",
                check.span,
                "compare it with something",
            )


def order_with_null(node: n.Expr, text: Text) -> Iterator[Finding]:
    match node:
        case n.Comparison("<" | "<=" | ">" | ">=", left, right) if n.Literal(None) in (left, right):
            yield Finding(
                "order-with-null", "an order with null is always false", node.span, "use == null, or exists(x)"
            )


def swallowed_name(node: n.Expr, text: Text) -> Iterator[Finding]:
    match node:
        case n.Membership(_, container, True) if re.search(
            r"(?:not in|NOT IN)\Z", text.source[: container.span.start]
        ) and re.match(r"\w", text.source[container.span.start :]):
            yield Finding(
                "swallowed-name",
                "after an operand, not in is read as one word, also where a name goes on: 1 not index is 1 not in dex",
                node.span,
                "put a blank after not in",
            )


LINTS: tuple[Callable[[n.Expr, Text], Iterator[Finding]], ...] = (
    product_in_divisor,
    mixed_and_or,
    swallowed_comparison,
    chained_comparison,
    surplus_arguments,
    repeated_key,
    repeated_parameter,
    literal_condition,
    order_with_null,
    swallowed_name,
)
