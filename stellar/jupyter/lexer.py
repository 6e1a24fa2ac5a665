"""The colours of Stellar for Pygments, which colours notebooks that are turned into pages, and documentation."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate
from typing import Any, ClassVar

from pygments.lexer import Lexer
from pygments.token import Comment, Error, Keyword, Name, Number, Operator, String, Whitespace

from stellar.repl.lines import coloured_line
from stellar.tooling.statements import statements

_TOKENS = {
    "stellar.command": Name.Builtin,
    "stellar.comment": Comment.Single,
    "stellar.function": Name.Function,
    "stellar.keyword": Keyword,
    "stellar.name": Name.Variable,
    "stellar.number": Number,
    "stellar.operator": Operator,
    "stellar.text": String,
    "stellar.wrong": Error,
}


class StellarLexer(Lexer):  # type: ignore[misc]  # Pygments has no types
    """The pieces of a cell or a file, by the lexer of the language itself."""

    name = "Stellar"
    aliases: ClassVar = ["stellar"]
    filenames: ClassVar = ["*.stellar"]
    mimetypes: ClassVar = ["text/x-stellar"]

    def get_tokens_unprocessed(self, text: str) -> Iterator[tuple[int, Any, str]]:
        """Each piece, where it stands, and its token. Lines that are comments are blanks to the language itself."""
        lines = text.split("\n")
        begins, position = list(accumulate((len(line) + 1 for line in lines), initial=0)), 0
        for statement in statements(lines):
            yield from _commented(text, position, begins[statement.line - 1])
            position = begins[statement.line - 1]
            for kind, code in coloured_line(statement.code):
                end = position + len(code)
                if text[position:end] == code and not code.isspace():
                    yield position, _TOKENS[kind], code
                else:
                    yield from _commented(text, position, end)
                position = end
        yield from _commented(text, position, len(text))


def _commented(text: str, begin: int, end: int) -> Iterator[tuple[int, Any, str]]:
    """A part of a text in which only comments and blanks are."""
    if part := text[begin:end]:
        yield begin, Whitespace if part.isspace() else Comment.Single, part
