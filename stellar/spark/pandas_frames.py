"""Scores of a model as columns of data frames of pandas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from stellar.models.errors import NotScored
from stellar.spark.input_columns import find_input_columns
from stellar.spark.result_columns import STRUCT, VECTOR, ResultColumn
from stellar.spark.scored_rows import ScoredRows, score_rows
from stellar.util.abbreviate import quote

if TYPE_CHECKING:
    from stellar.spark.transformer import Transformer

# The types of Spark, with those of pandas that have a missing value
_TYPES = {"string": "object", "integer": "Int32", "float": "float32", "double": "float64", "boolean": "boolean"}


def transform_pandas(transformer: Transformer, frame: pd.DataFrame) -> pd.DataFrame:
    """Return a data frame with the results.

    Raises ValueError if a column is missing, and NotScored, with the label of the row, for a row that the model does
    not accept.
    """
    indexes = find_input_columns(transformer.model, list(frame.columns))
    columns = {name: _list_values(frame.iloc[:, index]) for name, index in indexes.items()}
    scored = score_rows(transformer.model, columns, len(frame), transformer.columns)
    if transformer.error is None and scored.errors:
        row, reason = next(iter(scored.errors.items()))
        raise NotScored(
            f"row {quote(_make_plain(frame.index[row]))}: {reason}; call withErrorCol to continue without such rows"
        )
    pairs = list(zip(transformer.columns, scored.values, strict=True))
    if transformer.is_exploded:
        results = {column.name: _make_series(column, values, frame.index) for column, values in pairs}
    else:
        results = {STRUCT: _make_structs(transformer.columns, scored, frame.index)}
    if transformer.error is not None:
        reasons = [scored.errors.get(row) for row in range(len(frame))]
        results[transformer.error] = pd.Series(reasons, frame.index, dtype="object")
    return frame.assign(**results)


def _list_values(series: pd.Series[Any]) -> list[Any]:
    """Return the values of a column as those of Python, with None for missing ones."""
    values = series.astype(object).where(series.notna(), None).tolist()
    return list(map(_make_plain, values))


def _make_plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _make_series(column: ResultColumn, values: Sequence[Any], index: pd.Index[Any]) -> pd.Series[Any]:
    return pd.Series(_list_vectors(column, values), index, dtype=_TYPES.get(column.type, "object"))


def _list_vectors(column: ResultColumn, values: Sequence[Any]) -> Sequence[Any]:
    """Return shares as arrays; values of other types as they are."""
    if column.type != VECTOR:
        return values
    return [None if shares is None else np.array(shares) for shares in values]


def _make_structs(columns: Sequence[ResultColumn], scored: ScoredRows, index: pd.Index[Any]) -> pd.Series[Any]:
    """Return a column of maps; None for a row that the model does not accept."""
    names = [column.name for column in columns]
    values = zip(*map(_list_vectors, columns, scored.values), strict=True)
    structs = [None if row in scored.errors else dict(zip(names, each, strict=True)) for row, each in enumerate(values)]
    return pd.Series(structs, index, dtype="object")
