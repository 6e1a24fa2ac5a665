"""JSONPath as Jayway's Java library reads it.

It differs from RFC 9535, and so from Python's libraries, in what Metron's users rely on: a filter of an object tests
the object itself and not its members, a number equals a string of its digits, a missing member is no error, and a
path may omit `$.` and may end in `length()`.

A path is a chain of steps. Each step maps a value to the values that it selects, and a path is definite if every step
selects at most one. `find` returns the value of a definite path, and the list of values of any other.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import partial
from typing import Any

from stellar.java.regex import compile_matcher
from stellar.util.abbreviate import quote

Step = Callable[[Any, Any], Iterator[Any]]  # (value, root) -> the selected values
Predicate = Callable[[Any, Any], bool]
Operand = Callable[[Any, Any], Any]

MISSING = object()
_DEEPEST_FILTER = 50


class JsonPathError(ValueError):
    """A path is invalid."""


@dataclass(frozen=True, slots=True)
class JsonPath:
    """A compiled path.

    steps: the steps from the root
    is_definite: True if the path selects at most one value
    """

    steps: tuple[Step, ...]
    is_definite: bool

    def find(self, root: Any) -> Any:
        """Return the value, or None if a definite path selects none; a list for other paths."""
        found = list(self.select(root, root))
        if self.is_definite:
            return found[0] if found else None
        return found

    def select(self, value: Any, root: Any) -> Iterator[Any]:
        """Yield the values that the path selects, from a value."""
        values: Iterator[Any] = iter((value,))
        for step in self.steps:
            values = _select_each(step, values, root)
        return values


def _select_each(step: Step, values: Iterator[Any], root: Any) -> Iterator[Any]:
    for value in values:
        yield from step(value, root)


def compile_json_path(text: str) -> JsonPath:
    """Compile a path. Raises JsonPathError for an invalid one, with its offset."""
    stripped = text.strip()
    if not stripped:
        raise JsonPathError("the path is empty")
    if stripped[0] not in "$@":
        stripped = f"$.{stripped}"
    reader = _Reader(stripped)
    path = reader.read_path()
    if reader.at < len(stripped):
        raise reader.error("unexpected character")
    return path


# -- Steps ------------------------------------------------------------------------------------------------------------


def _member(name: str, value: Any, root: Any) -> Iterator[Any]:
    if isinstance(value, dict) and name in value:
        yield value[name]


def _members(names: tuple[str, ...], value: Any, root: Any) -> Iterator[Any]:
    """Select one object with some members of a value."""
    if isinstance(value, dict):
        yield {name: value[name] for name in names if name in value}


def _each_member(names: tuple[str, ...], value: Any, root: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from (value[name] for name in names if name in value)


def _elements(indices: tuple[int, ...], value: Any, root: Any) -> Iterator[Any]:
    if isinstance(value, list):
        yield from (value[index] for index in indices if -len(value) <= index < len(value))


def _slice(bounds: slice, value: Any, root: Any) -> Iterator[Any]:
    if isinstance(value, list):
        yield from value[bounds]


def _children(value: Any, root: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, list):
        yield from value


def _filter(predicate: Predicate, value: Any, root: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        if predicate(value, root):
            yield value
    elif isinstance(value, list):
        yield from (item for item in value if predicate(item, root))


def _filter_deeply(predicate: Predicate, value: Any, root: Any) -> Iterator[Any]:
    return (each for each in _descendants(value) if isinstance(each, dict) and predicate(each, root))


def _scan(step: Step, value: Any, root: Any) -> Iterator[Any]:
    for each in _descendants(value):
        yield from step(each, root)


def _descendants(value: Any) -> Iterator[Any]:
    """Yield a value and all values in it, each before those in it. Without recursion, as input may nest deeply."""
    stack = [iter((value,))]
    while stack:
        for each in stack[-1]:
            yield each
            if isinstance(each, dict | list):
                stack.append(_children(each, None))
                break
        else:
            stack.pop()


def _length(value: Any, root: Any) -> Iterator[Any]:
    if isinstance(value, dict | list):
        yield len(value)


# -- Filters ----------------------------------------------------------------------------------------------------------


def _number(value: Any) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return Decimal(str(value))
    except InvalidOperation:
        return None


def _equal(left: Any, right: Any) -> bool:
    if left is MISSING or right is MISSING:
        return False
    if isinstance(left, bool) or isinstance(right, bool) or left is None or right is None:
        return left is right
    if isinstance(left, str) and isinstance(right, str):
        return left == right
    one, other = _number(left), _number(right)
    if one is not None and other is not None:
        return one == other
    return type(left) is type(right) and bool(left == right)


def _compare(test: Callable[[Any, Any], bool], left: Any, right: Any) -> bool:
    if isinstance(left, str) and isinstance(right, str):
        return test(left, right)
    if isinstance(left, str) or isinstance(right, str):
        return False
    one, other = _number(left), _number(right)
    return one is not None and other is not None and test(one, other)


def _contains(container: Any, item: Any) -> bool:
    if isinstance(container, str):
        return isinstance(item, str) and item in container
    return isinstance(container, list) and any(_equal(each, item) for each in container)


def _all_in(left: Any, right: Any) -> bool:
    return isinstance(left, list) and all(_contains(right, each) for each in left)


def _any_in(left: Any, right: Any) -> bool:
    return isinstance(left, list) and any(_contains(right, each) for each in left)


def _has_size(left: Any, right: Any) -> bool:
    return isinstance(left, list | str) and _equal(len(left), right)


def _is_empty(left: Any, right: Any) -> bool:
    return isinstance(left, list | str | dict) and (not left) is right


def _matches(left: Any, right: Any) -> bool:
    if not isinstance(left, str | int | float):
        return False
    text = left if isinstance(left, str) else json.dumps(left)
    return bool(right(text))


OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "===": lambda left, right: type(left) is type(right) and _equal(left, right),
    "!==": lambda left, right: not (type(left) is type(right) and _equal(left, right)),
    "==": _equal,
    "!=": lambda left, right: not _equal(left, right),
    "<=": partial(_compare, lambda left, right: left <= right),
    ">=": partial(_compare, lambda left, right: left >= right),
    "<": partial(_compare, lambda left, right: left < right),
    ">": partial(_compare, lambda left, right: left > right),
    "=~": _matches,
    "in": lambda left, right: _contains(right, left),
    "nin": lambda left, right: not _contains(right, left),
    "contains": _contains,
    "subsetof": _all_in,
    "anyof": _any_in,
    "noneof": lambda left, right: isinstance(left, list) and not _any_in(left, right),
    "size": _has_size,
    "empty": _is_empty,
}


# -- Reading ----------------------------------------------------------------------------------------------------------

_NAME = re.compile(r"[^\s.\[\]()]+")
_NAME_IN_FILTER = re.compile(r"[^\s.\[\]()=<>!~&|,]+")
_INDICES = re.compile(r"\s*(-?\d+(?:\s*,\s*-?\d+)*)\s*\]")
_SLICE = re.compile(r"\s*(-?\d+|)\s*:\s*(-?\d+|)\s*\]")
_STRING = re.compile(r"'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\"", re.DOTALL)
_OPERATOR = re.compile(
    r"===|!==|==|!=|<=|>=|<|>|=~|(?:in|nin|contains|subsetof|anyof|noneof|size|empty)\b", re.IGNORECASE
)
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
_REGEX = re.compile(r"/((?:[^/\\]|\\.)*)/([a-zA-Z]*)")
_WORDS: dict[str, Any] = {"true": True, "false": False, "null": None}


class _Reader:
    """A recursive descent parser of paths, and of the expressions of their filters."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.depth = 0  # of parentheses in a filter
        self.filters = 0  # filters that are open

    def error(self, problem: str) -> JsonPathError:
        found = f", got {quote(self.text[self.at])}" if self.at < len(self.text) else ", got the end"
        return JsonPathError(f"invalid JSONPath {quote(self.text)}: {problem} at offset {self.at}{found}")

    def take(self, token: str) -> bool:
        """Return True and move after a token if it is next."""
        if not self.text.startswith(token, self.at):
            return False
        self.at += len(token)
        return True

    def take_match(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        match = pattern.match(self.text, self.at)
        if match is not None:
            self.at = match.end()
        return match

    def skip_whitespace(self) -> None:
        while self.text[self.at : self.at + 1].isspace():
            self.at += 1

    def read_path(self) -> JsonPath:
        self.at += 1  # the root, $ or @
        steps: list[Step] = []
        is_definite = True
        while self.text[self.at : self.at + 1] in (".", "["):
            is_scan = self.take("..")
            if not is_scan and self.text[self.at] == ".":
                self.at += 1
                if self.take("length()") or self.take("size()"):
                    return JsonPath((*steps, _length), is_definite)
            if self.text.startswith("[", self.at):
                step, is_single = self.read_brackets(is_scan=is_scan)
            else:
                step, is_single = self.read_name()
            steps.append(partial(_scan, step) if is_scan and not _is_deep(step) else step)
            is_definite = is_definite and is_single and not is_scan
        return JsonPath(tuple(steps), is_definite)

    def read_name(self) -> tuple[Step, bool]:
        if self.take("*"):
            return _children, False
        match = self.take_match(_NAME_IN_FILTER if self.filters else _NAME)
        if match is None:
            raise self.error("expected a name or '*'")
        if self.text.startswith("(", self.at):
            raise self.error(f"unsupported function {quote(match[0])}; only length() and size(), at the end of a path,")
        return partial(_member, match[0]), True

    def read_brackets(self, *, is_scan: bool) -> tuple[Step, bool]:
        self.at += 1
        if match := self.take_match(_INDICES):
            indices = tuple(int(each) for each in match[1].split(","))
            return partial(_elements, indices), len(indices) == 1
        if match := self.take_match(_SLICE):
            start, stop = (int(each) if each else None for each in match.groups())
            return partial(_slice, slice(start, stop)), False
        self.skip_whitespace()
        if self.take("?"):
            predicate = self.read_filter()
            self.close_brackets()
            return partial(_filter_deeply if is_scan else _filter, predicate), False
        if self.take("*"):
            self.close_brackets()
            return _children, False
        return self.read_quoted_names()

    def close_brackets(self) -> None:
        self.skip_whitespace()
        if not self.take("]"):
            raise self.error("expected ']'")

    def read_quoted_names(self) -> tuple[Step, bool]:
        names = []
        while True:
            self.skip_whitespace()
            names.append(self.read_string("expected an index, a slice, a quoted name, '*' or a filter"))
            self.skip_whitespace()
            if not self.take(","):
                break
        self.close_brackets()
        if len(names) == 1:
            return partial(_member, names[0]), True
        if self.at == len(self.text):
            return partial(_members, tuple(names)), True
        return partial(_each_member, tuple(names)), False

    def read_string(self, problem: str) -> str:
        match = self.take_match(_STRING)
        if match is None:
            raise self.error(problem)
        content: str = match[1] if match[1] is not None else match[2]
        return re.sub(r"\\(.)", r"\1", content, flags=re.DOTALL)

    def read_filter(self) -> Predicate:
        self.skip_whitespace()
        if not self.take("("):
            raise self.error("expected '(' of a filter")
        self.filters += 1
        predicate = self.read_or()
        self.filters -= 1
        self.skip_whitespace()
        if not self.take(")"):
            raise self.error("expected ')' of a filter")
        return predicate

    def read_or(self) -> Predicate:
        parts = [self.read_and()]
        while self.take_spaced("||"):
            parts.append(self.read_and())
        return parts[0] if len(parts) == 1 else lambda value, root: any(part(value, root) for part in parts)

    def read_and(self) -> Predicate:
        parts = [self.read_not()]
        while self.take_spaced("&&"):
            parts.append(self.read_not())
        return parts[0] if len(parts) == 1 else lambda value, root: all(part(value, root) for part in parts)

    def take_spaced(self, token: str) -> bool:
        self.skip_whitespace()
        return self.take(token)

    def read_not(self) -> Predicate:
        self.depth += 1
        if self.depth > _DEEPEST_FILTER:
            raise self.error("the filter is nested too deeply")
        try:
            if self.take_spaced("!"):
                inner = self.read_not()
                return lambda value, root: not inner(value, root)
            if self.take("("):
                inner = self.read_or()
                if not self.take_spaced(")"):
                    raise self.error("expected ')'")
                return inner
            return self.read_comparison()
        finally:
            self.depth -= 1

    def read_comparison(self) -> Predicate:
        left = self.read_operand()
        self.skip_whitespace()
        match = self.take_match(_OPERATOR)
        if match is None:
            return lambda value, root: left(value, root) is not MISSING
        test = OPERATORS[match[0].lower()]
        right = self.read_regex() if match[0] == "=~" else self.read_operand()
        return lambda value, root: test(left(value, root), right(value, root))

    def read_regex(self) -> Operand:
        self.skip_whitespace()
        match = self.take_match(_REGEX)
        if match is None:
            raise self.error("expected a regular expression /…/")
        expression = f"(?{match[2]}){match[1]}" if match[2] else match[1]
        try:
            matcher = compile_matcher(expression.replace("\\/", "/"))
        except ValueError as error:
            raise self.error(f"invalid regular expression {quote(match[1])}: {error}") from error
        return lambda value, root: matcher

    def read_operand(self) -> Operand:
        self.skip_whitespace()
        start = self.text[self.at : self.at + 1]
        if start in ("@", "$"):
            return self.read_path_operand()
        if start in ("'", '"'):
            return _constant(self.read_string("expected a string"))
        if start in ("[", "{"):
            return _constant(self.read_json())
        if match := self.take_match(_NUMBER):
            return _constant(json.loads(match[0]))
        for word, value in _WORDS.items():
            if self.take(word):
                return _constant(value)
        raise self.error("expected a path, a string, a number, true, false or null")

    def read_path_operand(self) -> Operand:
        is_root = self.text[self.at] == "$"
        path = self.read_path()

        def find(value: Any, root: Any) -> Any:
            found = list(path.select(root if is_root else value, root))
            if not path.is_definite:
                return found
            return found[0] if found else MISSING

        return find

    def read_json(self) -> Any:
        """Read a list or an object, whose strings may be quoted by `'`."""
        end = self.text.find("]" if self.text[self.at] == "[" else "}", self.at) + 1
        literal = self.text[self.at : end]
        try:
            value = json.loads(_STRING.sub(_requote, literal))
        except ValueError:
            raise self.error("invalid list or object") from None
        self.at = end
        return value


def _is_deep(step: Step) -> bool:
    return isinstance(step, partial) and step.func is _filter_deeply


def _requote(match: re.Match[str]) -> str:
    return match[0] if match[1] is None else json.dumps(match[1])


def _constant(value: Any) -> Operand:
    return lambda _value, _root: value
