"""All that is to be said of an expression without evaluating it: errors, and surprises."""

from __future__ import annotations

from dataclasses import dataclass

from stellar.language.errors import StellarError
from stellar.language.expression import Expression
from stellar.language.library import Library
from stellar.language.resolver import resolve
from stellar.language.source import Span
from stellar.tooling.lints import lint

ERROR = "error"


@dataclass(frozen=True, slots=True)
class Problem:
    """Something to be said of an expression.

    name: `error`, or the name of a lint
    message: what is wrong, or what the text really means
    span: where
    hint: how to mend it, if that can be told
    """

    name: str
    message: str
    span: Span
    hint: str | None


def problems(source: str, library: Library) -> list[Problem]:
    """What is to be said of an expression, in the order of its text; if it is not Stellar, only that."""
    try:
        expression = Expression(source, library, unknown_functions="when_reached")
    except StellarError as error:
        return [_error(error)]
    found = [_error(error) for error in resolve(expression.tree, library, source).problems]
    found += [Problem(f.name, f.message, f.span, f.hint) for f in lint(expression.tree, source, library)]
    return sorted(found, key=lambda problem: problem.span.start)


def _error(error: StellarError) -> Problem:
    return Problem(ERROR, error.message, error.span, error.hint)
