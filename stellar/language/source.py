"""Source locations and excerpts of the source for messages."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from stellar.util.display_width import display_width

# Of a longer line only this many characters are shown, at most LEAD of them before the span
LONGEST_LINE = 120
LEAD = 40


class Span(NamedTuple):
    """A half-open range of code points `[start, end)` in a source."""

    start: int
    end: int

    def __or__(self, other: Span) -> Span:
        """Return the smallest span that contains both."""
        return Span(min(self.start, other.start), max(self.end, other.end))


def position(source: str, offset: int) -> tuple[int, int]:
    """Return the line and column of an offset, both counted from 1."""
    line_start = source.rfind("\n", 0, offset) + 1
    return source.count("\n", 0, offset) + 1, offset - line_start + 1


@lru_cache(maxsize=256)
def snippet(source: str, span: Span, first_line: int = 1) -> str:
    """Return the line of the start of a span, with its number, and carets below the span.

    first_line: the number of the first line, for a source embedded in a file

    Only the surroundings of the span are shown of a very long line.
    """
    line, column = position(source, span.start)
    line_start = span.start - column + 1
    line_end = source.find("\n", span.start)
    content = source[line_start : line_end if line_end >= 0 else len(source)].rstrip("\r")
    before, rest = content[: column - 1], content[column - 1 :]
    if len(content) > LONGEST_LINE:
        before = before if len(before) <= LEAD else f"...{before[3 - LEAD :]}"
        room = LONGEST_LINE - len(before)
        rest = rest if len(rest) <= room else f"{rest[: room - 3]}..."
    covered = rest[: span.end - span.start]
    gutter = f"{line + first_line - 1} | "
    return f"{gutter}{before}{rest}\n{' ' * len(gutter)}{_padding(before)}{'^' * max(1, display_width(covered))}"


def _padding(before: str) -> str:
    # Tabs are repeated, so that the carets are aligned for any tab width
    return "".join("\t" if character == "\t" else " " * display_width(character) for character in before)
