"""JSON lines read by Polars, if that provably loses nothing.

Polars infers one type for each field and converts other values to it: 5 becomes 5.0 in a column of floats, and '5' in
one of strings. It takes the first of two equal keys, and reads half of a surrogate pair as another character. So the
result is compared with the source, where it could be wrong:

- the keys in the source must be as many as the values in the columns and the nulls in the source
- a float that is integral must not be written as an integer
- a string that looks like a number, a boolean, a list or a map must be written in quotes
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from stellar.util.optional_imports import import_optional

if TYPE_CHECKING:
    import polars as pl
else:
    pl = import_optional("polars", "columns")

_PLAIN_NAME = re.compile(r"[ !#-\[\]-~]+")
# What Polars writes for a value that is not a string
_OTHER_VALUE = r"^(-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?|-?inf|NaN|true|false|null|(?s:[\[{].*))$"
_FIRST_LINES = 1000
_HALVES = (b"\\ud", b"\\uD")


def read_flat(content: bytes) -> pl.DataFrame | None:
    """Return JSON lines in columns; None if there are nested or mixed values, or anything that is not proven equal."""
    if b"\\u" in content and any(half in content for half in _HALVES):
        return None
    # Types of the first lines mostly hold for all, and reading all of them for their types takes longer than the rest
    frame = _read(content, _FIRST_LINES)
    return _read(content, None) if frame is None else frame


def _read(content: bytes, lines: int | None) -> pl.DataFrame | None:
    try:
        frame = pl.read_ndjson(content, infer_schema_length=lines)
    except pl.exceptions.PolarsError:  # a value of another type, or a line that is not JSON
        return None
    if frame.height != content.count(b"\n") + (not content.endswith(b"\n")) or not _has_all_values(frame, content):
        return None
    return frame if all(_is_proven(column, content) for column in frame.iter_columns()) else None


def _has_all_values(frame: pl.DataFrame, content: bytes) -> bool:
    """Return True if the source has as many keys as there are values and nulls; a key in a string counts, too."""
    surplus = content.count(b'":') - sum(frame.height - column.null_count() for column in frame.iter_columns())
    return surplus == (surplus and content.count(b'":null') + content.count(b'": null'))


def _is_proven(column: pl.Series, content: bytes) -> bool:
    if column.dtype in (pl.Int64, pl.Boolean, pl.Null):
        return True
    if column.dtype == pl.Float64:
        # An integer is in the source as such; Polars has no infinite floats and NaN in JSON
        return not (column == column.floor()).any() or _are_written_as(column, content, rb"-?[0-9]+[.eE]")
    if column.dtype != pl.String:
        return False
    return not column.str.contains(_OTHER_VALUE).any() or _are_written_as(column, content, rb'"')


def _are_written_as(column: pl.Series, content: bytes, start: bytes) -> bool:
    """Return True if all values of a column have this start in the source."""
    if _PLAIN_NAME.fullmatch(column.name) is None:  # its key may have another form in the source
        return False
    key = re.escape(column.name.encode())
    written = sum(1 for _ in re.finditer(rb'"%b": ?%b' % (key, start), content))
    return written == len(column) - column.null_count()
