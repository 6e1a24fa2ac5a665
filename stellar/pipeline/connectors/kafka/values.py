"""JSON as Metron writes it to topics, byte for byte except for the order of fields and the digits of floats.

Metron's library escapes the slash, as in `http:\\/\\/example.com`, and control characters and general punctuation as
`\\uXXXX` with uppercase digits. All other characters are UTF-8. Any JSON reader accepts both spellings.
"""

from __future__ import annotations

import re

from stellar.pipeline.encoding import encode_document
from stellar.pipeline.records import Record

# Characters that Metron's library escapes, and Python's does not
_ESCAPED = re.compile("[\x7f-\x9f\u2000-\u20ff]")
_ESCAPE = re.compile(r"\\(u[0-9a-f]{4}|.)", re.DOTALL)


def to_topic_bytes(record: Record) -> bytes:
    """Return a record as the value of a message. Raises ValueError for a value without a JSON form."""
    encoded = encode_document(record)
    has_escapes = b"\\" in encoded and b"\\u" in encoded  # one byte is found much faster than two
    value = encoded.replace(b"/", b"\\/")
    if value.isascii() and not has_escapes and b"\x7f" not in encoded:
        return value
    text = _ESCAPE.sub(_with_uppercase_digits, value.decode())
    return _ESCAPED.sub(lambda match: f"\\u{ord(match[0]):04X}", text).encode()


def _with_uppercase_digits(match: re.Match[str]) -> str:
    found = match[1]
    return f"\\u{found[1:].upper()}" if len(found) == 5 else match[0]
