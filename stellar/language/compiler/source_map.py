"""Stellar spans as positions of Python nodes, and the way back."""

from __future__ import annotations

from stellar.language.compiler.pyast import (
    Position,
)
from stellar.language.source import Span


def filename(source: str) -> str:
    """The name under which Python's tracebacks know an expression."""
    return f"<stellar {hash(source) & 0xFFFFFFFFFFFF:012x}>"


class SourceMap:
    """Spans as Python's places (lines from 1, columns in bytes of UTF-8), and the way back."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.single = "\n" not in source and source.isascii()

    def __getitem__(self, span: Span) -> Position:
        if self.single:
            return {"lineno": 1, "col_offset": span.start, "end_lineno": 1, "end_col_offset": span.end}
        line, column = self._line_and_column(span.start)
        end_line, end_column = self._line_and_column(span.end)
        return {"lineno": line, "col_offset": column, "end_lineno": end_line, "end_col_offset": end_column}

    def _line_and_column(self, offset: int) -> tuple[int, int]:
        line_start = self.source.rfind("\n", 0, offset) + 1
        return self.source.count("\n", 0, offset) + 1, len(
            self.source[line_start:offset].encode(errors="surrogatepass")
        )

    def span(self, line: int, column: int, end_line: int, end_column: int) -> Span:
        return Span(self._offset(line, column), self._offset(end_line, end_column))

    def _offset(self, line: int, column: int) -> int:
        lines = self.source.split("\n")
        before = sum(len(text) + 1 for text in lines[: line - 1])
        in_line = lines[line - 1].encode(errors="surrogatepass")[:column]
        return before + len(in_line.decode(errors="surrogatepass"))
