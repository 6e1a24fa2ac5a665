"""Records as columns, and the comparison of the scores of both."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

from stellar.models.errors import NotScored
from stellar.models.scoring import ScoringModel

Record = dict[str, Any]


def make_column(values: list[Any]) -> Any:
    """Return values as a column of objects."""
    column = np.empty(len(values), object)
    for index, value in enumerate(values):
        column[index] = value
    return column


def make_columns(model: ScoringModel, records: list[Record]) -> dict[str, Any]:
    """Return the inputs of a model as columns of objects."""
    return {field.name: make_column([record.get(field.name) for record in records]) for field in model.inputs()}


def _show(value: Any) -> Any:
    """Return a value so that only equal bits and types are equal."""
    if isinstance(value, float):
        return struct.pack("d", value)
    return type(value).__name__, repr(value)


def _score_one(model: ScoringModel, record: Record) -> Any:
    try:
        scores = model.score_completely(record)
    except NotScored as error:
        return str(error)
    return {name: _show(value) for name, value in scores.items() if value is not None}


def check_batch(model: ScoringModel, columns: dict[str, Any]) -> None:
    """Compare the scores of a batch with those of its records, one by one."""
    scores = model.score_columns(columns)
    records = [
        dict(zip(columns, row, strict=True)) for row in zip(*(c.tolist() for c in columns.values()), strict=True)
    ]
    results = {name: column.tolist() for name, column in scores.columns.items()}
    assert {len(values) for values in (*results.values(), scores.errors)} == {len(records)}
    for index, record in enumerate(records):
        found = {name: _show(values[index]) for name, values in results.items() if values[index] is not None}
        assert (scores.errors[index] or found) == _score_one(model, record), (index, record)
        assert scores.errors[index] is None or not found


def is_compiled(model: ScoringModel) -> bool:
    """Return True if a batch is scored by operations on columns."""
    model.score_columns(make_columns(model, [{}]))
    assert model._batch is not None
    return model._batch.is_compiled
