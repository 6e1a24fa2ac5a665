"""Statements of a .stellar file: expressions and assignments `name := expression`, continued by indented lines.

Lines that start with # or // are comments.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from stellar.language.parser import NAME

_COMMENT = re.compile(r"\s*(?:#|//)")


def is_comment(line: str) -> bool:
    """Return True if a line is a comment."""
    return _COMMENT.match(line) is not None


_NAMED = re.compile(rf"\s*({NAME.pattern})\s*:=")


@dataclass(frozen=True, slots=True)
class Statement:
    """An expression or assignment in a file.

    line: number of its first line, from 1
    text: its source, including comments between its lines
    """

    line: int
    text: str

    @property
    def name(self) -> str | None:
        """The name before `:=`, if any."""
        named = _NAMED.match(self.text)
        return named[1] if named else None

    @property
    def is_command(self) -> bool:
        """True for a command of the shell: `%define …`, `?NAME`, or `quit`."""
        return self.text.lstrip().startswith(("%", "?")) or self.text.strip() == "quit"

    @property
    def code(self) -> str:
        """The source with comments replaced by spaces, so that offsets stay the same."""
        return "\n".join(" " * len(line) if is_comment(line) else line for line in self.text.split("\n"))

    @property
    def expression(self) -> str:
        """The expression, padded with spaces so that offsets match the source."""
        code = self.code
        named = _NAMED.match(code)
        return " " * named.end() + code[named.end() :] if named else code


def read_statements(lines: Iterable[str]) -> Iterator[Statement]:
    """Yield the statements of a file, given as lines without line ends."""
    first, parts = 0, list[str]()
    for number, line in enumerate(lines, 1):
        skipped = not line.strip() or is_comment(line)
        if parts and not skipped and line[0] not in " \t":
            yield Statement(first, "\n".join(parts))
            parts = []
        if not parts:
            first = number
        if parts or not skipped:
            parts.append(line)
    if parts:
        yield Statement(first, "\n".join(parts))
