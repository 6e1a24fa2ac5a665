"""A JSON parser for editors: it records the span of each value, and accepts incomplete JSON.

Valid JSON gives the values that `json` gives. For invalid JSON, as in a file that is being typed, it recovers: an
unclosed list or map ends at the end of the source, and a key without a value and misplaced tokens are ignored.
`find_problem` returns the first syntax error.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from stellar.java.jackson import read_first_value
from stellar.language.source import Span
from stellar.pipeline.config.locations import SourceLocation
from stellar.util.cached_properties import cached_property


@dataclass(frozen=True)
class JsonString:
    """A JSON string.

    inner: its span in the file, without the quotes
    raw: its source, with escapes
    closed: False if the closing quote is missing
    """

    inner: Span
    raw: str
    closed: bool = True

    @property
    def span(self) -> Span:
        """Its span in the file, with the quotes."""
        return Span(self.inner.start - 1, self.inner.end + self.closed)

    @cached_property
    def decoded(self) -> str:
        """The value of the string; the backslash of an invalid escape is ignored."""
        return _ESCAPE.sub(_decode_escape, self.raw) if "\\" in self.raw else self.raw

    def in_file(self, offset: int) -> int:
        """Convert an offset in the decoded string to an offset in the file."""
        decoded, raw = self._compile_group
        step = bisect_right(decoded, offset) - 1
        return self.inner.start + raw[step] + offset - decoded[step]

    def in_text(self, offset: int) -> int:
        """Convert an offset in the file to an offset in the decoded string.

        An offset in an escape gives that of its character, and one outside of the string gives the nearest.
        """
        decoded, raw = self._compile_group
        raw_offset = min(max(offset, self.inner.start), self.inner.end) - self.inner.start
        step = bisect_right(raw, raw_offset) - 1
        found = decoded[step] + raw_offset - raw[step]
        return min(found, decoded[step + 1] - 1) if step + 1 < len(decoded) else found

    @cached_property
    def _compile_group(self) -> tuple[list[int], list[int]]:
        """Pairs of offsets in the decoded and in the raw string, between which both advance equally."""
        decoded, raw = [0], [0]
        for escape in _ESCAPE.finditer(self.raw):
            start, end = escape.span()
            decoded.append(decoded[-1] + start - raw[-1] + 1)
            raw.append(end)
        return decoded, raw


# A pair of surrogates is one character
_ESCAPE = re.compile(
    r"\\(?:u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|(.))", re.DOTALL
)
_ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


def _decode_escape(escape: re.Match[str]) -> str:
    high, low, unit, character = escape.groups()
    if character is not None:
        return _ESCAPES.get(character, character)
    if unit is not None:
        return chr(int(unit, 16))
    return chr(0x10000 + ((int(high, 16) - 0xD800) << 10) + int(low, 16) - 0xDC00)


class Scalar(NamedTuple):
    """A number, true, false, null, or an invalid word."""

    span: Span


@dataclass(slots=True)
class Array:
    """A list."""

    span: Span
    items: list[Value] = field(default_factory=list)


@dataclass(slots=True)
class Object:
    """A map, with its members in source order; for a repeated key, the last member is used."""

    span: Span
    members: list[tuple[JsonString, Value]] = field(default_factory=list)

    def get(self, name: str) -> Value | None:
        """Return the value of a key, or None if it is missing."""
        return next((value for key, value in reversed(self.members) if key.decoded == name), None)

    def text(self, name: str) -> str | None:
        """Return the value of a key if it is a string, otherwise None."""
        value = self.get(name)
        return value.decoded if isinstance(value, JsonString) else None


Value = JsonString | Scalar | Array | Object


class JsonProblem(NamedTuple):
    """A syntax error in JSON, with its offset in the source."""

    message: str
    offset: int


def find_problem(source: str) -> JsonProblem | None:
    """Return the first syntax error of JSON with `//` and `/* */` comments, or None if it is valid."""
    try:
        read_first_value(source)
    except json.JSONDecodeError as error:
        return JsonProblem(error.msg, error.pos)
    except ValueError as error:  # nested too deeply, or a number of too many digits
        return JsonProblem(str(error), 0)
    return None


_TOKEN = re.compile(
    r"""
    "(?P<text>(?:[^"\\\r\n]|\\[^\r\n])*+)(?P<closed>"?)
    | (?P<mark>[{}\[\],])
    | //[^\n]* | /\*.*?\*/
    | (?P<scalar>[^\s"{}\[\],:/]+)
    """,
    re.VERBOSE | re.DOTALL,
)
_COLON = re.compile(r"\s*:").match


def parse_json(source: str) -> Value | None:
    """Parse JSON into values with spans; return None if there is no value.

    Invalid JSON raises no error; see the module for the recovery.
    """
    builder = _TreeBuilder(source)
    for token in _TOKEN.finditer(source):
        match token.lastgroup:
            case "closed":
                inner = Span(*token.span("text"))
                builder.add_string(JsonString(inner, token["text"], bool(token["closed"])))
            case "scalar":
                builder.add_value(Scalar(Span(*token.span())))
            case "mark":
                builder.add_bracket(token[0], token.start())
    builder.close_all(len(source))
    return builder.root


class _TreeBuilder:
    """Builds values from tokens; has a stack of unclosed lists and maps, and the key that precedes the next value."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.root: Value | None = None
        self.open: list[Array | Object] = []
        self.key: JsonString | None = None

    def add_string(self, text: JsonString) -> None:
        if _COLON(self.source, text.span.end) and self.is_within(Object):
            # A key in a list: the closing bracket of the list is missing
            while not isinstance(self.open[-1], Object):
                self.close(text.span.start)
            self.key = text
        else:
            self.add_value(text)

    def add_bracket(self, mark: str, offset: int) -> None:
        match mark:
            case "{" | "[":
                container = Object(Span(offset, offset)) if mark == "{" else Array(Span(offset, offset))
                self.add_value(container)
                self.open.append(container)
            case "}" | "]":
                kind = Object if mark == "}" else Array
                while self.is_within(kind) and not self.close(offset + 1, kind):
                    pass
        self.key = None

    def add_value(self, value: Value) -> None:
        if not self.open:
            self.root = self.root or value
        elif isinstance(container := self.open[-1], Array):
            container.items.append(value)
        elif self.key is not None:
            container.members.append((self.key, value))
        self.key = None

    def is_within(self, kind: type[Array | Object]) -> bool:
        return any(isinstance(container, kind) for container in self.open)

    def close(self, end: int, kind: type[Array | Object] | None = None) -> bool:
        """Close the innermost container, and return True if it is of this kind."""
        container = self.open.pop()
        container.span = Span(container.span.start, end)
        return kind is not None and isinstance(container, kind)

    def close_all(self, end: int) -> None:
        while self.open:
            self.close(end)


def walk(root: Value | None) -> Iterator[tuple[str, JsonString | None, Value]]:
    """Yield each value in source order, with its path as `SourceLocation` writes it, and its key if it is a member."""
    pending: list[tuple[SourceLocation, JsonString | None, Value]] = (
        [] if root is None else [(SourceLocation(""), None, root)]
    )
    while pending:
        location, key, value = pending.pop()
        yield location.path, key, value
        if isinstance(value, Object):
            pending.extend((location / name.decoded, name, member) for name, member in reversed(value.members))
        elif isinstance(value, Array):
            pending.extend((location / index, None, item) for index, item in reversed(list(enumerate(value.items))))
