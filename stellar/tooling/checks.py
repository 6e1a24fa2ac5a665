"""Static checks of an expression: its errors, and its lint findings."""

from __future__ import annotations

from stellar.language.errors import StellarError
from stellar.language.expression import Expression
from stellar.language.library import Library
from stellar.language.resolver import resolve
from stellar.tooling.findings import ERROR, Finding
from stellar.tooling.lints import lint


def find_problems(source: str, library: Library) -> list[Finding]:
    """Return the errors and lint findings of an expression, in source order; a syntax error is returned alone.

    The name of an error is `error`. The expression is not evaluated.
    """
    try:
        expression = Expression(source, library, unknown_functions="when_reached")
    except StellarError as error:
        return [_error_finding(error)]
    errors = [_error_finding(error) for error in resolve(expression.tree, library, source).problems]
    return sorted(errors + lint(expression.tree, source, library), key=lambda finding: finding.span.start)


def _error_finding(error: StellarError) -> Finding:
    return Finding(ERROR, error.message, error.span, error.hint, ERROR)
