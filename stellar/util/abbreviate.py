"""Shortening and escaping of strings for messages."""

from __future__ import annotations

MAX_SHOWN_CHARACTERS = 400  # of a string on a terminal


def abbreviate(string: str, most: int = 40) -> str:
    """Return a string of at most `most` characters; a longer one ends in `...`."""
    return string if len(string) <= most else f"{string[: most - 3]}..."


def escape(text: str) -> str:
    """Return a string for a terminal: shortened to 400 characters, with unprintable characters escaped."""
    short = text if len(text) <= MAX_SHOWN_CHARACTERS else f"{text[:MAX_SHOWN_CHARACTERS]}…"
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in short)
