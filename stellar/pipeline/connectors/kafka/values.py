"""JSON as Metron writes it to topics, byte for byte except for the order of fields and the digits of floats.

Metron's library escapes the slash, as in `http:\\/\\/example.com`, and control characters and general punctuation as
`\\uXXXX` with uppercase digits. All other characters are UTF-8. Any JSON reader accepts both spellings.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from stellar.pipeline.records import to_json

# Characters that Metron's library escapes, and Python's does not
_ESCAPED = re.compile("[\x7f-\x9f\u2000-\u20ff]")
_ESCAPE = re.compile(r"\\(u[0-9a-f]{4}|.)", re.DOTALL)


def to_topic_bytes(record: Mapping[str, Any]) -> bytes:
    """Return a record as the value of a message. Raises ValueError for a value without a JSON form."""
    text = to_json(record).replace("/", "\\/")
    if "\\u" in text:
        text = _ESCAPE.sub(_with_uppercase_digits, text)
    if not text.isascii() or "\x7f" in text:
        text = _ESCAPED.sub(lambda match: f"\\u{ord(match[0]):04X}", text)
    return text.encode("utf-8", "backslashreplace")


def _with_uppercase_digits(match: re.Match[str]) -> str:
    found = match[1]
    return f"\\u{found[1:].upper()}" if len(found) == 5 else match[0]
