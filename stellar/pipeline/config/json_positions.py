"""JSON with the places of its values: what an editor needs, also of a text that is not JSON yet.

A text that is JSON gives its values. Of one that is not, such as one that is being typed, as much is found as can be:
what is left open ends where the text does, a key that lacks its value is no member, and what can't stand where it
stands is passed over. `problem` tells what is wrong.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field

from stellar.language.source import Span
from stellar.pipeline.config.locations import SourceLocation, without_comments
from stellar.util.cached_properties import cached_property


@dataclass(frozen=True)
class Text:
    """A JSON string.

    inner: where it stands in the file, without its quotes
    raw: what stands there, with its escapes
    closed: whether it has its second quote
    """

    inner: Span
    raw: str
    closed: bool = True

    @property
    def span(self) -> Span:
        """Where it stands in the file, quotes included."""
        return Span(self.inner.start - 1, self.inner.end + self.closed)

    @cached_property
    def decoded(self) -> str:
        """The text that is meant; what is no escape of JSON stands for itself."""
        return _ESCAPE.sub(_meant, self.raw) if "\\" in self.raw else self.raw

    def in_file(self, offset: int) -> int:
        """The offset in the file of an offset in the decoded text."""
        decoded, raw = self._steps
        step = bisect_right(decoded, offset) - 1
        return self.inner.start + raw[step] + offset - decoded[step]

    def in_text(self, offset: int) -> int:
        """The offset in the decoded text of an offset in the file.

        Within an escape it is that of the character which the escape stands for; outside of the text, the nearest.
        """
        decoded, raw = self._steps
        wanted = min(max(offset, self.inner.start), self.inner.end) - self.inner.start
        step = bisect_right(raw, wanted) - 1
        found = decoded[step] + wanted - raw[step]
        return min(found, decoded[step + 1] - 1) if step + 1 < len(decoded) else found

    @cached_property
    def _steps(self) -> tuple[list[int], list[int]]:
        """Offsets in the decoded text and beside them in the raw one, from each of which on both run alike."""
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
_MEANT = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


def _meant(escape: re.Match[str]) -> str:
    high, low, unit, character = escape.groups()
    if character is not None:
        return _MEANT.get(character, character)
    if unit is not None:
        return chr(int(unit, 16))
    return chr(0x10000 + ((int(high, 16) - 0xD800) << 10) + int(low, 16) - 0xDC00)


@dataclass(frozen=True, slots=True)
class Scalar:
    """A number, true, false, null, or a word that is none of these."""

    span: Span


@dataclass(slots=True)
class Array:
    """A list."""

    span: Span
    items: list[Value] = field(default_factory=list)


@dataclass(slots=True)
class Object:
    """A map, with its members as they stand; of two with one name the last one counts."""

    span: Span
    members: list[tuple[Text, Value]] = field(default_factory=list)

    def get(self, name: str) -> Value | None:
        """The value of the member of this name."""
        return next((value for key, value in reversed(self.members) if key.decoded == name), None)

    def text(self, name: str) -> str | None:
        """The same if it is a text; None for whatever else it may be."""
        value = self.get(name)
        return value.decoded if isinstance(value, Text) else None


Value = Text | Scalar | Array | Object


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a text is not JSON, and where that shows."""

    message: str
    offset: int


def problem(source: str) -> Problem | None:
    """What is wrong with a JSON text, in which `//` and `/* */` comments may stand; None if nothing is."""
    try:
        json.loads(without_comments(source))
    except json.JSONDecodeError as error:
        return Problem(error.msg, error.pos)
    except RecursionError:
        return Problem("nested too deep to be read", 0)
    except ValueError as error:  # a number of too many digits
        return Problem(str(error), 0)
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


def read(source: str) -> Value | None:
    """The value in a JSON text, with the places of all that is in it; None if there is none.

    It never fails; see above for what it makes of a text that is not JSON.
    """
    reading = _Reading(source)
    for token in _TOKEN.finditer(source):
        match token.lastgroup:
            case "closed":
                inner = Span(*token.span("text"))
                reading.text(Text(inner, token["text"], bool(token["closed"])))
            case "scalar":
                reading.value(Scalar(Span(*token.span())))
            case "mark":
                reading.mark(token[0], token.start())
    reading.close_all(len(source))
    return reading.root


class _Reading:
    """Puts tokens together: the lists and maps that are open, and the keys that wait for their values."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.root: Value | None = None
        self.open: list[Array | Object] = []
        self.key: Text | None = None

    def text(self, text: Text) -> None:
        if _COLON(self.source, text.span.end) and self.within(Object):
            # A key within a list: the list was not closed
            while not isinstance(self.open[-1], Object):
                self.close(text.span.start)
            self.key = text
        else:
            self.value(text)

    def mark(self, mark: str, offset: int) -> None:
        match mark:
            case "{" | "[":
                container = Object(Span(offset, offset)) if mark == "{" else Array(Span(offset, offset))
                self.value(container)
                self.open.append(container)
            case "}" | "]":
                kind = Object if mark == "}" else Array
                while self.within(kind) and not self.close(offset + 1, kind):
                    pass
        self.key = None

    def value(self, value: Value) -> None:
        if not self.open:
            self.root = self.root or value
        elif isinstance(container := self.open[-1], Array):
            container.items.append(value)
        elif self.key is not None:
            container.members.append((self.key, value))
        self.key = None

    def within(self, kind: type[Array | Object]) -> bool:
        return any(isinstance(container, kind) for container in self.open)

    def close(self, end: int, kind: type[Array | Object] | None = None) -> bool:
        """Close the innermost container; returns whether it is of this kind."""
        container = self.open.pop()
        container.span = Span(container.span.start, end)
        return kind is not None and isinstance(container, kind)

    def close_all(self, end: int) -> None:
        while self.open:
            self.close(end)


def places(root: Value | None) -> Iterator[tuple[str, Text | None, Value]]:
    """Every value in a JSON text: its path as a Place writes it, its key if it has one, and the value itself."""
    waiting: list[tuple[SourceLocation, Text | None, Value]] = (
        [] if root is None else [(SourceLocation(""), None, root)]
    )
    while waiting:
        place, key, value = waiting.pop()
        yield place.path, key, value
        if isinstance(value, Object):
            waiting.extend((place / name.decoded, name, member) for name, member in reversed(value.members))
        elif isinstance(value, Array):
            waiting.extend((place / index, None, item) for index, item in reversed(list(enumerate(value.items))))
