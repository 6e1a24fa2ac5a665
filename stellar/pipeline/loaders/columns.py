"""The columns of separated values: which of them are the indicator, the type and the members of the value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stellar.pipeline.config.locations import SourceLocation
from stellar.pipeline.loaders.rows import ExtractedRow
from stellar.util.abbreviate import quote
from stellar.util.suggestions import suggest_name

if TYPE_CHECKING:
    from stellar.pipeline.config.schema import ExtractorOptions


@dataclass(frozen=True, slots=True)
class RowShape:
    """The meaning of the values in a row.

    columns: name and index of each member of the value
    indicator: the index of the indicator
    kind: the type of all rows; empty if `kind_index` is the index of the type
    width: the number of values that a row must have; None for any number above the largest index
    names: the names of the columns, if these are the first ones in their order
    """

    columns: tuple[tuple[str, int], ...]
    indicator: int
    kind: str
    kind_index: int
    width: int | None = None
    names: tuple[str, ...] | None = None

    def extract(self, values: Sequence[str], line: int, raw: str) -> ExtractedRow:
        """Return the row of these values. Raises ValueError if a row has too few, or not the number of the header."""
        if self.width is not None and len(values) != self.width:
            raise ValueError(f"expected {self.width} values as in the header, got {len(values)}")
        try:
            if self.names is not None and len(values) >= len(self.names):
                value = dict(zip(self.names, values, strict=False))
            else:
                value = {name: values[index] for name, index in self.columns}
            kind = self.kind or values[self.kind_index]
            return ExtractedRow(kind, values[self.indicator], value, line, raw)
        except IndexError:
            least = max(self.indicator, self.kind_index, *(index for _, index in self.columns)) + 1
            raise ValueError(f"expected at least {least} values, got {len(values)}") from None


def find_shape(
    options: ExtractorOptions, columns: Mapping[str, int], location: SourceLocation, width: int | None = None
) -> RowShape:
    """Return the meaning of rows with these columns.

    location: the source location of the options

    Raises ConfigError if an option names a column that does not exist.
    """
    name = options.indicator_column or options.indicator
    key = "indicator_column" if options.indicator_column else "indicator"
    indicator = 0 if name is None else _find_column(name, columns, location / key)
    kind_index = 0
    if not options.type and options.type_column is not None:
        kind_index = _find_column(options.type_column, columns, location / "type_column")
    names = tuple(columns) if list(columns.values()) == list(range(len(columns))) else None
    return RowShape(tuple(columns.items()), indicator, options.type or "", kind_index, width, names)


def _find_column(name: str, columns: Mapping[str, Any], location: SourceLocation) -> int:
    if name not in columns:
        raise location.error(f"unknown column {quote(name)}; {suggest_name(name, columns)}")
    return int(columns[name])
