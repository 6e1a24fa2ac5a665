"""Charsets by their Java names."""

from __future__ import annotations

import codecs
import re

# The form of a name; Python would also accept spaces and other characters
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9\-+.:_]*")
# Python's names for text encodings that are not charsets
_OTHERS = frozenset(
    {"idna", "punycode", "unicode-escape", "raw-unicode-escape", "undefined", "utf-8-sig", "mbcs", "oem"}
)


def find_charset(name: str) -> str | None:
    """Return Python's name of a charset; None if there is no such charset."""
    if not _NAME.fullmatch(name):
        return None
    try:
        codec = codecs.lookup(name.removeprefix("x-"))
    except LookupError:
        return None
    is_text = getattr(codec, "_is_text_encoding", True)
    return codec.name if is_text and codec.name.replace("_", "-") not in _OTHERS else None


def decode(content: bytes, charset: str) -> str:
    """Decode bytes; malformed ones become U+FFFD, as in Java.

    charset: a name that `find_charset` returned. UTF-16 without a byte order mark is big-endian.
    """
    if charset in ("utf-16", "utf-32") and not content.startswith(_MARKS[charset]):
        charset += "-be"
    return content.decode(charset, "replace")


_MARKS = {
    "utf-16": (codecs.BOM_UTF16_BE, codecs.BOM_UTF16_LE),
    "utf-32": (codecs.BOM_UTF32_BE, codecs.BOM_UTF32_LE),
}
