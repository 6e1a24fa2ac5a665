"""Stellar inside a configuration: compiled once, and when it cannot be, a ConfigError that shows where."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import stellar
from stellar import Expression
from stellar.functions import LIBRARY
from stellar.language.context import NOTHING, Context
from stellar.language.errors import StellarError
from stellar.language.library import Library
from stellar.pipeline.config.locations import FIRST, ErrorCollector, SourceLocation
from stellar.pipeline.records import Record, Report, Reporter

log = logging.getLogger(__name__)


def _unreported(report: Report) -> None:
    log.warning("%s: %s", report.stage, report.reason)


@dataclass(frozen=True)
class BuildContext:
    """What stages are built with.

    library: the functions that expressions may call
    context: what functions may need from outside
    options: `parserConfig`, whose members are variables of field transformations
    settings: the global configuration, whose members are variables of validations
    report: takes what failed while its record goes on
    functions: what the expressions made here call
    expressions: these, each with its place
    problems: takes what is wrong with them; where problems are collected, null stands for a bad expression
    """

    library: Library = LIBRARY
    context: Context = NOTHING
    options: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    report: Reporter = _unreported
    functions: set[str] = field(default_factory=set)
    expressions: list[tuple[SourceLocation, Expression]] = field(default_factory=list)
    problems: ErrorCollector = FIRST

    def expression(self, text: str, place: SourceLocation) -> Expression:
        """The expression that stands at a place. Raises ConfigError, with the expression's own diagnostic in it."""
        return self._compiled(text, place, predicate=False)

    def predicate(self, text: str, place: SourceLocation) -> Expression:
        """The same for a condition: blank is true, and a result that is neither true nor false is refused."""
        return self._compiled(text, place, predicate=True)

    def _compiled(self, text: str, place: SourceLocation, *, predicate: bool) -> Expression:
        expression = self.problems.attempt(lambda: self._made(text, place, predicate=predicate), _NOTHING)
        if expression is not _NOTHING:
            self.functions.update(expression.functions)
            self.expressions.append((place, expression))
        return expression

    def _made(self, text: str, place: SourceLocation, *, predicate: bool) -> Expression:
        try:
            return stellar.compile(text, library=self.library, predicate=predicate)
        except StellarError as error:
            raise place.error(str(error)) from error


_NOTHING = stellar.compile("null")


def shortened(text: str, most: int = 80) -> str:
    """An expression as a part of a sentence: on one line, and cut if it is long."""
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 1]}…"


def variables(record: Record, *defaults: Mapping[str, Any]) -> Record:
    """The fields of a record with variables behind them: a name takes the first value that is not null."""
    merged = dict(record)
    for layer in defaults:
        for name, value in layer.items():
            if merged.get(name) is None:
                merged[name] = value
    return merged


def date_reader(pattern: str, zone: str, place: SourceLocation) -> Callable[[str], int]:
    """Reads texts by a Java date pattern into milliseconds since 1970; raises ValueError for a text that does not fit.

    Raises ConfigError for a pattern that cannot be.
    """
    expression = stellar.compile("TO_EPOCH_TIMESTAMP(text, pattern, zone)")
    settings = {"pattern": pattern, "zone": zone}
    try:
        expression({**settings, "text": ""})
    except StellarError as error:
        raise place.error(f"{pattern!r} is no date pattern: {error.__cause__ or error.message}") from error

    def read(text: str) -> int:
        milliseconds = expression({**settings, "text": text})
        if milliseconds is None:
            raise ValueError(f"{text!r} is no date of the form {pattern!r}")
        return int(milliseconds)

    return read
