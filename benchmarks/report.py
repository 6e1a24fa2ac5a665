"""Results as aligned tables, and figures with their limits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Limit:
    """The upper bounds of a figure: a required one, and a lower one that is aimed at."""

    what: str
    must: float
    aim: float
    unit: str = "×"


@dataclass(frozen=True)
class Finding:
    """A measured figure, with its limits."""

    limit: Limit
    figure: float

    @property
    def verdict(self) -> str:
        if self.figure <= self.limit.aim:
            return "aim met"
        return "must met" if self.figure <= self.limit.must else "MISSED"


def ratio(value: float) -> str:
    """Format a ratio with about three digits."""
    return f"{number(value)}×"


def number(value: float) -> str:
    """Format a number with about three digits."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def table(title: str, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Format a table with a title; the first column is left-aligned, the others right-aligned."""
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    lines = [_line(row, widths) for row in (headings, *rows)]
    return "\n".join([title, "", lines[0], "-" * len(lines[0]), *lines[1:], ""])


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = zip(cells, widths, strict=True)
    return "  ".join([first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)])


def findings(found: Sequence[Finding]) -> str:
    """Format a table of all figures and their limits."""
    rows = [
        [
            finding.limit.what,
            _format_figure(finding.figure, finding.limit.unit),
            "≤ " + _format_figure(finding.limit.must, finding.limit.unit),
            "≤ " + _format_figure(finding.limit.aim, finding.limit.unit),
            finding.verdict,
        ]
        for finding in found
    ]
    return table("Limits", ["what", "measured", "must", "aim", ""], rows)


def _format_figure(value: float, unit: str) -> str:
    return ratio(value) if unit == "×" else f"{number(value)} {unit}"
