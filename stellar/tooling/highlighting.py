"""Syntax highlighting of expressions, with the lexer of the language itself."""

from __future__ import annotations

from collections.abc import Iterator

from stellar.tooling.lexing import COMMENT, UNCLOSED, UNREADABLE, Lexeme, tokenize

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


def highlight(source: str) -> Iterator[tuple[str, str]]:
    """Split an expression, finished or not, into pairs of style, such as `stellar.number`, and characters."""
    lexemes = tokenize(source)
    for index, lexeme in enumerate(lexemes):
        following = lexemes[index + 1] if index + 1 < len(lexemes) else None
        yield _style(lexeme, following), source[lexeme.start : lexeme.end]


def _style(lexeme: Lexeme, following: Lexeme | None) -> str:
    if lexeme.kind == "NAME" and following is not None and following.kind == "LPAR":
        return "stellar.function"
    if lexeme.kind in _CONSTANTS or (lexeme.kind.startswith("_") and lexeme.kind != "__ANON_0"):
        return "stellar.keyword"
    return _KINDS.get(lexeme.kind, "stellar.operator")
