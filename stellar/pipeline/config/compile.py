"""Compiles the expressions of a configuration; errors name their location in the file."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain
from typing import Any

import stellar
from stellar import Expression
from stellar.functions import LIBRARY
from stellar.language.context import NOTHING, Context
from stellar.language.errors import StellarError
from stellar.language.library import Library
from stellar.pipeline.config.locations import RAISE_FIRST, ErrorCollector, SourceLocation
from stellar.pipeline.records import Record, Report, Reporter
from stellar.util.abbreviate import quote

log = logging.getLogger(__name__)


def _log_report(report: Report) -> None:
    log.warning("%s: %s", report.stage, report.reason)


_GLOBAL = SourceLocation("global.json")


# A location, the name of a function or adapter, and a function that raises LookupError if it lacks what it needs
Check = tuple[SourceLocation, str, Callable[[Context], object]]


@dataclass(frozen=True)
class BuildContext:
    """The environment in which stages are built.

    library: the functions that expressions may call
    context: the services that functions use
    options: `parserConfig`, whose members are variables of field transformations
    metadata: returns the metadata of the current record, whose members are variables of field transformations
    settings: the global configuration, whose members are variables of validations
    report: receives failures that do not stop their record
    functions: the names of the functions that the compiled expressions call
    expressions: the compiled expressions, with their locations
    checks: what stages need from outside: location, name, and a function that raises LookupError if it is missing
    global_location: the location of the global configuration
    problems: raises or collects errors; if it collects them, an invalid expression compiles to null
    compile_source: compiles an expression, with the arguments of `stellar.compile`; an editor passes one with a cache
    """

    library: Library = LIBRARY
    context: Context = NOTHING
    options: Mapping[str, Any] = field(default_factory=dict)
    metadata: Callable[[], Mapping[str, Any]] = dict
    settings: Mapping[str, Any] = field(default_factory=dict)
    report: Reporter = _log_report
    functions: set[str] = field(default_factory=set)
    expressions: list[tuple[SourceLocation, Expression]] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    global_location: SourceLocation = _GLOBAL
    problems: ErrorCollector = RAISE_FIRST
    compile_source: Callable[..., Expression] = stellar.compile

    def expression(self, text: str, location: SourceLocation) -> Expression:
        """Compile the expression at a location. Raises ConfigError with the diagnostic of the expression."""
        return self._compile(text, location, predicate=False)

    def predicate(self, text: str, location: SourceLocation) -> Expression:
        """Compile a condition: an empty string is true, and a result other than true, false and null is an error."""
        return self._compile(text, location, predicate=True)

    def start_condition(self, text: str, location: SourceLocation) -> Expression:
        """Compile a condition, and evaluate it once without any field, as Metron does when it starts.

        A condition whose functions need services is not evaluated.

        Raises ConfigError if it is invalid, or fails for a record without fields.
        """
        predicate = self.predicate(text, location)
        if not any(self.library[name].needs_context for name in predicate.functions if name in self.library):
            self.problems.attempt(lambda: _try_without_fields(predicate, location), None)
        return predicate

    def _compile(self, text: str, location: SourceLocation, *, predicate: bool) -> Expression:
        expression = self.problems.attempt(lambda: self._compile_or_raise(text, location, predicate=predicate), None)
        if expression is None:
            return stellar.compile("null")
        self.functions.update(expression.functions)
        self.expressions.append((location, expression))
        return expression

    def _compile_or_raise(self, text: str, location: SourceLocation, *, predicate: bool) -> Expression:
        try:
            return self.compile_source(text, library=self.library, predicate=predicate)
        except StellarError as error:
            raise location.error(str(error)) from error


def find_missing_services(
    checks: Iterable[Check], expressions: Sequence[tuple[SourceLocation, Expression]], context: Context
) -> Iterator[tuple[SourceLocation, str, str]]:
    """Yield what expressions and stages need from outside and cannot use, such as a store, a file or a package.

    Each item is the location of an expression or adapter, the name of the function or adapter, and the problem with
    its fix.
    """
    for location, name, check in chain(checks, _list_function_checks(expressions)):
        try:
            check(context)
        except LookupError as error:
            yield location, name, str(error)


def _list_function_checks(expressions: Sequence[tuple[SourceLocation, Expression]]) -> Iterator[Check]:
    """Yield the checks that functions declare, each with the first expression that calls the function."""
    first: dict[str, tuple[SourceLocation, Library]] = {}
    for location, expression in expressions:
        for name in expression.functions:
            first.setdefault(name, (location, expression.library))
    for name, (location, library) in sorted(first.items(), key=lambda item: item[0]):
        if name in library and (check := library[name].check) is not None:
            yield location, name, check


def _try_without_fields(predicate: Expression, location: SourceLocation) -> None:
    try:
        predicate({})
    except StellarError as error:
        raise location.error(f"the condition fails for a record without fields: {error}") from error


@lru_cache(maxsize=1000)
def shorten(text: str, length: int = 80) -> str:
    """Return an expression on one line, shortened to a length, for messages."""
    line = " ".join(text.split())
    return line if len(line) <= length else f"{line[: length - 1]}…"


def merge_variables(record: Record, *defaults: Mapping[str, Any]) -> Record:
    """Return a record with default variables added: each name has the first value that is not null."""
    merged = dict(record)
    for layer in defaults:
        for name, value in layer.items():
            if merged.get(name) is None:
                merged[name] = value
    return merged


def make_date_parser(pattern: str, zone: str, location: SourceLocation) -> Callable[[str], int]:
    """Return a function that parses dates by a Java date pattern into milliseconds since 1970.

    The function raises ValueError for a string that does not match.

    Raises ConfigError for an invalid pattern.
    """
    expression = stellar.compile("TO_EPOCH_TIMESTAMP(text, pattern, zone)")
    settings = {"pattern": pattern, "zone": zone}
    try:
        expression({**settings, "text": ""})
    except StellarError as error:
        raise location.error(f"invalid date pattern {quote(pattern)}: {error.__cause__ or error.message}") from error

    def read(text: str) -> int:
        milliseconds = expression({**settings, "text": text})
        if milliseconds is None:
            raise ValueError(f"invalid date {quote(text)}: expected the form {quote(pattern)}")
        return int(milliseconds)

    return read
