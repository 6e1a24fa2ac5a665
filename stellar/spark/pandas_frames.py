"""Scores of a model as columns of data frames of pandas."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from stellar.models.errors import NotScored
from stellar.spark.input_columns import find_input_columns
from stellar.spark.result_columns import ADVICE, STRUCT, VECTOR
from stellar.spark.scored_rows import Array, ScoredRows, score_rows
from stellar.util.abbreviate import quote

if TYPE_CHECKING:
    from stellar.spark.transformer import Transformer

_PLAIN = "iuf"  # kinds of types whose values are those of fields


def transform_pandas(transformer: Transformer, frame: pd.DataFrame) -> pd.DataFrame:
    """Return a data frame with the results.

    Raises ValueError if a column is missing, and NotScored, with the label of the row, for a row that the model does
    not accept.
    """
    indexes = find_input_columns(transformer.model, list(frame.columns))
    fields = {name: _read_values(frame.iloc[:, index]) for name, index in indexes.items()}
    scored = score_rows(transformer.model, fields, len(frame), transformer.columns)
    if transformer.error is None and scored.errors:
        row, reason = min(scored.errors.items())
        raise NotScored(f"row {quote(_make_plain(frame.index[row]))}: {reason}; {ADVICE}")
    return frame.assign(**_make_columns(transformer, scored, frame.index))


def _read_values(series: pd.Series[Any]) -> Array:
    """Return the values of a column as those of fields, masked where they are missing."""
    is_missing = series.isna().to_numpy()
    if series.dtype.kind in _PLAIN:
        dtype = getattr(series.dtype, "numpy_dtype", series.dtype)
        return np.ma.array(series.to_numpy(dtype, na_value=0), mask=is_missing)
    values = np.empty(len(series), object)
    values[:] = [_make_plain(value) for value in series.astype(object).tolist()]
    return np.ma.array(values, mask=is_missing)


def _make_plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _make_columns(transformer: Transformer, scored: ScoredRows, index: pd.Index[Any]) -> dict[str, pd.Series[Any]]:
    columns = {}
    for column, values in zip(transformer.columns, scored.values, strict=True):
        columns[column.name] = pd.Series(_ARRAYS[column.type](values), index)
    if not transformer.is_exploded:
        columns = {STRUCT: _make_structs(columns, scored, index)}
    if transformer.error is not None:
        reasons = [scored.errors.get(row) for row in range(len(index))]
        columns[transformer.error] = pd.Series(reasons, index, dtype="object")
    return columns


def _make_structs(columns: dict[str, pd.Series[Any]], scored: ScoredRows, index: pd.Index[Any]) -> pd.Series[Any]:
    """Return a column of maps; None for a row that the model does not accept."""
    rows = enumerate(zip(*(column.tolist() for column in columns.values()), strict=True))
    structs = [None if row in scored.errors else dict(zip(columns, values, strict=True)) for row, values in rows]
    return pd.Series(structs, index, dtype="object")


def _make_objects(values: Array) -> Any:
    data = values.data.copy()
    data[np.ma.getmaskarray(values)] = None
    return data


def _make_vectors(values: Array) -> Any:
    vectors = np.empty(len(values), object)
    is_masked = np.ma.getmaskarray(values)[:, 0]
    vectors[:] = [None if masked else row for masked, row in zip(is_masked, values.data, strict=True)]
    return vectors


# The types of columns, with those of pandas that have a missing value
_ARRAYS: dict[str, Callable[[Array], Any]] = {
    "string": _make_objects,
    "integer": lambda values: pd.arrays.IntegerArray(values.data, np.ma.getmaskarray(values)),
    "float": lambda values: values.filled(np.nan),
    "double": lambda values: values.filled(np.nan),
    "boolean": lambda values: pd.arrays.BooleanArray(values.data, np.ma.getmaskarray(values)),
    VECTOR: _make_vectors,
}
