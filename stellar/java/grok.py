"""Grok: named patterns made into one regular expression, and what it captures."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

from stellar.java.bounded_regex import TIMEOUT_MS, BadExpression, compiled, found
from stellar.java.integers import INT_MAX, INT_MIN
from stellar.util.suggestions import known_names

_LONGEST_EXPRESSION = 1 << 20

SHIPPED = files("stellar.java") / "patterns"
_DEFINITION = re.compile(r"^(\w+)[ \t]+(\S.*)$", re.ASCII)
_REFERENCE = re.compile(r"%\{(?P<pattern>\w+)(?::(?P<name>[\w.@\[\]/ -]+)(?:[:;](?P<type>\w+))?)?\}", re.ASCII)
_INTEGER = re.compile(r"[+-]?[0-9]{1,10}")
UNWANTED = "UNWANTED"


class GrokError(ValueError):
    """A pattern that can't be used."""


class NoMatch(ValueError):
    """A text that the pattern does not fit."""


def by_looks(text: str) -> Any:
    """What a capture without a type becomes.

    That is a number if it is a whole one of 32 bits; else its text, without the quotes around it if there are any.
    """
    if _INTEGER.fullmatch(text) and INT_MIN <= (number := int(text)) <= INT_MAX:
        return number
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        return text[1:-1]
    return text


# What may stand after the second colon of %{PATTERN:field:type}
CONVERSIONS: dict[str, Callable[[str], Any]] = {
    "byte": int,
    "short": int,
    "int": int,
    "integer": int,
    "long": int,
    "float": float,
    "double": float,
    "boolean": lambda text: text.lower() == "true",
    "string": str,
}


@dataclass(frozen=True, slots=True)
class Capture:
    """A group of the regular expression, and what becomes of it."""

    group: str
    field: str
    convert: Callable[[str], Any]


class Grok:
    """A compiled pattern: it is found anywhere in a text.

    label: the name of the pattern among the definitions

    Raises GrokError for a pattern that is not defined, that holds itself, or that is no regular expression.
    """

    def __init__(self, label: str, definitions: Mapping[str, str], timeout_ms: int = TIMEOUT_MS) -> None:
        self.label = label
        self.timeout_ms = timeout_ms
        self._captures: list[Capture] = []
        self._definitions = definitions
        expression = self._expanded(label, ())
        try:
            self.pattern = compiled(expression)
        except BadExpression as error:
            raise GrokError(f"the pattern {label} is no regular expression: {self._culprit(error)}") from error
        ours = {capture.group: capture for capture in self._captures}
        # A group that the file names itself, (?<name>…), is a field as well
        self._captures = [ours.get(name) or Capture(name, name, by_looks) for name in self.pattern.groupindex]

    def match(self, text: str) -> dict[str, Any]:
        """The fields that a text holds; a group that took no part is null.

        Raises NoMatch, and TimeoutError when the search takes longer than it may.
        """
        try:
            match = found(self.pattern, text, self.timeout_ms)
        except TimeoutError:
            raise TimeoutError(f"the pattern {self.label} took longer than {self.timeout_ms} ms") from None
        if match is None:
            raise NoMatch(self.label)
        record: dict[str, Any] = {}
        groups = match.groupdict()
        for capture in self._captures:
            value = groups[capture.group]
            if value is not None:
                record[capture.field] = capture.convert(value)
            else:
                # Of two groups with one name, the one that took part counts
                record.setdefault(capture.field, None)
        return record

    def _expanded(self, name: str, users: tuple[str, ...]) -> str:
        """The regular expression of a pattern, with all the patterns in it put in their places."""
        if name in users:
            raise GrokError(f"the pattern {name} holds itself: {' → '.join((*users, name))}")
        if name not in self._definitions:
            used = f", which {users[-1]} uses," if users else ""
            raise GrokError(f"the pattern {name}{used} is not defined; {known_names(name, self._definitions)}")

        def put_in(reference: re.Match[str]) -> str:
            inner = self._expanded(reference["pattern"], (*users, name))
            field = (reference["name"] or reference["pattern"]).strip()
            if field in (UNWANTED, self.label):
                return f"(?:{inner})"
            return f"(?<{self._group(field, reference['type'], name)}>{inner})"

        expression = _REFERENCE.sub(put_in, self._definitions[name])
        if len(expression) > _LONGEST_EXPRESSION:
            raise GrokError(f"the pattern {name} grows beyond a million characters when it is put together")
        return expression

    def _group(self, field: str, kind: str | None, user: str) -> str:
        if kind is not None and kind.lower() not in CONVERSIONS:
            problem = f"the pattern {user} wants {field} as {kind!r}, which is no type"
            raise GrokError(f"{problem}; {known_names(kind, CONVERSIONS)}")
        group = f"field_{len(self._captures)}_"
        self._captures.append(Capture(group, field, CONVERSIONS[kind.lower()] if kind else by_looks))
        return group

    def _culprit(self, whole: BadExpression) -> str:
        """What is wrong, in the first definition that is no regular expression by itself."""
        for name, definition in self._definitions.items():
            blanked = _REFERENCE.sub(lambda reference: "x" * len(reference[0]), definition)
            try:
                compiled(blanked)
            except BadExpression as error:
                return f"{error}\n{name} {definition}\n{' ' * (len(name) + 1 + error.position)}^"
        return str(whole)


def definitions(text: str) -> dict[str, str]:
    """The patterns that a file defines: lines of a name, blanks and a regular expression.

    Other lines count for nothing, and of two patterns with one name the later one holds.
    """
    lines = (_DEFINITION.match(line.strip()) for line in text.splitlines())
    return {match[1]: match[2] for match in lines if match}


@cache
def common() -> Mapping[str, str]:
    """The patterns that every pattern can build on."""
    return MappingProxyType(definitions((SHIPPED / "common").read_text(encoding="utf-8")))
