"""Suggestions for unknown names."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def find_nearest(unknown: str, known: Iterable[str]) -> str | None:
    """Return the known name that is most similar to an unknown one, ignoring case; None if no name is similar."""
    lower = {name.lower(): name for name in sorted(known)}
    close = difflib.get_close_matches(unknown.lower(), lower, n=1)
    return lower[close[0]] if close else None


def suggest_name(unknown: str, known: Iterable[str]) -> str:
    """Return a hint for an unknown name: the most similar known name, or else all of them."""
    names = sorted(known)
    near = find_nearest(unknown, names)
    return f"known are {', '.join(names)}" if near is None else f"did you mean {near}?"
