"""Text to syntax tree: a lexer and an LALR(1) driver over the tables that were made from grammar.lark."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from stellar.language import nodes as n
from stellar.language.diagnostics import KEYWORDS, Token, unexpected, unreadable
from stellar.language.errors import ParseError
from stellar.language.source import Span
from stellar.language.tables import ACTIONS, END_STATE, RULES, SKIPPED, TERMINALS

LONGEST_TEXT = 64 * 1024
DEEPEST_NESTING = 200
LONGEST_CHAIN = 500
WIDEST_INTEGER = 4096

_SKIP = f"(?>(?:{'|'.join(SKIPPED)})*)"
_scan = re.compile(f"{_SKIP}(?:{'|'.join(f'(?P<{name}>{pattern})' for name, pattern in TERMINALS)}|(?P<END>\\Z))").match
_skip = re.compile(_SKIP).match


def parse(text: str) -> n.Expr:
    """The syntax tree of a Stellar text.

    Raises ParseError, with the place and what was expected there, if the text is not Stellar, is longer than 64 KiB
    in UTF-8, or nests deeper than 200 levels.
    """
    if len(text) > LONGEST_TEXT or len(text.encode(errors="surrogatepass")) > LONGEST_TEXT:
        raise ParseError(f"the expression is longer than {LONGEST_TEXT} bytes", text, Span(0, 0))
    try:
        tree = _Parse(text).run()
    except _Refused as refused:
        raise ParseError(str(refused), text, refused.span) from None
    _refuse_deep_nesting(text, tree)
    return tree


class _Parse:
    """One run of the driver: a stack of states, and beside it the value, the start and the end of each symbol."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.states = [0]
        self.tokens: list[tuple[str, int, int]] = []
        self.values: list[Any] = []
        self.starts: list[int] = []
        self.ends: list[int] = []

    def run(self) -> n.Expr:
        position = depth = 0
        while True:
            kind, start, end = self.token(position)
            actions = ACTIONS[self.states[-1]]
            while (action := actions.get(kind)) is not None and action < 0:
                self.reduce(~action)
                actions = ACTIONS[self.states[-1]]
                if self.states[-1] == END_STATE:
                    tree: n.Expr = self.values[0]
                    return tree
            if action is None:
                raise unexpected(self.text, [Token(*token) for token in self.tokens], Token(kind, start, end))
            depth += (kind in _OPENING) - (kind in _CLOSING)
            if depth > DEEPEST_NESTING:
                raise _too_deep(self.text, Span(start, end))
            self.tokens.append((kind, start, end))
            self.states.append(action)
            self.values.append(self.text[start:end])
            self.starts.append(start)
            self.ends.append(end)
            position = end

    def token(self, position: int) -> tuple[str, int, int]:
        found = _scan(self.text, position)
        if found is None:
            raise unreadable(self.text, _skip(self.text, position).end())  # type: ignore[union-attr]
        kind = found.lastgroup or ""
        start, end = found.span(kind)
        if kind == "_NOT_IN" and not self.follows_operand():
            return "_NOT", start, start + len("not")
        return ("$END" if kind == "END" else kind), start, end

    def follows_operand(self) -> bool:
        return "_NOT_IN" in ACTIONS[self.states[-1]]

    def reduce(self, rule: int) -> None:
        made, length, name, parts = RULES[rule]
        if name is not None:
            values = self.values[-length:]
            start = self.starts[-length]
            value = _BUILD[name](Span(start, self.ends[-1]), *[values[part] for part in parts])
        elif length == 1:
            # A rule that passes its only value on leaves the stacks of values and places as they are
            self.states.pop()
            self.states.append(ACTIONS[self.states[-1]][made])
            return
        else:
            value = self.values[parts[0] - length]
            start = self.starts[-length]
        end = self.ends[-1]
        del self.states[-length:], self.values[-length:], self.starts[-length:], self.ends[-length:]
        self.states.append(ACTIONS[self.states[-1]][made])
        self.values.append(value)
        self.starts.append(start)
        self.ends.append(end)


# -- What each rule of the grammar makes ------------------------------------------------------------------------------


def _number(span: Span, text: str) -> n.Literal:
    digits = text.rstrip("lLdDfF")
    if digits.isdigit() and text[-1] not in "dDfF":
        if len(digits) > 1234 or (value := int(digits)).bit_length() > WIDEST_INTEGER:
            raise _Refused(f"a whole number of more than {WIDEST_INTEGER} bits", span)
        return n.Literal(value, span=span)
    return n.Literal(float(digits), span=span)


_ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}


def _string(span: Span, text: str) -> n.Literal:
    body = text[1:-1]
    if "\\" in body:
        body = re.sub(r"\\(.)", lambda escape: _ESCAPES.get(escape[1], escape[1]), body)
    return n.Literal(body, span=span)


def _minus(span: Span, _sign: str, operand: n.Expr) -> n.Expr:
    if isinstance(operand, n.Literal) and isinstance(operand.value, int | float):
        return n.Literal(-operand.value, span=span)
    return n.Minus(operand, span=span)


def _conjunction(span: Span, left: n.Expr, right: n.Expr) -> n.Conjunction:
    rest = right.operands if isinstance(right, n.Conjunction) else (right,)
    return n.Conjunction((left, *rest), span=span)


def _disjunction(span: Span, left: n.Expr, right: n.Expr) -> n.Disjunction:
    rest = right.operands if isinstance(right, n.Disjunction) else (right,)
    return n.Disjunction((left, *rest), span=span)


NAME = re.compile(dict(TERMINALS)["NAME"])


def _lambda(span: Span, parameters: str, body: n.Expr) -> n.Lambda:
    without_comments = re.sub(r"//[^\n]*", lambda comment: " " * len(comment[0]), parameters)
    names = list(NAME.finditer(without_comments))
    for name in names:
        if name[0] in KEYWORDS:
            there = Span(span.start + name.start(), span.start + name.end())
            raise _Refused(f"the keyword {name[0]} can't name a parameter", there)
    return n.Lambda(tuple(name[0] for name in names), body, span=span)


def _more(_span: Span, items: list[Any], item: Any) -> list[Any]:
    items.append(item)
    return items


_BUILD: dict[str, Callable[..., Any]] = {
    "number": _number,
    "string": _string,
    "nan": lambda span, _text: n.Literal(float("nan"), span=span),
    "true": lambda span, _text: n.Literal(True, span=span),
    "false": lambda span, _text: n.Literal(False, span=span),
    "null": lambda span, _text: n.Literal(None, span=span),
    "variable": lambda span, name: n.Variable(name, span=span),
    "exists": lambda span, name: n.Exists(name, span=span),
    "call": lambda span, name, arguments=(): n.Call(name, tuple(arguments), span=span),
    "list": lambda span, items=(): n.ListLiteral(tuple(items), span=span),
    "map": lambda span, pairs=(): n.MapLiteral(tuple(pairs), span=span),
    "minus": _minus,
    "arithmetic": lambda span, left, operator, right: n.Arithmetic(operator, left, right, span=span),
    "comparison": lambda span, left, operator, right: n.Comparison(operator, left, right, span=span),
    "membership": lambda span, item, container: n.Membership(item, container, False, span=span),
    "absence": lambda span, item, container: n.Membership(item, container, True, span=span),
    "negation": lambda span, operand: n.Negation(operand, span=span),
    "conjunction": _conjunction,
    "disjunction": _disjunction,
    "conditional": lambda span, condition, then, otherwise: n.Conditional(condition, then, otherwise, span=span),
    "match": lambda span, clauses, default: n.Match(tuple(clauses), default, span=span),
    "lambda": _lambda,
    "first": lambda _span, item: [item],
    "more": _more,
    "pair": lambda _span, left, right: (left, right),
}

# -- Limits -----------------------------------------------------------------------------------------------------------

_OPENING = frozenset({"LPAR", "LSQB", "LBRACE"})
_CLOSING = frozenset({"RPAR", "RSQB", "RBRACE"})


class _Refused(Exception):
    """A token of the right form that can't be taken; `run` has the text to say where."""

    def __init__(self, message: str, span: Span) -> None:
        super().__init__(message)
        self.span = span


def _too_deep(text: str, span: Span) -> ParseError:
    return ParseError(f"the expression nests deeper than {DEEPEST_NESTING} levels", text, span)


def _refuse_deep_nesting(text: str, tree: n.Expr) -> None:
    # A chain such as a + b + c + … or if … else if … is not nesting: the compiler goes along it without recursion
    waiting = [(tree, 0)]
    while waiting:
        node, depth = waiting.pop()
        if depth > DEEPEST_NESTING:
            raise _too_deep(text, node.span)
        chained = chain_link(node)
        waiting.extend((part, depth + (part is not chained)) for part in n.children(node))


def chain_link(node: n.Expr) -> n.Expr | None:
    """The part of a node in which a chain like it goes on, if one does."""
    match node:
        case n.Arithmetic(_, n.Arithmetic() as left, _):
            return left
        case n.Conditional(_, _, n.Conditional() as otherwise):
            return otherwise
    return None
