"""Conversion between Stellar spans and positions of Python nodes."""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from typing import TYPE_CHECKING

from stellar.language.source import Span

if TYPE_CHECKING:
    from stellar.language.compiler.pyast import Position


# The file that represents the rules of a set, which are compiled to one function
RULES_FILENAME = "<stellar rules>"


def filename(source: str) -> str:
    """Return the file name that represents an expression in Python's tracebacks."""
    return f"<stellar {hash(source) & 0xFFFFFFFFFFFF:012x}>"


class SourceMap:
    """Conversion between spans and Python's positions: lines from 1, columns in bytes of UTF-8.

    The source is read once, into tables, so that the cost of a position does not grow with its offset.
    """

    def __init__(self, source: str) -> None:
        self.is_simple = "\n" not in source and source.isascii()
        if self.is_simple:  # columns are offsets
            return
        # The offset of the first character of each line, and the bytes before each character
        self._line_starts = [0, *(offset for offset, character in enumerate(source, 1) if character == "\n")]
        self._bytes = range(len(source) + 1) if source.isascii() else [0, *accumulate(map(_count_bytes, source))]

    def __getitem__(self, span: Span) -> Position:
        if self.is_simple:
            return {"lineno": 1, "col_offset": span.start, "end_lineno": 1, "end_col_offset": span.end}
        line, column = self._line_and_column(span.start)
        end_line, end_column = self._line_and_column(span.end)
        return {"lineno": line, "col_offset": column, "end_lineno": end_line, "end_col_offset": end_column}

    def _line_and_column(self, offset: int) -> tuple[int, int]:
        line = bisect_right(self._line_starts, offset)
        return line, self._bytes[offset] - self._bytes[self._line_starts[line - 1]]

    def to_span(self, line: int, column: int, end_line: int, end_column: int) -> Span:
        """Return the span of a Python position."""
        if self.is_simple:
            return Span(column, end_column)
        return Span(self._offset(line, column), self._offset(end_line, end_column))

    def _offset(self, line: int, column: int) -> int:
        return bisect_right(self._bytes, self._bytes[self._line_starts[line - 1]] + column) - 1


def _count_bytes(character: str) -> int:
    """Return the length of a character in UTF-8; half of a surrogate pair counts as three bytes."""
    code = ord(character)
    return 1 if code < 0x80 else 2 if code < 0x800 else 3 if code < 0x10000 else 4
