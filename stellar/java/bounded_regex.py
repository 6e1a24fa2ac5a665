"""Regular expressions of configurations: Java's dialect as near as Python has it, in bounded time."""

from __future__ import annotations

import re
from typing import Any

TIMEOUT_MS = 1000


def compiled(text: str) -> Any:
    """A compiled pattern of the `regex` package.

    Raises ValueError, with the place in the text, where it is no regular expression.
    """
    import regex  # its import takes longer than most runs of a small command

    # Java's classes such as \w and \d are ASCII; its properties such as \p{L} are not, and must not be made so
    flags = 0 if re.search(r"\\[pP]|\[\[?:", text) else regex.ASCII
    try:
        return regex.compile(text, flags)
    except regex.error as error:
        raise BadExpression(str(error), error.pos or 0) from error


class BadExpression(ValueError):
    """A text that is no regular expression; `position` is where that shows."""

    def __init__(self, message: str, position: int) -> None:
        super().__init__(message)
        self.position = position


def found(pattern: Any, text: str, timeout_ms: int = TIMEOUT_MS) -> Any:
    """The first match anywhere in a text, or None. Raises TimeoutError when the search takes too long."""
    return pattern.search(text, timeout=timeout_ms / 1000)


def fits(pattern: Any, text: str) -> bool:
    """Whether the whole text matches. Raises TimeoutError when the search takes too long."""
    return pattern.fullmatch(text, timeout=TIMEOUT_MS / 1000) is not None
