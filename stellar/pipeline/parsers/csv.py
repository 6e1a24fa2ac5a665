"""The CSV parser: each line is a record, with a field for each named column."""

from __future__ import annotations

import csv
import logging
from collections.abc import Iterator

from stellar.language.conversions import to_long
from stellar.pipeline.config.compile import make_date_parser
from stellar.pipeline.parsers.parser import Settings, Unreadable, find_missing_fields
from stellar.pipeline.records import Record, now

log = logging.getLogger(__name__)


class CsvParser:
    """Parses separated values. Each line is a record; empty lines and lines that start with `#` are ignored."""

    def __init__(self, settings: Settings) -> None:
        self.columns = _columns(settings)
        separator = settings.text("separator", ",")
        if not separator or separator[0] in '"\\\r\n':
            raise (settings.location / "separator").error(
                f"invalid separator {separator!r}: expected one character, such as ','"
            )
        self.separator = separator[0]
        pattern = settings.text("timestampFormat", "")
        zone = settings.text("timeZone", "UTC")
        self.read_date = make_date_parser(pattern, zone, settings.location / "timestampFormat") if pattern else None

    def __call__(self, text: str) -> Iterator[Record | Unreadable]:
        for line in text.splitlines():
            if not line.strip() or line.strip().startswith("#"):
                continue
            try:
                yield self._record(line)
            except (ValueError, IndexError, csv.Error) as error:
                yield Unreadable(line, ValueError(f"Unable to parse {line}: {error}"))

    def complaint(self, record: Record) -> str | None:
        return find_missing_fields(record)

    def _record(self, line: str) -> Record:
        (row,) = csv.reader([line], delimiter=self.separator, escapechar="\\", strict=True)
        last = max(self.columns.values())
        if last >= len(row):
            raise IndexError(f"expected column {last} (counted from 0), got {len(row)} values")
        record: Record = {name: row[index].strip() for name, index in self.columns.items()}
        record["timestamp"] = self._timestamp(record.get("timestamp"))
        record["original_string"] = line
        return record

    def _timestamp(self, value: str | None) -> object:
        if value is None:
            return now()
        if self.read_date is None:
            number = to_long(value)
            return value if number is None else number
        try:
            return self.read_date(value)
        except ValueError as error:
            log.warning("timestamp is not converted: %s", error)
            return value


def _columns(settings: Settings) -> dict[str, int]:
    """Return the index of each column.

    The option `columns` is a map from name to index, a list of names, or a string of names with commas. A name may have
    the form `name:index`.
    """
    value = settings.options.get("columns")
    location = settings.location / "columns"
    if value is None:
        raise location.error('missing key \'columns\'; specify names, such as ["timestamp", "ip"]')
    if isinstance(value, str):
        value = value.split(",")
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        pairs = [_column(item, index) for index, item in enumerate(value)]
    elif isinstance(value, dict):
        pairs = [(name.strip(), index) for name, index in value.items()]
    else:
        raise location.error("expected a list of column names, or a map from name to index")
    try:
        columns = {name: int(index) for name, index in pairs}
    except (TypeError, ValueError):
        raise location.error("invalid index of a column: expected an integer, counted from 0") from None
    if not columns or min(columns.values()) < 0:
        raise location.error("expected at least one column, and indices of 0 or more")
    return columns


def _column(item: str, position: int) -> tuple[str, str | int]:
    name, colon, index = item.partition(":")
    return (name.strip(), index.strip()) if colon else (name.strip(), position)
