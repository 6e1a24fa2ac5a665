"""A tolerant lexer for unfinished expressions, used by highlighting, completion and the formatter."""

from __future__ import annotations

import re
from typing import NamedTuple

from stellar.language.tables import SKIPPED, TERMINALS

WHITESPACE, COMMENT, UNCLOSED, UNREADABLE = "whitespace", "comment", "unclosed", "unreadable"


class Lexeme(NamedTuple):
    """A terminal of the grammar, whitespace, a comment, an unclosed string, or an unreadable character."""

    kind: str
    start: int
    end: int


_WHITESPACE, _COMMENTS = SKIPPED
_match = re.compile(
    "|".join(
        f"(?P<{kind}>{pattern})"
        for kind, pattern in (
            (WHITESPACE, _WHITESPACE),
            (COMMENT, _COMMENTS),
            *TERMINALS,
            (UNCLOSED, "['\"][^\n]*"),
            (UNREADABLE, "."),
        )
    )
).match


def tokenize(source: str) -> list[Lexeme]:
    """Split a source into lexemes that cover all of it; never raises."""
    lexemes: list[Lexeme] = []
    position, before = 0, ""
    while position < len(source):
        match = _match(source, position)
        assert match is not None  # any other character is at least unreadable
        kind, end = match.lastgroup or "", match.end()
        if kind == "_NOT_IN" and before not in _ENDS_OPERAND:
            kind, end = "_NOT", position + len("not")  # `not index` is a negation where no operand precedes it
        lexemes.append(Lexeme(kind, position, end))
        position = end
        before = before if kind in (WHITESPACE, COMMENT) else kind
    return lexemes


# Kinds of lexemes that can end an operand
_ENDS_OPERAND = frozenset({"NAME", "NUMBER", "STRING", "RPAR", "RSQB", "RBRACE", "TRUE", "FALSE", "NULL", "NAN"})

# The spelling of keywords; each can also be written in uppercase, except NaN
KEYWORD_OF = {
    "_AND": "and",
    "_OR": "or",
    "_IN": "in",
    "_NOT_IN": "not in",
    "_NOT": "not",
    "_IF": "if",
    "_THEN": "then",
    "_ELSE": "else",
    "_MATCH": "match",
    "_DEFAULT": "default",
    "_EXISTS": "exists",
    "TRUE": "true",
    "FALSE": "false",
    "NULL": "null",
    "NAN": "NaN",
}


def unquote(source: str, string: Lexeme) -> str:
    """Return the characters between the quotes of a string, or after the quote of an unclosed string."""
    inner = source[string.start + 1 : string.end]
    return inner if string.kind == UNCLOSED else inner[:-1]
