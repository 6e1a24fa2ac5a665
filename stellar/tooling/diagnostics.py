"""Findings in files, as text for people, JSON for programs, or annotations for GitHub."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass

from stellar.language.source import snippet
from stellar.tooling.findings import ERROR, Finding

# The name of findings about a configuration outside of its expressions
CONFIGURATION = "configuration"


Position = tuple[int, int]


@dataclass(frozen=True, slots=True)
class FileEdit:
    """A replacement in a file from one line and column to another, all counted from 1; the end is exclusive."""

    line: int
    column: int
    end_line: int
    end_column: int
    replacement: str


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """A finding in a file.

    line, column: from 1; 0 if the finding is about the whole file
    severity: `error` or `warning`
    name: the name of a lint, or `configuration` or `error`
    path: the location in a JSON file, such as `parserConfig.columns`; empty for other files
    message: the problem in one sentence
    detail: the excerpt with carets, and the hint; empty if there is none
    edits: edits of the file after which a lint is not reported and its expression has the same meaning
    """

    file: str
    line: int
    column: int
    severity: str
    name: str
    path: str
    message: str
    detail: str = ""
    edits: tuple[FileEdit, ...] = ()

    @property
    def location(self) -> str:
        """The location as `file:line:column`."""
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file

    @property
    def is_error(self) -> bool:
        return self.severity == ERROR


def describe_finding(
    finding: Finding,
    source: str,
    file: str,
    locate: Callable[[int], Position],
    *,
    path: str = "",
    first_line: int = 1,
) -> Diagnostic:
    """Return the diagnostic of a finding in an expression.

    source: the source to show, in which the finding has its offsets
    locate: returns the line and the column in the file of an offset in the source
    path: the location of the expression in a JSON file
    first_line: number that the excerpt shows for the first line of the source
    """
    excerpt = snippet(source, finding.span, first_line)
    detail = f"{excerpt}\nhint: {finding.hint}" if finding.hint else excerpt
    edits = tuple(
        FileEdit(*locate(edit.span.start), *locate(edit.span.end), edit.replacement) for edit in finding.edits
    )
    position = locate(finding.span.start)
    return Diagnostic(file, *position, finding.severity, finding.name, path, finding.message, detail, edits)


class DiagnosticReport:
    """The diagnostics of one check, each once, in the order in which they were found."""

    def __init__(self) -> None:
        self._found: dict[Diagnostic, None] = {}

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        return tuple(self._found)

    def add(self, diagnostics: Iterable[Diagnostic]) -> None:
        """Add diagnostics that were not added before."""
        self._found.update(dict.fromkeys(diagnostics))

    def has_error_in(self, file: str) -> bool:
        """Return True if one of the errors is in a file."""
        return any(each.is_error and each.file == file for each in self._found)


# -- Forms ------------------------------------------------------------------------------------------------------------


def format_text(reports: Iterable[Diagnostic]) -> str:
    """Return a paragraph for each finding."""
    return "".join(f"{_describe(report)}\n" for report in reports)


def _describe(report: Diagnostic) -> str:
    name = "" if report.name in (ERROR, CONFIGURATION) else f"{report.name}: "
    path = f"{report.path}: " if report.path else ""
    detail = f"\n{report.detail}" if report.detail else ""
    return f"{report.location}: {report.severity}: {path}{name}{report.message}{detail}"


def format_json(reports: Iterable[Diagnostic]) -> str:
    """Return a JSON list with an object for each finding."""
    return f"{json.dumps([asdict(report) for report in reports], ensure_ascii=False, indent=2)}\n"


def format_github(reports: Iterable[Diagnostic]) -> str:
    """Return a workflow command for each finding, which GitHub shows beside the line."""
    return "".join(f"{_annotate(report)}\n" for report in reports)


def _annotate(report: Diagnostic) -> str:
    properties = {"file": report.file}
    if report.line:
        properties |= {"line": str(report.line), "col": str(report.column)}
    properties["title"] = report.name
    shown = ",".join(f"{name}={_escape(value, ':,')}" for name, value in properties.items())
    path = f"{report.path}: " if report.path else ""
    detail = f"\n{report.detail}" if report.detail else ""
    return f"::{report.severity} {shown}::{_escape(f'{path}{report.message}{detail}')}"


def _escape(text: str, others: str = "") -> str:
    """Escape a text for a workflow command."""
    for character in f"%\r\n{others}":
        text = text.replace(character, f"%{ord(character):02X}")
    return text


FORMATS: dict[str, Callable[[Iterable[Diagnostic]], str]] = {
    "text": format_text,
    "json": format_json,
    "github": format_github,
}
