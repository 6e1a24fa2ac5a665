"""Where a piece of Stellar text stands, and how it is shown to a person."""

from __future__ import annotations

from dataclasses import dataclass

from stellar.util.display_width import display_width

# A line that is longer is shown in part: this much before the place, and as much in all
LONGEST_LINE = 120
LEAD = 40


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

    Of a very long line only the surroundings of the span are shown.
    """
    line, column = position(text, span.start)
    line_start = span.start - column + 1
    line_end = text.find("\n", span.start)
    shown = text[line_start : line_end if line_end >= 0 else len(text)].rstrip("\r")
    before, rest = shown[: column - 1], shown[column - 1 :]
    if len(shown) > LONGEST_LINE:
        before = before if len(before) <= LEAD else f"...{before[3 - LEAD :]}"
        room = LONGEST_LINE - len(before)
        rest = rest if len(rest) <= room else f"{rest[: room - 3]}..."
    covered = rest[: span.end - span.start]
    gutter = f"{line + first_line - 1} | "
    return f"{gutter}{before}{rest}\n{' ' * len(gutter)}{_padding(before)}{'^' * max(1, display_width(covered))}"


def _padding(text: str) -> str:
    # A tab stays a tab, so that the carets stand below the text on any terminal
    return "".join("\t" if character == "\t" else " " * display_width(character) for character in text)
