"""Records in columns.

A column whose values are all booleans, integers of 64 bits, floats or strings is a column of Polars. All others, such
as lists, maps and mixed values, are lists of Python, so that no value changes its type: 5 and 5.0 differ in Stellar.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from types import NoneType
from typing import TYPE_CHECKING, Any

from stellar.columns.json_lines import read_flat
from stellar.java.integers import LONG_MAX, LONG_MIN
from stellar.pipeline.connectors.compression import find_compression
from stellar.pipeline.connectors.parquet import MAGIC, OTHER
from stellar.pipeline.connectors.sources import read_batches
from stellar.util.optional_imports import import_optional

if TYPE_CHECKING:
    import polars as pl
else:
    pl = import_optional("polars", "columns")

_TYPES: dict[type, Any] = {bool: pl.Boolean, int: pl.Int64, float: pl.Float64, str: pl.String}
_UNITS = {"ns": 1_000_000, "us": 1_000, "ms": 1}
_OUR_METADATA = ("stellar", "documents")


class RecordColumns:
    """Records in columns. A null is a missing field.

    frame: the columns of Polars
    others: the values of all other fields
    """

    def __init__(self, frame: pl.DataFrame, others: Mapping[str, Sequence[Any]], height: int) -> None:
        self.frame = frame
        self.others = others
        self.height = height

    @classmethod
    def from_frame(cls, frame: pl.DataFrame) -> RecordColumns:
        """Return the rows of a data frame as records.

        Times become milliseconds since 1970, dates and times of day strings, and categories their names.
        """
        columns, others = [], {}
        for series in frame.iter_columns():
            column = _convert_series(series)
            if isinstance(column, list):
                others[series.name] = column
            elif column.null_count() < len(column):
                columns.append(column)
        return cls(pl.DataFrame(columns), others, frame.height)

    @classmethod
    def from_records(cls, records: Iterable[Mapping[str, Any]]) -> RecordColumns:
        """Return records in columns."""
        rows = list(records)
        names = dict.fromkeys(name for row in rows for name in row)
        columns, others = [], {}
        for name in names:
            values = [row.get(name) for row in rows]
            column = make_series(name, values)
            if column is None:
                others[name] = values
            elif column.null_count() < len(column):
                columns.append(column)
        return cls(pl.DataFrame(columns), others, len(rows))

    def records(self, rows: Sequence[int], names: Collection[str]) -> Iterator[dict[str, Any]]:
        """Yield the records at some positions, with the fields of these names; `_` is all of them."""
        wanted = set(names) if "_" not in names else {*self.frame.columns, *self.others}
        columns = [name for name in self.frame.columns if name in wanted]
        others = [(name, values) for name, values in self.others.items() if name in wanted]
        values = self.frame.select(columns)[list(rows)].iter_rows() if columns else (() for _ in rows)
        for row, found in zip(rows, values, strict=True):
            record = {name: value for name, value in zip(columns, found, strict=True) if value is not None}
            for name, each in others:
                if each[row] is not None:
                    record[name] = each[row]
            yield record

    def __len__(self) -> int:
        return self.height


def make_series(name: str, values: Sequence[Any]) -> pl.Series | None:
    """Return values of one type as a column; None if they have several types, or a type without a column."""
    kinds = set(map(type, values)) - {NoneType}
    if not kinds:
        return pl.Series(name, values, pl.Null)
    if len(kinds) > 1 or (kind := kinds.pop()) not in _TYPES:
        return None
    if kind is int and not all(value is None or LONG_MIN <= value <= LONG_MAX for value in values):
        return None
    try:
        return pl.Series(name, values, _TYPES[kind])
    except UnicodeEncodeError:  # half of a surrogate pair
        return None


def _convert_series(series: pl.Series) -> pl.Series | list[Any]:
    """Return a column of a data frame as a column of this module, or as a list of values."""
    dtype = series.dtype
    convert = next((convert for kind, convert in _CONVERSIONS.items() if isinstance(dtype, kind)), pl.Series.to_list)
    return convert(series)


def _convert_wide(series: pl.Series) -> pl.Series | list[Any]:
    fits = (series.min() or 0) >= LONG_MIN and (series.max() or 0) <= LONG_MAX  # type: ignore[operator]  # of integers
    return series.cast(pl.Int64) if fits else series.to_list()


def _convert_time(series: pl.Series) -> pl.Series:
    converted: pl.Series = series.to_physical() // _UNITS[series.dtype.time_unit]  # type: ignore[attr-defined]  # a Datetime or Duration
    return converted


def _convert_iso(series: pl.Series) -> pl.Series:
    return pl.Series(series.name, [None if each is None else each.isoformat() for each in series], pl.String)


# By the class of a type, most common first
_CONVERSIONS: dict[Any, Callable[[pl.Series], pl.Series | list[Any]]] = {
    **dict.fromkeys((pl.String, pl.Boolean, pl.Int64, pl.Float64, pl.Null), lambda series: series),
    **dict.fromkeys(
        (pl.Int8, pl.Int16, pl.Int32, pl.UInt8, pl.UInt16, pl.UInt32), lambda series: series.cast(pl.Int64)
    ),
    **dict.fromkeys((pl.UInt64, pl.Int128), _convert_wide),
    pl.Float32: lambda series: series.cast(pl.Float64),
    **dict.fromkeys((pl.Categorical, pl.Enum), lambda series: series.cast(pl.String)),
    **dict.fromkeys((pl.Datetime, pl.Duration), _convert_time),
    **dict.fromkeys((pl.Date, pl.Time), _convert_iso),
}


def read_records(name: str) -> RecordColumns:
    """Return the records of a Parquet file, or of a file of JSON lines, which may be compressed.

    A Parquet file of `stellar-pipeline` has the records as they were written.

    Raises OSError if the file cannot be read, and ValueError, with the line, for a line that is not a JSON object.
    """
    with open(name, "rb") as file:
        content = file.read(len(MAGIC))
        if content == MAGIC:
            return _read_parquet(name)
        if find_compression(content) is None:
            frame = read_flat(content + file.read())
            if frame is not None:
                return RecordColumns.from_frame(frame)
    return RecordColumns.from_records(_read_lines(name))


def _read_lines(name: str) -> Iterator[dict[str, Any]]:
    for batch in read_batches([name]):
        if batch.failure is not None:
            raise batch.failure
        for number, line in enumerate(batch.lines, batch.first):
            if line and not line.isspace():
                yield _parse_line(name, number, line)


def _parse_line(name: str, number: int, line: bytes) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except ValueError as error:
        raise ValueError(f"{name}:{number}: invalid JSON: {error}") from error
    if not isinstance(record, dict):
        raise ValueError(f"{name}:{number}: expected a JSON object, got {type(record).__name__}")
    return record


def _read_parquet(name: str) -> RecordColumns:
    try:
        frame = pl.read_parquet(name)
        metadata = pl.read_parquet_metadata(name)
    except pl.exceptions.PolarsError as error:
        raise OSError(f"cannot read {name}: {error}") from error
    key, value = _OUR_METADATA
    if metadata.get(key) != value or OTHER not in frame.columns:
        return RecordColumns.from_frame(frame)
    return _merge_others(frame)


def _merge_others(frame: pl.DataFrame) -> RecordColumns:
    """Return the records of a frame with other fields as JSON objects in one of its columns."""
    objects = [{} if text is None else json.loads(text) for text in frame[OTHER]]
    columns = RecordColumns.from_frame(frame.drop(OTHER))
    found, others = columns.frame, dict(columns.others)
    for name in dict.fromkeys(name for each in objects for name in each):
        values = [each.get(name) for each in objects]
        if name in found.columns:
            values = [new if old is None else old for old, new in zip(found[name], values, strict=True)]
            found = found.drop(name)
        column = make_series(name, values)
        if column is None:
            others[name] = values
        elif column.null_count() < len(column):
            found = found.with_columns(column)
    return RecordColumns(found, others, frame.height)
