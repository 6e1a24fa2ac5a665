"""The extractor of WHOIS exports: CSV files with a header, one row for each domain.

Quoted values may contain line ends here, unlike in Metron's CSV, because such exports contain addresses and whole
WHOIS responses. Columns whose names end in `_rawText`, and the date of the last audit, are left out, as by the script
of Metron that converts these files.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import TYPE_CHECKING

from stellar.pipeline.config.locations import SourceLocation
from stellar.pipeline.loaders.columns import RowShape, find_shape
from stellar.pipeline.loaders.rows import IGNORED, Extracted, ExtractedRow, RejectedRow
from stellar.pipeline.loaders.sources import Source, UnreadableLine
from stellar.util.abbreviate import quote

if TYPE_CHECKING:
    from _csv import Reader

    from stellar.pipeline.config.schema import ExtractorOptions

DEFAULT_TYPE, DEFAULT_INDICATOR = "whois", "domainName"
_EXCLUDED, _EXCLUDED_END = frozenset({"audit_auditupdateddate"}), "_rawtext"


class WhoisExtractor:
    """Extracts a row of each record. The indicator is the domain in lowercase, without a dot at its end."""

    extracts_lines = False

    def __init__(self, options: ExtractorOptions, location: SourceLocation) -> None:
        names = {"type": options.type or DEFAULT_TYPE}
        if options.indicator_column is None and options.indicator is None:
            names["indicator_column"] = DEFAULT_INDICATOR
        self._options, self._location = options.model_copy(update=names), location
        if options.columns is not None and not isinstance(options.columns, list):
            raise (location / "columns").error("expected a list of columns, whose order is that of the header")
        separator = options.separator or ","
        if len(separator) != 1 or separator in '"\r\n':
            raise (location / "separator").error(f"invalid separator {quote(separator)}: expected one character")
        self._separator = separator

    def __call__(self, source: Source) -> Iterator[Extracted]:
        """Yield the rows of a file. Raises ConfigError if its header lacks a column."""
        unreadable: list[RejectedRow] = []
        reader = csv.reader(_read_text(source, unreadable), delimiter=self._separator)
        shape: RowShape | None = None
        for line, values in _read_records(reader):
            yield from unreadable
            unreadable.clear()
            if isinstance(values, RejectedRow):
                yield values
            elif not values:
                yield IGNORED
            elif shape is None:
                shape = self._find_shape([name.strip() for name in values])
                yield IGNORED
            else:
                yield self._extract(shape, values, line)
        yield from unreadable

    def _find_shape(self, header: list[str]) -> RowShape:
        wanted = self._options.columns
        columns = {name: index for index, name in enumerate(header) if name}
        shape = find_shape(self._options, columns, self._location, len(header))
        chosen = tuple(
            (name, index) for name, index in columns.items() if (name in wanted if wanted else not _is_excluded(name))
        )
        return RowShape(chosen, shape.indicator, shape.kind, shape.kind_index, shape.width)

    def _extract(self, shape: RowShape, values: list[str], line: int) -> ExtractedRow | RejectedRow:
        raw = self._separator.join(values)[:1000]
        try:
            row = shape.extract(values, line, raw)
        except ValueError as error:
            return RejectedRow(line, str(error), raw)
        return row._replace(indicator=row.indicator.strip().lower().removesuffix("."))


def _read_records(reader: Reader) -> Iterator[tuple[int, list[str] | RejectedRow]]:
    """Yield the values of each record, with the number of its first line. An invalid record is rejected."""
    while True:
        line = reader.line_num + 1
        try:
            values = next(reader, None)
        except csv.Error as error:
            yield line, RejectedRow(line, f"invalid CSV: {error}; a quote may be missing", "")
            continue
        if values is None:
            return
        yield line, values


def _is_excluded(name: str) -> bool:
    return name.lower() in _EXCLUDED or name.lower().endswith(_EXCLUDED_END)


def _read_text(source: Source, unreadable: list[RejectedRow]) -> Iterator[str]:
    for line in source.lines():
        if isinstance(line, UnreadableLine):
            unreadable.append(RejectedRow(line.number, line.reason, line.start))
            yield "\n"
        else:
            yield f"{line.text}\n"
