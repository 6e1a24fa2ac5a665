"""Grok: named patterns that are combined to one regular expression, and their captures."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

from stellar.java.integers import INT_MAX, INT_MIN
from stellar.java.regex import TIMEOUT_MS, InvalidPattern, compile_grok, search
from stellar.util.suggestions import suggest_name

_LONGEST_EXPRESSION = 1 << 20

SHIPPED = files("stellar.java") / "patterns"
_DEFINITION = re.compile(r"^(\w+)[ \t]+(\S.*)$", re.ASCII)
_REFERENCE = re.compile(r"%\{(?P<pattern>\w+)(?::(?P<name>[\w.@\[\]/ -]+)(?:[:;](?P<type>\w+))?)?\}", re.ASCII)
_INTEGER = re.compile(r"[+-]?[0-9]{1,10}")
UNWANTED = "UNWANTED"


class GrokError(ValueError):
    """An invalid pattern."""


class NoMatch(ValueError):
    """A string that the pattern does not match."""


def infer_type(value: str) -> Any:
    """Convert a capture without a type: integers of 32 bits to numbers, and remove quotes from other strings."""
    if _INTEGER.fullmatch(value) and INT_MIN <= (number := int(value)) <= INT_MAX:
        return number
    if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
        return value[1:-1]
    return value


# Converters by the type in %{PATTERN:field:type}
CONVERSIONS: dict[str, Callable[[str], Any]] = {
    "byte": int,
    "short": int,
    "int": int,
    "integer": int,
    "long": int,
    "float": float,
    "double": float,
    "boolean": lambda value: value.lower() == "true",
    "string": str,
}


@dataclass(frozen=True, slots=True)
class Capture:
    """A group of the regular expression, its field and the converter of its value."""

    group: str
    field: str
    convert: Callable[[str], Any]


class Grok:
    """A compiled pattern, which is searched in strings.

    label: the name of the pattern
    definitions: regular expressions of all patterns by name

    Raises GrokError for an undefined or recursive pattern and for an invalid regular expression.
    """

    def __init__(self, label: str, definitions: Mapping[str, str], timeout_ms: int = TIMEOUT_MS) -> None:
        self.label = label
        self.timeout_ms = timeout_ms
        self.used: dict[str, str] = {}  # the definitions that the pattern consists of, by name
        self._captures: list[Capture] = []
        self._definitions = definitions
        expression = self._expand(label, ())
        try:
            self.pattern = compile_grok(expression)
        except InvalidPattern as error:
            raise GrokError(f"invalid pattern {label}: {self._explain(error)}") from error
        generated = {capture.group: capture for capture in self._captures}
        # A group that the pattern names itself, (?<name>…), is a field as well
        self._captures = [generated.get(name) or Capture(name, name, infer_type) for name in self.pattern.groupindex]

    def match(self, string: str) -> dict[str, Any]:
        """Return the fields captured from a string; a group that did not participate is null.

        Raises NoMatch if the pattern is not found, and TimeoutError if the search takes too long.
        """
        try:
            match = search(self.pattern, string, self.timeout_ms)
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
                # Of two groups with one name, the one that participated counts
                record.setdefault(capture.field, None)
        return record

    def _expand(self, name: str, users: tuple[str, ...]) -> str:
        """Return the regular expression of a pattern, with the patterns that it refers to inserted.

        users: the patterns that refer to it, from the outermost on
        """
        if name in users:
            raise GrokError(f"the pattern {name} is recursive: {' → '.join((*users, name))}")
        if name not in self._definitions:
            used = f", which {users[-1]} uses," if users else ""
            raise GrokError(f"the pattern {name}{used} is not defined; {suggest_name(name, self._definitions)}")

        def insert(reference: re.Match[str]) -> str:
            inner = self._expand(reference["pattern"], (*users, name))
            field = (reference["name"] or reference["pattern"]).strip()
            if field in (UNWANTED, self.label):
                return f"(?:{inner})"
            return f"(?<{self._add_capture(field, reference['type'], name)}>{inner})"

        self.used[name] = self._definitions[name]
        expression = _REFERENCE.sub(insert, self._definitions[name])
        if len(expression) > _LONGEST_EXPRESSION:
            raise GrokError(f"the pattern {name} is too long: it expands to more than a million characters")
        return expression

    def _add_capture(self, field: str, kind: str | None, user: str) -> str:
        if kind is not None and kind.lower() not in CONVERSIONS:
            problem = f"unknown type {kind!r} of {field} in the pattern {user}"
            raise GrokError(f"{problem}; {suggest_name(kind, CONVERSIONS)}")
        group = f"field_{len(self._captures)}_"
        self._captures.append(Capture(group, field, CONVERSIONS[kind.lower()] if kind else infer_type))
        return group

    def _explain(self, whole: InvalidPattern) -> str:
        """Return the error of the first definition that is invalid by itself, with its position."""
        for name, definition in self._definitions.items():
            masked = _REFERENCE.sub(lambda reference: "x" * len(reference[0]), definition)
            try:
                compile_grok(masked)
            except InvalidPattern as error:
                return f"{error.problem}\n{name} {definition}\n{' ' * (len(name) + 1 + error.position)}^"
        return whole.problem


# Backslashes come in pairs before the one that escapes h
_HEXADECIMAL_CLASS = re.compile(r"(?<!\\)(?:\\\\)*\\[hH]")
_GROUP_NAME = re.compile(r"(?<!\\)(?:\\\\)*\(\?<([A-Za-z_]\w*)>")


def find_oniguruma_syntax(definition: str) -> list[str]:
    """Return warnings about syntax that Oniguruma, the engine of Logstash's Grok, interprets differently from Java."""
    warnings = []
    if _HEXADECIMAL_CLASS.search(definition):
        warnings.append(
            r"\h matches horizontal whitespace; for a hexadecimal digit, as in Oniguruma, write [0-9a-fA-F]"
        )
    names = _GROUP_NAME.findall(definition)
    repeated = dict.fromkeys(name for name in names if names.count(name) > 1)
    warnings += [f"repeated group {name}: only the value of the one that matched is used" for name in repeated]
    return warnings


def parse_definitions(content: str) -> dict[str, str]:
    """Parse a file of patterns: lines of a name, whitespace and a regular expression.

    Other lines are ignored. The later one of two patterns with one name replaces the earlier one.
    """
    lines = (_DEFINITION.match(line.strip()) for line in content.splitlines())
    return {match[1]: match[2] for match in lines if match}


@cache
def load_common_definitions() -> Mapping[str, str]:
    """Return the patterns that every pattern can use."""
    return MappingProxyType(parse_definitions((SHIPPED / "common").read_text(encoding="utf-8")))
