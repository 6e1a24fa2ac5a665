"""Recognizer of Metron's grammar and of each form that we accept in addition.

This shares nothing with the parser. It returns only true or false, and supports any grammar without left recursion.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import combinations

from metron_traits import Form

METRON: frozenset[Form] = frozenset()
OURS = frozenset(Form)

Grammar = dict[str, tuple[tuple[str, ...], ...]]


def _grammar(text: str) -> Grammar:
    rules = (line.split(" = ") for line in text.strip().splitlines())
    return {name.strip(): tuple(tuple(way.split()) for way in ways.split(" | ")) for name, ways in rules}


GRAMMAR = _grammar("""
program     = expr END
expr        = conditional | lambda | logical | match | ( expr )
conditional = IF logical THEN expr ELSE expr | logical ? expr : expr
logical     = term | term AND logical | term OR logical
term        = comparison | operand IN term | operand NOT_IN term
comparison  = comparand | comparand COMPARE comparison
comparand   = NOT ( logical ) | ( logical ) | operand
operand     = CONSTANT | STRING | list | map | lambda | EXISTS ( NAME ) | sum | ( conditional )
sum         = quotient | quotient + sum | quotient - sum
quotient    = product | product / quotient
product     = factor | factor * product
factor      = NUMBER | NAME | call | ( sum ) | ( conditional )
call        = NAME ( ) | NAME ( arguments )
arguments   = argument | argument , arguments
argument    = lambda | conditional | comparison
list        = [ ] | [ arguments ]
map         = { } | { pairs }
pairs       = comparison : expr | comparison : expr , pairs
lambda      = NAME -> expr | ( ) -> expr | ( names ) -> expr
names       = NAME | NAME , names
match       = MATCH { clauses , DEFAULT => expr }
clauses     = clause | clause , clauses
clause      = logical => expr | conditional => expr
""")

WIDER: dict[Form, Grammar] = {
    Form.MINUS: _grammar("factor = - factor"),
    Form.PREFIX_NOT: _grammar("""
        operand = NOT negated
        negated = NOT negated | factor | CONSTANT | STRING | list | map | EXISTS ( NAME )
    """),
    Form.BARE_ARGUMENT: _grammar("argument = expr"),
    Form.ANY_OPERAND: _grammar("factor = ( expr ) | STRING | list"),
}


def accepts(text: str, forms: frozenset[Form] = METRON) -> bool:
    """Return True if a source is valid in Metron, or with additional forms."""
    tokens = [*_tokens(text, forms), "END"]
    if "UNKNOWN" in tokens:
        return False
    grammar = dict(GRAMMAR)
    for form in forms & WIDER.keys():
        for name, ways in WIDER[form].items():
            grammar[name] = grammar.get(name, ()) + ways
    return len(tokens) in _Recogniser(grammar, tokens).ends("program", 0)


def forms_needed(text: str) -> frozenset[Form] | None:
    """Return the fewest additional forms that make a source valid; None if no forms do."""
    return next((forms for forms in _fewest_first(Form) if accepts(text, forms)), None) if accepts(text, OURS) else None


def _fewest_first(forms: Iterable[Form]) -> Iterator[frozenset[Form]]:
    every = list(forms)
    for size in range(len(every) + 1):
        yield from map(frozenset, combinations(every, size))


class _Recogniser:
    """Return all positions where a symbol that begins at a token may end; the order of the rules does not matter."""

    def __init__(self, grammar: Grammar, tokens: list[str]) -> None:
        self.grammar = grammar
        self.tokens = tokens
        self.known: dict[tuple[str, int], frozenset[int]] = {}

    def ends(self, symbol: str, start: int) -> frozenset[int]:
        if symbol not in self.grammar:
            return frozenset({start + 1}) if start < len(self.tokens) and self.tokens[start] == symbol else frozenset()
        if (symbol, start) not in self.known:
            found: set[int] = set()
            for way in self.grammar[symbol]:
                found |= self.ends_of_all(way, start)
            self.known[symbol, start] = frozenset(found)
        return self.known[symbol, start]

    def ends_of_all(self, symbols: tuple[str, ...], start: int) -> set[int]:
        positions = {start}
        for symbol in symbols:
            positions = {end for position in positions for end in self.ends(symbol, position)}
            if not positions:
                break
        return positions


# -- Tokens: the longest match, and of two as long the earlier one ----------------------------------------------------

_WORDS = {
    "IN": "in IN",
    "AND": "and AND &&",
    "OR": "or OR ||",
    "NOT": "not NOT",
    "CONSTANT": "true TRUE false FALSE null NULL",
    "NUMBER": "NaN",
    "IF": "if IF",
    "THEN": "then THEN",
    "ELSE": "else ELSE",
    "MATCH": "match MATCH",
    "DEFAULT": "default DEFAULT",
    "EXISTS": "exists EXISTS",
    "COMPARE": "== != < <= > >=",
}
_KEYWORDS = {word: kind for kind, words in _WORDS.items() for word in words.split()}
_SIGNS = [
    "->",
    "=>",
    "&&",
    "||",
    "==",
    "!=",
    "<=",
    ">=",
    "<",
    ">",
    "+",
    "-",
    "*",
    "/",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ",",
    ":",
    "?",
]

_INTEGER, _EXPONENT = r"-?(?:0|[1-9][0-9]*)", r"[eE][+-]?[0-9]+"
_PATTERNS = {
    "NOT_IN": "not in|NOT IN",
    "EXPONENT": _EXPONENT,
    "NAME": r"[a-zA-Z_$](?:[a-zA-Z_.:0-9]*[a-zA-Z_.0-9])?",
    "LONG": rf"{_INTEGER}[lL]",
    "FLOAT": rf"(?:{_INTEGER}\.[0-9]*|-?\.[0-9]+|{_INTEGER})(?:{_EXPONENT})?[fF]",
    "DOUBLE": rf"(?:{_INTEGER}\.[0-9]*|\.[0-9]+)(?:{_EXPONENT})?[dD]?|{_INTEGER}(?:{_EXPONENT}[dD]?|[dD])",
    "INTEGER": _INTEGER,
    "STRING": r"""'(?:[^'\\]|\\['\\nrt])*'|"(?:[^"\\]|\\["\\nrt])*\"""",
    # At least one character, which may be the end of the line; then the comment is the line after it
    "COMMENT": r"//(?:.|\n)[^\n]*(?:\n|\Z)",
    "BLANK": r"[ \t\r\n\f]+",
    "SIGN": "|".join(map(re.escape, _SIGNS)),
}
_LEXER = {kind: re.compile(pattern) for kind, pattern in _PATTERNS.items()}
_UNSIGNED = {kind: re.compile(_PATTERNS[kind].replace("-?", "")) for kind in ("LONG", "FLOAT", "DOUBLE", "INTEGER")}
_BARE_COMMENT = re.compile(r"//[^\n]*")

_ENDS_OPERAND = frozenset({"NAME", "NUMBER", "STRING", "CONSTANT", ")", "]", "}"})
_RANGES = {"INTEGER": 2**31, "LONG": 2**63}


def _tokens(text: str, forms: frozenset[Form]) -> list[str]:
    lexer = dict(_LEXER)
    if Form.MINUS in forms:
        lexer |= _UNSIGNED
    if Form.BARE_COMMENT_AT_THE_END in forms:
        lexer["COMMENT"] = _BARE_COMMENT
    if Form.EXPONENT_NAME in forms:
        del lexer["EXPONENT"]
    tokens: list[str] = []
    position = 0
    while position < len(text):
        matches = ((kind, pattern.match(text, position)) for kind, pattern in lexer.items())
        kind, end = max(
            ((kind, m.end()) for kind, m in matches if m), key=lambda found: found[1], default=("", position)
        )
        if kind == "NOT_IN" and Form.PREFIX_NOT in forms and (not tokens or tokens[-1] not in _ENDS_OPERAND):
            kind, end = "NAME", position + len("not")
        if kind not in ("BLANK", "COMMENT"):
            tokens.append(_terminal(kind, text[position:end], Form.WIDE_NUMBER in forms))
        if end == position:
            break
        position = end
    return tokens


def _terminal(kind: str, text: str, any_size: bool) -> str:
    if kind in ("NAME", "SIGN"):
        return _KEYWORDS.get(text, kind if kind == "NAME" else text)
    if kind in _RANGES and not any_size:
        limit = _RANGES[kind]
        return "NUMBER" if -limit <= int(text.rstrip("lL")) < limit else "UNKNOWN"
    if kind in ("INTEGER", "LONG", "FLOAT", "DOUBLE"):
        return "NUMBER"
    return kind if kind in ("STRING", "NOT_IN") else "UNKNOWN"


def as_metron_reads_comments(text: str) -> str:
    """Replace comments by spaces; a bare `//` includes the next line, as in Metron."""
    parts: list[str] = []
    position = 0
    while position < len(text):
        found = _LEXER["STRING"].match(text, position) or _LEXER["COMMENT"].match(text, position)
        end = found.end() if found else position + 1
        parts.append(" " if found and text.startswith("//", position) else text[position:end])
        position = end
    return "".join(parts)
