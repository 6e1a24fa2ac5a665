"""How values are shown to people: as text, as tables, as HTML, and written out as Stellar."""

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

# Of longer ones this many rows, and characters of a text or a cell, are shown, and how much there is in all is said
MOST_ROWS = 100
LONGEST_TEXT = 20_000
LONGEST_CELL = 1000
NARROWEST_CELL = 12


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of texts under headings.

    more: how many rows there are besides those that are shown
    """

    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    more: int = 0


class Report(str):
    """What a command says: a text, as Metron's shell gives it, and a table of the same for people to look at."""

    __slots__ = ("table",)

    table: Table

    def __new__(cls, text: str, table: Table) -> Report:
        report = super().__new__(cls, text)
        report.table = table
        return report


def plain(value: Any) -> str:
    """A value as Metron's shell prints it: its text; nothing for null."""
    return "" if value is None else to_string(value)


def as_text(value: Any, width: int) -> str:
    """A value for a person at a terminal: maps and lists of maps as tables, and what could steer the terminal visible.

    width: the columns of the terminal, which a table keeps to if it can
    """
    if (table := tabular(value)) is not None:
        return _drawn(table, width)
    text = "" if value is None else _shortened(_text(value), LONGEST_TEXT)
    return f"{text}  ({note})" if (note := _note("", value)) else text


def as_html(value: Any) -> str | None:
    """A table in HTML, of a value that is shown as one; None for others."""
    if (table := tabular(value)) is None:
        return None
    head = "".join(f"<th>{html.escape(column)}</th>" for column in table.columns)
    rows = ("".join(_HTML_CELL.format(html.escape(cell)) for cell in row) for row in table.rows)
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    more = f"<p>{_more(table.more)}</p>" if table.more else ""
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"


_HTML_CELL = '<td style="text-align: left; white-space: pre-wrap">{}</td>'


def tabular(value: Any) -> Table | None:
    """The table that a value is shown as, if it is one: a command's, that of a map, or of a list of maps."""
    if isinstance(value, Report):
        return value.table
    if isinstance(value, Mapping):
        # Of `_`, all fields, nulls are as good as absent
        items = [(to_string(key), item) for key, item in value.items() if item is not None or isinstance(value, dict)]
        rows: list[tuple[str, ...]] = [(key, _cell(key, item)) for key, item in items]
        return Table(("KEY", "VALUE"), rows[:MOST_ROWS], max(0, len(rows) - MOST_ROWS))
    if isinstance(value, list) and value and all(isinstance(item, Mapping) for item in value):
        shown = value[:MOST_ROWS]
        keys = list(dict.fromkeys(key for item in shown for key in item))
        rows = [tuple(_cell(to_string(key), item[key]) if key in item else "" for key in keys) for item in shown]
        return Table(tuple(map(to_string, keys)), rows, len(value) - len(shown)) if keys else None
    return None


def shortened_cell(value: Any) -> str:
    """A value in a cell of a table: its text, or the beginning of a long one, and how long it is."""
    return _shortened(_text(value), LONGEST_CELL)


def _shortened(text: str, most: int) -> str:
    return visible(text) if len(text) <= most else f"{visible(text[:most])}… ({len(text):,} characters)"


def _text(value: Any) -> str:
    """The text of a value; of one that only functions can look into, what it is."""
    noun = getattr(value, "STELLAR_NOUN", None)
    return to_string(value) if noun is None else f"({noun})"


def visible(text: str) -> str:
    """A text in which characters that steer a terminal are written out: a record may hold anything."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in text)


def _cell(key: str, value: Any) -> str:
    text = shortened_cell(value)
    return f"{text}  ({note})" if (note := _note(key, value)) else text


# -- Notes ------------------------------------------------------------------------------------------------------------

# From 2001 to 2100, which no other numbers of records are likely to be
_EPOCH_MS = range(10**12, 4_102_444_800_000)
_SIZE = re.compile(r"(?:^|[._])(?:bytes|size|octets|length)(?:$|[._])|(?:Bytes|Size)$", re.IGNORECASE)


def _note(key: str, value: Any) -> str:
    """What a number means, that a person would look up: a date, or a size."""
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


def _drawn(table: Table, width: int) -> str:
    widths = _fitting(table, width)
    rows = [tuple(_wrapped(cell, most) for cell, most in zip(row, widths, strict=True)) for row in table.rows]
    ruled = any("\n" in cell for row in rows for cell in row)
    drawn = text_table(table.columns, rows, ruled=ruled).rstrip("\n")
    return f"{drawn}\n{_more(table.more)}" if table.more else drawn


def _more(rows: int) -> str:
    return f"… and {rows:,} more"


def _fitting(table: Table, width: int) -> list[int]:
    """How wide each column may be: the widest give way, until all fit."""
    wanted = [
        max(display_width(line) for cell in (column, *(row[index] for row in table.rows)) for line in cell.split("\n"))
        for index, column in enumerate(table.columns)
    ]
    room = max(width - 3 * len(wanted) - 1, 0)
    widths = list(wanted)
    while sum(widths) > room and max(widths) > NARROWEST_CELL:
        widest = max(range(len(widths)), key=widths.__getitem__)
        widths[widest] = max(NARROWEST_CELL, widths[widest] - max(1, (sum(widths) - room) // 2))
    return widths


def _wrapped(cell: str, most: int) -> str:
    if display_width(cell) <= most:
        return cell
    # A cell that holds wide characters is wrapped earlier, so that it fits
    ratio = len(cell) / max(1, display_width(cell))
    wrapper = textwrap.TextWrapper(
        width=max(1, int(most * ratio)), subsequent_indent=" " * _indent(cell), replace_whitespace=False,
        drop_whitespace=True, break_on_hyphens=False,
    )  # fmt: skip
    return "\n".join(part for line in cell.split("\n") for part in wrapper.wrap(line) or [""])


def _indent(cell: str) -> int:
    return len(cell) - len(cell.lstrip(" "))


# -- Stellar ----------------------------------------------------------------------------------------------------------


def as_expression(value: Any) -> str:
    """The expression that a value of JSON would be written as: null, a truth, a number, a text, a list or a map."""
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{as_expression(key)} : {as_expression(item)}' for key, item in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(as_expression, value))}]"
    if isinstance(value, str):
        return f"'{''.join(_ESCAPES.get(character, character) for character in value)}'"
    return json.dumps(value)


_ESCAPES = {"\\": "\\\\", "'": "\\'", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
