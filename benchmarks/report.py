"""How results are shown: aligned tables, and figures against their limits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Limit:
    """A figure that must not pass one bound and is meant to stay within a closer one."""

    what: str
    must: float
    aim: float
    unit: str = "×"


@dataclass(frozen=True)
class Finding:
    """A figure that was measured, beside its limit."""

    limit: Limit
    figure: float

    @property
    def verdict(self) -> str:
        if self.figure <= self.limit.aim:
            return "aim met"
        return "must met" if self.figure <= self.limit.must else "MISSED"


def ratio(value: float) -> str:
    """A ratio, with about three digits."""
    return f"{number(value)}×"


def number(value: float) -> str:
    """A number, with about three digits."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def table(title: str, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A titled table of plain text; the first column on the left, the others on the right."""
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    lines = [_line(row, widths) for row in (headings, *rows)]
    return "\n".join([title, "", lines[0], "-" * len(lines[0]), *lines[1:], ""])


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = zip(cells, widths, strict=True)
    return "  ".join([first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)])


def findings(found: Sequence[Finding]) -> str:
    """All figures against their limits."""
    rows = [
        [
            finding.limit.what,
            _bounded(finding.figure, finding.limit.unit),
            "≤ " + _bounded(finding.limit.must, finding.limit.unit),
            "≤ " + _bounded(finding.limit.aim, finding.limit.unit),
            finding.verdict,
        ]
        for finding in found
    ]
    return table("Limits", ["what", "measured", "must", "aim", ""], rows)


def _bounded(value: float, unit: str) -> str:
    return ratio(value) if unit == "×" else f"{number(value)} {unit}"
