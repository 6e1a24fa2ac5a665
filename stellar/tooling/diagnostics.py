"""Findings in files, as text for people, JSON for programs, or annotations for GitHub."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass

ERROR, WARNING = "error", "warning"


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """A finding in a file.

    line, column: from 1; 0 if the finding is about the whole file
    severity: `error` or `warning`
    name: the name of a lint, or `configuration` or `error`
    path: the location in a JSON file, such as `parserConfig.columns`; empty for other files
    message: the problem in one sentence
    detail: the excerpt with carets, and the hint; empty if there is none
    """

    file: str
    line: int
    column: int
    severity: str
    name: str
    path: str
    message: str
    detail: str = ""

    @property
    def location(self) -> str:
        """The location as `file:line:column`."""
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


def format_text(reports: Iterable[Diagnostic]) -> str:
    """Return a paragraph for each finding."""
    return "".join(f"{_describe(report)}\n" for report in reports)


def _describe(report: Diagnostic) -> str:
    name = "" if report.name in (ERROR, "configuration") else f"{report.name}: "
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
