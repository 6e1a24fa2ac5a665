"""Conversion between Stellar spans and positions of Python nodes."""

from __future__ import annotations

from stellar.language.compiler.pyast import Position
from stellar.language.source import Span


def filename(source: str) -> str:
    """Return the file name that represents an expression in Python's tracebacks."""
    return f"<stellar {hash(source) & 0xFFFFFFFFFFFF:012x}>"


class SourceMap:
    """Conversion between spans and Python's positions: lines from 1, columns in bytes of UTF-8."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.is_simple = "\n" not in source and source.isascii()

    def __getitem__(self, span: Span) -> Position:
        if self.is_simple:  # columns are offsets
            return {"lineno": 1, "col_offset": span.start, "end_lineno": 1, "end_col_offset": span.end}
        line, column = self._line_and_column(span.start)
        end_line, end_column = self._line_and_column(span.end)
        return {"lineno": line, "col_offset": column, "end_lineno": end_line, "end_col_offset": end_column}

    def _line_and_column(self, offset: int) -> tuple[int, int]:
        line_start = self.source.rfind("\n", 0, offset) + 1
        return self.source.count("\n", 0, offset) + 1, len(
            self.source[line_start:offset].encode(errors="surrogatepass")
        )

    def to_span(self, line: int, column: int, end_line: int, end_column: int) -> Span:
        """Return the span of a Python position."""
        return Span(self._offset(line, column), self._offset(end_line, end_column))

    def _offset(self, line: int, column: int) -> int:
        lines = self.source.split("\n")
        before = sum(len(content) + 1 for content in lines[: line - 1])
        in_line = lines[line - 1].encode(errors="surrogatepass")[:column]
        return before + len(in_line.decode(errors="surrogatepass"))
