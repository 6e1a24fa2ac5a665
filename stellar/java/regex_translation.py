"""The translation of Java's regular expressions for the `regex` package, and for the standard library.

One pass over the expression translates items one by one, and keeps a frame for each open group. Java's parser is
imitated where it is peculiar: a repetition without an item repeats nothing, a range of a class may end at a quoted
character, and `&&` binds a class from the right.
"""

from __future__ import annotations

import re
from collections.abc import Container
from dataclasses import dataclass

from stellar.java.regex_classes import ALONE, DOTTED, FOLDED, ClassTranslation, escape_literal

MAX_LITERAL_RUN = 100
_MOST_REPETITIONS = 2**31 - 1

_LINE_END = r"\n\r\x85\u2028\u2029"
_AT_LINE_END = rf"(?=(?:\r\n|[{_LINE_END}])?\Z)"
_AT_ANY_LINE_START = r"(?:(?:\A|(?<=[\n\x85\u2028\u2029])|(?<=\r)(?!\n))(?!\Z))"
_AT_ANY_LINE_END = r"(?:(?=[\r\x85\u2028\u2029]|\Z)|(?<!\r)(?=\n))"
_UNIX_LINE_START = r"(?:(?:\A|(?<=\n))(?!\Z))"
_UNIX_LINE_END = r"(?=\n|\Z)"

_ANCHORS = {"b": r"\b", "B": r"(?!\b)", "A": r"\A", "G": r"\G", "z": r"\Z", "Z": _AT_LINE_END, "X": r"\X"}
_LINE_BREAK = rf"(?:\r\n|[{_LINE_END}\x0b\f])"
_REPEATED_LINE_BREAK = _LINE_BREAK.replace("(?:", "(?>", 1)  # Java repeats it without going back
_GROUP = re.compile(r"\(\?(?:(:|=|!|>|<=|<!)|<([a-zA-Z][a-zA-Z0-9]*)>|([idmsuxUc]*)(?:-([idmsuxUc]*))?([:)]))")
_GROK_GROUP = re.compile(_GROUP.pattern.replace("[a-zA-Z][a-zA-Z0-9]*", "[^!=>()][^>()]*"))
_BACK_REFERENCE = re.compile(r"\\[1-9k]")
_REPEAT = re.compile(r"\{(\d+)(?:(,)(\d*))?\}", re.ASCII)
_SPACED_REPEAT = re.compile(r"\{(\d+)\s*(?:(,)\s*(\d*))?\s*\}", re.ASCII)
_NAMED_REFERENCE = re.compile(r"\\k<([^>]+)>")
_DIGITS = re.compile(r"[1-9]\d*", re.ASCII)


@dataclass(slots=True)
class _Frame:
    """An open group, or the whole expression.

    flags: the flags before the group
    is_lookaround: True if the group itself matches no characters
    in_lookbehind: True if the group needs an obvious greatest length
    is_atomic: True for `(?>…)`
    items: number of items of the group that match characters
    earlier_items: number of these in alternatives before the current one
    can_vary: True if these do not have one fixed length
    consumes: True if the current alternative matches at least one character
    has_empty: True if an earlier alternative can match the empty string
    """

    flags: frozenset[str]
    is_lookaround: bool = False
    in_lookbehind: bool = False
    is_atomic: bool = False
    items: int = 0
    earlier_items: int = 0
    can_vary: bool = False
    consumes: bool = False
    has_empty: bool = False

    @property
    def can_be_empty(self) -> bool:
        return self.is_lookaround or self.has_empty or not self.consumes

    def end_alternative(self) -> None:
        self.has_empty |= not self.consumes
        self.consumes, self.can_vary = False, True
        self.earlier_items = self.items

    def add(self, group: _Frame) -> None:
        """Count a closed group as an item of this one."""
        self.consumes |= not group.can_be_empty
        self.can_vary |= group.can_vary and not group.is_lookaround
        self.items += 0 if group.is_lookaround else group.items


class Translation(ClassTranslation):
    """The translation of one expression."""

    opening = _GROUP  # matches the opening of a group

    def __init__(
        self, expression: str, *, plain: bool = False, expands_cases: bool = False, after_empty: bool = False
    ) -> None:
        r"""Begin a translation.

        plain: True for the standard library, whose patterns have the meaning of Java for ASCII strings without
            carriage returns
        expands_cases: True to translate an `a` in the scope of the flag `i` as `[aA]`
        after_empty: True for a search after an empty match, which `\G` cannot match any more
        """
        super().__init__(expression, plain=plain, expands_cases=expands_cases)
        self.after_empty = after_empty
        self.frames = [_Frame(self.flags)]
        self.consumed = False  # before the last item
        self.is_after_items = False
        self.groups = 0
        self.names: set[str] = set()
        self.has_ascii_cases = False
        # After backtracking, the standard library may have other groups in these cases: groups in a look-around, and
        # the possessive repetition of a group
        self.differs_in_re = False

    @property
    def ascii_cases(self) -> bool:
        """True, after the translation, if the flag regex.ASCII gives the meaning of Java."""
        return self.has_ascii_cases and not self.needs_unicode

    @property
    def needs_expansion(self) -> bool:
        """True, after the translation, if letters must be expanded to have the meaning of Java."""
        return self.has_ascii_cases and self.needs_unicode and not self.expands_cases

    @property
    def can_be_empty(self) -> bool:
        """True, after the translation, if the expression may match the empty string."""
        return self.frames[0].can_be_empty

    def translate(self) -> str:
        """Return the expression for the package."""
        result: list[str] = []
        literals = 0
        while not self.is_at_end():
            can_repeat = self.source[self.at] not in "(|"
            item = self.item()
            # The package needs minutes for a long run of repeating characters, without time-out; a group splits the run
            literals = literals + 1 if _is_literal(item) else 0
            if literals == MAX_LITERAL_RUN:
                item, literals = f"(?>{item})", 0
            repetition = self.repetition(item) if can_repeat else ""
            result.append(_REPEATED_LINE_BREAK if repetition and item == _LINE_BREAK else item)
            result.append(repetition)
        if len(self.frames) > 1:
            raise self.error("unclosed (")
        return "".join(result)

    def item(self) -> str:
        """Translate a character, a class, an anchor, or the opening or closing of a group, without its repetition."""
        character = self.source[self.at]
        if character == "(":
            return self.open()
        if character == ")":
            return self.close()
        if character in "*+?":
            raise self.error(f"nothing to repeat before {character}")
        if character == "{":
            return ""  # Java repeats nothing
        if character == "|":
            self.at += 1
            self.frames[-1].end_alternative()
            return character
        return self.atom(character)

    # -- Groups -------------------------------------------------------------------------------------------------------

    def open(self) -> str:
        """Translate the opening of a group, or flags for the rest of the enclosing group."""
        frame = _Frame(self.flags, in_lookbehind=self.frames[-1].in_lookbehind)
        if not self.source.startswith("(?", self.at):
            self.at += 1
            self.frames.append(frame)
            return self.open_group(None)
        match = self.opening.match(self.source, self.at)
        if match is None:
            raise self.error("unknown kind of group")
        self.at = match.end()
        kind, name, on, off, end = match.groups()
        if kind is None and name is None:
            self.set_flags(on, off or "")
            if end == ")":
                return f"(?{self.case_flags()})"
        self.frames.append(frame)
        frame.is_atomic = kind == ">"
        if kind in ("=", "!", "<=", "<!"):
            frame.is_lookaround, frame.in_lookbehind = True, kind.startswith("<")
        if kind is None:
            return self.open_group(name) if name else f"(?{self.case_flags()}:"
        return f"(?{kind}"

    def set_flags(self, on: str, off: str) -> None:
        self.flags = (self.flags | set(on)) - set(off)
        self.has_ascii_cases |= self.cases == "ascii"
        self.needs_unicode |= not self.flags.isdisjoint("uU")

    def case_flags(self) -> str:
        """Return the flags of the package for the flags in effect."""
        if self.cases is None or (self.cases == "ascii" and self.expands_cases):
            return "-i"
        return "i" if self.plain or self.cases == "ascii" else "i-f"

    def close(self) -> str:
        if len(self.frames) == 1:
            raise self.error("unopened )")
        frame = self.frames.pop()
        self.flags = frame.flags
        self.at += 1
        self.consumed = self.frames[-1].consumes
        self.check_length(frame)
        self.frames[-1].add(frame)
        return ")"

    def check_length(self, group: _Frame) -> None:
        """Raise an error if Java does not know the greatest length of a group in a look-behind by its repetition.

        group: the group that ends before this offset
        """
        start = self.at
        if self.frames[-1].in_lookbehind and not group.is_lookaround and not self.is_at_end():
            if self.source[self.at] in "*+" or ((match := self.match_repeat()) and match[2] and not match[3]):
                is_bounded = not group.can_vary and group.items < 2 and not (group.items and self.has_earlier_items())
            else:
                is_bounded = group.is_atomic or not group.can_vary or self.source[self.at] != "{"
            if not is_bounded:
                raise self.error("look-behind without an obvious greatest length")
        self.at = start

    def has_earlier_items(self) -> bool:
        """Return True if the look-behind has items before those of the groups that are closed."""
        for frame in reversed(self.frames):
            if frame.items > frame.earlier_items:
                return True
            if frame.is_lookaround:
                break
        return False

    def open_group(self, name: str | None) -> str:
        """Translate the opening of a capturing group, which may have a name."""
        if name in self.names:
            raise self.error(f"duplicate group name {name}")
        self.count_group()
        if name is None:
            return "("
        self.names.add(name)
        return f"(?P<{name}>"

    def count_group(self) -> None:
        """Count a group that captures, which is the last frame."""
        self.groups += 1
        self.differs_in_re |= any(frame.is_lookaround for frame in self.frames)

    def refer_to(self, name: str) -> str:
        """Translate a back reference to a named group."""
        if name not in self.names:
            raise self.error(f"unknown group {name} in a back reference")
        return f"(?P={name})"

    # -- Repetitions --------------------------------------------------------------------------------------------------

    def repetition(self, item: str) -> str:
        """Translate the repetition of the last item, if there is one.

        item: the translation of the item; Java's parser also repeats an empty one, to no effect
        """
        if self.is_at_end() or (character := self.source[self.at]) not in "*+?{":
            return ""
        if character == "{":
            least, repeat = self.counts()
        else:
            self.at += 1
            least, repeat = int(character == "+"), character
        frame, mode = self.frames[-1], self.mode()
        self.differs_in_re |= item == ")" and mode == "+"
        frame.can_vary |= "," in repeat or not repeat.endswith("}")
        if least == 0:
            frame.consumes = self.consumed
        is_unbounded = frame.in_lookbehind and repeat[-1] in "*+"
        if is_unbounded and (item == _LINE_BREAK or (mode and self.is_after_items)):
            raise self.error("look-behind without an obvious greatest length")
        return f"{repeat}{mode}" if item else ""

    def mode(self) -> str:
        """Translate the suffix that makes a repetition lazy or possessive."""
        if not self.is_at_end() and (suffix := self.source[self.at]) in "?+":
            self.at += 1
            return suffix
        return ""

    def match_repeat(self) -> re.Match[str] | None:
        return (_SPACED_REPEAT if "x" in self.flags else _REPEAT).match(self.source, self.at)

    def counts(self) -> tuple[int, str]:
        """Translate a repetition in braces; return the least number with it."""
        match = self.match_repeat()
        if match is None:
            raise self.error("invalid repetition")
        least, comma, most = match[1], match[2] or "", match[3] or ""
        if max(int(least), int(most or 0)) > _MOST_REPETITIONS or (most and int(most) < int(least)):
            raise self.error("invalid repetition")
        self.at = match.end()
        return int(least), f"{{{least}{comma}{most}}}"

    # -- Atoms --------------------------------------------------------------------------------------------------------

    def count_item(self, *, is_character: bool = True) -> None:
        """Count an item of the current group.

        is_character: False for anchors, and for items that match a varying number of characters
        """
        frame = self.frames[-1]
        self.consumed = frame.consumes
        self.is_after_items = is_character and frame.in_lookbehind and self.has_earlier_items()
        frame.consumes |= is_character
        frame.items += is_character

    def atom(self, character: str) -> str:
        """Translate an anchor, an escape, a class or a character."""
        if character == "\\":
            return self.escape()
        self.count_item(is_character=character not in "^$")
        self.at += 1
        if character == "[":
            return self.character_class(is_nested=True)
        lines, unix = "m" in self.flags, "d" in self.flags
        if character == ".":
            return "(?s:.)" if "s" in self.flags else r"[^\n]" if unix else "." if self.plain else f"[^{_LINE_END}]"
        if character == "^":
            return (_UNIX_LINE_START if unix else _AT_ANY_LINE_START) if lines else r"\A"
        if character == "$":
            if lines:
                return _UNIX_LINE_END if unix else _AT_ANY_LINE_END
            return r"(?=\n?\Z)" if unix else _AT_LINE_END
        return self.literal(character)

    def literal(self, character: str) -> str:
        """Translate a character that means itself."""
        if self.cases == "ascii":
            self.needs_unicode |= character in FOLDED
            if self.expands_cases and character.isascii() and character.isalpha():
                return f"[{character}{character.swapcase()}]"
        if self.cases == "unicode" and not self.plain:
            if character in DOTTED:
                return f"[{DOTTED}]"
            if character in ALONE:
                return f"(?-i:{character})"
        return escape_literal(character)

    def escape(self) -> str:
        """Translate an escape outside of a class."""
        letter = self.source[self.at + 1 : self.at + 2]
        if digits := _DIGITS.match(self.source, self.at + 1):
            return self.back_reference(digits[0])
        if letter == "k":
            self.count_back_reference()
            return self.reference_by_name()
        if letter in _ANCHORS:
            return self.anchor(letter)
        self.count_item()
        if letter == "R":
            self.at += 2
            self.frames[-1].can_vary = True
            return _LINE_BREAK
        if (members := self.class_escape()) is not None:
            translation = members if members.startswith("[") else f"[{members}]"
            # Their ASCII letters are not those that equal others without regard to case, such as k and the Kelvin sign
            return f"(?-i:{translation})" if self.cases == "unicode" and not self.plain else translation
        return self.literal(self.read_escape())

    def anchor(self, letter: str) -> str:
        self.at += 2
        if self.source.startswith("{g}", self.at) and letter == "b":
            raise self.error(r"boundaries of graphemes, \b{g}, are not supported")
        if letter == "X" and self.frames[-1].in_lookbehind:
            raise self.error(r"a grapheme, \X, in a look-behind is not supported")
        self.count_item(is_character=letter == "X")
        self.needs_unicode |= letter in "bBX"
        return "(?!)" if letter == "G" and self.after_empty else _ANCHORS[letter]

    def count_back_reference(self) -> None:
        self.count_item(is_character=False)
        self.frames[-1].can_vary = True
        if self.frames[-1].in_lookbehind:
            raise self.error("look-behind without an obvious greatest length")

    def back_reference(self, digits: str) -> str:
        # At least one digit, and as many as form the number of an existing group
        self.count_back_reference()
        while len(digits) > 1 and int(digits) > self.groups:
            digits = digits[:-1]
        self.at += 1 + len(digits)
        return rf"(?:\{digits})" if int(digits) <= self.groups else "(?!)"

    def reference_by_name(self) -> str:
        match = _NAMED_REFERENCE.match(self.source, self.at)
        if match is None:
            raise self.error(r"\k without <name>")
        reference = self.refer_to(match[1])
        self.at = match.end()
        return reference


class GrokTranslation(Translation):
    """The translation of the regular expression of a Grok pattern.

    numbers: the number of each named group that captures
    """

    opening = _GROK_GROUP

    def __init__(
        self, expression: str, unread: Container[str], *, plain: bool = False, expands_cases: bool = False
    ) -> None:
        super().__init__(expression, plain=plain, expands_cases=expands_cases)
        self.unread = unread
        # Capturing costs time, so unread groups do not capture, unless back references count them
        self.captures_all = _BACK_REFERENCE.search(expression) is not None
        self.numbers: dict[str, int] = {}

    def open_group(self, name: str | None) -> str:
        is_read = name is not None and name not in self.unread and name not in self.numbers
        if not is_read and not self.captures_all:
            return "(?:"
        self.count_group()
        if name is not None:
            self.numbers.setdefault(name, self.groups)
        return "("

    def refer_to(self, name: str) -> str:
        if name not in self.numbers:
            raise self.error(f"unknown group {name} in a back reference")
        return rf"(?:\{self.numbers[name]})"


def _is_literal(item: str) -> bool:
    """Return True if the translation of an item matches one literal character."""
    escaped = len(item) == 2 and item[0] == "\\" and not item[1].isalnum()
    return escaped or (len(item) == 1 and item not in "*+?|()")
