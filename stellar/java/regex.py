"""Java's regular expressions, translated for the `regex` package and matched in bounded time.

The translation replaces syntax that the two interpret differently: `.`, `^`, `$`, `\\w`, `\\s`, classes with `&&`,
quotes and comments. Syntax that Java rejects is rejected.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Container
from functools import lru_cache, partial
from typing import Any, TypeVar

from stellar.util.abbreviate import quote

T = TypeVar("T")
Replacement = str | Callable[[Any], str]

TIMEOUT_MS = 1000
_CACHED_PATTERNS = 512
MAX_LITERAL_RUN = 100

_LINE_END = r"\n\r\x85\u2028\u2029"
_AT_LINE_END = rf"(?=(?:\r\n|[{_LINE_END}])?\Z)"
_AT_ANY_LINE_START = r"(?:\A|(?:(?<=[\n\x85\u2028\u2029])|(?<=\r)(?!\n))(?!\Z))"
_AT_ANY_LINE_END = r"(?:(?=[\r\x85\u2028\u2029]|\Z)|(?<!\r)(?=\n))"
_UNIX_LINE_START = r"(?:\A|(?<=\n)(?!\Z))"
_UNIX_LINE_END = r"(?=\n|\Z)"

# Members of character classes, as written between brackets
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
_GROK_GROUP = re.compile(_GROUP.pattern.replace("[a-zA-Z][a-zA-Z0-9]*", "[^!=>()][^>()]*"))
_BACK_REFERENCE = re.compile(r"\\[1-9k]")
_REPEAT = re.compile(r"\{\d{1,9}(?:,\d{0,9})?\}")
_HEXADECIMAL = re.compile(r"x([0-9a-fA-F]{2})|x\{([0-9a-fA-F]{1,6})\}|u([0-9a-fA-F]{4})")
_OCTAL = re.compile(r"0([0-3][0-7]{2}|[0-7]{1,2})")
_PROPERTY = re.compile(r"[pP](?:\{(?:(?:gc|sc|script|blk|block|general_category)=)?([A-Za-z_ -]+)\}|([A-Z]))")
_NAMED_REFERENCE = re.compile(r"\\k<([^>]+)>")
_DIGITS = re.compile(r"[1-9]\d*", re.ASCII)
_SPECIAL = frozenset("\\.^$*+?{}[]()|&-~#")


class InvalidPattern(ValueError):
    """An invalid regular expression.

    problem: the error without the expression
    position: the offset of the error
    """

    def __init__(self, expression: str, problem: str, position: int = 0) -> None:
        super().__init__(f"invalid regular expression {quote(expression)}: {problem}")
        self.problem, self.position = problem, position


@lru_cache(_CACHED_PATTERNS)
def compile_pattern(expression: str) -> Any:
    """Compile a Java regular expression to a pattern of the `regex` package.

    Raises InvalidPattern.
    """
    return _compile(_Translation(expression))


def compile_grok(expression: str, unread: Container[str] = ()) -> tuple[Any, dict[str, int]]:
    """Compile the regular expression of a Grok pattern. Return it with the number of each named group.

    Group names may be any string without angle brackets and parentheses, and may be repeated, as in the library that
    Metron's Grok parser uses. A repeated name means the first of its groups.

    unread: the named groups whose matches nobody reads

    Raises InvalidPattern.
    """
    translation = _GrokTranslation(expression, unread)
    return _compile(translation), translation.numbers


def search(pattern: Any, string: str, timeout_ms: int = TIMEOUT_MS) -> Any:
    """Return the first match in a string, or None. Raises TimeoutError if it takes too long."""
    return pattern.search(string, timeout=timeout_ms / 1000)


def is_full_match(pattern: Any, string: str) -> bool:
    """Return True if the whole string matches. Raises TimeoutError if it takes too long."""
    return pattern.fullmatch(string, timeout=TIMEOUT_MS / 1000) is not None


def _compile(translation: _Translation) -> Any:
    import regex  # importing it takes longer than importing the language

    expression = translation.expression
    try:
        pattern = translation.translate()
        # Java ignores the case of ASCII letters only, unless (?u) is set. This package has that flag for whole patterns
        # only, where it restricts properties as well
        flags = regex.VERSION1 | (regex.ASCII if translation.ascii_cases else 0)
        return regex.compile(pattern, flags)
    except (regex.error, OverflowError) as error:
        raise InvalidPattern(expression, str(error)) from error
    except RecursionError:
        raise InvalidPattern(expression, "it nests too deep") from None


@lru_cache(_CACHED_PATTERNS)
def compile_matcher(expression: str) -> Callable[[str], Any]:
    """Return a function that matches whole strings, and raises ValueError if that takes more than a second.

    Raises ValueError for an invalid expression.
    """
    plain = _compile_plain(expression)
    if plain is None:
        return partial(match_in_time, compile_pattern(expression).fullmatch)
    quick, longest = plain.fullmatch, _harmless_length(expression)

    def match(string: str) -> Any:
        if len(string) <= longest and string.isascii() and "\r" not in string:
            return quick(string)
        return match_in_time(compile_pattern(expression).fullmatch, string)

    return match


@lru_cache(_CACHED_PATTERNS)
def compile_replacer(expression: str) -> Callable[[Replacement, str], str]:
    """Return a function that replaces all matches, and raises ValueError if that takes more than a second.

    Its arguments are the replacement and the string. A replacement is a string without backslashes, or a function that
    returns the string for a match.

    Raises ValueError for an invalid expression.
    """
    plain = _compile_plain(expression)
    if plain is None:
        return partial(_replace_in_time, compile_pattern(expression))
    quick, longest = plain.sub, _harmless_length(expression, anywhere=True)

    def replace(replacement: Replacement, string: str) -> str:
        if len(string) <= longest and string.isascii() and "\r" not in string:
            return quick(replacement, string)
        return _replace_in_time(compile_pattern(expression), replacement, string)

    return replace


def _replace_in_time(pattern: Any, replacement: Replacement, string: str) -> str:
    result: str = match_in_time(partial(pattern.sub, replacement), string)
    return result


def compile_for_groups(expression: str) -> Any:
    """Return a pattern with the `groups` and the `groupindex` of a Java regular expression.

    Raises ValueError for an invalid expression.
    """
    return _compile_plain(expression) or compile_pattern(expression)


@lru_cache(_CACHED_PATTERNS)
def _compile_plain(expression: str) -> re.Pattern[str] | None:
    """Compile an expression for the standard library, which is much faster, but has no time-out.

    The pattern has the same meaning for ASCII strings without carriage returns. None for expressions for which this is
    impossible, or unsafe.
    """
    if _COMPLEX.search(expression):
        return None
    translation = _Translation(expression, ".")
    pattern = translation.translate()
    if not pattern.isascii() or _NESTED_CLASS.search(pattern):
        return None
    try:
        return re.compile(pattern, re.ASCII if translation.ascii_cases else 0)
    except (re.error, OverflowError, RecursionError):
        return None


# Repeated groups, back references, look-around and atomic groups, and quotes, which may hide any of these
_COMPLEX = re.compile(r"\)(?:[*+{]|\?[+?])|\\[1-9kQE]|\(\?(?!:|<[a-zA-Z]|[idmsu]+[:)])")
_NESTED_CLASS = re.compile(r"\[\^?(?:[^\]\\\[]|\\.)*\[", re.DOTALL)
_MOST_STEPS = 500_000_000


def _harmless_length(expression: str, *, anywhere: bool = False) -> int:
    """Return the length up to which any string is matched in a fraction of a second, if no group is repeated.

    n repetitions can divide a string in about length**n / n! ways. An optional item doubles them, and alternatives
    multiply them, at most if they are distributed evenly over the groups.
    """
    repetitions = max(1, sum(map(expression.count, "*+{")) + anywhere)
    groups = expression.count("(") + 1
    ways = math.log(_MOST_STEPS / (20 + len(expression)))
    ways -= expression.count("?") * math.log(2) + groups * math.log1p(expression.count("|") / groups)
    return int(math.exp((ways + math.lgamma(repetitions + 1)) / repetitions)) - repetitions


def match_in_time(match: Callable[..., T], string: str) -> T:
    """Call a method of a compiled pattern with a string.

    Raises ValueError if it takes more than a second.
    """
    try:
        return match(string, timeout=TIMEOUT_MS / 1000)
    except TimeoutError:
        raise ValueError(f"the regular expression needs more than {TIMEOUT_MS / 1000:g} s for this string") from None


class _Translation:
    """The translation of one expression.

    at: current offset in the expression
    flags: flags in effect at this offset
    """

    opening = _GROUP  # matches the opening of a group

    def __init__(self, expression: str, any_character: str = f"[^{_LINE_END}]") -> None:
        """Begin a translation.

        any_character: the translation of `.`
        """
        self.expression = expression
        self.any_character = any_character
        self.at = 0
        self.flags: frozenset[str] = frozenset()
        self.groups = 0
        self.names: set[str] = set()
        self.ignores_case = False
        self.needs_unicode = False

    @property
    def ascii_cases(self) -> bool:
        """True if the flag regex.ASCII gives the meaning of Java."""
        return self.ignores_case and not self.needs_unicode

    def translate(self) -> str:
        """Return the expression for the `regex` package."""
        result: list[str] = []
        outer: list[frozenset[str]] = []
        literals = 0
        while self.at < len(self.expression):
            character = self.expression[self.at]
            if character == "(":
                outer.append(self.flags)
                opening = self.group()
                if not opening.startswith("("):  # flags for the rest of the enclosing group
                    outer.pop()
                    opening = opening[1:]
                result.append(opening)
            elif character == ")":
                if not outer:
                    raise self.error("unopened )")
                self.flags = outer.pop()
                self.at += 1
                result.append(")")
            else:
                result.append(self.atom(character))
            # The package needs minutes for a long run of repeating characters, without time-out; a group splits the run
            literals = literals + 1 if _is_literal(result[-1]) else 0
            if literals == MAX_LITERAL_RUN:
                result[-1], literals = f"(?>{result[-1]})", 0
        if outer:
            raise self.error("unclosed (")
        return "".join(result)

    def error(self, problem: str) -> InvalidPattern:
        return InvalidPattern(self.expression, f"{problem} at character {self.at + 1}", self.at)

    def group(self) -> str:
        """Translate the opening of a group; `>` precedes flags for the rest of the enclosing group."""
        if not self.expression.startswith("(?", self.at):
            self.at += 1
            return self.open_group(None)
        match = self.opening.match(self.expression, self.at)
        if match is None:
            raise self.error("unknown kind of group")
        self.at = match.end()
        kind, name, on, off, end = match.groups()
        if kind:
            return f"(?{kind}"
        if name:
            return self.open_group(name)
        self.flags = (self.flags | set(on)) - set(off or "")
        self.ignores_case |= "i" in on
        self.needs_unicode |= "u" in on or "U" in on
        case = "i" if "i" in self.flags else "-i"
        return f"(?{case}:" if end == ":" else f">(?{case})"

    def open_group(self, name: str | None) -> str:
        """Translate the opening of a capturing group, which may have a name."""
        if name in self.names:
            raise self.error(f"duplicate group name {name}")
        self.groups += 1
        if name is None:
            return "("
        self.names.add(name)
        return f"(?P<{name}>"

    def refer_to(self, name: str) -> str:
        """Translate a back reference to a named group."""
        return f"(?P={name})"

    def atom(self, character: str) -> str:
        if character == "\\":
            return self.escape()
        if character == "[":
            return self.character_class()
        if character == "{":
            match = _REPEAT.match(self.expression, self.at)
            if match is None or self.at == 0:
                raise self.error("invalid repetition")
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
            end = self.expression.find("\n", self.at)
            self.at = len(self.expression) if end < 0 else end
        return ""

    def escape(self) -> str:
        """Translate an escape outside of a class."""
        if (quoted := self.read_quoted()) is not None:
            return "".join(map(_literal, quoted))
        letter = self.expression[self.at + 1 : self.at + 2]
        if digits := _DIGITS.match(self.expression, self.at + 1):
            return self.back_reference(digits[0])
        if letter == "k":
            return self.reference_by_name()
        if letter in _ANCHORS:
            self.at += 2
            self.needs_unicode |= letter in "bB"
            return _ANCHORS[letter]
        if letter == "R":
            self.at += 2
            return _LINE_BREAK
        if (members := self.class_escape()) is not None:
            return members if members.startswith("[") else f"[{members}]"
        return _literal(self.read_escape())

    def read_quoted(self) -> str | None:
        if not self.expression.startswith("\\Q", self.at):
            return None
        start = self.at + 2
        end = self.expression.find("\\E", start)
        self.at = len(self.expression) if end < 0 else end + 2
        return self.expression[start : None if end < 0 else end]

    def back_reference(self, digits: str) -> str:
        # At least one digit, and as many as form the number of an existing group
        while len(digits) > 1 and int(digits) > self.groups:
            digits = digits[:-1]
        self.at += 1 + len(digits)
        return rf"(?:\{digits})" if int(digits) <= self.groups else "(?!)"

    def reference_by_name(self) -> str:
        match = _NAMED_REFERENCE.match(self.expression, self.at)
        if match is None:
            raise self.error(r"\k without <name>")
        reference = self.refer_to(match[1])
        self.at = match.end()
        return reference

    def class_escape(self) -> str | None:
        r"""Return the members of a class such as `\d` or `\p{Alpha}`, for use between brackets."""
        letter = self.expression[self.at + 1 : self.at + 2]
        if letter and letter.lower() in _CLASSES:
            self.at += 2
            if "U" in self.flags and letter in "dwsDWS":
                return f"\\{letter}"
            members = _CLASSES[letter.lower()]
            return members if letter.islower() else f"[^{members}]"
        match = _PROPERTY.match(self.expression, self.at + 1)
        if match is None:
            return None
        name = match[1] or match[2]
        self.at = match.end()
        members = _PROPERTIES.get(name, "") or f"\\p{{{name.removeprefix('Is') or name}}}"
        self.needs_unicode |= "\\p" in members
        return members if letter == "p" else f"[^{members}]"

    def read_escape(self) -> str:
        """Return the character of an escape."""
        rest = self.at + 1
        letter = self.expression[rest : rest + 1]
        self.at += 2
        if match := _HEXADECIMAL.match(self.expression, rest):
            self.at = match.end()
            code = int(match[1] or match[2] or match[3], 16)
            if code > 0x10FFFF:
                raise self.error("invalid code point")
            return chr(code)
        if match := _OCTAL.match(self.expression, rest):
            self.at = match.end()
            return chr(int(match[1], 8))
        if letter == "c" and rest + 1 < len(self.expression):
            self.at += 1
            return chr(ord(self.expression[rest + 1]) ^ 64)
        if letter in _ESCAPES:
            return _ESCAPES[letter]
        if not letter or (letter.isascii() and letter.isalnum()):
            raise self.error("unknown escape")
        return letter

    def character_class(self) -> str:
        """Translate a class in brackets, including nested classes."""
        self.at += 1
        negated = self.expression.startswith("^", self.at)
        self.at += negated
        operands: list[str] = []
        members: list[str] = []
        start = self.at
        while True:
            if self.at >= len(self.expression):
                raise self.error("unclosed [")
            if self.expression[self.at] == "]" and self.at > start:
                break
            if self.expression.startswith("&&", self.at):
                operands.append("".join(members))
                members = []
                while self.expression.startswith("&", self.at):
                    self.at += 1
            else:
                members.append(self.member())
        self.at += 1
        operands.append("".join(members))
        sets = [f"[{operand}]" for operand in operands if operand]
        if not sets:
            raise self.error("empty class")
        inner = sets[0][1:-1] if len(sets) == 1 else "&&".join(sets)
        return f"[{'^' * negated}{inner}]"

    def member(self) -> str:
        """Translate a character, a range or a class within a class."""
        if self.expression[self.at] == "[":
            return self.character_class()
        if self.expression[self.at] == "\\":
            if (quoted := self.read_quoted()) is not None:
                return "".join(map(_literal, quoted))
            if (members := self.class_escape()) is not None:
                return members
        if "x" in self.flags and (self.expression[self.at].isspace() or self.expression[self.at] == "#"):
            self.at += 1
            return self.comment(self.expression[self.at - 1])
        first = self.read_character()
        following = self.expression[self.at + 1 : self.at + 2]
        if not self.expression.startswith("-", self.at) or following in ("", "[", "]"):
            return _literal(first)
        self.at += 1
        last = self.read_character()
        if last < first:
            raise self.error("reversed range")
        return f"{_literal(first)}-{_literal(last)}"

    def read_character(self) -> str:
        """Return the next character of a class."""
        if self.expression[self.at] == "\\":
            return self.read_escape()
        self.at += 1
        return self.expression[self.at - 1]


class _GrokTranslation(_Translation):
    """The translation of the regular expression of a Grok pattern.

    numbers: the number of each named group that captures
    """

    opening = _GROK_GROUP

    def __init__(self, expression: str, unread: Container[str]) -> None:
        super().__init__(expression)
        self.unread = unread
        # Capturing costs time, so groups that nobody reads do not capture, unless back references count them
        self.captures_all = _BACK_REFERENCE.search(expression) is not None
        self.numbers: dict[str, int] = {}

    def open_group(self, name: str | None) -> str:
        is_read = name is not None and name not in self.unread and name not in self.numbers
        if not is_read and not self.captures_all:
            return "(?:"
        self.groups += 1
        if name is not None:
            self.numbers.setdefault(name, self.groups)
        return "("

    def refer_to(self, name: str) -> str:
        if name not in self.numbers:
            raise self.error(f"unknown group {name} in a back reference")
        return rf"(?:\{self.numbers[name]})"


def _is_literal(piece: str) -> bool:
    """Return True if a piece of a translation matches one literal character."""
    escaped = len(piece) == 2 and piece[0] == "\\" and not piece[1].isalnum()
    return escaped or (len(piece) == 1 and piece not in "*+?|()")


def _literal(character: str) -> str:
    return f"\\{character}" if character in _SPECIAL else character
