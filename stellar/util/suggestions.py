"""Suggestions for unknown names."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(wanted: str, known: Iterable[str]) -> str | None:
    """Return the known name that resembles this one most, ignoring case; None if none does."""
    lower = {name.lower(): name for name in sorted(known)}
    close = difflib.get_close_matches(wanted.lower(), lower, n=1)
    return lower[close[0]] if close else None


def known_names(wanted: str, known: Iterable[str]) -> str:
    """Return a hint to follow an unknown name: the nearest known one, or all of them."""
    names = sorted(known)
    near = nearest(wanted, names)
    return f"known are {', '.join(names)}" if near is None else f"did you mean {near}?"
