"""Patterns of the standard library for nodes without the `regex` package, such as those of a model server.

`re` has no time limit, so a string is matched only if the bound of the steps is harmless. The patterns have Java's
meaning for ASCII strings without carriage returns, and refuse other strings.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from stellar.java.regex_steps import find_harmless_length

_INSTALL = "install the package regex to match it: pip install regex"


class BoundedPattern:
    """A pattern with the methods of the `regex` package that are used here.

    longest: characters up to which strings are matched; a time-out needs not be measured, as these take less

    Methods raise ValueError for other strings.
    """

    def __init__(self, pattern: re.Pattern[str], longest: int) -> None:
        self._pattern = pattern
        self.longest = longest
        self.groups = pattern.groups
        self.groupindex = pattern.groupindex

    def search(self, string: str, pos: int = 0, *, timeout: float) -> re.Match[str] | None:
        """Return the first match from a position on, or None."""
        return self._pattern.search(self._check(string), pos)

    def fullmatch(self, string: str, *, timeout: float) -> re.Match[str] | None:
        """Return the match of the whole string, or None."""
        return self._pattern.fullmatch(self._check(string))

    def split(self, string: str, *, timeout: float) -> list[Any]:
        """Return the parts between matches."""
        return self._pattern.split(self._check(string))

    def sub(self, replacement: str | Callable[[Any], str], string: str, *, timeout: float) -> str:
        """Replace all matches."""
        return self._pattern.sub(replacement, self._check(string))

    def _check(self, string: str) -> str:
        if len(string) > self.longest:
            raise ValueError(
                f"the string has {len(string)} characters, and the regular expression is limited to {self.longest}; "
                f"{_INSTALL}"
            )
        if not string.isascii() or "\r" in string:
            raise ValueError(f"the string has a carriage return or characters outside ASCII; {_INSTALL}")
        return string


def bound_pattern(pattern: re.Pattern[str] | None) -> BoundedPattern:
    """Return a pattern with a bound. Raise ValueError if it has none, or if the standard library cannot express it."""
    longest = 0 if pattern is None else find_harmless_length(pattern)
    if pattern is None or not longest:
        raise ValueError("it needs the package regex, which is not installed; run pip install regex")
    return BoundedPattern(pattern, longest)
