"""Findings about one expression: errors, and lints with their severities and fixes."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from stellar.language.source import Span

# Severities. `error` is also the name of findings that are not lints
ERROR, WARNING = "error", "warning"
# The lint of comments with noqa that suppress nothing
UNUSED_NOQA = "unused-noqa"


@dataclass(frozen=True, slots=True)
class SourceEdit:
    """A replacement of a span of an expression's source; an insertion has an empty span."""

    span: Span
    replacement: str


Edits = tuple[SourceEdit, ...]


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem in an expression: an error, or a construct that is valid but misleading.

    name: `error`, or the name of a lint, such as `mixed-and-or`
    message: the error, or the actual meaning
    span: its source location
    hint: a suggested fix, if there is one
    severity: `error` for one that fails whenever it is evaluated, otherwise `warning`
    edits: edits after which it is not reported and the expression has the same meaning; empty if there are none
    """

    name: str
    message: str
    span: Span
    hint: str | None
    severity: str = WARNING
    edits: Edits = ()


def apply_edits(source: str, edits: Edits) -> str:
    """Return a source after edits that do not overlap."""
    for edit in sorted(edits, key=lambda each: each.span.start, reverse=True):
        source = f"{source[: edit.span.start]}{edit.replacement}{source[edit.span.end :]}"
    return source


def suggest_lint(unknown: str, known: Collection[str]) -> str:
    """Return a hint for an unknown name of a lint."""
    from stellar.util.suggestions import find_nearest  # loads difflib, which takes longer than a check

    near = find_nearest(unknown, known)
    return "docs/lints.md lists all lints" if near is None else f"did you mean {near}?"
