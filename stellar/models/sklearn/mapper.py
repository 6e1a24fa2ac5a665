"""DataFrameMapper: transformers by the columns of a DataFrame, as in the package sklearn-pandas."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from stellar.models.errors import NotExported
from stellar.models.sklearn.columns import Columns
from stellar.models.sklearn.composition import name_step
from stellar.models.sklearn.export import Export
from stellar.util.abbreviate import quote


@dataclass(frozen=True, slots=True)
class MappedColumns:
    """An entry of a mapper.

    names: of columns of the DataFrame
    is_single: its transformers get one column as a vector
    transformers: applied in this order
    """

    names: tuple[str, ...]
    is_single: bool
    transformers: tuple[Any, ...]


class DataFrameMapper:
    """Maps columns of a DataFrame to columns of a matrix.

    features: pairs of a column or a list of columns, and a transformer, a list of transformers or None
    """

    def __init__(self, features: Iterable[Sequence[Any]]) -> None:
        self.features = list(features)
        self.entries = tuple(map(_read_entry, self.features))

    def fit(self, data: Any, y: Any = None) -> DataFrameMapper:
        """Fit the transformers to the columns of a DataFrame."""
        for entry in self.entries:
            block = _select(entry, data)
            for transformer in entry.transformers:
                block = transformer.fit(block).transform(block)
        return self

    def transform(self, data: Any) -> Any:
        """Return the matrix of a DataFrame, as an array of numpy."""
        import numpy  # an extra: for users of scikit-learn alone

        blocks = []
        for entry in self.entries:
            block = _select(entry, data)
            for transformer in entry.transformers:
                block = transformer.transform(block)
            dense = block.toarray() if hasattr(block, "toarray") else numpy.asarray(block)
            blocks.append(dense.reshape(len(dense), -1))
        return numpy.hstack(blocks)

    def fit_transform(self, data: Any, y: Any = None) -> Any:
        """Fit the transformers, and return the matrix."""
        return self.fit(data, y).transform(data)


def is_encoded_target(entry: MappedColumns) -> bool:
    """Return True for a column whose transformer is for targets alone."""
    return any(type(step).__name__ == "LabelEncoder" for step in entry.transformers)


def is_plain(entry: MappedColumns) -> bool:
    """Return True for one column without a transformer, which may be the target."""
    return len(entry.names) == 1 and not entry.transformers


def map_columns(entries: Iterable[MappedColumns], columns: Columns, export: Export) -> Columns:
    """Return the columns of entries, of the columns of a DataFrame."""
    by_name = {column.label: column for column in columns}
    mapped: Columns = ()
    for entry in entries:
        block = tuple(by_name[name] for name in entry.names)
        with name_step(", ".join(entry.names)):
            for transformer in entry.transformers:
                block = export.transform(transformer, block)
        mapped += block
    return mapped


def list_fields(entries: Iterable[MappedColumns]) -> list[str]:
    """Return the columns of the DataFrame that entries use."""
    return list(dict.fromkeys(_list_names(entries)))


def _list_names(entries: Iterable[MappedColumns]) -> Iterator[str]:
    for entry in entries:
        yield from entry.names


def _read_entry(entry: Sequence[Any]) -> MappedColumns:
    if isinstance(entry, str) or len(entry) < 2:
        raise NotExported(f"expected a pair of columns and a transformer or None, got {quote(entry)}")
    columns, transformer = entry[0], entry[1]
    is_single = isinstance(columns, str)
    chain = transformer if isinstance(transformer, list | tuple) else [transformer]
    return MappedColumns(
        (columns,) if is_single else tuple(columns), is_single, tuple(step for step in chain if step is not None)
    )


def _select(entry: MappedColumns, data: Any) -> Any:
    return data[entry.names[0]] if entry.is_single else data[list(entry.names)]
