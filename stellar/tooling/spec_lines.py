"""Spec lines: examples of Stellar that say their result, `EXPRESSION  // result`, and whether they hold.

The docstrings of functions, the documentation and the language's own tests are written so; docs/spec-lines.md
describes the notation. Use it to test your own functions and rules:

    for paragraph in spec_lines.read(Path("rules.stellar").read_text()):
        assert not spec_lines.failures(paragraph, library)
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
    """An expression and the result that is written behind it; `number` is that of its last line in the file."""

    number: int
    expression: str
    result: str


@dataclass(slots=True)
class Paragraph:
    """A claim, the variables that its lines may use, and the lines."""

    claim: str = ""
    variables: dict[str, str] = field(default_factory=dict)
    lines: list[Line] = field(default_factory=list)


def read(text: str) -> list[Paragraph]:
    """The paragraphs of a text; blank lines part them, but for those within an expression.

    Raises ValueError, with the number of the line, for an expression without a result.
    """
    paragraphs = [Paragraph()]
    waiting: list[str] = []
    number = 0
    for number, line in enumerate(text.splitlines(), start=1):
        expression, comment = split(line)
        if not line.strip() and not waiting:
            paragraphs.append(Paragraph())
        elif not expression and comment is not None and not waiting:
            paragraphs[-1].claim = f"{paragraphs[-1].claim} {comment}".strip()
        elif (assigned := _ASSIGNED.match(line)) and not waiting:
            paragraphs[-1].variables[assigned[1]] = split(line[assigned.end() :])[0]
        elif comment is None:
            waiting.append(line)
        else:
            whole = "\n".join([*waiting, expression]).strip()
            paragraphs[-1].lines.append(Line(number, whole, comment))
            waiting.clear()
    if waiting:
        raise ValueError(f"line {number}: an expression without a result; write one behind it, as in 1 + 1  // 2")
    return [paragraph for paragraph in paragraphs if paragraph.lines]


_ASSIGNED = re.compile(r"\s*([a-zA-Z_$][a-zA-Z_.:0-9]*?)\s+:=\s*")
_TOKEN = re.compile("|".join(pattern for _, pattern in TERMINALS))


def split(line: str) -> tuple[str, str | None]:
    """An expression, and the comment behind it if there is one. `//` within a text is none."""
    position = 0
    while position < len(line):
        if line.startswith("//", position):
            return line[:position].strip(), line[position + 2 :].strip()
        token = _TOKEN.match(line, position)
        position = token.end() if token else position + 1
    return line.strip(), None


def failures(
    paragraph: Paragraph, library: Library | None = None, context: Context = NOTHING, *, fast: bool = True
) -> list[str]:
    """What does not hold in a paragraph, in a sentence each; empty if everything does."""
    library = library if library is not None else default_library()
    record = {name: value_of(text, library) for name, text in paragraph.variables.items()}
    found: list[str] = []
    for line in paragraph.lines:
        if outcome := _failure(line, record, library, context, fast):
            found.append(f"line {line.number}: {line.expression}  // {line.result}\n    but {outcome}")
    return found


def _failure(line: Line, record: Mapping[str, Any], library: Library, context: Context, fast: bool) -> str | None:
    """What came instead of the result that is written there, or None."""
    kind, _, part = line.result.partition(":")
    wanted = ERRORS.get(kind)
    try:
        value = Expression(line.expression, library, fast=fast)(record, context)
    except StellarError as error:
        if wanted is None:
            return f"it is an error\n{error}"
        if not isinstance(error, wanted):
            kind = next(kind.__name__ for kind in _KINDS if isinstance(error, kind))
            return f"it is {'an' if kind[0] in 'AEIOU' else 'a'} {kind}\n{error}"
        if part.strip() not in error.message:
            return f"the message is: {error.message}"
        return None
    if wanted is None and is_result(value, line.result, library):
        return None
    return f"it is {describe(value)}"


def is_result(value: Any, result: str, library: Library | None = None) -> bool:
    """Whether a value is what a result says. 1, 1.0 and true are three; NaN is NaN; maps and sets have no order."""
    if result in _DESCRIBED:
        return _DESCRIBED[result](value)
    return same(value, value_of(result, library if library is not None else default_library()))


_PLAIN = (bool, int, float, str, bytes, list, tuple, Mapping, set, frozenset, FunctionType)
_DESCRIBED: dict[str, Callable[[Any], bool]] = {
    "lambda": lambda value: isinstance(value, FunctionType),
    "opaque": lambda value: value is not None and not isinstance(value, _PLAIN),
}
_MADE: dict[str, Callable[[list[Any]], Any]] = {"set": set, "bytes": bytes}


def value_of(text: str, library: Library) -> Any:
    """The value that is written: a Stellar expression, `set[…]` or `bytes[…]`."""
    made, bracket, rest = text.partition("[")
    if bracket and made in _MADE:
        return _MADE[made](Expression(bracket + rest, library)({}))
    return Expression(text, library)({})


def of_library(library: Library) -> Iterator[tuple[str, Paragraph]]:
    """The examples in the docstrings of functions, by the function's name."""
    for name, function in library.items():
        for paragraph in read(function.help.examples):
            yield name, paragraph
