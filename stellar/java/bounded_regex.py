"""Regular expressions of configurations, close to Java's dialect and matched in bounded time."""

from __future__ import annotations

import re
from typing import Any

TIMEOUT_MS = 1000


def compile_pattern(expression: str) -> Any:
    """Compile a regular expression with the `regex` package.

    Raises BadExpression, with the position of the error, if it is invalid.
    """
    import regex  # importing it takes longer than most commands

    # Java's classes such as \w and \d are ASCII, but regex.ASCII would restrict properties such as \p{L} as well
    flags = 0 if re.search(r"\\[pP]|\[\[?:", expression) else regex.ASCII
    try:
        return regex.compile(expression, flags)
    except regex.error as error:
        raise BadExpression(str(error), error.pos or 0) from error


class BadExpression(ValueError):
    """An invalid regular expression; `position` is the offset of the error."""

    def __init__(self, message: str, position: int) -> None:
        super().__init__(message)
        self.position = position


def search(pattern: Any, string: str, timeout_ms: int = TIMEOUT_MS) -> Any:
    """Return the first match in a string, or None. Raises TimeoutError if it takes too long."""
    return pattern.search(string, timeout=timeout_ms / 1000)


def is_full_match(pattern: Any, string: str) -> bool:
    """Return True if the whole string matches. Raises TimeoutError if it takes too long."""
    return pattern.fullmatch(string, timeout=TIMEOUT_MS / 1000) is not None
