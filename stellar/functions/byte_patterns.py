"""Patterns of byte sequences, searched in packets and other binary data."""

from __future__ import annotations

import re

from stellar.language.library import stellar
from stellar.language.literals import LiteralKind, check_strings
from stellar.util.memoize import memoize_for

_LONGEST = 65_536
_DEEPEST = 50
# A pattern has a fixed length, so a search takes at most this many steps per byte of data
_MOST_COMPARED = 512


def _validate(pattern: str) -> None:
    _compile(pattern)


BYTE_PATTERN = LiteralKind(check_strings(_validate), "see ?BYTEARRAY_MATCHER for the syntax")


@stellar("BYTEARRAY_MATCHER", pure=True, surplus="refuse", literals={"pattern": BYTE_PATTERN})
def bytearray_matcher(pattern: str | None, data: bytes | None) -> bool:
    """Test whether bytes contain a sequence that matches a byte pattern.

    Items of a pattern: `0d 0A` bytes in hexadecimal, `'GET'` a string, a string in backquotes regardless of case, `.`
    any byte, `30-39` and `'a'-'z'` ranges, `[00 'x' 30-39]` one of several, `&81` bytes with all of these bits, `~81`
    bytes with any of them; `^` inverts the next item; `00{4}` is a repetition; `\\\\d`, `\\\\s`, `\\\\w` and the like
    are digits, whitespace and word characters. Whitespace is ignored, and `#` starts a comment.

    pattern: The pattern
    data: The bytes
    returns: True if a sequence matches; false if an argument is null

        BYTEARRAY_MATCHER("'GET'", null)  // false
        BYTEARRAY_MATCHER(null, null)  // false
        BYTEARRAY_MATCHER("'GET'", 'GET /')  // error
    """
    return pattern is not None and data is not None and _compile(pattern).search(data) is not None


@memoize_for(512)
def _compile(pattern: str) -> re.Pattern[bytes]:
    parser = PatternParser(pattern)
    expression = parser.parse_sequence()
    if parser.length > _LONGEST:
        raise ValueError(f"byte pattern too long: it matches {parser.length} bytes, expected at most {_LONGEST}")
    return re.compile(expression, re.DOTALL)


Bytes = frozenset[int]

_EVERY: Bytes = frozenset(range(256))
_LOWERCASE, _UPPERCASE, _DIGITS = (frozenset(letters) for letters in (range(97, 123), range(65, 91), range(48, 58)))
_SHORTHANDS: dict[str, Bytes] = {
    **{letter: frozenset([code]) for letter, code in zip("tnvfre", (9, 10, 11, 12, 13, 27), strict=True)},
    "d": _DIGITS,
    "l": _LOWERCASE,
    "u": _UPPERCASE,
    "i": frozenset(range(128)),
    "s": frozenset(b"\t\n\r "),
    "w": _LOWERCASE | _UPPERCASE | _DIGITS | {ord("_")},
}
_SKIPPED = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_HEXADECIMAL = re.compile(r"[0-9a-fA-F]{2}")
_STRING = re.compile(r"'([^']+)'|`([^`]+)`")
_COUNT = re.compile(r"\{(\d{1,6})\}", re.ASCII)


class PatternParser:
    """A parser of one pattern.

    at: offset in the pattern
    length: number of bytes that the pattern matches so far
    size: number of those bytes that have to be compared
    """

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self.at = 0
        self.length = 0
        self.size = 0

    def error(self, problem: str) -> ValueError:
        return ValueError(f"invalid byte pattern {self.pattern[:60]!r}: {problem} at character {self.at + 1}")

    def match(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        """Match a regular expression at the offset, then skip whitespace and comments."""
        match = pattern.match(self.pattern, self.at)
        if match:
            self.at = _skip_whitespace(self.pattern, match.end())
        return match

    def skip_sign(self, sign: str) -> bool:
        return self.match(re.compile(re.escape(sign))) is not None

    def parse_sequence(self) -> bytes:
        """Return a regular expression for the whole pattern."""
        self.at = _skip_whitespace(self.pattern, 0)
        if self.at == len(self.pattern):
            raise self.error("the pattern is empty")
        parts = []
        while self.at < len(self.pattern):
            item = self.parse_item(0)
            count = int(match[1]) if (match := self.match(_COUNT)) else 1
            self.length += len(item) * count
            self.size += 1 if item == (_EVERY,) else len(item) * count
            if self.size > _MOST_COMPARED:
                raise self.error(f"more than {_MOST_COMPARED} bytes to compare")
            expression = b"".join(map(_byte_class, item))
            parts.append(expression if count == 1 else b"(?:%b){%d}" % (expression, count))
        return b"".join(parts)

    def parse_item(self, depth: int) -> tuple[Bytes, ...]:
        """Parse a byte, a range, a set or a string: the accepted bytes for each of its positions."""
        if depth > _DEEPEST:
            raise self.error("nested too deeply")
        if self.skip_sign("^"):
            inverted = self.parse_item(depth + 1)
            if len(inverted) != 1:
                raise self.error("cannot invert a string of several bytes")
            return (_EVERY - inverted[0],)
        for sign, test in (("&", _has_all), ("~", _has_any)):
            if self.skip_sign(sign):
                bits = self.require_byte(self.parse_item(depth + 1))
                return (frozenset(byte for byte in _EVERY if test(byte, bits)),)
        item = self.parse_simple_item(depth)
        if self.skip_sign("-"):
            first, last = sorted((self.require_byte(item), self.require_byte(self.parse_simple_item(depth))))
            return (frozenset(range(first, last + 1)),)
        return item

    def require_byte(self, item: tuple[Bytes, ...]) -> int:
        if len(item) == 1 and len(item[0]) == 1:
            return next(iter(item[0]))
        raise self.error("expected a single byte")

    def parse_simple_item(self, depth: int) -> tuple[Bytes, ...]:
        if match := self.match(_HEXADECIMAL):
            return (frozenset([int(match[0], 16)]),)
        if match := self.match(_STRING):
            return self.parse_string(match[1] or match[2], ignores_case=match[2] is not None)
        if self.skip_sign("."):
            return (_EVERY,)
        if self.skip_sign("["):
            return (self.parse_set(depth + 1),)
        if self.skip_sign("\\"):
            letter = self.pattern[self.at : self.at + 1]
            if letter and (members := _SHORTHANDS.get(letter.lower())) is not None:
                if letter.isupper() and letter.lower() in "tnvfre":
                    raise self.error("unknown shorthand")
                self.at = _skip_whitespace(self.pattern, self.at + 1)
                return (members if letter.islower() else _EVERY - members,)
            raise self.error("unknown shorthand")
        raise self.error("unexpected character")

    def parse_string(self, string: str, *, ignores_case: bool) -> tuple[Bytes, ...]:
        try:
            octets = string.encode("latin-1")
        except UnicodeEncodeError:
            raise self.error("a string with characters beyond Latin-1") from None
        if not ignores_case:
            return tuple(frozenset([octet]) for octet in octets)
        return tuple(frozenset(bytes([octet]).lower() + bytes([octet]).upper()) for octet in octets)

    def parse_set(self, depth: int) -> Bytes:
        members: Bytes = frozenset()
        while not self.skip_sign("]"):
            if self.at == len(self.pattern):
                raise self.error("unclosed [")
            members = members.union(*self.parse_item(depth))
        return members


def _skip_whitespace(pattern: str, at: int) -> int:
    match = _SKIPPED.match(pattern, at)
    return match.end() if match else at


def _has_all(byte: int, bits: int) -> bool:
    return byte & bits == bits


def _has_any(byte: int, bits: int) -> bool:
    return byte & bits != 0


def _byte_class(members: Bytes) -> bytes:
    """Return a regular expression that matches one of these bytes."""
    if len(members) == 256:
        return b"."
    if not members:
        return b"(?!)"
    return b"[%b]" % b"".join(b"\\x%02x" % byte for byte in sorted(members))
