"""Files of Stellar: a line is an expression or `name := expression`, and indented lines go on with it.

Lines that begin with # or // are comments.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from stellar.language.parser import NAME

_COMMENT = re.compile(r"\s*(?:#|//)")


def is_comment(line: str) -> bool:
    """Whether a line of a file is a comment."""
    return _COMMENT.match(line) is not None


_NAMED = re.compile(rf"\s*({NAME.pattern})\s*:=")


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement of a file.

    line: the number of its first line, from 1
    text: as it stands in the file, with comments between its lines
    """

    line: int
    text: str

    @property
    def name(self) -> str | None:
        """The name before `:=`, if there is one."""
        named = _NAMED.match(self.text)
        return named[1] if named else None

    @property
    def is_command(self) -> bool:
        """Whether it is no expression, but for the shell: `%define …`, `?NAME`, or `quit`."""
        return self.text.lstrip().startswith(("%", "?")) or self.text.strip() == "quit"

    @property
    def code(self) -> str:
        """The text without its comments; they are blanks, so that places stay the same."""
        return "\n".join(" " * len(line) if is_comment(line) else line for line in self.text.split("\n"))

    @property
    def expression(self) -> str:
        """The expression; what else there is is blanks, so that places in it are places in the text."""
        code = self.code
        named = _NAMED.match(code)
        return " " * named.end() + code[named.end() :] if named else code


def statements(lines: Iterable[str]) -> Iterator[Statement]:
    """The statements in the lines of a file, which have no line ends."""
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
