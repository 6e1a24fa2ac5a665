"""Parquet files: rows as JSON objects for the parser JSONMap, and documents as rows.

A written file has a column for each field whose values are all booleans, integers, floats or strings in the first
10,000 documents. All other fields and values of a document are a JSON object in the column `stellar.other`; reading
adds them again, so that a document is read as it was written, except for nulls.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from stellar.pipeline.connectors.lines import HEAD_BYTES, LineBatch, LinePosition
from stellar.pipeline.records import Record, to_json_bytes
from stellar.util.optional_imports import import_optional

MAGIC = b"PAR1"
SUFFIX = ".parquet"
OTHER = "stellar.other"
_ROWS_PER_BATCH = 1000
_ROWS_PER_GROUP = 10_000
_METADATA = {b"stellar": b"documents"}
_MAX_INTEGER = 2**63 - 1
_MAX_EXACT_FLOAT = 2**53
_MILLISECOND = timedelta(milliseconds=1)


def import_parquet() -> Any:
    """Import pyarrow.parquet. Raises LookupError if it is not installed."""
    return import_optional("pyarrow.parquet", "parquet")


class ParquetReader:
    """Reads the rows of a file, with the interface of LineReader. The position is the number of rows.

    file: an open binary file
    """

    def __init__(self, file: Any, origin: str, position: LinePosition | None = None, source: Any = None) -> None:
        self._file = file
        self._origin = origin
        self._source = source
        self.position = position or LinePosition()

    def read(self) -> Iterator[LineBatch]:
        """Yield the rows after the position. Raises OSError if the file is damaged, or pyarrow is not installed."""
        try:
            parquet = import_parquet()
        except LookupError as error:
            raise OSError(str(error)) from error
        head = os.pread(self._file.fileno(), HEAD_BYTES, 0)
        arrow = import_optional("pyarrow", "parquet")
        try:
            yield from self._read_rows(parquet.ParquetFile(self._file), head)
        except (arrow.ArrowException, OSError) as error:
            raise OSError(f"damaged Parquet file: {error}") from error

    def finish(self, failure: Exception | None = None) -> Iterator[LineBatch]:
        """Yield a failure, if there is one."""
        if failure is not None:
            first = self.position.line + 1
            yield LineBatch(self._origin, first, failure=failure, position=self.position, source=self._source)

    def _read_rows(self, file: Any, head: bytes) -> Iterator[LineBatch]:
        skipped = self.position.line
        is_ours = (file.schema_arrow.metadata or {}).items() >= _METADATA.items()
        for batch in file.iter_batches(batch_size=_ROWS_PER_BATCH):
            rows = batch.slice(skipped).to_pylist(maps_as_pydicts="lossy")
            skipped = max(0, skipped - batch.num_rows)
            if not rows:
                continue
            lines = [to_json_bytes(_make_record(row, is_ours)) for row in rows]
            first = self.position.line + 1
            self.position = LinePosition(0, self.position.line + len(lines), head)
            size = sum(map(len, lines))
            yield LineBatch(self._origin, first, lines, size=size, position=self.position, source=self._source)


def _make_record(row: Mapping[str, Any], is_ours: bool) -> Record:
    record = {name: make_plain(value) for name, value in row.items() if value is not None}
    if is_ours and OTHER in record:
        record |= json.loads(record.pop(OTHER))
    return record


def make_plain(value: Any) -> Any:
    """Return a value for JSON: times become milliseconds since 1970, and dates and times of day strings."""
    if isinstance(value, datetime):
        return ((value if value.tzinfo is not None else value.replace(tzinfo=UTC)) - _EPOCH) // _MILLISECOND
    if isinstance(value, timedelta):
        return value // _MILLISECOND
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, dict):
        return {name: make_plain(item) for name, item in value.items()}
    return [make_plain(item) for item in value] if isinstance(value, list) else value


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class ParquetWriter:
    """Writes documents to a file, which replaces an existing one when it is complete.

    Raises LookupError if pyarrow is not installed, and OSError if the file cannot be written.
    """

    def __init__(self, path: str) -> None:
        self._parquet = import_parquet()
        self._arrow = import_optional("pyarrow", "parquet")
        self._path = path
        self._temporary = f"{path}.part"
        self._rows: list[Record] = []
        self._types: dict[str, Any] = {}
        self._writer: Any = None
        with open(self._temporary, "wb"):  # now, so that a path that cannot be written ends the run
            pass

    def __call__(self, document: Record) -> None:
        self.write(to_json_bytes(document))

    def write(self, encoded: bytes) -> None:
        """Add a document that `to_json_bytes` returned."""
        self._rows.append(json.loads(encoded))
        if len(self._rows) >= _ROWS_PER_GROUP:
            self.flush()

    def flush(self) -> None:
        """Write the buffered documents as a row group. Raises OSError."""
        rows, self._rows = self._rows, []
        if self._writer is None:
            self._types = _infer_types(rows, self._arrow)
            fields = [*self._types.items(), (OTHER, self._arrow.string())]
            schema = self._arrow.schema(fields, metadata=_METADATA)
            self._writer = self._parquet.ParquetWriter(self._temporary, schema)
        if rows:
            columns = [self._arrange(row) for row in rows]
            self._writer.write_table(self._arrow.Table.from_pylist(columns, self._writer.schema))

    def sync(self) -> dict[str, int]:
        """Keep documents until there are enough for a row group, or the run ends; a file has no lengths to store."""
        return {}

    def roll_back(self, lengths: Mapping[str, int]) -> None:
        """Discard the buffered documents."""
        self._rows = []

    def close(self) -> None:
        """Complete the file. Raises OSError."""
        self.flush()
        self._writer.close()
        os.replace(self._temporary, self._path)

    def _arrange(self, row: Record) -> Record:
        """Return the columns of a document."""
        columns: Record = {}
        other: Record = {}
        for name, value in row.items():
            fits = name in self._types and _fits(value, self._types[name], self._arrow)
            (columns if fits else other)[name] = value
        if other:
            columns[OTHER] = json.dumps(other)  # ASCII, as a column cannot contain lone surrogates
        return columns


def _infer_types(rows: list[Record], arrow: Any) -> dict[str, Any]:
    """Return the types of columns, in the order in which their fields occur first."""
    kinds: dict[str, set[type]] = {}
    for row in rows:
        for name, value in row.items():
            if value is not None:
                kinds.setdefault(name, set()).add(type(value))
    types = {bool: arrow.bool_(), int: arrow.int64(), float: arrow.float64(), str: arrow.string()}
    found = {}
    for name, seen in kinds.items():
        kind = float if seen == {int, float} else next(iter(seen))
        if kind in types and name != OTHER and _is_unicode(name) and (len(seen) == 1 or kind is float):
            found[name] = types[kind]
    return found


def _fits(value: Any, kind: Any, arrow: Any) -> bool:
    """Return True if a column can store a value without a change."""
    if value is None:
        return False
    if kind == arrow.float64():
        return isinstance(value, float) or (type(value) is int and abs(value) <= _MAX_EXACT_FLOAT)
    if kind == arrow.int64():
        return type(value) is int and -_MAX_INTEGER <= value <= _MAX_INTEGER
    return type(value) is bool if kind == arrow.bool_() else type(value) is str and _is_unicode(value)


def _is_unicode(text: str) -> bool:
    """Return False for a string with lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
