"""The stored cases: inputs of Metron's own engine and its results.

A value is JSON, with tags for other types: {"$long": 5}, {"$set": [...]}, {"$map": [[key, value], ...]}.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from stellar.language.ordered_set import OrderedSet
from stellar.language.runtime import hashable

DATA = Path(__file__).parent / "data"

# The root causes of syntax errors; a literal out of the range of its type is a NumberFormatException
MALFORMED = frozenset({"NoViableAltException", "LexerNoViableAltException", "InputMismatchException"})


@dataclass(frozen=True)
class Answer:
    """The result of Metron.

    type: Java class of the value
    value: the value, with tags
    types: classes of the elements of a container, nested like them
    root: class of the root exception of a failure; None for a value
    """

    type: str | None
    value: Any
    types: Any
    root: str | None

    @property
    def failed(self) -> bool:
        return self.root is not None

    @cached_property
    def expected(self) -> Any:
        """The value, with Pairs for maps and Members for sets, because in Python's own 1 and true are equal."""
        return _expected(self.value)

    @cached_property
    def single_precision(self) -> bool:
        """True if it contains binary32 numbers."""
        return "'Float'" in repr([self.type, self.types])


@dataclass(frozen=True)
class Case:
    """One case: an expression, its variables and the result of Metron.

    mode: parse, predicate, validate or variables
    strict: a missing variable is an error instead of null
    """

    id: str
    category: str
    text: str
    variables: dict[str, Any]
    mode: str
    strict: bool
    answer: Answer

    @cached_property
    def malformed(self) -> bool:
        """True if Metron rejected the expression as a syntax error."""
        root = self.answer.root
        return root in MALFORMED or (root == "NumberFormatException" and self.mode != "variables")

    @property
    def record(self) -> dict[str, Any]:
        """The variables; a new record each time, because some functions change their arguments."""
        return decoded(self.variables, PLAIN)  # type: ignore[no-any-return]


Numbers = dict[str, Callable[[Any], Any]]

# Converters by the tags of numbers; without a tag an int is an Integer if it fits, else a Long
PLAIN: Numbers = {
    **dict.fromkeys(("$byte", "$short", "$integer", "$long"), int),
    **dict.fromkeys(("$float", "$double"), float),
}


def load(name: str) -> list[Case]:
    """Return the cases of a file, such as "language"."""
    return [read(json.loads(line)) for line in (DATA / f"{name}.jsonl").read_text("utf-8").splitlines()]


def read(raw: dict[str, Any]) -> Case:
    """Return the case of a JSON object."""
    result = raw["result"]
    root = None if result["ok"] else result["root"] or result["error"]
    answer = Answer(result.get("type"), result.get("value"), result.get("types"), root)
    return Case(
        id=raw["id"],
        category=raw["cat"],
        text=raw["expr"] or "",
        variables=raw["vars"] or {},
        mode=raw["mode"],
        strict=raw["resolver"] == "strict",
        answer=answer,
    )


def decoded(value: Any, numbers: Numbers) -> Any:
    """Convert a tagged value to a Python value.

    numbers: converters of numbers by tag
    """
    if isinstance(value, list):
        return [decoded(item, numbers) for item in value]
    if isinstance(value, dict):
        if len(value) == 1 and (tag := next(iter(value))) in _TAGS:
            return _TAGS[tag](value[tag], numbers)
        return {key: decoded(item, numbers) for key, item in value.items()}
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    if isinstance(value, float):
        return numbers["$double"](value)
    return numbers["$integer" if -(2**31) <= value < 2**31 else "$long"](value)


def _number(tag: str) -> Callable[[Any, Numbers], Any]:
    # A float that JSON can't represent has a second tag inside
    return lambda value, numbers: numbers[tag](decoded(value, PLAIN))


_TAGS: dict[str, Callable[[Any, Numbers], Any]] = {
    **{tag: _number(tag) for tag in ("$byte", "$short", "$long", "$float")},
    "$nan": lambda _, numbers: numbers["$double"](math.nan),
    "$inf": lambda sign, numbers: numbers["$double"](sign * math.inf),
    "$bytes": lambda encoded, _: base64.b64decode(encoded),
    "$char": lambda character, _: character,
    "$set": lambda members, numbers: OrderedSet(hashable(decoded(member, numbers)) for member in members),
    "$map": lambda pairs, numbers: {hashable(decoded(key, numbers)): decoded(item, numbers) for key, item in pairs},
    "$object": lambda name, _: Opaque(name),
}


@dataclass(frozen=True)
class Opaque:
    """An object of which the result has only the name, such as a sketch or a lambda."""

    name: str


class Members(list[Any]):
    """The expected members of a set."""


class Pairs(list[Any]):
    """The expected items of a map: lists of a key and its value."""


def _expected(value: Any) -> Any:
    match value:
        case list():
            return [_expected(item) for item in value]
        case {"$set": members, **rest} if not rest:
            return Members(map(_expected, members))
        case {"$map": pairs, **rest} if not rest:
            return Pairs(map(_expected, pairs))
        case {"$object": name}:
            return Opaque(name)
        case dict() if not (len(value) == 1 and next(iter(value)) in _TAGS):
            return Pairs([key, _expected(item)] for key, item in value.items())
    return decoded(value, PLAIN)


def by_category(cases: list[Case]) -> Iterator[tuple[str, list[Case]]]:
    """Yield the cases by category, in the order of the file."""
    groups: dict[str, list[Case]] = {}
    for case in cases:
        groups.setdefault(case.category, []).append(case)
    yield from groups.items()
