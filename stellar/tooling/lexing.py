"""The pieces of a text that may still be unfinished: what colours and completion go by."""

from __future__ import annotations

import re
from typing import NamedTuple

from stellar.language.tables import SKIPPED, TERMINALS

BLANK, COMMENT, UNCLOSED, UNREADABLE = "blank", "comment", "unclosed", "unreadable"


class Piece(NamedTuple):
    """A piece of a text: a terminal of the grammar, or a blank, a comment, an unclosed text, or what can't be read."""

    kind: str
    start: int
    end: int


_BLANKS, _COMMENTS = SKIPPED
_piece = re.compile(
    "|".join(
        f"(?P<{kind}>{pattern})"
        for kind, pattern in (
            (BLANK, _BLANKS),
            (COMMENT, _COMMENTS),
            *TERMINALS,
            (UNCLOSED, "['\"][^\n]*"),
            (UNREADABLE, "."),
        )
    )
).match


def pieces(text: str) -> list[Piece]:
    """The pieces of a text, which are all of it."""
    found: list[Piece] = []
    position, before = 0, ""
    while position < len(text):
        match = _piece(text, position)
        assert match is not None  # each character but a line end, which is a blank, is at least unreadable
        kind, end = match.lastgroup or "", match.end()
        if kind == "_NOT_IN" and before not in _ENDS_OPERAND:
            kind, end = "_NOT", position + len("not")  # `not index` is a negation, where nothing stands before it
        found.append(Piece(kind, position, end))
        position = end
        before = before if kind in (BLANK, COMMENT) else kind
    return found


# What an operand may end with
_ENDS_OPERAND = frozenset({"NAME", "NUMBER", "STRING", "RPAR", "RSQB", "RBRACE", "TRUE", "FALSE", "NULL", "NAN"})

# The keywords as they are written; each may also stand in capital letters, but NaN
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


def quoted(text: str, piece: Piece) -> str:
    """What stands between the quotes of a text, or behind the one of an unclosed text."""
    inner = text[piece.start + 1 : piece.end]
    return inner if piece.kind == UNCLOSED else inner[:-1]
