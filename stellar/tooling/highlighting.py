"""The colours of Stellar: what kind each piece of a text is, by the lexer of the language itself."""

from __future__ import annotations

from collections.abc import Iterator

from stellar.tooling.lexing import COMMENT, UNCLOSED, UNREADABLE, Piece, pieces

_KINDS = {
    "NUMBER": "stellar.number",
    "NAN": "stellar.number",
    "STRING": "stellar.text",
    UNCLOSED: "stellar.text",
    COMMENT: "stellar.comment",
    UNREADABLE: "stellar.wrong",
    "NAME": "stellar.name",
    "PARAMETERS": "stellar.name",
}
_CONSTANTS = ("TRUE", "FALSE", "NULL")


def coloured(text: str) -> Iterator[tuple[str, str]]:
    """The pieces of an expression, which may be unfinished, each with its kind."""
    found = pieces(text)
    for index, piece in enumerate(found):
        following = found[index + 1] if index + 1 < len(found) else None
        yield _kind(piece, following), text[piece.start : piece.end]


def _kind(piece: Piece, following: Piece | None) -> str:
    if piece.kind == "NAME" and following is not None and following.kind == "LPAR":
        return "stellar.function"
    if piece.kind in _CONSTANTS or (piece.kind.startswith("_") and piece.kind != "__ANON_0"):
        return "stellar.keyword"
    return _KINDS.get(piece.kind, "stellar.operator")
