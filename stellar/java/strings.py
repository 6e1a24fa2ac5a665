"""Java's string tests."""

from __future__ import annotations

# Java's whitespace, which excludes non-breaking spaces
WHITESPACE = (
    " \t\n\x0b\x0c\r\x1c\x1d\x1e\x1f\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2008\u2009\u200a"
    "\u2028\u2029\u205f\u3000"
)


def is_blank(string: str) -> bool:
    """Return True for a string that is empty or consists of whitespace."""
    return not string.strip(WHITESPACE)
