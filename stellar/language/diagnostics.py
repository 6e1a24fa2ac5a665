"""What is said of a text that is not Stellar: what stands in the way, what may stand there, and how to mend it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

from stellar.language.errors import ParseError, Unfinished
from stellar.language.source import Span
from stellar.language.tables import ACTIONS, END_STATE, RULES
from stellar.util.cached_properties import cached_property


class Token(NamedTuple):
    """A token: the terminal that it is, and the range of the text that it takes."""

    kind: str
    start: int
    end: int


def unexpected(text: str, tokens: list[Token], found: Token) -> ParseError:
    """The error for a token that can't follow those before it."""
    place = Place(text, tokens, found)
    if found.kind != "$END":
        shown = text[found.start : found.end]
        message = f"unexpected {shown if len(shown) <= 40 else f'{shown[:37]}...'}"
        return ParseError(message, text, Span(found.start, found.end), place.hint)
    if not tokens:
        return ParseError("there is no expression in this text", text, Span(0, len(text)))
    if (bracket := place.bracket) is not None and _CLOSING[bracket.kind] in place.expected:
        opening = text[bracket.start]
        closed = f"close it with {_SHOWN[_CLOSING[bracket.kind]]}"
        return Unfinished(f"this {opening} is not closed", text, Span(bracket.start, bracket.end), closed)
    end = tokens[-1].end
    return Unfinished("unexpected end of the text", text, Span(end, end), place.hint)


def unreadable(text: str, start: int) -> ParseError:
    """The error for a place where no token begins."""
    character = text[start]
    if character in "'\"":
        return _bad_text(text, start, character)
    shown = character if character.isprintable() else f"U+{ord(character):04X}"
    return ParseError(f"unexpected character {shown}", text, Span(start, start + 1), _first(_AT, text, start))


def _bad_text(text: str, start: int, quote: str) -> ParseError:
    body = re.compile(rf"{quote}(?:[^{quote}\\]|\\[{quote}\\nrt])*").match(text, start)
    stop = body.end() if body else start + 1
    if stop + 1 < len(text):
        return ParseError(
            f"unknown escape {text[stop : stop + 2]}",
            text,
            Span(stop, stop + 2),
            rf"a backslash may stand before n, r, t, \ and {quote}; in a regular expression write it twice",
        )
    return Unfinished("this text is not closed", text, Span(start, len(text)), f"close it with {quote}")


def advance(states: list[int], kind: str) -> bool:
    """Take the driver's states on by one token; False if the token can't stand there."""
    while (action := ACTIONS[states[-1]].get(kind)) is not None and action < 0:
        made, length, *_ = RULES[~action]
        del states[-length:]
        states.append(ACTIONS[states[-1]][made])
        if states[-1] == END_STATE:
            return True
    if action is None:
        return False
    states.append(action)
    return True


@dataclass(frozen=True)
class Place:
    """Where reading ended: the text, the tokens taken, and the one that can't follow them."""

    text: str
    tokens: list[Token]
    found: Token

    @cached_property
    def expected(self) -> frozenset[str]:
        """The tokens that might stand here. A state's own list has more: it is shared by different places."""
        states = [0]
        for token in self.tokens:
            advance(states, token.kind)
        return frozenset(kind for kind in _KINDS if advance(states.copy(), kind))

    @cached_property
    def opened(self) -> list[int]:
        """The brackets that are open, as indices of tokens."""
        found: list[int] = []
        for index, token in enumerate(self.tokens):
            if token.kind in _CLOSING:
                found.append(index)
            elif token.kind in _CLOSING.values():
                found.pop()
        return found

    @property
    def bracket(self) -> Token | None:
        """The innermost open bracket."""
        return self.tokens[self.opened[-1]] if self.opened else None

    @property
    def head(self) -> str:
        """What stands before the innermost open bracket."""
        return self.tokens[self.opened[-1] - 1].kind if self.opened and self.opened[-1] else ""

    @property
    def before(self) -> Token:
        """The token before."""
        return self.tokens[-1] if self.tokens else Token("", 0, 0)

    @property
    def hint(self) -> str:
        kind, start, end = self.found
        shown = self.text[start:end]
        joined = kind in _JOINING and self.before.end == start
        if joined and (hint := _first(_JOINED, self.text, self.before.start)):
            return hint
        if hint := _first(_AT, self.text, start):
            return hint
        if kind == "NAME" and shown.lower() in _SMALL:
            return f"the keyword is {shown.lower()}, or {shown.upper()}"
        return self.structure_hint or self.operator_hint or f"expected {listed(self.expected)}"

    @property
    def structure_hint(self) -> str | None:
        """For a construct whose parts are not what they must be."""
        kind, expected = self.found.kind, self.expected
        if self.head == "_MATCH":
            if kind == "_DEFAULT" and self.before.kind == "LBRACE":
                return "before the default stands at least one condition => value"
            if kind == "COMMA" and any(token.kind == "_DEFAULT" for token in self.tokens[self.opened[-1] :]):
                return "default => value is the last part of a match"
            if kind == "RBRACE" and "COMMA" in expected:
                return "a match ends with default => value"
        if self.head == "_EXISTS" and expected == {"NAME"}:
            return "exists takes the name of a field, without quotes"
        if expected & {"_THEN", "_ELSE"} or (kind == "COMMA" and self.head == "_IF"):
            return "write if condition then value else value; both then and else are needed"
        if "COLON" in expected and ":" in self.text[self.before.start : self.before.end]:
            return "a colon without a blank belongs to the name before it: write {a : 1} and c ? b : d"
        if "COLON" in expected and kind != "__ANON_0" and not (self.bracket and self.bracket.kind == "LBRACE"):
            return "write condition ? value : value"
        if kind == "COMMA" and self.bracket and self.bracket.kind == "LPAR":
            return "a list is written [a, b]; only names can stand before ->"
        if "COMPARE" in expected and kind == "LSQB":
            return "an element of a list is GET(list, 0), a value of a map MAP_GET('key', map)"
        if "COMPARE" in expected and kind == "LPAR":
            return "only the name of a function can stand before ("
        return None

    @property
    def operator_hint(self) -> str | None:
        """For operators and operands that do not go together."""
        kind, expected = self.found.kind, self.expected
        if (kind in _ARITHMETIC and self.before.kind in _CONSTANTS) or (kind in _CONSTANTS and "NAME" in expected):
            return "there is no arithmetic with true, false, null, exists and maps"
        if kind in _OPERATORS and "COLON" in expected and self.bracket and self.bracket.kind == "LBRACE":
            return "put the key in parentheses"
        if kind in _OPERATORS and "NAME" not in expected and expected & _OPERATORS:
            return "put what stands before it in parentheses"
        if kind in {"_NOT", "_IF", "_MATCH", "PARAMETERS"} and "NAME" in expected:
            return "put it in parentheses: it is an operand here"
        return None


def listed(expected: frozenset[str]) -> str:
    """The tokens that might stand somewhere, as a sentence names them."""
    items: list[str] = []
    if expected >= {"NAME", "NUMBER"}:
        items.append("a value")
        expected = expected & _AFTER_VALUES
    if expected & _OPERATORS:
        items.append("an operator" if "PLUS" in expected else "another operator")
        expected = expected - {"LPAR"}
    items += [shown for kind, shown in _SHOWN.items() if kind in expected]
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} or {items[-1]}"


def _first(hints: dict[str, str], text: str, start: int) -> str | None:
    return next((hint for pattern, hint in hints.items() if re.compile(pattern).match(text, start)), None)


_CLOSING = {"LPAR": "RPAR", "LSQB": "RSQB", "LBRACE": "RBRACE"}
_KINDS = sorted({kind for actions in ACTIONS for kind in actions if kind == "$END" or kind.isupper()})
_ARITHMETIC = frozenset({"PLUS", "MINUS", "TIMES", "DIVIDE"})
_OPERATORS = _ARITHMETIC | {"COMPARE", "_IN", "_NOT_IN", "_AND", "_OR", "QMARK"}
_CONSTANTS = frozenset({"TRUE", "FALSE", "NULL", "_EXISTS"})
_SMALL = ("if", "then", "else", "and", "or", "not", "in", "true", "false", "null", "exists", "match", "default")
KEYWORDS = frozenset({*_SMALL, *map(str.upper, _SMALL), "NaN"})
# A value may stand there, and one of these
_AFTER_VALUES = frozenset({"RPAR", "RSQB", "RBRACE", "_DEFAULT"})
_SHOWN = {
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

# What people write that have used other languages: at the place itself
_AT = {
    r"=(?![=>])": "two values are compared with ==",
    r"!(?!=)": "negation is written not(x)",
    r":=": "assignment belongs to the shell and to configurations, not to an expression",
    r"%": "there is no modulo operator",
    r"#": "a comment begins with //",
    r";": "a text holds one expression; there is no separator",
    r"&(?!&)|\|(?!\|)": "write and, or, && or ||",
    r"NOT in|not IN|(?:not|NOT)\s+(?:in|IN)\b": "write not in, or NOT IN, with one blank",
    r"[`´“”„‘’«»]": "a text stands in ' or in \"",
    r"=>": "at least is written >=; => belongs to match",
    r"\.": "a value of a map is got with MAP_GET('key', map)",
    r"\s": "only plain blanks, tabs and line ends can separate",
    r"[^\x00-\x7F]|[\\@^~]": "it can only stand within a text",
}
# And from the token before on, where that joins one of these
_JOINING = frozenset({"NAME", "NUMBER", "COMPARE", "TIMES"})
_JOINED = {
    r"0[0-9]": "a number has no leading zero",
    r"0[xX]": "a number is written in decimal digits",
    r"[0-9]+_[0-9]": "the digits of a number are not grouped",
    r"[0-9]*\.[0-9]+\.[0-9]": "an address is a text, and stands in quotes",
    r"[0-9.]+(?:[eE][+-]?[0-9]+)?[lL]\b": "only a whole number can end in L",
    r"[0-9.]+[a-zA-Z_$]": "a name begins with a letter, _ or $, and between two values stands an operator",
    r"['\"]": r"within a text its quote is written \' or \"; or put the other quote around it",
    r"<>": "inequality is written !=",
    r"\*\*": "there is no power operator",
}
