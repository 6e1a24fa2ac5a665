"""JSON as Metron's JSON library reads it: `//` and `/* */` comments, and only the first value of a string counts."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
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


def read_first_value(text: str, make_object: Callable[[list[tuple[str, Any]]], Any] | None = None) -> tuple[Any, str]:
    """Return the first JSON value in a string, and the text after it without comments and surrounding whitespace.

    Numbers have no limit but that of Python's integers.

    make_object: makes an object of its members; by default the last one of those with equal keys is used

    Raises ValueError if the string does not start with a JSON value, also for NaN and Infinity and deep nesting.
    """
    decoder = _DECODER if make_object is None else _make_decoder(make_object)
    text = without_comments(text)
    start = len(text) - len(text.lstrip(_WHITESPACE))
    try:
        value, end = decoder.raw_decode(text, start)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return value, text[end:].strip(_WHITESPACE)


def _reject_constant(name: str) -> NoReturn:
    raise ValueError(f"invalid number {name}")


def _make_decoder(make_object: Callable[[list[tuple[str, Any]]], Any] | None) -> json.JSONDecoder:
    return json.JSONDecoder(object_pairs_hook=make_object, parse_constant=_reject_constant)


_DECODER = _make_decoder(None)
