"""The width of strings on a terminal."""

from __future__ import annotations

import unicodedata


def display_width(string: str) -> int:
    """Return the number of terminal columns of a string."""
    if string.isascii():
        return len(string)
    return sum(
        0 if unicodedata.combining(character) else 2 if unicodedata.east_asian_width(character) in "WF" else 1
        for character in string
    )
