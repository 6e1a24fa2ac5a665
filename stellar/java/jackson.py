"""JSON as Metron's JSON library reads and writes it.

Reading: `//` and `/* */` comments, and only the first value of a string counts. Writing: its indented form.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from typing import Any, NoReturn

from stellar.java.doubles import print_double

# Strings match first, so that `//` in a string does not start a comment. What is not closed matches up to the end, so
# that the time is linear
_TEXT_OR_COMMENT = re.compile(r'"(?:[^"\\]|\\.)*+"?|//[^\r\n]*|/\*(?:.*?\*/|.*)', re.DOTALL)
_WHITESPACE = " \t\r\n"


def without_comments(text: str) -> str:
    """Replace `//` and `/* */` comments in JSON by spaces, which preserves offsets, lines and columns.

    An unclosed `/*` remains, and is invalid JSON.
    """
    return _TEXT_OR_COMMENT.sub(_erase_comment, text) if "/" in text else text


def _erase_comment(match: re.Match[str]) -> str:
    found = match.group()
    if found.startswith('"') or (found.startswith("/*") and (len(found) < 4 or not found.endswith("*/"))):
        return found
    return re.sub(r"[^\r\n]+", lambda line: " " * len(line[0]), found)


def read_first_value(
    text: str,
    make_object: Callable[[list[tuple[str, Any]]], Any] | None = None,
    *,
    comments: bool = True,
) -> tuple[Any, str]:
    """Return the first JSON value in a string, and the text after it, without whitespace and comments around it.

    Numbers have no limit but that of Python's integers.

    make_object: makes an object of its members; by default the last one of those with equal keys is used
    comments: if False, a comment in the value or before it is an error

    Raises ValueError if the string does not start with a JSON value, also for NaN and Infinity and deep nesting.
    """
    decoder = _DECODER if make_object is None else _make_decoder(make_object)
    try:
        value, end = _decode(decoder, text, comments=comments)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if end == len(text):
        return value, ""
    rest = text[end:]
    shown = without_comments(rest)
    return value, rest[len(shown) - len(shown.lstrip(_WHITESPACE)) : len(shown.rstrip(_WHITESPACE))]


def _decode(decoder: json.JSONDecoder, text: str, *, comments: bool) -> tuple[Any, int]:
    """Return the first value and the offset after it. Most texts have no comments, so these are looked for later."""
    try:
        return decoder.raw_decode(text, len(text) - len(text.lstrip(_WHITESPACE)))
    except json.JSONDecodeError:
        erased = without_comments(text) if comments else text
        if erased == text:
            raise
    return decoder.raw_decode(erased, len(erased) - len(erased.lstrip(_WHITESPACE)))


def _reject_constant(name: str) -> NoReturn:
    raise ValueError(f"invalid number {name}")


def _make_decoder(make_object: Callable[[list[tuple[str, Any]]], Any] | None) -> json.JSONDecoder:
    return json.JSONDecoder(object_pairs_hook=make_object, parse_constant=_reject_constant)


_DECODER = _make_decoder(None)


def to_indented(value: Any) -> str:
    """Return a JSON value as Jackson's default pretty printer writes it: objects on several lines, arrays on one.

    Raises ValueError for NaN and infinite numbers, and for deep nesting.
    """
    try:
        return _indent(value, "\n")
    except RecursionError:
        raise ValueError("nested too deeply") from None


def to_indented_bytes(value: Any) -> bytes:
    """Return a JSON value as Jackson's default pretty printer writes it to bytes.

    In contrast to its strings, characters beyond U+FFFF are escaped as surrogate pairs.

    Raises ValueError as `to_indented`, and for half of a surrogate pair.
    """
    text = to_indented(value)
    try:
        return _BEYOND_16_BITS.sub(_escape_pair, text).encode()
    except UnicodeEncodeError:
        raise ValueError("a string contains half of a surrogate pair") from None


_BEYOND_16_BITS = re.compile("[\U00010000-\U0010ffff]")


def _escape_pair(match: re.Match[str]) -> str:
    high, low = divmod(ord(match[0]) - 0x10000, 0x400)
    return f"\\u{0xD800 + high:04X}\\u{0xDC00 + low:04X}"


def _indent(value: Any, line_end: str) -> str:
    """Return a JSON value.

    line_end: the line end, and the spaces before the closing bracket
    """
    inner = f"{line_end}  "
    if isinstance(value, dict):
        members = (f"{inner}{_quote(name)} : {_indent(item, inner)}" for name, item in value.items())
        return f"{{{','.join(members)}{line_end}}}" if value else "{ }"
    if isinstance(value, list):
        return f"[ {', '.join(_indent(item, line_end) for item in value)} ]" if value else "[ ]"
    if isinstance(value, float) and math.isfinite(value):
        return print_double(value)
    return _quote(value) if isinstance(value, str) else json.dumps(value, allow_nan=False)


def _quote(text: str) -> str:
    return _ESCAPE.sub(lambda match: match[1] + match[2].upper(), json.dumps(text, ensure_ascii=False))


_ESCAPE = re.compile(r"(\\(?:u|.))((?<=u)[0-9a-f]{4}|)")
