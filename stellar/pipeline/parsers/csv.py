"""The CSV parser: lines of values, each column under a name."""

from __future__ import annotations

import csv
import logging
from collections.abc import Iterator

from stellar.language.conversions import to_long
from stellar.pipeline.config.compile import date_reader
from stellar.pipeline.parsers.parser import Settings, Unreadable, lacks_the_usual
from stellar.pipeline.records import Record, now

log = logging.getLogger(__name__)


class CsvParser:
    """Reads separated values; every line is a record, blank lines and `#` comments none."""

    def __init__(self, settings: Settings) -> None:
        self.columns = _columns(settings)
        separator = settings.text("separator", ",")
        if not separator or separator[0] in '"\\\r\n':
            raise (settings.place / "separator").error(
                f"{separator!r} can separate no values; give one letter, such as ','"
            )
        self.separator = separator[0]
        pattern = settings.text("timestampFormat", "")
        zone = settings.text("timeZone", "UTC")
        self.read_date = date_reader(pattern, zone, settings.place / "timestampFormat") if pattern else None

    def __call__(self, text: str) -> Iterator[Record | Unreadable]:
        for line in text.splitlines():
            if not line.strip() or line.strip().startswith("#"):
                continue
            try:
                yield self._record(line)
            except (ValueError, IndexError, csv.Error) as error:
                yield Unreadable(line, ValueError(f"Unable to parse {line}: {error}"))

    def complaint(self, record: Record) -> str | None:
        return lacks_the_usual(record)

    def _record(self, line: str) -> Record:
        (row,) = csv.reader([line], delimiter=self.separator, escapechar="\\", strict=True)
        widest = max(self.columns.values())
        if widest >= len(row):
            raise IndexError(f"it has {len(row)} values, and column {widest} is wanted (columns count from 0)")
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
            log.warning("timestamp left as it is: %s", error)
            return value


def _columns(settings: Settings) -> dict[str, int]:
    """`columns` in its three forms: a map from name to index, a list, or comma text; an item may be `name:index`."""
    value = settings.options.get("columns")
    place = settings.place / "columns"
    if value is None:
        raise place.error('the key \'columns\' is missing; name the columns, such as ["timestamp", "ip"]')
    if isinstance(value, str):
        value = value.split(",")
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        pairs = [_column(item, index) for index, item in enumerate(value)]
    elif isinstance(value, dict):
        pairs = [(name.strip(), index) for name, index in value.items()]
    else:
        raise place.error("a list of column names is wanted, or a map from name to index")
    try:
        columns = {name: int(index) for name, index in pairs}
    except (TypeError, ValueError):
        raise place.error("the index of a column is a whole number, counted from 0") from None
    if not columns or min(columns.values()) < 0:
        raise place.error("at least one column is wanted, and indices from 0")
    return columns


def _column(item: str, position: int) -> tuple[str, str | int]:
    name, colon, index = item.partition(":")
    return (name.strip(), index.strip()) if colon else (name.strip(), position)
