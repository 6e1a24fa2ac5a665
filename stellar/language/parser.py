"""Parser: a lexer and an LALR(1) driver for the tables generated from grammar.lark."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import Any

from stellar.language import nodes as n
from stellar.language.diagnostics import KEYWORDS, Token, error_at_character, error_at_token
from stellar.language.errors import ParseError
from stellar.language.source import Span
from stellar.language.tables import ACTIONS, END_STATE, RULES, SKIPPED, TERMINALS

MAX_SOURCE_BYTES = 64 * 1024
MAX_NESTING = 200
MAX_INTEGER_BITS = 4096

_SKIP = f"(?>(?:{'|'.join(SKIPPED)})*)"
_scan = re.compile(f"{_SKIP}(?:{'|'.join(f'(?P<{name}>{pattern})' for name, pattern in TERMINALS)}|(?P<END>\\Z))").match
_skip = re.compile(_SKIP).match

# The action of a state at a symbol that can't follow; no state has so large a number
_NO_ACTION = len(ACTIONS)


def parse(source: str) -> n.Expr:
    """Parse a source and return its syntax tree.

    Raises ParseError, with source location and expected tokens, for a syntax error, and for a source that is longer
    than 64 KiB in UTF-8 or nests deeper than 200 levels.
    """
    if len(source) > MAX_SOURCE_BYTES or len(source.encode(errors="surrogatepass")) > MAX_SOURCE_BYTES:
        raise ParseError(f"the expression is longer than {MAX_SOURCE_BYTES} bytes", source, Span(0, 0))
    run = _Parse(source)
    try:
        tree = run.parse()
    except _InvalidToken as error:
        raise ParseError(str(error), source, error.span) from None
    if len(run.tokens) > MAX_NESTING:  # each node has a token of its own
        _check_nesting(source, tree)
    return tree


class _Parse:
    """One run of the driver: parallel stacks of the states and of the value, start and end of each symbol."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.states = [0]
        self.tokens: list[tuple[str, int, int]] = []
        self.values: list[Any] = []
        self.starts: list[int] = []
        self.ends: list[int] = []

    def parse(self) -> n.Expr:
        position = depth = 0
        states = self.states
        while True:
            kind, start, end = token = self.read_token(position)
            while (action := ACTIONS[states[-1]].get(kind, _NO_ACTION)) < 0:
                self.reduce(~action, kind)
            if action == _NO_ACTION:
                if states[-1] == END_STATE:
                    tree: n.Expr = self.values[0]
                    return tree
                raise error_at_token(self.source, [Token(*token) for token in self.tokens], Token(kind, start, end))
            if kind in _BRACKETS:
                depth += 1 if kind in _OPENING else -1
                if depth > MAX_NESTING:
                    raise _nesting_error(self.source, Span(start, end))
            self.tokens.append(token)
            states.append(action)
            self.values.append(self.source[start:end])
            self.starts.append(start)
            self.ends.append(end)
            position = end

    def read_token(self, position: int) -> tuple[str, int, int]:
        """Return the terminal, the start and the end of the next token."""
        found = _scan(self.source, position)
        if found is None:
            raise error_at_character(self.source, _skip(self.source, position).end())  # type: ignore[union-attr]
        kind = found.lastgroup or ""
        start, end = found.span(kind)
        if kind == "_NOT_IN" and not self.accepts_not_in():
            return "_NOT", start, start + len("not")
        return ("$END" if kind == "END" else kind), start, end

    def accepts_not_in(self) -> bool:
        """Return True after an operand, where `not in` is one token."""
        return "_NOT_IN" in ACTIONS[self.states[-1]]

    def reduce(self, rule: int, kind: str) -> None:
        """Replace the symbols of a rule by the symbol that it derives, before a terminal."""
        symbol, length, name, arguments = RULES[rule]
        states, values, starts, ends = self.states, self.values, self.starts, self.ends
        start = starts[-length]
        if name is not None:
            value = _BUILD[name](Span(start, ends[-1]), *[values[index - length] for index in arguments])
        else:
            value = values[arguments[0] - length]
        if length > 1:  # the end stays that of the last symbol
            del states[-length:], values[1 - length :], starts[1 - length :], ends[-length:-1]
        else:
            del states[-1]
        states.append(_find_state(states[-1], symbol, kind))
        values[-1] = value


@cache
def _find_state(state: int, symbol: str, kind: str) -> int:
    """Return the state after a derived symbol, before a terminal.

    Rules that only rename a symbol, such as those of the levels of operators, are followed here: they change nothing
    else, and an operand would be renamed about ten times.
    """
    following = ACTIONS[state][symbol]
    while (action := ACTIONS[following].get(kind, 0)) < 0:
        symbol, length, name, _ = RULES[~action]
        if length > 1 or name is not None:
            break
        following = ACTIONS[state][symbol]
    return following


# -- Values of the rules of the grammar -------------------------------------------------------------------------------


def _number(span: Span, literal: str) -> n.Literal:
    digits = literal.rstrip("lLdDfF")
    if digits.isdigit() and literal[-1] not in "dDfF":
        if len(digits) > 1234 or (value := int(digits)).bit_length() > MAX_INTEGER_BITS:
            raise _InvalidToken(f"an integer of more than {MAX_INTEGER_BITS} bits", span)
        return n.Literal(value, span=span)
    return n.Literal(float(digits), span=span)


_ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}


def _string(span: Span, literal: str) -> n.Literal:
    body = literal[1:-1]
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
            location = Span(span.start + name.start(), span.start + name.end())
            raise _InvalidToken(f"the keyword {name[0]} can't name a parameter", location)
    return n.Lambda(tuple(name[0] for name in names), body, span=span)


def _append(_span: Span, items: list[Any], item: Any) -> list[Any]:
    items.append(item)
    return items


_BUILD: dict[str, Callable[..., Any]] = {
    "number": _number,
    "string": _string,
    "nan": lambda span, _token: n.Literal(float("nan"), span=span),
    "true": lambda span, _token: n.Literal(True, span=span),
    "false": lambda span, _token: n.Literal(False, span=span),
    "null": lambda span, _token: n.Literal(None, span=span),
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
    "more": _append,
    "pair": lambda _span, left, right: (left, right),
}

# -- Limits -----------------------------------------------------------------------------------------------------------

_OPENING = frozenset({"LPAR", "LSQB", "LBRACE"})
_BRACKETS = _OPENING | {"RPAR", "RSQB", "RBRACE"}


class _InvalidToken(Exception):
    """A token that matches its terminal, but is invalid. `parse` adds the source."""

    def __init__(self, message: str, span: Span) -> None:
        super().__init__(message)
        self.span = span


def _nesting_error(source: str, span: Span) -> ParseError:
    return ParseError(f"the expression nests deeper than {MAX_NESTING} levels", source, span)


def _check_nesting(source: str, tree: n.Expr) -> None:
    # A chain such as a + b + c + … or if … else if … does not count: the compiler processes it without recursion
    stack = [(tree, 0)]
    while stack:
        node, depth = stack.pop()
        if depth > MAX_NESTING:
            raise _nesting_error(source, node.span)
        chained = chain_link(node)
        stack.extend((child, depth + (child is not chained)) for child in n.children(node))


def chain_link(node: n.Expr) -> n.Expr | None:
    """Return the child that continues a chain of operations or conditions, or None."""
    match node:
        case n.Arithmetic(_, n.Arithmetic() as left, _):
            return left
        case n.Conditional(_, _, n.Conditional() as otherwise):
            return otherwise
    return None
