"""A pretty printer: documents of strings, line breaks and groups, rendered to fit a width.

A group is written on one line if it fits, or else all its own line breaks end a line, as in P. Wadler's "A prettier
printer". Comments are an addition: they end their line.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import assert_never

INDENT = 2
# No limit: break lines only at comments
ANY_WIDTH = sys.maxsize


@dataclass(slots=True, eq=False)
class _Element:
    """An element of a document.

    breaks: a comment in it prevents writing it on one line
    ends_line: it ends with a comment, so nothing should follow on that line
    """

    breaks: bool = field(default=False, init=False)
    ends_line: bool = field(default=False, init=False)


@dataclass(slots=True, eq=False)
class Verbatim(_Element):
    """A string that is written unchanged."""

    text: str


@dataclass(slots=True, eq=False)
class Break(_Element):
    """A line break if the enclosing group breaks, otherwise a space or nothing."""

    flat: str = " "


@dataclass(slots=True, eq=False)
class Comment(_Element):
    """A comment, at the end of the current line or on its own line."""

    text: str
    own_line: bool

    def __post_init__(self) -> None:
        self.breaks, self.ends_line = self.own_line, not self.own_line


@dataclass(slots=True, eq=False)
class Concat(_Element):
    """A sequence of elements.

    group: its line breaks break together
    indented: lines after its line breaks are indented
    """

    parts: list[Doc]
    group: bool = False
    indented: bool = False

    def __post_init__(self) -> None:
        for part in self.parts:
            self._update_breaks(part)

    def _update_breaks(self, part: Doc) -> None:
        self.breaks = self.breaks or self.ends_line or part.breaks
        self.ends_line = part.ends_line

    def add_to_last(self, parts: list[Doc]) -> None:
        """Append elements to the last element, a `Concat`."""
        last = self.parts[-1]
        assert isinstance(last, Concat)
        last.parts.extend(parts)
        for part in parts:
            last._update_breaks(part)
            self._update_breaks(part)


Doc = Verbatim | Break | Comment | Concat


def join(parts: Iterable[Doc]) -> Concat:
    """Concatenate elements."""
    return Concat(list(parts))


def group(*parts: Doc) -> Concat:
    """Group elements: all on one line, or broken at each of their line breaks."""
    return Concat(list(parts), group=True)


def indent(*parts: Doc) -> Concat:
    """Concatenate elements and indent the lines after their line breaks."""
    return Concat(list(parts), indented=True)


# An element to write: its indentation, True if its line breaks end lines, and the element
_Waiting = tuple[int, bool, Doc]


def render(doc: Doc, width: int, *, column: int = 0, indentation: int = 0) -> str:
    """Render a document in lines of at most `width` characters where possible.

    column: column at which the first line starts
    indentation: indentation of all other lines
    """
    writer = _Writer(column)
    waiting: list[_Waiting] = [(indentation, True, doc)]
    while waiting:
        indentation, breaks, doc = waiting.pop()
        match doc:
            case Verbatim(text):
                writer.write(text)
            case Break(flat):
                if breaks:
                    writer.end_line(indentation)
                else:
                    writer.write(flat)
            case Comment(text, own_line):
                writer.comment(text, indentation, own_line=own_line)
            case Concat(parts, is_group, indented):
                if is_group:
                    breaks = doc.breaks or (width < ANY_WIDTH and not _fits(parts, waiting, width - writer.column))
                indentation += INDENT if indented else 0
                waiting.extend((indentation, breaks, part) for part in reversed(parts))
            case _:
                assert_never(doc)
    return writer.finish()


def _fits(parts: list[Doc], waiting: list[_Waiting], room: int) -> bool:
    """Return True if elements on one line, and those up to the next line break, are at most `room` wide."""
    inside = [(False, part) for part in reversed(parts)]
    following = len(waiting)
    while room >= 0:
        if inside:
            breaks, doc = inside.pop()
        elif following:
            following -= 1
            _, breaks, doc = waiting[following]
        else:
            return True
        match doc:
            case Verbatim(text):
                first, line_end, _ = text.partition("\n")
                room -= len(first)
                if line_end:
                    return room >= 0
            case Break(flat):
                if breaks:
                    return True
                room -= len(flat)
            case Comment():  # it ends the line
                return True
            case Concat(inner, is_group):
                inside.extend((breaks and not is_group, part) for part in reversed(inner))
            case _:
                assert_never(doc)
    return False


class _Writer:
    """Rendered lines, and the comments to append when the current line ends."""

    def __init__(self, column: int) -> None:
        self._lines = [""]
        self._first = column
        self._comments: list[str] = []

    @property
    def column(self) -> int:
        last = self._lines[-1]
        return len(last) + (self._first if len(self._lines) == 1 else 0)

    def write(self, text: str) -> None:
        first, *others = text.split("\n")
        self._lines[-1] += first
        self._lines.extend(others)

    def end_line(self, indentation: int) -> None:
        self._lines[-1] = "  ".join([self._lines[-1].rstrip(" "), *self._comments])
        self._comments.clear()
        self._lines.append(" " * indentation)

    def comment(self, text: str, indentation: int, *, own_line: bool) -> None:
        if not own_line:
            self._comments.append(text)
            return
        if self._lines[-1].strip() or self._comments:
            self.end_line(indentation)
        self._lines[-1] += text
        self.end_line(indentation)

    def finish(self) -> str:
        self.end_line(0)
        while not self._lines[-1]:  # a last comment is followed by an empty line
            self._lines.pop()
        return "\n".join(self._lines)
