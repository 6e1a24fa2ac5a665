"""Java's charsets, by their names and aliases in any case.

`charsets.json` has an entry for each charset of Java 17. `codec` is the codec of Python with the same characters,
except for those of `differences`, members of a class of a regular expression. A charset of single bytes without such a
codec has a `table`, the characters of its 256 bytes, and `others`, the bytes of characters that it encodes but does
not decode. An entry without either is a charset that is not supported.
"""

from __future__ import annotations

import codecs
import json
import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from stellar.util.abbreviate import quote
from stellar.util.cached_properties import cached_property

_REPLACEMENT = ord("?")
_SURROGATE = re.compile("[\ud800-\udfff]")
_MARKS = {
    "utf-16-be": codecs.BOM_UTF16_BE,
    "utf-16-le": codecs.BOM_UTF16_LE,
    "utf-32-be": codecs.BOM_UTF32_BE,
    "utf-32-le": codecs.BOM_UTF32_LE,
}


@dataclass(frozen=True)
class Charset:
    """A charset. Characters that it does not have become question marks, malformed bytes U+FFFD, as in Java.

    name: Java's name
    marks: the codecs whose byte order marks it recognizes
    writes_mark: True if encoded strings begin with a byte order mark
    decodes_only: True if Python's codec encodes some characters differently from Java
    """

    name: str
    codec: str = ""
    table: str = ""
    others: dict[str, int] = field(default_factory=dict)
    differences: str = ""
    marks: tuple[str, ...] = ()
    writes_mark: bool = False
    decodes_only: bool = False

    def encode(self, string: str) -> bytes:
        """Encode a string. Raises ValueError if Java's result is not known."""
        if self.table:
            return bytes(self._bytes.get(character, _REPLACEMENT) for character in string)
        if self.decodes_only:
            raise ValueError(f'charset {self.name} is not supported; use one such as "UTF-8"')
        if self.differences and (different := re.search(f"[{self.differences}]", string)):
            raise ValueError(f"charset {self.name} is not supported for {quote(different[0])}; use one such as UTF-8")
        if self.codec in _MARKS:
            string = _SURROGATE.sub("\ufffd", string)
        elif self.codec == "euc_kr" and not string.isascii():
            # Python's codec composes rare syllables of eight bytes
            string = "".join("?" if len(letter.encode(self.codec, "replace")) > 2 else letter for letter in string)
        mark = _MARKS[self.codec] if self.writes_mark and string else b""
        return mark + string.encode(self.codec, "replace")

    def decode(self, content: bytes) -> str:
        """Decode bytes."""
        if self.table:
            return codecs.charmap_decode(content, "replace", self.table)[0]
        for codec in self.marks:
            if content.startswith(_MARKS[codec]):
                return content[len(_MARKS[codec]) :].decode(codec, "replace")
        return content.decode(self.codec, "replace")

    @cached_property
    def _bytes(self) -> dict[str, int]:
        first = {character: byte for byte, character in reversed(tuple(enumerate(self.table)))}
        first.pop("\ufffd", None)
        return first | self.others


UTF_8 = Charset("UTF-8", "utf-8")


def find_charset(name: str) -> Charset:
    """Return the charset of a name or an alias.

    Raises ValueError for a charset that Java does not have, or that is not supported.
    """
    if name.upper() in ("UTF-8", "UTF8"):
        return UTF_8
    charset = _load().get(name.lower()) if name.isascii() else None
    if charset is None:
        raise ValueError(f'unknown charset {quote(name)}; use one such as "UTF-8" or "ISO-8859-1"')
    if not (charset.table or charset.codec):
        raise ValueError(f'charset {charset.name} is not supported; use one such as "UTF-8"')
    return charset


@cache
def _load() -> dict[str, Charset]:
    """Return the charsets by their names and aliases in lowercase."""
    found = {}
    entries = json.loads(Path(__file__).with_name("charsets.json").read_text("utf-8"))
    for name, entry in entries.items():
        aliases = entry.pop("aliases")
        found.update(dict.fromkeys(map(str.lower, (name, *aliases)), Charset(name, **entry)))
    return found
