"""Results of a batch: those of the program, and of the records that are scored one by one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from stellar.models.batch.columns import Array, Columns, Flags, check_columns, list_values
from stellar.models.batch.models import BatchModel
from stellar.models.batch.predictions import find_type
from stellar.models.compiled.fields import NotCompiled
from stellar.models.errors import NotScored
from stellar.models.forms.model import ModelDocument

Record: TypeAlias = dict[str, Any]
ScoreRecord: TypeAlias = Callable[[Record], Record]
LEAST_ROWS = 200  # below, records one by one are faster


@dataclass(frozen=True, slots=True)
class ColumnScores:
    """The results of a batch.

    columns: masked arrays by name; a value is masked if the record has no such result, or an error
    errors: for each record, why the model has no score for it, or None
    """

    columns: dict[str, Array]
    errors: Array


class BatchScoring:
    """The scores of batches of a document.

    required, optional: names of its fields
    score: of one record
    """

    def __init__(
        self, document: ModelDocument, required: Sequence[str], optional: Sequence[str], score: ScoreRecord
    ) -> None:
        self._required, self._optional = required, optional
        self._score = score
        try:
            self._model: BatchModel | None = BatchModel(document)
        except NotCompiled:  # then all records are scored one by one
            self._model = None

    @property
    def is_compiled(self) -> bool:
        """True if ordinary records are scored by operations on columns."""
        return self._model is not None

    def score(self, columns: Mapping[str, Any]) -> ColumnScores:
        """Return the results of columns. Raise InvalidColumns if they are not those of records."""
        arrays, size = check_columns(columns, self._required, self._optional)
        results: Columns = {}
        is_scored = np.zeros(size, bool)
        if self._model is not None and size >= LEAST_ROWS:
            results, is_scored = self._model.score(arrays, size)
        others = np.flatnonzero(~is_scored).tolist()
        found, errors = _score_each(arrays, others, size, self._score)
        names = dict.fromkeys([*results, *(name for result in found.values() for name in result)])
        merged = {name: _merge(results.get(name), is_scored, _select(found, name)) for name in names}
        return ColumnScores(merged, errors)


def _score_each(
    columns: Columns, rows: Sequence[int], size: int, score: ScoreRecord
) -> tuple[dict[int, Record], Array]:
    """Return the results of some records by index, and the errors of all."""
    errors = np.full(size, None, object)
    found: dict[int, Record] = {}
    lists = {name: list_values(column) for name, column in columns.items()} if rows else {}
    for row in rows:
        try:
            found[row] = score({name: values[row] for name, values in lists.items()})
        except NotScored as error:
            errors[row] = str(error)
    return found, errors


def _select(found: Mapping[int, Record], name: str) -> dict[int, Any]:
    """Return the values of a result by the index of their record."""
    return {row: value for row, result in found.items() if (value := result.get(name)) is not None}


def _merge(known: Array | None, is_scored: Flags, others: Mapping[int, Any]) -> Array:
    """Return a column of known results and those of other records."""
    if known is not None and len(known) == len(is_scored):
        return np.ma.asarray(known)
    values = [*others.values()]
    dtype = find_type(values) if known is None or (values and known.dtype != find_type(values)) else known.dtype
    if known is not None and known.dtype != dtype:
        dtype = object
    data, mask = np.zeros(len(is_scored), dtype), np.ones(len(is_scored), bool)
    if known is not None:
        data[is_scored] = np.ma.getdata(known)
        mask[is_scored] = np.ma.getmaskarray(known)
    for row, value in others.items():
        data[row], mask[row] = value, False
    return np.ma.masked_array(data, mask)
