"""Grok: named patterns that are combined to one regular expression, and their captures.

A pattern is expanded as by java-grok, the library of Metron's parsers. As long as there is a reference `%{NAME:field}`,
the first one is replaced by the group `(?<…>definition)`, and so are all references that are spelled the same at that
moment. These are one group, whose value is that of its first occurrence. References to one field that are spelled
differently, or appear later, are groups of their own. The field has the value of the last of them, even if that is
null because the group did not participate.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from threading import get_ident
from types import MappingProxyType
from typing import Any

from stellar.java.integers import INT_MAX, INT_MIN
from stellar.java.match_timer import TIMER
from stellar.java.regex import TIMEOUT_MS, InvalidPattern, compile_grok, compile_quick_grok, find_grok_groups
from stellar.java.regex_traits import ANY, GroupTraits
from stellar.java.strings import is_blank
from stellar.util.abbreviate import quote
from stellar.util.cached_properties import cached_property
from stellar.util.function_builder import FunctionBuilder, call, call_method, constant, load
from stellar.util.suggestions import suggest_name

_LONGEST_EXPRESSION = 1 << 20
_DEEPEST = 200
_MOST_TIMEOUTS = 3

SHIPPED = Path(__file__).parent / "patterns"
# A-z is the range of java-grok; it includes [ \ ] ^ _ and `
_DEFINITION = re.compile(r"([A-z0-9]+)[ \t\x0b\f]+([^\x85\u2028\u2029]*)")
_REFERENCE = re.compile(
    r"%\{(?P<name>(?P<pattern>[A-z0-9]+)(?::(?P<field>[A-z0-9_:]+))?)(?:=(?P<definition>[^{}]+))?\}"
)
_LINE_END = re.compile(r"\r\n|\n|\r")
_SHORT = 10  # digits that always are an integer of 32 bits
_MOST_DIGITS = 20  # more than any integer of 64 bits has
# Java's digits are those of the basic plane
_INTEGER = re.compile(r"[+-]?[^\D\U00010000-\U0010ffff]+")
CONVERTED = "+-\"'"  # the first characters of captures, other than digits, that are converted
UNWANTED = "UNWANTED"


class GrokError(ValueError):
    """An invalid pattern."""


class NoMatch(ValueError):
    """A string that the pattern does not match."""


def parse_integer(value: str) -> int | None:
    """Return the integer that Java reads from a string: digits with an optional sign; None for another string."""
    if not _INTEGER.fullmatch(value):
        return None
    digits = value.lstrip("+-").lstrip("0")
    if len(digits) > _MOST_DIGITS:
        return None
    return -int(digits or "0") if value.startswith("-") else int(digits or "0")


def infer_type(value: str) -> Any:
    """Convert a capture: integers of 32 bits to numbers, and remove quotes from other strings."""
    if value.isdecimal() or value[:1] in ("+", "-"):
        if len(value) < _SHORT and value.isascii() and value[0] >= "0":
            return int(value)
        number = parse_integer(value)
        return value if number is None or not INT_MIN <= number <= INT_MAX else number
    if len(value) > 1 and value[0] in "\"'" and value[-1] == value[0]:
        return value[1:-1]
    return value


def make_converter(fields: Sequence[str]) -> Callable[[Sequence[str | None]], dict[str, Any]]:
    """Return a function that returns converted captures by field; its argument has a capture for each field.

    The function is generated, since a loop over the captures would cost as much as most searches.
    """
    builder = FunctionBuilder("captures")
    locals_ = [builder.new_name("capture") for _ in fields]
    builder.unpack(locals_, load("captures"))
    values = [convert_capture(builder, name) for name in locals_]
    builder.return_value(ast.Dict([constant(field) for field in fields], values))
    return builder.link("convert")


def convert_capture(
    builder: FunctionBuilder, name: str, traits: GroupTraits = ANY, *, is_ascii: bool = False
) -> ast.expr:
    """Return the value of a capture, as `infer_type` does, in place.

        ((int(c) if len(c) < 10 and c.isascii() else infer_type(c)) if c.isdecimal() else
         infer_type(c) if c[0] in "+-\"'" else c) if c else c

    name: the local with the capture
    traits: the properties of the capture, by which tests are left out; `may_start_so` is about CONVERTED
    is_ascii: True if the capture is ASCII, or null
    """
    capture, infer = load(name), builder.bind(infer_type, "infer_type")
    value: ast.expr = capture
    if traits.may_start_so:
        first = ast.Subscript(capture, constant(0), ast.Load())
        is_converted = ast.Compare(first, [ast.In()], [constant(CONVERTED)])
        value = ast.IfExp(is_converted, call(infer, capture), value)
    if traits.may_be_digits:
        is_integer: ast.expr = ast.Compare(call(load("len"), capture), [ast.Lt()], [constant(_SHORT)])
        if not is_ascii:
            is_integer = ast.BoolOp(ast.And(), [is_integer, call_method(name, "isascii")])
        integer = ast.IfExp(is_integer, call(load("int"), capture), call(infer, capture))
        value = ast.IfExp(call_method(name, "isdecimal"), integer, value)
    return capture if value is capture else ast.IfExp(capture, value, capture)


class Grok:
    """A compiled pattern, which is searched in strings.

    expression: a regular expression with references to patterns
    definitions: regular expressions of all patterns by name
    timeout_ms: the time limit for a string
    name: the name of the expression in messages; by default the expression
    unread: fields that are not captured, which saves time
    fields: the fields in the order of their captures
    convert: returns the captures by field, with their types inferred

    Raises GrokError for an undefined or recursive pattern and for an invalid regular expression.
    """

    def __init__(
        self,
        expression: str,
        definitions: Mapping[str, str],
        timeout_ms: int = TIMEOUT_MS,
        name: str | None = None,
        unread: Container[str] = (),
    ) -> None:
        self.name = expression if name is None else name
        self.timeout_ms = timeout_ms
        self.used = _find_used(expression, definitions)  # the definitions that the pattern consists of, by name
        expanded, fields = _expand(expression, self.used)
        ignored = {id for id, field in fields.items() if field == UNWANTED or field in unread}
        try:
            numbers, total = find_grok_groups(expanded, ignored)
        except InvalidPattern as error:
            raise GrokError(f"invalid pattern {self.name}: {self._explain(expression, error)}") from error
        # A group that the pattern names itself, (?<name>…), is a field as well
        captures = {fields.get(name, name): number for name, number in numbers.items()}
        self.fields = tuple(field for field in captures if field != UNWANTED and field not in unread)
        self._timeout = timeout_ms / 1000
        self._compile_pattern = partial(compile_grok, expanded, ignored)
        self._compile_quick = partial(compile_quick_grok, expanded, ignored)
        self._quick_timeouts = 0
        self.convert = make_converter(self.fields)
        self.numbers = tuple(captures[field] for field in self.fields)
        self._reads_all = self.numbers == tuple(range(1, total + 1))
        self._selected = (0, 0, *self.numbers)  # with two more numbers, `group` always returns a tuple

    def find(self, string: str) -> tuple[str | None, ...]:
        """Return the captures in a string in the order of `fields`; null for a group that did not participate.

        Raises NoMatch if the pattern is not found, and TimeoutError if the search takes too long.
        """
        if self.is_quick_for(string) and (quick := self.quick) is not None:
            timer = TIMER
            timer.number += 1
            timer.is_matching = True
            try:
                match = quick.search(string)
            except TimeoutError:
                return self.find_after_timeout(string)
            finally:
                timer.is_matching = False
            return self.select(match)
        if string.isascii() and len(string) <= self._harmless_length and (quick := self.quick) is not None:
            return self.find_in_limit(string, quick.search)
        return self.find_in_limit(string)

    @staticmethod
    def is_quick_for(string: str) -> bool:
        """Return True for a string in which the standard library may find the pattern, with the limit of the timer."""
        if TIMER.thread != get_ident() or not string.isascii() or "\r" in string:
            return False
        return string[:1] > " " or not is_blank(string)

    def select(self, match: re.Match[str] | None) -> tuple[str | None, ...]:
        """Return the captures in a match in the order of `fields`. Raises NoMatch for null."""
        if match is None:
            raise NoMatch(self.name)
        return match.groups() if self._reads_all else match.group(*self._selected)[2:]

    def find_in_limit(
        self, string: str, search: Callable[[str], re.Match[str] | None] | None = None
    ) -> tuple[str | None, ...]:
        """Return the captures by the engine that has a time limit of its own; see `find`.

        search: another search, that needs no limit for this string
        """
        if not "!" <= string[:1] <= "~" and is_blank(string):
            raise NoMatch(self.name)
        if search is not None and "\r" not in string:
            return self.select(search(string))
        try:
            return self.select(self.pattern.search(string, timeout=self._timeout))
        except TimeoutError:
            raise TimeoutError(f"the pattern {self.name} took longer than {self.timeout_ms} ms") from None

    def find_after_timeout(self, string: str) -> tuple[str | None, ...]:
        """Return the captures after a time-out of the standard library: the other engine avoids some backtracking.

        The quick pattern is given up if it needs long repeatedly.
        """
        self._quick_timeouts += 1
        if self._quick_timeouts >= _MOST_TIMEOUTS:
            self.quick, self._harmless_length = None, 0
        return self.find_in_limit(string)

    @cached_property
    def pattern(self) -> Any:
        """The pattern for the `regex` package."""
        return self._compile_pattern()[0]

    @cached_property
    def _harmless_length(self) -> int:
        """The length up to which the standard library may search a string in threads without a timer."""
        from stellar.java.regex_steps import find_harmless_length  # commands need it for odd lines only

        return 0 if self.quick is None else find_harmless_length(self.quick)

    @cached_property
    def quick(self) -> re.Pattern[str] | None:
        """The pattern for the standard library, for ASCII strings without carriage returns.

        It is used in threads with a timer, and otherwise for strings that it is sure to search in some steps.
        """
        return self._compile_quick()

    def match(self, string: str) -> dict[str, Any]:
        """Return the captures in a string by field, as `find` does, with their types inferred."""
        return self.convert(self.find(string))

    def _explain(self, expression: str, whole: InvalidPattern) -> str:
        """Return the error of the expression or first definition that is invalid by itself, with its position."""
        for prefix, definition in (("", expression), *((f"{name} ", text) for name, text in self.used.items())):
            masked = _REFERENCE.sub(lambda reference: "x" * len(reference[0]), definition)
            try:
                compile_grok(masked)
            except InvalidPattern as error:
                problem, position = _explain_reference(masked, error)
                return f"{problem}\n{prefix}{definition}\n{' ' * (len(prefix) + position)}^"
        return whole.problem


def _explain_reference(definition: str, error: InvalidPattern) -> tuple[str, int]:
    """Return the problem and the position of an error, which may be the brace of an invalid reference `%{…`."""
    start = error.position - 1
    if start < 0 or not definition.startswith("%{", start):
        return error.problem, error.position
    reference = definition[start : definition.find("}", start) + 1] or "%{"
    problem = (
        f"invalid reference {reference} at character {start + 1}: expected %{{PATTERN}} or %{{PATTERN:field}}; "
        "a field has letters, digits, underscores and colons"
    )
    return problem, start


def _find_used(expression: str, definitions: Mapping[str, str]) -> dict[str, str]:
    """Return the definitions that an expression refers to, directly or not.

    Raises GrokError for an undefined or recursive pattern.
    """
    known = dict(definitions)
    used: dict[str, str] = {}

    def visit(text: str, users: tuple[str, ...]) -> None:
        for reference in _REFERENCE.finditer(text):
            name = reference["pattern"]
            if reference["definition"] is not None:
                known[name] = reference["definition"]
            if len(users) > _DEEPEST:
                raise GrokError(f"patterns are nested too deeply: {' → '.join(users[:5])} → …")
            if name in users:
                raise GrokError(f"the pattern {name} is recursive: {' → '.join((*users, name))}")
            if name not in known:
                user = f", which {users[-1]} uses," if users else ""
                raise GrokError(f"the pattern {name}{user} is not defined; {suggest_name(name, known)}")
            if name not in used:
                visit(known[name], (*users, name))
                used[name] = known[name]

    visit(expression, ())
    return used


def _expand(expression: str, definitions: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """Return an expression without references, and the field of each of its groups by the name of the group."""
    current = dict(definitions)
    fields: dict[str, str] = {}
    at = 0
    while (reference := _REFERENCE.search(expression, at)) is not None:
        at = reference.start()
        inline = reference["definition"]
        if inline is not None:
            current[reference["pattern"]] = inline
        name = f"\0{len(fields)}"  # no group of the user has a name with this character
        group = f"(?<{name}>{current[reference['pattern']]})"
        if len(expression) + expression.count(reference[0]) * len(group) > _LONGEST_EXPRESSION:
            raise GrokError("the pattern is too long: it expands to more than a million characters")
        expression = expression.replace(reference[0], group)
        fields[name] = reference["field"] or reference["name"] + ("" if inline is None else f"={inline}")
    return expression, fields


# Backslashes come in pairs before the one that escapes h
_HEXADECIMAL_CLASS = re.compile(r"(?<!\\)(?:\\\\)*\\[hH]")
_GROUP_NAME = re.compile(r"(?<!\\)(?:\\\\)*\(\?<([A-Za-z_]\w*)>")


def find_suspicious_syntax(definition: str) -> Iterator[str]:
    """Yield warnings about syntax that means something else than it seems, or than in Logstash's Grok."""
    if _HEXADECIMAL_CLASS.search(definition):
        yield r"\h matches horizontal whitespace; for a hexadecimal digit, as in Oniguruma, write [0-9a-fA-F]"
    names = _GROUP_NAME.findall(definition)
    for name in dict.fromkeys(name for name in names if names.count(name) > 1):
        yield f"repeated group {name}: only the value of the first one is used"
    for reference in _REFERENCE.finditer(definition):
        if ":" in (reference["field"] or ""):
            yield (
                f"{reference[0]} captures the field {quote(reference['field'])} and converts nothing; "
                "use a function such as TO_INTEGER in a field transformation"
            )
    if definition != definition.rstrip():
        yield "the definition ends with whitespace, which the pattern must match"


def parse_definitions(content: str) -> dict[str, str]:
    """Parse a file of patterns: lines of a name, whitespace and a regular expression.

    Other lines are ignored. The later one of two patterns with one name replaces the earlier one.

    Raises GrokError for a name without a regular expression.
    """
    definitions: dict[str, str] = {}
    for number, line in enumerate(_LINE_END.split(content), 1):
        if match := _DEFINITION.fullmatch(line):
            if not match[2]:
                raise GrokError(f"the pattern {match[1]} in line {number} has no regular expression")
            definitions[match[1]] = match[2]
    return definitions


def find_ignored_lines(content: str) -> Iterator[tuple[int, str]]:
    """Yield the number and the content of each line that is neither a definition, nor a comment, nor empty."""
    for number, line in enumerate(_LINE_END.split(content), 1):
        if line.strip() and not line.lstrip().startswith("#") and not _DEFINITION.fullmatch(line):
            yield number, line


@cache
def load_common_definitions() -> Mapping[str, str]:
    """Return the patterns that every pattern can use."""
    return MappingProxyType(parse_definitions((SHIPPED / "common").read_text(encoding="utf-8")))
