"""Plain text tables, as in Metron's shell."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from stellar.util.display_width import display_width

_EMPTY = "(empty)"


def text_table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, ruled: bool = True) -> str:
    """Return a table drawn with box characters, with a trailing line break.

    columns: the headings; at least one
    rows: a cell for each column; line breaks in a cell are preserved
    ruled: draw a line between rows, as Metron does
    """
    headings, *body = ([cell.split("\n") for cell in row] for row in (columns, *rows))
    columns_of_cells = zip(headings, *body, strict=True)
    widths = [max(display_width(line) for cell in cells for line in cell) for cells in columns_of_cells]
    if not body:
        widths[-1] += max(0, len(_EMPTY) - _inner(widths))
        return "".join(
            [
                _rule(widths, "╔═╤╗"),
                _row(headings, widths),
                _rule(widths, "╠═╧╣"),
                _row([[_EMPTY]], [_inner(widths)]),
                _rule([_inner(widths)], "╚═╧╝"),
            ]
        )
    return "".join(
        [
            _rule(widths, "╔═╤╗"),
            _row(headings, widths),
            _rule(widths, "╠═╪╣"),
            (_rule(widths, "╟─┼╢") if ruled else "").join(_row(row, widths) for row in body),
            _rule(widths, "╚═╧╝"),
        ]
    )


def _inner(widths: Sequence[int]) -> int:
    """Return the width of a cell that spans all columns."""
    return sum(widths) + 3 * (len(widths) - 1)


def _rule(widths: Iterable[int], characters: str) -> str:
    left, line, crossing, right = tuple(characters)
    return f"{left}{crossing.join(line * (width + 2) for width in widths)}{right}\n"


def _row(cells: Sequence[Sequence[str]], widths: Sequence[int]) -> str:
    lines = (
        " │ ".join(
            _pad(cell[line] if line < len(cell) else "", width) for cell, width in zip(cells, widths, strict=True)
        )
        for line in range(max(map(len, cells)))
    )
    return "".join(f"║ {line} ║\n" for line in lines)


def _pad(string: str, width: int) -> str:
    return string + " " * (width - display_width(string))
