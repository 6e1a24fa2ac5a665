"""Texts that are laid out to fit a width: pieces in groups, and where the lines of a group may break.

A group stands on one line if it fits there, or else all its own lines break; that idea is P. Wadler's, of «A prettier
printer». What is new are comments, which end their line.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import assert_never

INDENT = 2
# What can stand on one line does, however long that is
ANY_WIDTH = sys.maxsize


@dataclass(slots=True, eq=False)
class _Part:
    """A part of a text.

    breaks: whether it can't stand on one line, because of a comment in it
    ends_line: whether it ends with a comment, so that nothing should follow on that line
    """

    breaks: bool = field(default=False, init=False)
    ends_line: bool = field(default=False, init=False)


@dataclass(slots=True, eq=False)
class Words(_Part):
    """A text that stands as it is."""

    text: str


@dataclass(slots=True, eq=False)
class Line(_Part):
    """A blank, or nothing; or the end of a line, if the group around it breaks."""

    flat: str = " "


@dataclass(slots=True, eq=False)
class Comment(_Part):
    """A comment: at the end of the line before, with whatever else comes there, or on a line of its own."""

    text: str
    own_line: bool

    def __post_init__(self) -> None:
        self.breaks, self.ends_line = self.own_line, not self.own_line


@dataclass(slots=True, eq=False)
class Several(_Part):
    """Parts one after the other.

    group: whether the lines among them break together
    indented: whether what comes after such a line is
    """

    parts: list[Doc]
    group: bool = False
    indented: bool = False

    def __post_init__(self) -> None:
        for part in self.parts:
            self._follow(part)

    def _follow(self, part: Doc) -> None:
        self.breaks = self.breaks or self.ends_line or part.breaks
        self.ends_line = part.ends_line

    def add_to_last(self, parts: list[Doc]) -> None:
        """Put parts behind those of the last one."""
        last = self.parts[-1]
        assert isinstance(last, Several)
        last.parts.extend(parts)
        for part in parts:
            last._follow(part)
            self._follow(part)


Doc = Words | Line | Comment | Several


def join(parts: Iterable[Doc]) -> Several:
    """Parts one after the other."""
    return Several(list(parts))


def group(*parts: Doc) -> Several:
    """Parts that stand on one line, or break at each of their lines."""
    return Several(list(parts), group=True)


def indent(*parts: Doc) -> Several:
    """Parts of which each new line is indented."""
    return Several(list(parts), indented=True)


# A part that waits to be written: its indentation, whether its lines break, and itself
_Waiting = tuple[int, bool, Doc]


def laid_out(doc: Doc, width: int, *, column: int = 0, indentation: int = 0) -> str:
    """The text of a part, in lines that are no longer than the width if that can be.

    column: where its first line begins
    indentation: of all its other lines
    """
    writer = _Writer(column)
    waiting: list[_Waiting] = [(indentation, True, doc)]
    while waiting:
        indentation, breaks, doc = waiting.pop()
        match doc:
            case Words(text):
                writer.write(text)
            case Line(flat):
                if breaks:
                    writer.end_line(indentation)
                else:
                    writer.write(flat)
            case Comment(text, own_line):
                writer.comment(text, indentation, own_line=own_line)
            case Several(parts, is_group, indented):
                if is_group:
                    breaks = doc.breaks or (width < ANY_WIDTH and not _fits(parts, waiting, width - writer.column))
                indentation += INDENT if indented else 0
                waiting.extend((indentation, breaks, part) for part in reversed(parts))
            case _:
                assert_never(doc)
    return writer.finished()


def _fits(parts: list[Doc], behind: list[_Waiting], room: int) -> bool:
    """Whether parts on one line, and what comes up to the next line that breaks, are no wider than the room."""
    inside = [(False, part) for part in reversed(parts)]
    following = len(behind)
    while room >= 0:
        if inside:
            breaks, doc = inside.pop()
        elif following:
            following -= 1
            _, breaks, doc = behind[following]
        else:
            return True
        match doc:
            case Words(text):
                first, line_end, _ = text.partition("\n")
                room -= len(first)
                if line_end:
                    return room >= 0
            case Line(flat):
                if breaks:
                    return True
                room -= len(flat)
            case Comment():  # it ends the line
                return True
            case Several(inner, is_group):
                inside.extend((breaks and not is_group, part) for part in reversed(inner))
            case _:
                assert_never(doc)
    return False


class _Writer:
    """Lines, of which the last may still go on, and comments that wait for its end."""

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

    def finished(self) -> str:
        self.end_line(0)
        while not self._lines[-1]:  # behind the last comment, there is one more
            self._lines.pop()
        return "\n".join(self._lines)
