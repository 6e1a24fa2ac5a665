"""A Pygments lexer for Stellar, used for exported notebooks and documentation."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate
from typing import Any, ClassVar

from pygments.lexer import Lexer
from pygments.token import Comment, Error, Keyword, Name, Number, Operator, String, Whitespace

from stellar.repl.lines import highlight_line
from stellar.tooling.statements import read_statements

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
    """Highlights cells and files with the lexer of the language itself."""

    name = "Stellar"
    aliases: ClassVar = ["stellar"]
    filenames: ClassVar = ["*.stellar"]
    mimetypes: ClassVar = ["text/x-stellar"]

    def get_tokens_unprocessed(self, text: str) -> Iterator[tuple[int, Any, str]]:
        """Yield offset, token type and characters; comment lines are spaces in `Statement.code`."""
        lines = text.split("\n")
        begins, position = list(accumulate((len(line) + 1 for line in lines), initial=0)), 0
        for statement in read_statements(lines):
            yield from _comment(text, position, begins[statement.line - 1])
            position = begins[statement.line - 1]
            for kind, code in highlight_line(statement.code):
                end = position + len(code)
                if text[position:end] == code and not code.isspace():
                    yield position, _TOKENS[kind], code
                else:
                    yield from _comment(text, position, end)
                position = end
        yield from _comment(text, position, len(text))


def _comment(text: str, begin: int, end: int) -> Iterator[tuple[int, Any, str]]:
    """Yield a range of comments and whitespace."""
    if code := text[begin:end]:
        yield begin, Whitespace if code.isspace() else Comment.Single, code
