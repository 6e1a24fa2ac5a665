"""Syntax errors: the unexpected token, the expected ones, and a hint how to fix the source."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import takewhile
from typing import NamedTuple

from stellar.language.errors import IncompleteExpression, ParseError
from stellar.language.source import Span
from stellar.language.tables import ACTIONS, END_STATE, RULES
from stellar.util.abbreviate import abbreviate
from stellar.util.cached_properties import cached_property


class Token(NamedTuple):
    """A token: its terminal and its range in the source."""

    kind: str
    start: int
    end: int


def error_at_token(source: str, tokens: list[Token], found: Token) -> ParseError:
    """Return the error for a token that can't follow those before it."""
    state = FailedParse(source, tokens, found)
    if found.kind != "$END":
        message = f"unexpected {abbreviate(source[found.start : found.end])}"
        return ParseError(message, source, Span(found.start, found.end), state.hint)
    if not tokens:
        return ParseError("the source contains no expression", source, Span(0, len(source)))
    if (bracket := state.bracket) is not None and _CLOSING[bracket.kind] in state.expected:
        opening = source[bracket.start]
        closed = f"close it with {_TERMINAL_NAMES[_CLOSING[bracket.kind]]}"
        return IncompleteExpression(f"this {opening} is not closed", source, Span(bracket.start, bracket.end), closed)
    end = tokens[-1].end
    return IncompleteExpression("unexpected end of the expression", source, Span(end, end), state.hint)


def error_at_character(source: str, start: int) -> ParseError:
    """Return the error for an offset at which no token begins."""
    character = source[start]
    if character in "'\"":
        return _string_error(source, start, character)
    shown = character if character.isprintable() else f"U+{ord(character):04X}"
    return ParseError(f"unexpected character {shown}", source, Span(start, start + 1), _find_hint(_AT, source, start))


def _string_error(source: str, start: int, quote: str) -> ParseError:
    body = re.compile(rf"{quote}(?:[^{quote}\\]|\\[{quote}\\nrt])*").match(source, start)
    stop = body.end() if body else start + 1
    if stop + 1 < len(source):
        return ParseError(
            f"unknown escape {source[stop : stop + 2]}",
            source,
            Span(stop, stop + 2),
            rf"a backslash is allowed only before n, r, t, \ and {quote}; write it twice in a regular expression",
        )
    return IncompleteExpression("this string is not closed", source, Span(start, len(source)), f"close it with {quote}")


def advance(states: list[int], kind: str) -> bool:
    """Advance the states of the driver by one token; return False if the token is not allowed there."""
    while (action := ACTIONS[states[-1]].get(kind)) is not None and action < 0:
        symbol, length, *_ = RULES[~action]
        del states[-length:]
        states.append(ACTIONS[states[-1]][symbol])
        if states[-1] == END_STATE:
            return True
    if action is None:
        return False
    states.append(action)
    return True


@dataclass(frozen=True)
class FailedParse:
    """The state at a syntax error: the source, the accepted tokens, and the token that can't follow them."""

    source: str
    tokens: list[Token]
    found: Token

    @cached_property
    def expected(self) -> frozenset[str]:
        """The terminals that are allowed here. The entries of an LALR state may include more."""
        states = [0]
        for token in self.tokens:
            advance(states, token.kind)
        return frozenset(kind for kind in _KINDS if advance(states.copy(), kind))

    @cached_property
    def open_brackets(self) -> list[int]:
        """The indices of the tokens that are open brackets."""
        result: list[int] = []
        for index, token in enumerate(self.tokens):
            if token.kind in _CLOSING:
                result.append(index)
            elif token.kind in _CLOSING.values():
                result.pop()
        return result

    @property
    def bracket(self) -> Token | None:
        """The innermost open bracket."""
        return self.tokens[self.open_brackets[-1]] if self.open_brackets else None

    @property
    def parenthesis(self) -> Token | None:
        """The innermost open bracket if it is a parenthesis."""
        return self.bracket if self.bracket and self.bracket.kind == "LPAR" else None

    @property
    def head(self) -> str:
        """The terminal before the innermost open bracket, or an empty string."""
        return self.tokens[self.open_brackets[-1] - 1].kind if self.open_brackets and self.open_brackets[-1] else ""

    @property
    def before(self) -> Token:
        """The last accepted token."""
        return self.tokens[-1] if self.tokens else Token("", 0, 0)

    @property
    def hint(self) -> str:
        """A suggested fix, or the expected tokens."""
        return (
            self.token_hint
            or self.lambda_hint
            or self.name_hint
            or self.structure_hint
            or self.operator_hint
            or f"expected {list_expected(self.expected)}"
        )

    @property
    def token_hint(self) -> str | None:
        """A hint for syntax of other languages, at the unexpected token or joined to the token before it."""
        kind, start, _ = self.found
        is_joined = kind in _JOINING and self.before.end == start
        if is_joined and (hint := _find_hint(_JOINED, self.source, self.before.start)):
            return hint
        if kind == "__ANON_0" and self.parenthesis is not None:  # an arrow
            return None
        return _find_hint(_AT, self.source, start)

    @property
    def lambda_hint(self) -> str | None:
        """A hint for a lambda with another arrow, or without parameters."""
        kind, before, parenthesis = self.found.kind, self.before, self.parenthesis
        if kind == "COMPARE" and before.kind == "MINUS" and self.text(self.found) == ">":
            return _NO_PARAMETERS if self.begins_argument(-1) else _LAMBDA
        if kind == "__ANON_0" and parenthesis is not None:
            return _NO_PARAMETERS if self.begins_argument(0) else f"{_LAMBDA}; greater or equal is written >="
        if kind in ("COMMA", "RPAR") and parenthesis and _OTHER_ARROW.match(self.source, parenthesis.start):
            return _NO_PARAMETERS if kind == "RPAR" else "a lambda is written (x, y) -> value"
        if kind == "COLON" and before.kind == "NAME" and parenthesis and self.head == "NAME":
            return f"arguments have no names, and {_LAMBDA}"
        return None

    @property
    def name_hint(self) -> str | None:
        """A hint for a name that was meant as something else: a keyword, a function, two names around a colon."""
        if "COLON" in self.expected and (name := self.joined_name):
            return f"{name} is one name; a colon after a name needs a space before it: {{a : 1}} and c ? a : b"
        if self.found.kind == "NAME":
            infix = [name for name, kind in _INFIX.items() if kind in self.expected]
            if hint := _keyword_hint(self.text(self.found), infix):
                return hint
        if self.before.kind != "NAME" or self.found.kind not in _OPERAND_STARTS:
            return None
        name = self.text(self.before)
        if name in _LAMBDA_KEYWORDS:
            return _LAMBDA
        if _FUNCTION_NAME.fullmatch(name):
            return f"the arguments of a function are in parentheses: {name}(x)"
        return _keyword_hint(name, _PREFIX)

    @property
    def joined_name(self) -> str | None:
        """The last name with a colon in it after the last comma, `?` or `{`."""
        recent = takewhile(lambda token: token.kind not in _BEFORE_COLON, reversed(self.tokens))
        return next((name for token in recent if token.kind == "NAME" and ":" in (name := self.text(token))), None)

    def text(self, token: Token) -> str:
        return self.source[token.start : token.end]

    def begins_argument(self, offset: int) -> bool:
        """Return True if a token, counted from the unexpected one, is the first of an argument or of the source."""
        tokens = self.tokens[: len(self.tokens) + offset]
        return not tokens or tokens[-1].kind in ("LPAR", "COMMA")

    @property
    def structure_hint(self) -> str | None:
        """A hint for an invalid or incomplete construct."""
        kind, expected = self.found.kind, self.expected
        if self.head == "_MATCH":
            if kind == "_DEFAULT" and self.before.kind == "LBRACE":
                return "a match needs at least one condition => value before the default"
            if kind == "COMMA" and any(token.kind == "_DEFAULT" for token in self.tokens[self.open_brackets[-1] :]):
                return "default => value must be the last clause of a match"
            if kind == "RBRACE" and "COMMA" in expected:
                return "a match ends with default => value"
        if self.head == "_EXISTS" and expected == {"NAME"}:
            return "exists takes the name of a field, without quotes"
        if expected & {"_THEN", "_ELSE"} or (kind == "COMMA" and self.head == "_IF"):
            return "write if condition then value else value; both then and else are needed"
        if "COLON" in expected and kind != "__ANON_0" and not (self.bracket and self.bracket.kind == "LBRACE"):
            return "write condition ? value : value"
        if kind == "COMMA" and self.bracket and self.bracket.kind == "LPAR":
            return "a list is written [a, b]; only names are allowed before ->"
        if kind == "_NOT" and "COMPARE" in expected:
            return "not is written before its operand; the negation of in is not in"
        if "COMPARE" in expected and kind == "LSQB":
            return "read an element of a list with GET(list, 0), a value of a map with MAP_GET('key', map)"
        if "COMPARE" in expected and kind == "LPAR":
            return "only the name of a function is allowed before ("
        return None

    @property
    def operator_hint(self) -> str | None:
        """A hint for an operator that does not accept its operand."""
        kind, expected = self.found.kind, self.expected
        if (kind in _ARITHMETIC and self.before.kind in _CONSTANTS) or (kind in _CONSTANTS and "NAME" in expected):
            return "true, false, null, exists and maps can't be operands of arithmetic"
        if kind in _OPERATORS and "COLON" in expected and self.bracket and self.bracket.kind == "LBRACE":
            return "put the key in parentheses"
        if kind in _OPERATORS and "NAME" not in expected and expected & _OPERATORS:
            return "put the expression before it in parentheses"
        if kind in {"_NOT", "_IF", "_MATCH", "PARAMETERS"} and "NAME" in expected:
            return "put it in parentheses: it is an operand here"
        return None


def list_expected(expected: frozenset[str]) -> str:
    """Return terminals as an enumeration, such as `a value, ) or ]`."""
    items: list[str] = []
    if expected >= {"NAME", "NUMBER"}:
        items.append("a value")
        expected = expected & _AFTER_VALUES
    if expected & _OPERATORS:
        items.append("an operator" if "PLUS" in expected else "another operator")
        expected = expected - {"LPAR"}
    items += [name for kind, name in _TERMINAL_NAMES.items() if kind in expected]
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} or {items[-1]}"


def _keyword_hint(name: str, keywords: Iterable[str]) -> str | None:
    """Return a hint for a name that is a keyword in mixed case, or begins with a keyword."""
    lower = name.lower()
    for keyword in sorted(keywords, key=len, reverse=True):
        if lower == keyword:
            return f"the keyword is {keyword}, or {keyword.upper()}"
        if lower.startswith(keyword):
            return f"{name} is one name; the keyword is {keyword}"
    return None


def _find_hint(hints: dict[str, str], source: str, start: int) -> str | None:
    return next((hint for pattern, hint in hints.items() if re.compile(pattern).match(source, start)), None)


_CLOSING = {"LPAR": "RPAR", "LSQB": "RSQB", "LBRACE": "RBRACE"}
_KINDS = sorted({kind for actions in ACTIONS for kind in actions if kind == "$END" or kind.isupper()})
_ARITHMETIC = frozenset({"PLUS", "MINUS", "TIMES", "DIVIDE"})
_OPERATORS = _ARITHMETIC | {"COMPARE", "_IN", "_NOT_IN", "_AND", "_OR", "QMARK"}
_CONSTANTS = frozenset({"TRUE", "FALSE", "NULL", "_EXISTS"})
_LOWERCASE = ("if", "then", "else", "and", "or", "not", "in", "true", "false", "null", "exists", "match", "default")
KEYWORDS = frozenset({*_LOWERCASE, *map(str.upper, _LOWERCASE), "NaN"})
# The terminals that are listed besides a value
_AFTER_VALUES = frozenset({"RPAR", "RSQB", "RBRACE", "_DEFAULT"})
_TERMINAL_NAMES = {
    "NAME": "a name",
    "COMMA": "a comma",
    "COLON": "a colon",
    "_THEN": "then",
    "_ELSE": "else",
    "_DEFAULT": "default",
    "__ANON_0": "=>",
    "LPAR": "(",
    "LBRACE": "{",
    "RPAR": ")",
    "RSQB": "]",
    "RBRACE": "}",
    "$END": "the end",
}

# Keywords that can follow an operand, with their terminals, and those that can precede one
_INFIX = {
    "and": "_AND",
    "or": "_OR",
    "in": "_IN",
    "not": "_NOT_IN",
    "then": "_THEN",
    "else": "_ELSE",
    "default": "_DEFAULT",
}
_PREFIX = ("if", "not", "exists", "match")
_OPERAND_STARTS = frozenset({"NAME", "NUMBER", "STRING", "LBRACE", "NAN", *_CONSTANTS})
_BEFORE_COLON = frozenset({"QMARK", "LBRACE", "COMMA"})
_FUNCTION_NAME = re.compile(r"[A-Z][A-Z0-9_]+")
_LAMBDA = "a lambda is written x -> value"
_NO_PARAMETERS = "a lambda without parameters is written () -> value"
_LAMBDA_KEYWORDS = ("lambda", "fn", "fun")
_OTHER_ARROW = re.compile(r"\([\w\s.,:$]*\)\s*(?:=>|-\s*-?\s*>|~>|[→⇒])")

_WORD_ENDS = r"(?![a-zA-Z_.:0-9$])"
# Syntax of other languages, by a pattern at the unexpected token
_AT = {
    r"\\\s*[a-zA-Z_$]|[→⇒]|~>": _LAMBDA,
    r"=(?![=>])": "two values are compared with ==",
    rf"!\s*(?:in|IN){_WORD_ENDS}": "write not in",
    rf"!\s*(?:exists|EXISTS){_WORD_ENDS}": "negation is written not(exists(x))",
    rf"!\s*(?:not|NOT){_WORD_ENDS}": "negation is written not(not(x))",
    rf"!\s*(?:and|or|AND|OR){_WORD_ENDS}": "negation is written not(a and b)",
    r"!(?!=)": "negation is written not(x)",
    r":=": "assignments are allowed in the shell and in configurations, not in an expression",
    r"%": "there is no modulo operator",
    r"#": "a comment begins with //",
    r";": "only one expression is allowed, without a separator",
    r"&(?!&)|\|(?!\|)": "write and, or, && or ||",
    rf"(?:not|NOT)\s+(?:in|IN){_WORD_ENDS}|notin{_WORD_ENDS}": "write not in, or NOT IN, with one space",
    rf"(?:mod|MOD|div|DIV){_WORD_ENDS}": "there is no modulo operator",
    rf"(?:is|IS)\s+(?:not|NOT){_WORD_ENDS}|(?:ne|NE){_WORD_ENDS}": "inequality is written !=",
    rf"(?:is|IS|eq|EQ){_WORD_ENDS}": "two values are compared with ==",
    rf"(?:contains|CONTAINS){_WORD_ENDS}": "containment is written part in whole",
    rf"(?:like|LIKE|matches|MATCHES){_WORD_ENDS}": "use REGEXP_MATCH(string, pattern)",
    rf"(?:xor|XOR){_WORD_ENDS}": "write a != b",
    r"[`´“”„‘’«»]": "a string is quoted with ' or \"",
    r"=>": "greater or equal is written >=; => is part of match",
    r"\.": "read a value of a map with MAP_GET('key', map)",
    r"\s": "only spaces, tabs and line breaks can separate tokens",
    r"[^\x00-\x7F]|[\\@^~]": "it is allowed only in a string",
}
# By a pattern at the token before, if it is followed directly by one of these
_JOINING = frozenset({"NAME", "NUMBER", "COMPARE", "TIMES"})
_JOINED = {
    r"0[0-9]": "a number has no leading zero",
    r"0[xX]": "a number is written in decimal digits",
    r"[0-9]+_[0-9]": "the digits of a number are not grouped",
    r"[0-9]*\.[0-9]+\.[0-9]": "an IP address is a string: put it in quotes",
    r"[0-9.]+(?:[eE][+-]?[0-9]+)?[lL]\b": "only an integer can end in L",
    r"[0-9.]+[a-zA-Z_$]": "a name begins with a letter, _ or $; two values need an operator between them",
    r"['\"]": r"escape a quote in a string as \' or \", or use the other quote around it",
    r"<>": "inequality is written !=",
    r"\*\*": "there is no power operator",
}
