"""Spec lines: examples with their expected result, `EXPRESSION  // result`, which can be run as tests.

The docstrings of functions, the documentation and the language's own tests use this notation; docs/spec-lines.md
describes it. Use it to test your own functions and rules:

    for paragraph in spec_lines.read(Path("rules.stellar").read_text()):
        assert not spec_lines.find_failures(paragraph, library)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import FunctionType
from typing import Any

from stellar.language.context import NOTHING, Context
from stellar.language.errors import EvaluationError, ParseError, ResolutionError, StellarError
from stellar.language.expression import Expression, default_library
from stellar.language.library import Library
from stellar.language.runtime import describe, same
from stellar.language.tables import TERMINALS

ERRORS: dict[str, tuple[type[StellarError], ...]] = {
    "error": (EvaluationError, ResolutionError),
    "parse error": (ParseError,),
    "resolution error": (ResolutionError,),
}
_KINDS = (ParseError, ResolutionError, EvaluationError)


@dataclass(frozen=True, slots=True)
class Line:
    """An expression and its expected result; `number` is the number of its last line."""

    number: int
    expression: str
    result: str


@dataclass(slots=True)
class Paragraph:
    """A claim, variables, and the lines that use them."""

    claim: str = ""
    variables: dict[str, str] = field(default_factory=dict)
    lines: list[Line] = field(default_factory=list)


def read(source: str) -> list[Paragraph]:
    """Return the paragraphs of a source, which are separated by blank lines outside expressions.

    Raise ValueError, with the line number, if an expression has no result.
    """
    paragraphs = [Paragraph()]
    waiting: list[str] = []
    number = 0
    for number, line in enumerate(source.splitlines(), start=1):
        expression, comment = split(line)
        if not line.strip() and not waiting:
            paragraphs.append(Paragraph())
        elif not expression and comment is not None and not waiting:
            paragraphs[-1].claim = f"{paragraphs[-1].claim} {comment}".strip()
        elif (assignment := _ASSIGNMENT.match(line)) and not waiting:
            paragraphs[-1].variables[assignment[1]] = split(line[assignment.end() :])[0]
        elif comment is None:
            waiting.append(line)
        else:
            whole = "\n".join([*waiting, expression]).strip()
            paragraphs[-1].lines.append(Line(number, whole, comment))
            waiting.clear()
    if waiting:
        raise ValueError(f"line {number}: missing result; write it after the expression, as in 1 + 1  // 2")
    return [paragraph for paragraph in paragraphs if paragraph.lines]


_ASSIGNMENT = re.compile(r"\s*([a-zA-Z_$][a-zA-Z_.:0-9]*?)\s+:=\s*")
_TOKEN = re.compile("|".join(pattern for _, pattern in TERMINALS))


def split(line: str) -> tuple[str, str | None]:
    """Split a line into its expression and its comment; `//` within a string does not start a comment."""
    position = 0
    while position < len(line):
        if line.startswith("//", position):
            return line[:position].strip(), line[position + 2 :].strip()
        token = _TOKEN.match(line, position)
        position = token.end() if token else position + 1
    return line.strip(), None


def find_failures(
    paragraph: Paragraph, library: Library | None = None, context: Context = NOTHING, *, fast: bool = True
) -> list[str]:
    """Return a message for each line of a paragraph whose result differs from the expected one."""
    library = library if library is not None else default_library()
    record = {name: evaluate_result(source, library) for name, source in paragraph.variables.items()}
    failures: list[str] = []
    for line in paragraph.lines:
        if outcome := _failure(line, record, library, context, fast):
            failures.append(f"line {line.number}: {line.expression}  // {line.result}\n    but {outcome}")
    return failures


def _failure(line: Line, record: Mapping[str, Any], library: Library, context: Context, fast: bool) -> str | None:
    """Describe the actual result of a line; None if it is the expected one."""
    kind, _, message = line.result.partition(":")
    expected = ERRORS.get(kind)
    try:
        value = Expression(line.expression, library, fast=fast)(record, context)
    except StellarError as error:
        if expected is None:
            return f"it is an error\n{error}"
        if not isinstance(error, expected):
            kind = next(kind.__name__ for kind in _KINDS if isinstance(error, kind))
            return f"it is {'an' if kind[0] in 'AEIOU' else 'a'} {kind}\n{error}"
        if message.strip() not in error.message:
            return f"the message is: {error.message}"
        return None
    if expected is None and is_result(value, line.result, library):
        return None
    return f"it is {describe(value)}"


def is_result(value: Any, result: str, library: Library | None = None) -> bool:
    """Return True if a value equals a written result.

    1, 1.0 and true differ; NaN equals NaN; maps and sets have no order.
    """
    if result in _DESCRIBED:
        return _DESCRIBED[result](value)
    return same(value, evaluate_result(result, library if library is not None else default_library()))


_PLAIN = (bool, int, float, str, bytes, list, tuple, Mapping, set, frozenset, FunctionType)
_DESCRIBED: dict[str, Callable[[Any], bool]] = {
    "lambda": lambda value: isinstance(value, FunctionType),
    "opaque": lambda value: value is not None and not isinstance(value, _PLAIN),
}
_CONSTRUCTORS: dict[str, Callable[[list[Any]], Any]] = {"set": set, "bytes": bytes}


def evaluate_result(source: str, library: Library) -> Any:
    """Return the value of a written result: an expression, `set[…]` or `bytes[…]`."""
    name, bracket, rest = source.partition("[")
    if bracket and name in _CONSTRUCTORS:
        return _CONSTRUCTORS[name](Expression(bracket + rest, library)({}))
    return Expression(source, library)({})


def read_library(library: Library) -> Iterator[tuple[str, Paragraph]]:
    """Yield the examples in the docstrings of functions, with the function's name."""
    for name, function in library.items():
        for paragraph in read(function.help.examples):
            yield name, paragraph
