"""Rendering of values: as strings, tables, HTML, and Stellar expressions."""

from __future__ import annotations

import html
import json
import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from stellar.language.conversions import to_string
from stellar.util.display_width import display_width
from stellar.util.text_tables import text_table

# Limits: rows of a table, and characters of a string and of a cell. Longer values are cut, with their full size
MOST_ROWS = 100
LONGEST_TEXT = 20_000
LONGEST_CELL = 1000
NARROWEST_CELL = 12


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells under headings.

    more: number of omitted rows
    """

    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    more: int = 0


class CommandOutput(str):
    """The output of a command: a string as in Metron's shell, and the same as a table."""

    __slots__ = ("table",)

    table: Table

    def __new__(cls, text: str, table: Table) -> CommandOutput:
        report = super().__new__(cls, text)
        report.table = table
        return report


def format_plain(value: Any) -> str:
    """Return the string that Metron's shell prints for a value; empty for null."""
    return "" if value is None else to_string(value)


def as_text(value: Any, width: int) -> str:
    """Render a value for a terminal: maps and lists of maps as tables, control characters escaped.

    width: number of columns that a table may use, if possible
    """
    if (table := as_table(value)) is not None:
        return _draw(table, width)
    text = "" if value is None else _shorten(_text(value), LONGEST_TEXT)
    return f"{text}  ({note})" if (note := _note("", value)) else text


def as_html(value: Any) -> str | None:
    """Render a value as an HTML table; None if it is not shown as a table."""
    if (table := as_table(value)) is None:
        return None
    head = "".join(f"<th>{html.escape(column)}</th>" for column in table.columns)
    rows = ("".join(_HTML_CELL.format(html.escape(cell)) for cell in row) for row in table.rows)
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    more = f"<p>{_more(table.more)}</p>" if table.more else ""
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"


_HTML_CELL = '<td style="text-align: left; white-space: pre-wrap">{}</td>'


def as_table(value: Any) -> Table | None:
    """Convert the output of a command, a map, or a list of maps to a table; None for other values."""
    if isinstance(value, CommandOutput):
        return value.table
    if isinstance(value, Mapping):
        # In `_`, the record, null fields are missing fields
        items = [(to_string(key), item) for key, item in value.items() if item is not None or isinstance(value, dict)]
        rows: list[tuple[str, ...]] = [(key, _cell(key, item)) for key, item in items]
        return Table(("KEY", "VALUE"), rows[:MOST_ROWS], max(0, len(rows) - MOST_ROWS))
    if isinstance(value, list) and value and all(isinstance(item, Mapping) for item in value):
        shown = value[:MOST_ROWS]
        keys = list(dict.fromkeys(key for item in shown for key in item))
        rows = [tuple(_cell(to_string(key), item[key]) if key in item else "" for key in keys) for item in shown]
        return Table(tuple(map(to_string, keys)), rows, len(value) - len(shown)) if keys else None
    return None


def shorten_cell(value: Any) -> str:
    """Convert a value to a cell of a table; a long one is cut, with its length."""
    return _shorten(_text(value), LONGEST_CELL)


def _shorten(text: str, limit: int) -> str:
    return visible(text) if len(text) <= limit else f"{visible(text[:limit])}… ({len(text):,} characters)"


def _text(value: Any) -> str:
    """Convert a value to a string; an opaque value to its type, unless it describes itself, as a profiler does."""
    noun = getattr(value, "STELLAR_NOUN", None)
    return to_string(value) if noun is None or "__str__" in vars(type(value)) else f"({noun})"


def visible(text: str) -> str:
    """Escape control characters, which in a record could control the terminal."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in text)


def _cell(key: str, value: Any) -> str:
    text = shorten_cell(value)
    return f"{text}  ({note})" if (note := _note(key, value)) else text


# -- Notes ------------------------------------------------------------------------------------------------------------

# From 2001 to 2100; other numbers in records are unlikely to be in this range
_EPOCH_MS = range(10**12, 4_102_444_800_000)
_SIZE = re.compile(r"(?:^|[._])(?:bytes|size|octets|length)(?:$|[._])|(?:Bytes|Size)$", re.IGNORECASE)


def _note(key: str, value: Any) -> str:
    """Return a number as a date or size, or the size of a value; empty for other values."""
    if isinstance(value, bool):
        return ""
    if isinstance(value, int) and value >= 1024 and _SIZE.search(key):
        return _size(value)
    if isinstance(value, int) and value in _EPOCH_MS:
        return f"{datetime.fromtimestamp(value / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"
    if isinstance(value, bytes):
        return f"{len(value):,} bytes"
    if isinstance(value, list | set | frozenset) and len(value) > 10:
        return f"{len(value):,} items"
    return ""


def _size(value: int) -> str:
    power = min(4, (value.bit_length() - 1) // 10)
    return f"{value / 1024**power:.1f} {('B', 'KiB', 'MiB', 'GiB', 'TiB')[power]}"


# -- Tables that fit a terminal ---------------------------------------------------------------------------------------


def _draw(table: Table, width: int) -> str:
    widths = _fitting(table, width)
    rows = [tuple(_wrap(cell, width) for cell, width in zip(row, widths, strict=True)) for row in table.rows]
    ruled = any("\n" in cell for row in rows for cell in row)
    drawn = text_table(table.columns, rows, ruled=ruled).rstrip("\n")
    return f"{drawn}\n{_more(table.more)}" if table.more else drawn


def _more(rows: int) -> str:
    return f"… and {rows:,} more"


def _fitting(table: Table, width: int) -> list[int]:
    """Return the widths of columns: the widest are narrowed until all fit."""
    natural = [
        max(display_width(line) for cell in (column, *(row[index] for row in table.rows)) for line in cell.split("\n"))
        for index, column in enumerate(table.columns)
    ]
    room = max(width - 3 * len(natural) - 1, 0)
    widths = list(natural)
    while sum(widths) > room and max(widths) > NARROWEST_CELL:
        widest = max(range(len(widths)), key=widths.__getitem__)
        widths[widest] = max(NARROWEST_CELL, widths[widest] - max(1, (sum(widths) - room) // 2))
    return widths


def _wrap(cell: str, width: int) -> str:
    if display_width(cell) <= width:
        return cell
    # A cell with wide characters is wrapped earlier, so that it fits
    ratio = len(cell) / max(1, display_width(cell))
    wrapper = textwrap.TextWrapper(
        width=max(1, int(width * ratio)), subsequent_indent=" " * _indent(cell), replace_whitespace=False,
        drop_whitespace=True, break_on_hyphens=False,
    )  # fmt: skip
    return "\n".join(part for line in cell.split("\n") for part in wrapper.wrap(line) or [""])


def _indent(cell: str) -> int:
    return len(cell) - len(cell.lstrip(" "))


# -- Stellar ----------------------------------------------------------------------------------------------------------


def as_expression(value: Any) -> str:
    """Return the expression of a JSON value: null, boolean, number, string, list or map."""
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{as_expression(key)} : {as_expression(item)}' for key, item in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(as_expression, value))}]"
    if isinstance(value, str):
        return f"'{''.join(_ESCAPES.get(character, character) for character in value)}'"
    return json.dumps(value)


_ESCAPES = {"\\": "\\\\", "'": "\\'", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
