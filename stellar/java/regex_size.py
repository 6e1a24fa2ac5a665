"""The size that the compiled form of a regular expression has, measured before it is compiled.

The `regex` package repeats the compiled form of an item as often as it must occur: `(a{1000}){1000}` describes a
million copies of `a`, and each level of `((a+)+)+` doubles the one within it. So the compilation of a short expression
could take any amount of time and memory.
"""

from __future__ import annotations

import re

MOST_CHARACTERS = 32_768
MOST_ITEMS = 50_000
MOST_LEVELS = 100

_TOKEN = re.compile(
    r"""(?P<open>\((?:\?(?:<?[=!]|[:>|]|P?<\w+>|[a-zA-Z-]*:))?)
    | (?P<flags>\(\?[^()]*\))
    | (?P<close>\))
    | (?P<class>\[)
    | (?P<repeat>\{(?P<least>\d+)(?:,\d*)?\}|[*+?])(?P<kind>[?+]?)
    | (?P<bar>\|)
    | \\[pP]\{[^}]*\} | \\. | .""",
    re.DOTALL | re.VERBOSE,
)
_IN_CLASS = re.compile(r"\\.|[\[\]]|[^\\\[\]]+", re.DOTALL)


class TooLarge(ValueError):
    """The compiled form of an expression would be too large."""


def check_size(pattern: str) -> None:
    """Raise TooLarge for a pattern of the `regex` package whose compiled form would be too large."""
    if len(pattern) > MOST_CHARACTERS:
        raise TooLarge(f"more than {MOST_CHARACTERS:,} characters")
    totals, last = [0], 0  # the size of each open group, and that of the last item
    at = 0
    while at < len(pattern):
        token = _TOKEN.match(pattern, at)
        assert token is not None  # it matches any character
        at = token.end()
        match token.lastgroup:
            case "open":
                totals.append(0)
                last = 0
                if len(totals) > MOST_LEVELS:
                    raise TooLarge(f"more than {MOST_LEVELS} levels of groups")
            case "close" if len(totals) > 1:
                last = totals.pop() + 1
                totals[-1] += last
            case "kind":
                least = int(token["least"] or (token["repeat"] == "+"))
                totals[-1] += last * least
                last *= least + 1
            case "class":
                end = _end_of_class(pattern, at)
                last = 1 + (end - at) // 8
                totals[-1] += last
                at = end
            case None:
                last = 1
                totals[-1] += 1
        if totals[-1] > MOST_ITEMS:
            raise TooLarge(f"it repeats more than {MOST_ITEMS:,} items")


def _end_of_class(pattern: str, at: int) -> int:
    """Return the offset after the bracket that closes a class; nested classes are part of it."""
    depth = 1
    while depth:
        token = _IN_CLASS.match(pattern, at)
        if token is None:
            return len(pattern)
        at = token.end()
        if token[0] == "[":
            depth += 1
            if depth > MOST_LEVELS:
                raise TooLarge(f"more than {MOST_LEVELS} levels of classes")
        depth -= token[0] == "]"
    return at
