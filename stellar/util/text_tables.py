"""Tables drawn in text, as Metron's shell shows them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from stellar.util.display_width import display_width

_EMPTY = "(empty)"


def text_table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, ruled: bool = True) -> str:
    """A table drawn with box characters, and a line end behind it.

    columns: the headings, of which there is at least one
    rows: a cell for each column; a cell with line ends takes several lines
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
    """How wide one cell is that spans all columns."""
    return sum(widths) + 3 * (len(widths) - 1)


def _rule(widths: Iterable[int], characters: str) -> str:
    left, line, crossing, right = tuple(characters)
    return f"{left}{crossing.join(line * (width + 2) for width in widths)}{right}\n"


def _row(cells: Sequence[Sequence[str]], widths: Sequence[int]) -> str:
    lines = (
        " │ ".join(
            _padded(cell[line] if line < len(cell) else "", width) for cell, width in zip(cells, widths, strict=True)
        )
        for line in range(max(map(len, cells)))
    )
    return "".join(f"║ {line} ║\n" for line in lines)


def _padded(text: str, width: int) -> str:
    return text + " " * (width - display_width(text))
