"""Where a piece of Stellar text stands, and how it is shown to a person."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Span:
    """A half-open range of code points `[start, end)` in a source text."""

    start: int
    end: int

    def __or__(self, other: Span) -> Span:
        """The smallest span that holds both."""
        return Span(min(self.start, other.start), max(self.end, other.end))


def position(text: str, offset: int) -> tuple[int, int]:
    """The line and column of an offset, both counted from 1."""
    line_start = text.rfind("\n", 0, offset) + 1
    return text.count("\n", 0, offset) + 1, offset - line_start + 1


def snippet(text: str, span: Span, first_line: int = 1) -> str:
    """The line that a span begins on, with its number, and carets below the part that the span covers.

    first_line: the number of the text's first line, where the text is a part of a file
    """
    line, column = position(text, span.start)
    line_start = span.start - column + 1
    line_end = text.find("\n", span.start)
    shown = text[line_start : line_end if line_end >= 0 else len(text)].rstrip("\r")
    width = max(1, min(span.end - span.start, len(shown) - column + 1))
    gutter = f"{line + first_line - 1} | "
    # A tab stays a tab in the padding, so that the carets stand below the text on any terminal
    padding = "".join("\t" if character == "\t" else " " for character in shown[: column - 1])
    return f"{gutter}{shown}\n{' ' * len(gutter)}{padding}{'^' * width}"
