"""Values of documents in harmless HTML.

HTML is escaped by Jinja. There remain strings that deceive their reader, or the terminal they are copied to: control
characters such as ANSI sequences, characters that reverse the direction of the next ones, invisible ones, and lone
surrogates, which have no form in UTF-8. They are shown as marked escapes. Each value is isolated by the stylesheet, so
that genuine right-to-left scripts do not move their neighbours.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime

import regex
from markupsafe import Markup, escape

from stellar.language.conversions import to_string

MOST_IN_LIST = 300  # characters
MOST_IN_DOCUMENT = 4000

_DECEPTIVE = regex.compile(r"[\p{Cc}\p{Cf}\p{Cs}\p{Cn}\p{Co}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]")
_LONGEST_TIME = 253_402_300_799_999  # the end of the year 9999


def show(text: str, most: int = MOST_IN_LIST) -> Markup:
    """Return a string as HTML: shortened, with deceptive characters as marked escapes."""
    short = text[:most]
    if short.isascii() and short.isprintable():
        shown = escape(short)
    else:
        shown = _mark(short)
    return shown if len(text) <= most else shown + Markup('<span class="escape">…</span>')


def _mark(text: str) -> Markup:
    pieces, start = [], 0
    for match in _DECEPTIVE.finditer(text):
        pieces.append(escape(text[start : match.start()]))
        pieces.append(Markup('<span class="escape">{}</span>').format(_write_escape(match[0])))
        if match[0] == "\n":
            pieces.append(Markup("\n"))  # the stylesheet shows line breaks in values, and collapses them in lists
        start = match.end()
    return Markup("").join([*pieces, escape(text[start:])])


def _write_escape(character: str) -> str:
    """Return the escape of a character as JSON has it, or with braces beyond 16 bits."""
    code = ord(character)
    if character in "\b\f\n\r\t":
        return json.dumps(character)[1:-1]
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\u{{{code:x}}}"


def clean(text: str) -> str:
    """Return a string for an attribute or a plain response, with deceptive characters as escapes."""
    return str(_DECEPTIVE.sub(lambda match: match[0] if match[0] in "\n\t" else _write_escape(match[0]), text))


def write_value(value: object) -> str:
    """Return the value of a field as a string; other values than strings as JSON."""
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value, ensure_ascii=False)
    except RecursionError:
        return "(nested too deeply)"


def name_type(value: object) -> str:
    """Return the name of the JSON type of a value."""
    kinds = {
        str: "string",
        bool: "boolean",
        int: "number",
        float: "number",
        type(None): "null",
        list: "list",
        dict: "map",
    }
    return kinds[type(value)]


def show_time(value: object) -> str:
    """Return a time in ms since 1970 in UTC; another value as it is, and null as a dash."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _LONGEST_TIME:
        return datetime.fromtimestamp(value / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
    return "–" if value is None else f"{value}"


def show_score(value: object) -> str:
    """Return a score without a fraction of zero; null as a dash."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return "–" if value is None else to_string(value)
