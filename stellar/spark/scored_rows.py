"""Scores of the rows of a batch, in arrays of numpy for the columns of a data frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from stellar.models.errors import NotScored
from stellar.models.scoring import ScoringModel
from stellar.spark.result_columns import CONVERSIONS, VECTOR, ResultColumn

Array: TypeAlias = Any  # a masked array of numpy
_NUMBERS = "iufb"  # kinds of types
_TYPES: dict[str, type] = {
    "string": object,
    "integer": np.int32,
    "float": np.float32,
    "double": np.float64,
    "boolean": np.bool_,
}


@dataclass(frozen=True)
class ScoredRows:
    """The results of the rows of a batch.

    values: of each column a masked array; that of a vector has two dimensions
    errors: the reasons why the model does not accept rows, by their indexes
    """

    values: list[Array]
    errors: dict[int, str]


def score_rows(
    model: ScoringModel, fields: Mapping[str, Any], rows: int, columns: Sequence[ResultColumn]
) -> ScoredRows:
    """Return the results of the rows of a batch.

    fields: arrays of the values of rows by field; None, or a masked value, is missing
    columns: of the results
    """
    results, errors = _score(model, fields, rows)
    values = [_read_column(column, results, rows, errors) for column in columns]
    for array in values if errors else ():
        array[list(errors)] = np.ma.masked
    return ScoredRows(values, errors)


def _score(model: ScoringModel, fields: Mapping[str, Any], rows: int) -> tuple[Mapping[str, Array], dict[int, str]]:
    if fields:
        scores = model.score_columns(fields)
        return scores.columns, {int(row): scores.errors[row] for row in np.flatnonzero(scores.errors != None)}  # noqa: E711
    try:  # the result of a model without inputs is that of each row
        results = model.score({})
    except NotScored as error:
        return {}, dict.fromkeys(range(rows), str(error))
    return {name: np.ma.array([value] * rows, mask=value is None) for name, value in results.items()}, {}


def _read_column(column: ResultColumn, results: Mapping[str, Array], rows: int, errors: dict[int, str]) -> Array:
    if column.type == VECTOR:
        return _read_vector(column, results, rows)
    dtype = _TYPES[column.type]
    array = results.get(column.keys[0])
    if array is None:
        return np.ma.array(np.zeros(rows, dtype), mask=True)
    if column.type != "string" and array.dtype.kind in _NUMBERS:
        return array.astype(dtype)
    return _convert_each(column, array, errors)


def _read_vector(column: ResultColumn, results: Mapping[str, Array], rows: int) -> Array:
    """Return the shares of categories; 0 for a category without one, masked for a row without any."""
    shares = np.zeros((rows, len(column.keys)))
    is_masked = np.ones(rows, bool)
    for index, key in enumerate(column.keys):
        if (array := results.get(key)) is not None:
            shares[:, index] = array.astype(np.float64).filled(0.0)
            is_masked &= np.ma.getmaskarray(array)
    return np.ma.array(shares, mask=np.repeat(is_masked[:, None], len(column.keys), axis=1))


def _convert_each(column: ResultColumn, array: Array, errors: dict[int, str]) -> Array:
    """Return values in the type of the column. Another one, such as a list of rules, is an error of its row."""
    convert = CONVERSIONS[column.type]
    converted: Array = np.ma.array(np.zeros(len(array), _TYPES[column.type]), mask=True)
    for row, value in enumerate(array.tolist()):
        if value is not None:
            try:
                converted[row] = convert(value)
            except ValueError as error:
                errors.setdefault(row, f"column {column.name}: {error}")
    return converted
