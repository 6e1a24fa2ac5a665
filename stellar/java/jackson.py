"""JSON as Metron's JSON library reads it: `//` and `/* */` comments, and only the first value of a string counts."""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

# Strings match first, so that `//` in a string does not start a comment. An unclosed `/*` remains, and is invalid JSON
_TEXT_OR_COMMENT = re.compile(r'"(?:[^"\\]|\\.)*"|//[^\n]*|/\*.*?\*/', re.DOTALL)
_WHITESPACE = " \t\r\n"


def without_comments(text: str) -> str:
    """Replace `//` and `/* */` comments in JSON by spaces, which preserves offsets, lines and columns."""
    if "/" not in text:
        return text

    def blank(match: re.Match[str]) -> str:
        found = match.group()
        return found if found.startswith('"') else re.sub(r"[^\n]", " ", found)

    return _TEXT_OR_COMMENT.sub(blank, text)


def read_first_value(text: str) -> tuple[Any, str]:
    """Return the first JSON value in a string, and the text after it without comments and surrounding whitespace.

    Duplicate keys: the last one is used. Numbers have no limit but that of Python's integers.

    Raises ValueError if the string does not start with a JSON value, also for NaN and Infinity and deep nesting.
    """
    text = without_comments(text)
    start = len(text) - len(text.lstrip(_WHITESPACE))
    try:
        value, end = _DECODER.raw_decode(text, start)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return value, text[end:].strip(_WHITESPACE)


def _reject_constant(name: str) -> NoReturn:
    raise ValueError(f"invalid number {name}")


_DECODER = json.JSONDecoder(parse_constant=_reject_constant)
