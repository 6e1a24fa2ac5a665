"""Results as aligned tables, and figures with their limits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple


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


class Quantity(str):
    """A cell of a table with a measured value: about three digits and the unit. The value has all digits."""

    value: float
    unit: str
    __slots__ = ("unit", "value")

    def __new__(cls, value: float, unit: str = "", note: str = "") -> Quantity:
        cell = super().__new__(cls, _format_figure(value, unit) + note)
        cell.value, cell.unit = value, unit
        return cell


@dataclass(frozen=True)
class Table:
    """A table of results; the first column is aligned to the left, the others to the right."""

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]

    def __str__(self) -> str:
        return table(self.title, self.headings, self.rows)

    def to_data(self) -> dict[str, Any]:
        """Return the table as a JSON object."""
        rows = [[_cell_data(cell) for cell in row] for row in self.rows]
        return {"title": self.title, "headings": list(self.headings), "rows": rows}

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> Table:
        """Return the table of a JSON object."""
        return cls(data["title"], data["headings"], [[_cell_of(cell) for cell in row] for row in data["rows"]])


def _cell_data(cell: str) -> Any:
    if not isinstance(cell, Quantity):
        return cell
    note = cell.removeprefix(_format_figure(cell.value, cell.unit))
    return {"value": cell.value, "unit": cell.unit} | ({"note": note} if note else {})


def _cell_of(data: Any) -> str:
    return data if isinstance(data, str) else Quantity(data["value"], data["unit"], data.get("note", ""))


class GroupResult(NamedTuple):
    """The result of a group of benchmarks: its tables, notes on what was not measured, and the figures with limits."""

    tables: Sequence[Table | str]
    findings: Sequence[Finding]

    @property
    def text(self) -> str:
        return "\n".join(map(str, self.tables))


def ratio(value: float, note: str = "") -> Quantity:
    """Return the cell of a ratio."""
    return Quantity(value, "×", note)


def number(value: float) -> str:
    """Format a number with about three digits."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def table(title: str, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Format a table with a title; the first column is left-aligned, the others right-aligned."""
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    lines = [_line(row, widths) for row in (headings, *rows)]
    return "\n".join([title, "", lines[0], "-" * (sum(widths) + 2 * len(widths) - 2), *lines[1:], ""])


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = zip(cells, widths, strict=True)
    return "  ".join([first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]).rstrip()


def findings(found: Iterable[Finding]) -> str:
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
    return f"{number(value)}{'' if unit in ('', '×') else ' '}{unit}"
