"""Suppression of lints by comments: `// noqa: mixed-and-or` suppresses findings on its line, of this name only."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from stellar.language.source import Span
from stellar.tooling.findings import UNUSED_NOQA, WARNING, Finding, SourceEdit, suggest_lint
from stellar.tooling.lexing import COMMENT, tokenize

_NAME = r"[A-Za-z][\w-]*"
_NOQA = re.compile(rf"//\s*noqa\b(?:\s*:\s*(?P<names>{_NAME}(?:\s*,\s*{_NAME})*))?", re.IGNORECASE)
_EXAMPLE = "write // noqa: NAME, as in // noqa: mixed-and-or"


@dataclass(frozen=True, slots=True)
class Suppression:
    """A comment with noqa.

    line: index of its line in the source
    comment: span of the comment
    noqa: span of noqa with its names
    names: the names of lints, each with its span
    """

    line: int
    comment: Span
    noqa: Span
    names: tuple[tuple[str, Span], ...]


def suppress_findings(source: str, findings: list[Finding], known: Collection[str]) -> list[Finding]:
    """Return the findings that no comment suppresses, and a finding for each comment or name that suppresses none.

    A comment applies to findings of the lines that it is on.

    known: the names of all lints
    """
    used: set[tuple[int, str]] = set()
    suppressions = list(_find_suppressions(source))
    remaining = [finding for finding in findings if not _is_suppressed(source, finding, suppressions, used)]
    for each in suppressions:
        remaining += _find_unused(source, each, {name for line, name in used if line == each.line}, known)
    return remaining


def _find_suppressions(source: str) -> Iterator[Suppression]:
    for lexeme in tokenize(source):
        if lexeme.kind == COMMENT and (match := _NOQA.search(source, lexeme.start, lexeme.end)):
            names = () if match["names"] is None else tuple(_split_names(source, Span(*match.span("names"))))
            line = source.count("\n", 0, lexeme.start)
            yield Suppression(line, Span(lexeme.start, lexeme.end), Span(*match.span()), names)


def _split_names(source: str, span: Span) -> Iterator[tuple[str, Span]]:
    for name in re.compile(_NAME).finditer(source, span.start, span.end):
        yield name[0], Span(*name.span())


def _is_suppressed(source: str, finding: Finding, suppressions: list[Suppression], used: set[tuple[int, str]]) -> bool:
    """Return True if a comment suppresses a finding, and add its line and the name to the used ones."""
    first, last = (source.count("\n", 0, offset) for offset in (finding.span.start, finding.span.end))
    matching = [
        each.line
        for each in suppressions
        if first <= each.line <= last and finding.name in [name for name, _ in each.names]
    ]
    used.update((line, finding.name) for line in matching)
    return bool(matching)


def _find_unused(source: str, given: Suppression, used: set[str], known: Collection[str]) -> Iterator[Finding]:
    if not given.names:
        yield Finding(UNUSED_NOQA, "noqa without the name of a lint suppresses nothing", given.noqa, _EXAMPLE)
    is_removed = not used and all(name in known for name, _ in given.names)
    for name, span in given.names:
        if name not in known:
            yield Finding(UNUSED_NOQA, f"unknown lint {name}", span, suggest_lint(name, known))
        elif name not in used:
            edits = _remove_comment(source, given) if is_removed and span == given.names[0][1] else ()
            yield Finding(UNUSED_NOQA, f"{name} is not reported here", span, "remove it", WARNING, edits)


def _remove_comment(source: str, given: Suppression) -> tuple[SourceEdit, ...]:
    """Return the edits that remove a comment, with the spaces before it; none if it has other words."""
    if source[given.comment.start : given.comment.end].strip() != source[given.noqa.start : given.noqa.end]:
        return ()
    start = len(source[: given.comment.start].rstrip(" \t"))
    return (SourceEdit(Span(start, given.comment.end), ""),)
