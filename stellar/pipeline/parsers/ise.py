"""The parser of Cisco ISE: a header and pairs such as `Device Port=1645`, separated by commas.

The grammar, of which only the first pair is special: the record is read after `header=`.

    record  pair ("," pair)* [","]
    pair    string "=" value
    value   nothing | string | map | "(tag=0)" string | "{" … "}" ","
    map     pair ("\\" "," pair)*

A string contains no quote, tab or line end, and no comma or `=`; but a backslash allows a comma or a quote. Comments
(`#` and `//` up to the end of a line, `/* … */`) and line ends between tokens are ignored.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar, NamedTuple

from stellar.java.date_patterns import parse_date
from stellar.java.timezones import DEFAULT
from stellar.language.conversions import JAVA_WHITESPACE
from stellar.pipeline.parsers.parser import Settings
from stellar.pipeline.records import Record
from stellar.util.abbreviate import quote
from stellar.util.clock import now

_PREFIX = "header="
_COPIES = {
    "ip_src_addr": "Device IP Address",
    "ip_src_port": "Device Port",
    "ip_dst_addr": "DestinationIPAddress",
    "ip_dst_port": "DestinationPort",
}
_DATE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} [+-]\d\d:\d\d", re.ASCII)


class IseParser:
    """Parses the pairs of a record, of which a repeated one has its last value.

    `timestamp` is the date with the year in the header, or now. Metron sets none.
    """

    OPTIONS: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, settings: Settings) -> None:
        pass

    def __call__(self, text: str) -> Iterator[Record]:
        record = _RecordReader(_decode_escapes(_PREFIX + text.strip(JAVA_WHITESPACE))).read_record()
        for field, key in _COPIES.items():
            value = record.get(key)
            if isinstance(value, dict):
                raise ValueError(f"{quote(key)} contains '=': expected an address or a port")
            if value is not None:
                record[field] = value
        record.setdefault("timestamp", _find_time(record["header"]))
        yield record

    def complaint(self, record: Record) -> str | None:
        """Return None: as in Metron, each record is valid."""
        return None


def _find_time(header: object) -> int:
    match = _DATE.search(header) if isinstance(header, str) else None
    time = parse_date("yyyy-MM-dd HH:mm:ss.SSS XXX", match[0], DEFAULT) if match else None
    return now() if time is None else time


# -- Tokens -----------------------------------------------------------------------------------------------------------

_ESCAPE = re.compile(r"(?<!\\)((?:\\\\)*)\\u+([0-9a-fA-F]{4})?")
_STRING = re.compile(r'(?:\\[",]|[^"\r\n\f\t=,])++')
_PLAIN = re.compile(r'([,=])|[^"\r\n\f\t=,/#({\\](?:\\[",]|[^"\r\n\f\t=,])*+')
_BRACED = re.compile(r"\{[^{}]++\}")
_TAG = re.compile(r"\(tag=0\)", re.IGNORECASE)
_LINE_END = re.compile(r"[\n\r\f]")
_MARKS = ("//", "#")


class _Token(NamedTuple):
    kind: str
    text: str
    start: int
    end: int


def _decode_escapes(text: str) -> str:
    """Replace `\\u0041` by its character, unless another backslash precedes it."""

    def replace(match: re.Match[str]) -> str:
        if match[2] is None:
            raise ValueError(f"invalid escape {text[match.start() :][:10]!r}: expected four hexadecimal digits")
        return match[1] + chr(int(match[2], 16))

    return _ESCAPE.sub(replace, text)


class _Lexer:
    """Splits a record into tokens. The longest possible token is taken."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.comment_end = text.rfind("*/")
        self.line_end = -1

    def tokens(self) -> Iterator[_Token]:
        at = 0
        while at < len(self.text):
            # Most tokens are recognized by their first character
            match = _PLAIN.match(self.text, at)
            token = _Token(match[0] if match[1] else "string", match[0], at, match.end()) if match else self._token(at)
            if token.kind != "ignored":
                yield token
            at = token.end
        yield _Token("end", "the end", at, at)

    def _token(self, at: int) -> _Token:
        candidates = [("ignored", self._ignored_end(at))]
        character = self.text[at]
        if character in ",=\\":
            candidates.append((character, at + 1))
        patterns = (("tag", _TAG), ("string", _STRING), ("braced", _BRACED))
        matches = [(kind, pattern.match(self.text, at)) for kind, pattern in patterns]
        candidates += [(kind, match.end()) for kind, match in matches if match]
        kind, end = max(candidates, key=lambda candidate: candidate[1])  # the first of several longest ones
        if end == at:
            raise ValueError(f"unexpected {quote(character)} at character {at + 1 - len(_PREFIX)}")
        return _Token(kind, self.text[at:end], at, end)

    def _ignored_end(self, at: int) -> int:
        """Return the end of a comment or line end, or `at` if it is another token."""
        if self.text[at] in "\n\r\f":
            return at + 1
        if self.text.startswith(_MARKS, at):
            return self._find_line_end(at)
        if self.text.startswith("/*", at) and self.comment_end >= at + 2:
            return self.comment_end + 2
        return at

    def _find_line_end(self, at: int) -> int:
        if self.line_end <= at:  # else it is known from the last comment
            match = _LINE_END.search(self.text, at)
            self.line_end = match.end() if match else len(self.text) + 1
        return self.line_end if self.line_end <= len(self.text) else at


class _RecordReader:
    """Reads a record from tokens, with one token of look-ahead."""

    def __init__(self, text: str) -> None:
        self.tokens = _Lexer(text).tokens()
        self.next = next(self.tokens)
        self.after = self._advance()

    def _advance(self) -> _Token:
        return next(self.tokens, self.next)

    def _take(self, kind: str, expected: str) -> str:
        token = self.next
        if token.kind != kind:
            found = token.text if token.kind == "end" else repr(token.text[:40])
            raise ValueError(f"expected {expected}, got {found} at character {token.start + 1 - len(_PREFIX)}")
        self.next, self.after = self.after, self._advance()
        return token.text

    def read_record(self) -> Record:
        record: Record = {}
        try:
            self._read_pair(record)
            while self.next.kind == "," and self.after.kind == "string":
                self._take(",", "','")
                self._read_pair(record)
        except RecursionError:
            raise ValueError("too many '=' in a value") from None
        if self.next.kind == ",":
            self._take(",", "','")
        self._take("end", "',' or the end")
        return record

    def _read_pair(self, record: Record) -> None:
        key = self._take("string", "a key").strip(JAVA_WHITESPACE)
        self._take("=", f"'=' after the key {key[:40]!r}")
        record[key] = self._read_value()

    def _read_value(self) -> Record | str | None:
        if self.next.kind in (",", "end"):
            return None
        if self.next.kind == "string":
            return (
                self._read_map() if self.after.kind == "=" else self._take("string", "a value").strip(JAVA_WHITESPACE)
            )
        if self.next.kind == "tag":
            self._take("tag", "a tag")
            return f"(tag=0){self._take('string', 'a value after (tag=0)')}"
        braced = self._take("braced", "a value")
        self._take(",", "',' after '}'")
        return braced.strip(JAVA_WHITESPACE)

    def _read_map(self) -> Record:
        record: Record = {}
        self._read_pair(record)
        while self.next.kind == "\\":
            self._take("\\", "'\\'")
            self._take(",", "',' after '\\'")
            self._read_pair(record)
        return record
