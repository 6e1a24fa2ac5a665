"""Patterns of bytes, looked for in packets and the like."""

from __future__ import annotations

import re
from functools import lru_cache

from stellar.language.library import stellar

_LONGEST = 65_536
_DEEPEST = 50
# A pattern has one length, so a search takes no more steps than there are bytes, times so many
_MOST = 512


@stellar("BYTEARRAY_MATCHER", surplus="refuse")
def bytearray_matcher(pattern: str | None, data: bytes | None) -> bool:
    """Whether bytes hold a sequence that a pattern describes.

    In a pattern, `0d 0A` are bytes in hexadecimal digits, `'GET'` is a text and one in backquotes is a text in capital
    or small letters; `.` is any byte, `30-39` and `'a'-'z'` are ranges, `[00 'x' 30-39]` is one of several; `&81` has
    all of these bits, `~81` any of them; `^` before one of these is any other byte; `00{4}` is four of them; `\\\\d`,
    `\\\\s`, `\\\\w` and the like are digits, blanks and letters; blanks mean nothing, and `#` begins a comment.

    pattern: The pattern
    data: The bytes
    returns: True if they do; false if either is null

        BYTEARRAY_MATCHER("'GET'", null)  // false
        BYTEARRAY_MATCHER(null, null)  // false
        BYTEARRAY_MATCHER("'GET'", 'GET /')  // error
    """
    return pattern is not None and data is not None and _compiled(pattern).search(data) is not None


@lru_cache(512)
def _compiled(pattern: str) -> re.Pattern[bytes]:
    reader = _Reader(pattern)
    expression = reader.sequence()
    if reader.length > _LONGEST:
        raise ValueError(f"a byte pattern describes {_LONGEST} bytes at most, not {reader.length}")
    return re.compile(expression, re.DOTALL)


Bytes = frozenset[int]

_EVERY: Bytes = frozenset(range(256))
_SMALL, _CAPITAL, _DIGITS = (frozenset(letters) for letters in (range(97, 123), range(65, 91), range(48, 58)))
_SHORTHANDS: dict[str, Bytes] = {
    **{letter: frozenset([code]) for letter, code in zip("tnvfre", (9, 10, 11, 12, 13, 27), strict=True)},
    "d": _DIGITS,
    "l": _SMALL,
    "u": _CAPITAL,
    "i": frozenset(range(128)),
    "s": frozenset(b"\t\n\r "),
    "w": _SMALL | _CAPITAL | _DIGITS | {ord("_")},
}
_SKIPPED = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_HEXADECIMAL = re.compile(r"[0-9a-fA-F]{2}")
_TEXT = re.compile(r"'([^']+)'|`([^`]+)`")
_COUNT = re.compile(r"\{(\d{1,6})\}", re.ASCII)


class _Reader:
    """The work on one pattern: `at` is the place in its text, `length` how many bytes it describes so far, and
    `size` how many of them are to be compared.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.length = 0
        self.size = 0

    def wrong(self, what: str) -> ValueError:
        return ValueError(f"{self.text[:60]!r} is no byte pattern: {what} at character {self.at + 1}")

    def taken(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        """What matches here, if anything does; blanks and comments after it are skipped."""
        match = pattern.match(self.text, self.at)
        if match:
            self.at = _end_of_blanks(self.text, match.end())
        return match

    def sign(self, sign: str) -> bool:
        return self.taken(re.compile(re.escape(sign))) is not None

    def sequence(self) -> bytes:
        """All of the pattern as a regular expression."""
        self.at = _end_of_blanks(self.text, 0)
        if self.at == len(self.text):
            raise self.wrong("nothing to look for")
        parts = []
        while self.at < len(self.text):
            item = self.item(0)
            count = int(match[1]) if (match := self.taken(_COUNT)) else 1
            self.length += len(item) * count
            self.size += 1 if item == (_EVERY,) else len(item) * count
            if self.size > _MOST:
                raise self.wrong(f"more than {_MOST} bytes to compare")
            expression = b"".join(map(_class, item))
            parts.append(expression if count == 1 else b"(?:%b){%d}" % (expression, count))
        return b"".join(parts)

    def item(self, depth: int) -> tuple[Bytes, ...]:
        """A byte, a range, a set or a text: for each of its places, which bytes may stand there."""
        if depth > _DEEPEST:
            raise self.wrong("too much in one another")
        if self.sign("^"):
            inverted = self.item(depth + 1)
            if len(inverted) != 1:
                raise self.wrong("a text of several bytes, which can't be inverted,")
            return (_EVERY - inverted[0],)
        for sign, test in (("&", _has_all), ("~", _has_any)):
            if self.sign(sign):
                bits = self.one_byte(self.item(depth + 1))
                return (frozenset(byte for byte in _EVERY if test(byte, bits)),)
        item = self.simple(depth)
        if self.sign("-"):
            first, last = sorted((self.one_byte(item), self.one_byte(self.simple(depth))))
            return (frozenset(range(first, last + 1)),)
        return item

    def one_byte(self, item: tuple[Bytes, ...]) -> int:
        if len(item) == 1 and len(item[0]) == 1:
            return next(iter(item[0]))
        raise self.wrong("more than a single byte before what must be one")

    def simple(self, depth: int) -> tuple[Bytes, ...]:
        if match := self.taken(_HEXADECIMAL):
            return (frozenset([int(match[0], 16)]),)
        if match := self.taken(_TEXT):
            return self.text_item(match[1] or match[2], ignores_case=match[2] is not None)
        if self.sign("."):
            return (_EVERY,)
        if self.sign("["):
            return (self.set_item(depth + 1),)
        if self.sign("\\"):
            letter = self.text[self.at : self.at + 1]
            if letter and (members := _SHORTHANDS.get(letter.lower())) is not None:
                if letter.isupper() and letter.lower() in "tnvfre":
                    raise self.wrong("an unknown shorthand")
                self.at = _end_of_blanks(self.text, self.at + 1)
                return (members if letter.islower() else _EVERY - members,)
            raise self.wrong("an unknown shorthand")
        raise self.wrong("something unknown")

    def text_item(self, text: str, *, ignores_case: bool) -> tuple[Bytes, ...]:
        try:
            octets = text.encode("latin-1")
        except UnicodeEncodeError:
            raise self.wrong("a text with letters of more than a byte before what stands") from None
        if not ignores_case:
            return tuple(frozenset([octet]) for octet in octets)
        return tuple(frozenset(bytes([octet]).lower() + bytes([octet]).upper()) for octet in octets)

    def set_item(self, depth: int) -> Bytes:
        members: Bytes = frozenset()
        while not self.sign("]"):
            if self.at == len(self.text):
                raise self.wrong("a [ without its ]")
            members = members.union(*self.item(depth))
        return members


def _end_of_blanks(text: str, at: int) -> int:
    match = _SKIPPED.match(text, at)
    return match.end() if match else at


def _has_all(byte: int, bits: int) -> bool:
    return byte & bits == bits


def _has_any(byte: int, bits: int) -> bool:
    return byte & bits != 0


def _class(members: Bytes) -> bytes:
    """A regular expression for one byte of several."""
    if len(members) == 256:
        return b"."
    if not members:
        return b"(?!)"
    return b"[%b]" % b"".join(b"\\x%02x" % byte for byte in sorted(members))
