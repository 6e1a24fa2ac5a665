"""Escapes and character classes of Java's regular expressions, for the `regex` package and for the standard library."""

from __future__ import annotations

import re
import unicodedata

from stellar.java.regex_properties import find_property
from stellar.util.abbreviate import quote

# Members of character classes, as written between brackets
_CLASSES = {
    "d": "0-9",
    "w": "a-zA-Z0-9_",
    "s": r"\ \t\n\x0b\f\r",
    "h": r"\ \t\xa0\u1680\u180e\u2000-\u200a\u202f\u205f\u3000",
    "v": r"\n\x0b\f\r\x85\u2028\u2029",
}
_ESCAPES = {"t": "\t", "n": "\n", "r": "\r", "f": "\f", "a": "\a", "e": "\x1b"}
_HEXADECIMAL = re.compile(r"x([0-9a-fA-F]{2})|x\{([0-9a-fA-F]{1,6})\}|u([0-9a-fA-F]{4})")
_LOW_SURROGATE = re.compile(r"\\u(d[c-f][0-9a-f]{2})", re.IGNORECASE | re.ASCII)
_OCTAL = re.compile(r"0([0-3][0-7]{2}|[0-7]{1,2})")
_PROPERTY = re.compile(r"[pP](?:\{([^}]*)\}|(.))", re.DOTALL)
_CHARACTER_NAME = re.compile(r"N\{([^}]+)\}")
_SPECIAL = frozenset("\\.^$*+?{}[]()|&-~#:")
_LETTERS = (range(ord("A"), ord("Z") + 1), range(ord("a"), ord("z") + 1))
# Characters whose lowercase and uppercase forms the package compares differently from Java
DOTTED = "Iiİı"
ALONE = frozenset("ßΐΰ\u1fd3\u1fe3ﬅﬆ")
# Characters that the package does not compare with themselves if it ignores the case of ASCII letters only
FOLDED = "ſ\u212a"


class InvalidPattern(ValueError):
    """An invalid regular expression.

    problem: the error without the expression
    position: the offset of the error
    """

    def __init__(self, expression: str, problem: str, position: int = 0) -> None:
        super().__init__(f"invalid regular expression {quote(expression)}: {problem}")
        self.problem, self.position = problem, position


class ClassTranslation:
    """The position in an expression, and the translation of its escapes and classes.

    at: current offset in the source, which is the expression without quotes
    flags: flags in effect at this offset
    needs_unicode: True if the flag regex.ASCII would change the meaning of a property, a boundary or a character
    """

    def __init__(self, expression: str, *, plain: bool, expands_cases: bool) -> None:
        self.expression = expression
        self.plain, self.expands_cases = plain, expands_cases
        self.source, self.offsets = _remove_quotes(expression)
        self.at = 0
        self.flags: frozenset[str] = frozenset()
        self.needs_unicode = False

    def is_at_end(self) -> bool:
        """Skip comments. Return True at the end of the expression."""
        while "x" in self.flags and self.at < len(self.source):
            if self.source[self.at] == "#":
                end = self.source.find("\n", self.at)
                self.at = len(self.source) if end < 0 else end
            elif not self.source[self.at].isspace():
                break
            else:
                self.at += 1
        return self.at >= len(self.source)

    def error(self, problem: str) -> InvalidPattern:
        at = self.offsets[min(self.at, len(self.offsets) - 1)] if self.offsets else self.at
        return InvalidPattern(self.expression, f"{problem} at character {at + 1}", at)

    @property
    def cases(self) -> str | None:
        """The letters whose case is ignored: `ascii`, `unicode`, or None."""
        if "i" not in self.flags:
            return None
        return "ascii" if self.flags.isdisjoint("uU") else "unicode"

    # -- Escapes ------------------------------------------------------------------------------------------------------

    def class_escape(self) -> str | None:
        r"""Return the members of a class such as `\d` or `\p{Alpha}`, for use between brackets."""
        letter = self.source[self.at + 1 : self.at + 2]
        if letter and letter.lower() in _CLASSES:
            self.at += 2
            if "U" in self.flags and letter in "dwsDWS":
                return f"\\{letter}"
            members = _CLASSES[letter.lower()]
            return members if letter.islower() else f"[^{members}]"
        match = _PROPERTY.match(self.source, self.at + 1)
        if match is None:
            return None
        name = match[2] if match[1] is None else match[1]
        found = find_property(name, ignore_case=self.cases is not None, unicode_classes="U" in self.flags)
        if found is None:
            raise self.error(f"unknown property {quote(name)}")
        self.at = match.end()
        self.needs_unicode |= "\\p" in found or "\\P" in found
        return found if letter == "p" else f"[^{found}]"

    def read_escape(self) -> str:
        """Return the character of an escape."""
        rest = self.at + 1
        letter = self.source[rest : rest + 1]
        if match := _HEXADECIMAL.match(self.source, rest):
            return self.read_code_point(match)
        if match := _OCTAL.match(self.source, rest):
            self.at = match.end()
            return chr(int(match[1], 8))
        if match := _CHARACTER_NAME.match(self.source, rest):
            return self.read_name(match)
        self.at += 2
        if letter == "c" and self.at < len(self.source):
            self.at += 1
            return chr(ord(self.source[rest + 1]) ^ 64)
        if letter in _ESCAPES:
            return _ESCAPES[letter]
        if not letter or (letter.isascii() and letter.isalnum()):
            raise self.error("unknown escape")
        return letter

    def read_code_point(self, match: re.Match[str]) -> str:
        code = int(match[1] or match[2] or match[3], 16)
        if code > 0x10FFFF:
            raise self.error("invalid code point")
        self.at = match.end()
        if match[3] and 0xD800 <= code < 0xDC00 and (low := _LOW_SURROGATE.match(self.source, self.at)):
            self.at = low.end()
            return chr(0x10000 + (code - 0xD800) * 0x400 + int(low[1], 16) - 0xDC00)
        return chr(code)

    def read_name(self, match: re.Match[str]) -> str:
        try:
            character = unicodedata.lookup(match[1])
        except KeyError:
            raise self.error(f"unknown name of a character, {quote(match[1])}") from None
        self.at = match.end()
        return character

    # -- Classes ------------------------------------------------------------------------------------------------------

    def character_class(self, *, is_nested: bool) -> str:
        """Translate a class after its opening bracket.

        is_nested: False for a right operand of `&&`, which ends before the closing bracket of the class around it
        """
        negated = is_nested and self.source.startswith("^", self.at)
        self.at += negated
        members: list[str] = []
        while True:
            if self.is_at_end():
                raise self.error("unclosed [")
            if self.source[self.at] == "]" and members:
                self.at += is_nested
                return f"[{'^' * negated}{''.join(members)}]"
            if self.source.startswith("&&", self.at):
                self.at += 2
                members = self.intersect(members)
            else:
                members.append(self.member())

    def intersect(self, left: list[str]) -> list[str]:
        """Translate the right operand of `&&`. Without one, Java ignores it if there is a left operand."""
        right: list[str] = []
        while not self.is_at_end() and self.source[self.at] not in "]&":
            is_nested = self.source[self.at] == "["
            self.at += is_nested
            right.append(self.character_class(is_nested=is_nested))
        if not left and not right:
            raise self.error("empty class")
        return [f"[[{''.join(left)}]&&[{''.join(right)}]]"] if left and right else left or right

    def member(self) -> str:
        """Translate a character, a range or a class within a class."""
        if self.source[self.at] == "[":
            self.at += 1
            return self.character_class(is_nested=True)
        if self.source[self.at] == "\\" and (members := self.class_escape()) is not None:
            return members
        first = last = self.read_character()
        following = self.source[self.at + 1 : self.at + 2]
        if not self.is_at_end() and self.source[self.at] == "-" and following not in ("", "[", "]"):
            self.at += 1
            last = self.read_character()
            if last < first:
                raise self.error("reversed range")
        return self.range(first, last)

    def range(self, first: str, last: str) -> str:
        """Translate a range of characters, which may be a single one."""
        members = escape_literal(first) if first == last else f"{escape_literal(first)}-{escape_literal(last)}"
        if self.cases == "unicode" and not self.plain and any(first <= letter <= last for letter in DOTTED):
            return members + DOTTED
        if self.cases == "ascii":
            self.needs_unicode |= any(first <= letter <= last for letter in FOLDED)
            if self.expands_cases:
                return members + "".join(_other_cases(ord(first), ord(last)))
        return members

    def read_character(self) -> str:
        """Return the next character of a class."""
        if self.source[self.at] == "\\":
            return self.read_escape()
        self.at += 1
        return self.source[self.at - 1]


def _remove_quotes(expression: str) -> tuple[str, list[int]]:
    r"""Replace `\Q…\E` by escapes, as Java does before it parses an expression.

    Return the result, and the offset in the expression of each of its characters; none if there are no quotes.
    """
    if "\\Q" not in expression:
        return expression, []
    pieces: list[tuple[str, int]] = []
    at, is_quoted = 0, False
    while at < len(expression):
        escape = expression[at : at + 2]
        if escape == ("\\E" if is_quoted else "\\Q"):
            is_quoted = not is_quoted
            at += 2
        elif is_quoted:
            pieces.append((_quote(expression[at], expression[at - 2 : at] == "\\Q"), at))
            at += 1
        else:
            width = 2 if escape[0] == "\\" else 1
            pieces.append((expression[at : at + width], at))
            at += width
    source = "".join(piece for piece, _ in pieces)
    return source, [offset for piece, offset in pieces for _ in piece]


def _quote(character: str, is_first: bool) -> str:
    """Return the escape of a quoted character. A digit at the beginning must not continue a back reference."""
    if is_first and character.isascii() and character.isdigit():
        return f"\\x3{character}"
    return character if character.isalnum() or not character.isascii() else f"\\{character}"


def _other_cases(first: int, last: int) -> list[str]:
    """Return the ranges of the ASCII letters whose other case is in a range."""
    ranges = []
    for letters in _LETTERS:
        start, end = max(first, letters.start), min(last, letters.stop - 1)
        if start <= end:
            ranges.append(f"{chr(start ^ 32)}-{chr(end ^ 32)}")
    return ranges


def escape_literal(character: str) -> str:
    """Return a character as it is written in a pattern, inside and outside of classes."""
    return f"\\{character}" if character in _SPECIAL else character
