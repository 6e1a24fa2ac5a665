"""The extractor of separated values, in the dialect of Metron's CSV parser: a line is a row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from stellar.language.conversions import JAVA_WHITESPACE
from stellar.pipeline.config.locations import SourceLocation
from stellar.pipeline.loaders.columns import RowShape, find_shape
from stellar.pipeline.loaders.rows import IGNORED, Extracted, ExtractLine, RejectedRow, extract_lines
from stellar.pipeline.loaders.sources import Source, TextLine, UnreadableLine
from stellar.pipeline.parsers.csv import RowSplitter, read_columns, read_separator
from stellar.pipeline.parsers.parser import Settings
from stellar.util.abbreviate import quote
from stellar.util.suggestions import suggest_name

if TYPE_CHECKING:
    from stellar.pipeline.config.schema import ExtractorOptions


class CsvExtractor:
    """Extracts a row of each line; blank lines and those that start with `#` are ignored.

    Raises ConfigError for invalid options.
    """

    def __init__(self, options: ExtractorOptions, location: SourceLocation) -> None:
        given = {"columns": options.columns}
        if options.separator is not None:
            given["separator"] = options.separator
        settings = Settings(given, location)
        self._options, self._location = options, location
        self._split = RowSplitter(read_separator(settings))
        self._selected = None if options.columns is None and options.header else read_columns(settings)
        self._shape = None if options.header else find_shape(options, dict(self._selected or ()), location)

    extracts_lines = True

    def __call__(self, source: Source) -> Iterator[Extracted]:
        """Yield the rows of a file. Raises ConfigError if its header lacks a column."""
        lines = source.lines()
        before, extract = self.begin(lines)
        yield from before
        if extract is not None:
            yield from extract_lines(lines, extract)

    def begin(self, lines: Iterator[TextLine | UnreadableLine]) -> tuple[list[Extracted], ExtractLine | None]:
        """See LineExtractor. Raises ConfigError if the header lacks a column."""
        if self._shape is not None:
            return [], partial(self._extract, self._shape)
        before: list[Extracted] = []
        for line in lines:
            if isinstance(line, UnreadableLine):
                reason = f"the header is not readable: {line.reason}"
                return [*before, RejectedRow(line.number, reason, line.start)], None
            before.append(IGNORED)
            if line.text.strip(JAVA_WHITESPACE):
                names = [name.strip() for name in self._split(line.text.lstrip("#"))]
                return before, partial(self._extract, self._find_shape(names))
        return before, None

    def _extract(self, shape: RowShape, line: TextLine) -> Extracted:
        start = line.text.lstrip(JAVA_WHITESPACE)
        if not start or start[0] == "#":
            return IGNORED
        return shape.extract(self._split(line.text), line.number, line.text)

    def _find_shape(self, header: list[str]) -> RowShape:
        """Return the shape of the rows after a header. Raises ConfigError if it lacks a column."""
        columns = {name: index for index, name in enumerate(header) if name}
        if self._selected is not None:
            _require(columns, (name for name, _ in self._selected), self._location / "columns")
            # The indicator may be a column that is not a member of the value
            shape = find_shape(self._options, columns, self._location, len(header))
            chosen = tuple((name, columns[name]) for name, _ in self._selected)
            return RowShape(chosen, shape.indicator, shape.kind, shape.kind_index, shape.width)
        return find_shape(self._options, columns, self._location, len(header))


def _require(columns: dict[str, int], names: Iterable[str], location: SourceLocation) -> None:
    for name in names:
        if name not in columns:
            raise location.error(f"the header has no column {quote(name)}; {suggest_name(name, columns)}")
