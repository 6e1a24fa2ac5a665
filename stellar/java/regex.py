"""Java's regular expressions, translated for the `regex` package and matched in bounded time.

The translation writes out what the two read differently: what `.`, `^`, `$`, `\\w` and `\\s` stand for, classes with
`&&`, quotes, comments. What Java would not have is refused.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, TypeVar

T = TypeVar("T")
Replacement = str | Callable[[Any], str]

SECONDS_A_MATCH = 1.0
_REMEMBERED = 512
LONGEST_RUN = 100

_LINE_END = r"\n\r\x85\u2028\u2029"
_AT_LINE_END = rf"(?=(?:\r\n|[{_LINE_END}])?\Z)"
_AT_ANY_LINE_START = r"(?:\A|(?:(?<=[\n\x85\u2028\u2029])|(?<=\r)(?!\n))(?!\Z))"
_AT_ANY_LINE_END = r"(?:(?=[\r\x85\u2028\u2029]|\Z)|(?<!\r)(?=\n))"
_UNIX_LINE_START = r"(?:\A|(?<=\n)(?!\Z))"
_UNIX_LINE_END = r"(?=\n|\Z)"

# Classes, as they stand between brackets
_CLASSES = {
    "d": "0-9",
    "w": "a-zA-Z0-9_",
    "s": r"\ \t\n\x0b\f\r",
    "h": r"\ \t\xa0\u1680\u180e\u2000-\u200a\u202f\u205f\u3000",
    "v": r"\n\x0b\f\r\x85\u2028\u2029",
}
_PROPERTIES = {
    "Lower": "a-z",
    "Upper": "A-Z",
    "ASCII": r"\x00-\x7f",
    "Alpha": "a-zA-Z",
    "Digit": "0-9",
    "Alnum": "a-zA-Z0-9",
    "Punct": r"!-/:-@\[-`\{-~",
    "Graph": "!-~",
    "Print": r"\ -~",
    "Blank": r"\ \t",
    "Cntrl": r"\x00-\x1f\x7f",
    "XDigit": "0-9a-fA-F",
    "Space": r"\ \t\n\x0b\f\r",
    "javaLowerCase": r"\p{Lowercase}",
    "javaUpperCase": r"\p{Uppercase}",
    "javaWhitespace": r"\p{White_Space}",
    "javaAlphabetic": r"\p{Alphabetic}",
    "javaLetter": r"\p{L}",
    "javaDigit": r"\p{Nd}",
    "javaLetterOrDigit": r"\p{L}\p{Nd}",
    "IsWhite_Space": r"\p{White_Space}",
    "IsPunctuation": r"\p{P}",
}
_ESCAPES = {"t": "\t", "n": "\n", "r": "\r", "f": "\f", "a": "\a", "e": "\x1b"}
_ANCHORS = {"b": r"\b", "B": r"\B", "A": r"\A", "G": r"\G", "z": r"\Z", "Z": _AT_LINE_END, "X": r"\X"}
_LINE_BREAK = rf"(?>\r\n|[{_LINE_END}\x0b\f])"
_GROUP = re.compile(r"\(\?(?:(:|=|!|>|<=|<!)|<([a-zA-Z][a-zA-Z0-9]*)>|([idmsuxU]*)(?:-([idmsuxU]+))?([:)]))")
_REPEAT = re.compile(r"\{\d{1,9}(?:,\d{0,9})?\}")
_HEXADECIMAL = re.compile(r"x([0-9a-fA-F]{2})|x\{([0-9a-fA-F]{1,6})\}|u([0-9a-fA-F]{4})")
_OCTAL = re.compile(r"0([0-3][0-7]{2}|[0-7]{1,2})")
_PROPERTY = re.compile(r"[pP](?:\{(?:(?:gc|sc|script|blk|block|general_category)=)?([A-Za-z_ -]+)\}|([A-Z]))")
_DIGITS = re.compile(r"[1-9]\d*", re.ASCII)
_SPECIAL = frozenset("\\.^$*+?{}[]()|&-~#")


@lru_cache(_REMEMBERED)
def compiled(text: str) -> Any:
    """The compiled pattern of a Java regular expression.

    Raises ValueError, saying what is wrong, for what is none.
    """
    import regex  # loading it takes longer than loading the language

    translation = _Translation(text)
    try:
        pattern = translation.whole()
        # Java's letters have two cases only in ASCII, unless (?u) says otherwise; this package knows that of whole
        # patterns only, and then its properties are ASCII as well
        flags = regex.VERSION1 | (regex.ASCII if translation.ascii_cases else 0)
        return regex.compile(pattern, flags)
    except (regex.error, OverflowError) as error:
        raise ValueError(f"{text!r} is no regular expression: {error}") from error
    except RecursionError:
        raise ValueError("the regular expression is nested too deep") from None


@lru_cache(_REMEMBERED)
def whole(text: str) -> Callable[[str], Any]:
    """What matches whole texts by a Java regular expression. It raises ValueError when that takes more than a second.

    Raises ValueError, saying what is wrong, for what is no regular expression.
    """
    plain = _plain(text)
    if plain is None:
        return partial(in_time, compiled(text).fullmatch)
    quick, longest = plain.fullmatch, _harmless_length(text)

    def match(given: str) -> Any:
        if len(given) <= longest and given.isascii() and "\r" not in given:
            return quick(given)
        return in_time(compiled(text).fullmatch, given)

    return match


@lru_cache(_REMEMBERED)
def everywhere(text: str) -> Callable[[Replacement, str], str]:
    """What replaces each place where a Java regular expression matches. It raises ValueError as that of `whole`.

    A replacement is a text without a backslash, or what makes a text of a match.

    Raises ValueError, saying what is wrong, for what is no regular expression.
    """
    plain = _plain(text)
    if plain is None:
        return partial(_replaced_in_time, compiled(text))
    quick, longest = plain.sub, _harmless_length(text, anywhere=True)

    def replaced(replacement: Replacement, given: str) -> str:
        if len(given) <= longest and given.isascii() and "\r" not in given:
            return quick(replacement, given)
        return _replaced_in_time(compiled(text), replacement, given)

    return replaced


def _replaced_in_time(pattern: Any, replacement: Replacement, text: str) -> str:
    replaced: str = in_time(partial(pattern.sub, replacement), text)
    return replaced


def with_groups(text: str) -> Any:
    """A pattern with the `groups` and the `groupindex` of a Java regular expression.

    Raises ValueError as `compiled`.
    """
    return _plain(text) or compiled(text)


@lru_cache(_REMEMBERED)
def _plain(text: str) -> re.Pattern[str] | None:
    """The pattern for the standard library, which is quicker by far, but can't be told to stop.

    It means the same for texts of ASCII without carriage returns. None for what can't be had so.
    """
    if _INTRICATE.search(text):
        return None
    translation = _Translation(text, ".")
    pattern = translation.whole()
    if not pattern.isascii() or _NESTED_CLASS.search(pattern):
        return None
    try:
        return re.compile(pattern, re.ASCII if translation.ascii_cases else 0)
    except (re.error, OverflowError, RecursionError):
        return None


# Repeated groups, references back, all that begins with (? but groups and flags, and what hides any of these
_INTRICATE = re.compile(r"\)(?:[*+{]|\?[+?])|\\[1-9kQE]|\(\?(?!:|<[a-zA-Z]|[idmsu]+[:)])")
_NESTED_CLASS = re.compile(r"\[\^?(?:[^\]\\\[]|\\.)*\[", re.DOTALL)
_MOST_STEPS = 500_000_000


def _harmless_length(text: str, *, anywhere: bool = False) -> int:
    """Up to which length a text can be matched in a fraction of a second, however unlucky, if no group repeats.

    The repetitions of a pattern share the characters of a text among them, for which there are about length**n / n!
    ways; an option doubles these, and alternatives multiply them, the most where all groups have as many.
    """
    repetitions = max(1, sum(map(text.count, "*+{")) + anywhere)
    groups = text.count("(") + 1
    ways = math.log(_MOST_STEPS / (20 + len(text)))
    ways -= text.count("?") * math.log(2) + groups * math.log1p(text.count("|") / groups)
    return int(math.exp((ways + math.lgamma(repetitions + 1)) / repetitions)) - repetitions


def in_time(match: Callable[..., T], text: str) -> T:
    """Match a text by one of a compiled pattern's methods.

    Raises ValueError when it takes more than a second.
    """
    try:
        return match(text, timeout=SECONDS_A_MATCH)
    except TimeoutError:
        raise ValueError(f"the regular expression needs more than {SECONDS_A_MATCH:g} s for this text") from None


class _Translation:
    """The work on one pattern. `at` is the place in its text, `flags` are those that hold there."""

    def __init__(self, text: str, any_character: str = f"[^{_LINE_END}]") -> None:
        """any_character: what `.` stands for"""
        self.text = text
        self.any_character = any_character
        self.at = 0
        self.flags: frozenset[str] = frozenset()
        self.groups = 0
        self.names: set[str] = set()
        self.ignores_case = False
        self.needs_unicode = False

    @property
    def ascii_cases(self) -> bool:
        return self.ignores_case and not self.needs_unicode

    def whole(self) -> str:
        made: list[str] = []
        outer: list[frozenset[str]] = []
        literals = 0
        while self.at < len(self.text):
            character = self.text[self.at]
            if character == "(":
                outer.append(self.flags)
                opening = self.group()
                if not opening.startswith("("):  # flags for the rest of the group that we are in
                    outer.pop()
                    opening = opening[1:]
                made.append(opening)
            elif character == ")":
                if not outer:
                    raise self.wrong("a ) without its (")
                self.flags = outer.pop()
                self.at += 1
                made.append(")")
            else:
                made.append(self.atom(character))
            # A long run of letters that repeat takes the package minutes, and no time-out ends it; a group ends the run
            literals = literals + 1 if _is_literal(made[-1]) else 0
            if literals == LONGEST_RUN:
                made[-1], literals = f"(?>{made[-1]})", 0
        if outer:
            raise self.wrong("a ( without its )")
        return "".join(made)

    def wrong(self, what: str) -> ValueError:
        return ValueError(f"{self.text!r} is no regular expression: {what} at character {self.at + 1}")

    def group(self) -> str:
        """What opens a group; after a > the flags that hold from here on in the group that we are in."""
        if not self.text.startswith("(?", self.at):
            self.at += 1
            self.groups += 1
            return "("
        match = _GROUP.match(self.text, self.at)
        if match is None:
            raise self.wrong("an unknown kind of group")
        self.at = match.end()
        kind, name, on, off, end = match.groups()
        if kind:
            return f"(?{kind}"
        if name:
            if name in self.names:
                raise self.wrong(f"a second group named {name}")
            self.names.add(name)
            self.groups += 1
            return f"(?P<{name}>"
        self.flags = (self.flags | set(on)) - set(off or "")
        self.ignores_case |= "i" in on
        self.needs_unicode |= "u" in on or "U" in on
        case = "i" if "i" in self.flags else "-i"
        return f"(?{case}:" if end == ":" else f">(?{case})"

    def atom(self, character: str) -> str:
        if character == "\\":
            return self.escape()
        if character == "[":
            return self.character_class()
        if character == "{":
            match = _REPEAT.match(self.text, self.at)
            if match is None or self.at == 0:
                raise self.wrong("a { that is no repetition")
            self.at = match.end()
            return match[0]
        self.at += 1
        if "x" in self.flags and (character.isspace() or character == "#"):
            return self.comment(character)
        if character in "*+?|":
            return character
        return self.simple(character)

    def simple(self, character: str) -> str:
        lines, unix = "m" in self.flags, "d" in self.flags
        if character == ".":
            return "(?s:.)" if "s" in self.flags else r"[^\n]" if unix else self.any_character
        if character == "^":
            return (_UNIX_LINE_START if unix else _AT_ANY_LINE_START) if lines else r"\A"
        if character == "$":
            if lines:
                return _UNIX_LINE_END if unix else _AT_ANY_LINE_END
            return r"(?=\n?\Z)" if unix else _AT_LINE_END
        return _literal(character)

    def comment(self, character: str) -> str:
        if character == "#":
            end = self.text.find("\n", self.at)
            self.at = len(self.text) if end < 0 else end
        return ""

    def escape(self) -> str:
        """What a backslash outside a class makes of what follows it."""
        if (quoted := self.quoted()) is not None:
            return "".join(map(_literal, quoted))
        letter = self.text[self.at + 1 : self.at + 2]
        if digits := _DIGITS.match(self.text, self.at + 1):
            return self.back_reference(digits[0])
        if letter == "k":
            return self.named_reference()
        if letter in _ANCHORS:
            self.at += 2
            self.needs_unicode |= letter in "bB"
            return _ANCHORS[letter]
        if letter == "R":
            self.at += 2
            return _LINE_BREAK
        if (members := self.class_escape()) is not None:
            return members if members.startswith("[") else f"[{members}]"
        return _literal(self.escaped_character())

    def quoted(self) -> str | None:
        if not self.text.startswith("\\Q", self.at):
            return None
        start = self.at + 2
        end = self.text.find("\\E", start)
        self.at = len(self.text) if end < 0 else end + 2
        return self.text[start : None if end < 0 else end]

    def back_reference(self, digits: str) -> str:
        # As many digits as make a group that there is, but one at least
        while len(digits) > 1 and int(digits) > self.groups:
            digits = digits[:-1]
        self.at += 1 + len(digits)
        return rf"(?:\{digits})" if int(digits) <= self.groups else "(?!)"

    def named_reference(self) -> str:
        match = re.compile(r"\\k<([a-zA-Z][a-zA-Z0-9]*)>").match(self.text, self.at)
        if match is None:
            raise self.wrong(r"\k without <name>")
        self.at = match.end()
        return f"(?P={match[1]})"

    def class_escape(self) -> str | None:
        r"""The members of a class such as `\d` or `\p{Alpha}`, as they stand between brackets."""
        letter = self.text[self.at + 1 : self.at + 2]
        if letter and letter.lower() in _CLASSES:
            self.at += 2
            if "U" in self.flags and letter in "dwsDWS":
                return f"\\{letter}"
            members = _CLASSES[letter.lower()]
            return members if letter.islower() else f"[^{members}]"
        match = _PROPERTY.match(self.text, self.at + 1)
        if match is None:
            return None
        name = match[1] or match[2]
        self.at = match.end()
        members = _PROPERTIES.get(name, "") or f"\\p{{{name.removeprefix('Is') or name}}}"
        self.needs_unicode |= "\\p" in members
        return members if letter == "p" else f"[^{members}]"

    def escaped_character(self) -> str:
        """The character that a backslash and what follows it stand for."""
        rest = self.at + 1
        letter = self.text[rest : rest + 1]
        self.at += 2
        if match := _HEXADECIMAL.match(self.text, rest):
            self.at = match.end()
            code = int(match[1] or match[2] or match[3], 16)
            if code > 0x10FFFF:
                raise self.wrong("a character that does not exist")
            return chr(code)
        if match := _OCTAL.match(self.text, rest):
            self.at = match.end()
            return chr(int(match[1], 8))
        if letter == "c" and rest + 1 < len(self.text):
            self.at += 1
            return chr(ord(self.text[rest + 1]) ^ 64)
        if letter in _ESCAPES:
            return _ESCAPES[letter]
        if not letter or (letter.isascii() and letter.isalnum()):
            raise self.wrong("an unknown escape")
        return letter

    def character_class(self) -> str:
        """A class in brackets, and the classes in it."""
        self.at += 1
        negated = self.text.startswith("^", self.at)
        self.at += negated
        operands: list[str] = []
        members: list[str] = []
        start = self.at
        while True:
            if self.at >= len(self.text):
                raise self.wrong("a [ without its ]")
            if self.text[self.at] == "]" and self.at > start:
                break
            if self.text.startswith("&&", self.at):
                operands.append("".join(members))
                members = []
                while self.text.startswith("&", self.at):
                    self.at += 1
            else:
                members.append(self.member())
        self.at += 1
        operands.append("".join(members))
        sets = [f"[{operand}]" for operand in operands if operand]
        if not sets:
            raise self.wrong("an empty class")
        inner = sets[0][1:-1] if len(sets) == 1 else "&&".join(sets)
        return f"[{'^' * negated}{inner}]"

    def member(self) -> str:
        """A character, a range or a class within a class."""
        if self.text[self.at] == "[":
            return self.character_class()
        if self.text[self.at] == "\\":
            if (quoted := self.quoted()) is not None:
                return "".join(map(_literal, quoted))
            if (members := self.class_escape()) is not None:
                return members
        if "x" in self.flags and (self.text[self.at].isspace() or self.text[self.at] == "#"):
            self.at += 1
            return self.comment(self.text[self.at - 1])
        first = self.character()
        following = self.text[self.at + 1 : self.at + 2]
        if not self.text.startswith("-", self.at) or following in ("", "[", "]"):
            return _literal(first)
        self.at += 1
        last = self.character()
        if last < first:
            raise self.wrong("a range that runs backwards")
        return f"{_literal(first)}-{_literal(last)}"

    def character(self) -> str:
        if self.text[self.at] == "\\":
            return self.escaped_character()
        self.at += 1
        return self.text[self.at - 1]


def _is_literal(piece: str) -> bool:
    """Whether a piece of a translation stands for one character."""
    escaped = len(piece) == 2 and piece[0] == "\\" and not piece[1].isalnum()
    return escaped or (len(piece) == 1 and piece not in "*+?|()")


def _literal(character: str) -> str:
    return f"\\{character}" if character in _SPECIAL else character
