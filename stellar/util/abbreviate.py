"""Shortening of long strings for messages."""

from __future__ import annotations


def abbreviate(string: str, most: int = 40) -> str:
    """Return a string of at most `most` characters; a longer one ends in `...`."""
    return string if len(string) <= most else f"{string[: most - 3]}..."
