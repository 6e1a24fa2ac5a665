"""Scores of a model in the Python processes of executors, in batches of Arrow."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from stellar.models.errors import NotScored
from stellar.models.loading import read_model_file
from stellar.models.scoring import ScoringModel
from stellar.spark.result_columns import ADVICE, STRUCT, VECTOR, ResultColumn
from stellar.spark.scored_rows import Array, ScoredRows, score_rows
from stellar.spark.shipped_models import ERROR, ShippedModel
from stellar.spark.versions import check_version
from stellar.util.optional_imports import import_optional

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.compute as arrow
    from pyspark import TaskContext
else:
    pa = import_optional("pyarrow", "spark")
    arrow = import_optional("pyarrow.compute", "spark")
    TaskContext = import_optional("pyspark", "spark").TaskContext

_DENSE = 1  # the type of a vector that has all values
_VECTOR = pa.struct(
    [
        ("type", pa.int8()),
        ("size", pa.int32()),
        ("indices", pa.list_(pa.int32())),
        ("values", pa.list_(pa.float64())),
    ]
)
_TYPES = {
    "string": pa.string(),
    "integer": pa.int32(),
    "float": pa.float32(),
    "double": pa.float64(),
    "boolean": pa.bool_(),
}


@lru_cache(4)  # of the models of this process; Spark uses a process for many tasks, one after the other
def _open(shipped: str) -> tuple[ShippedModel, ScoringModel]:
    decoded = ShippedModel.decode(shipped)
    check_version(decoded.version)
    return decoded, read_model_file(decoded.content)


def score_batches(shipped: str, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Yield batches with a further column: the results of each row, and the reason if the model does not accept it.

    shipped: the model, as ShippedModel encodes it

    Raises RuntimeError if the versions of driver and executor differ, and NotScored for a row that is not accepted, if
    such a row fails the job.
    """
    task, model = _open(shipped)
    start = 0
    for batch in batches:
        fields = {name: _read_values(batch.column(index)) for name, index in task.fields.items()}
        scored = score_rows(model, fields, batch.num_rows, task.columns)
        if task.fails and scored.errors:
            raise NotScored(_describe(scored, start))
        start += batch.num_rows
        names = list(map(str, range(batch.num_columns + 1)))
        yield pa.RecordBatch.from_arrays([*batch.columns, _make_results(scored, task.columns)], names)


def _describe(scored: ScoredRows, start: int) -> str:
    """Return the message for the first row that the model does not accept."""
    row, reason = min(scored.errors.items())
    context = TaskContext.get()
    partition = "" if context is None else f" of partition {context.partitionId()}"
    return f"row {start + row}{partition}: {reason}; {ADVICE}"


# -- Arrays of Arrow and of numpy -------------------------------------------------------------------------------------


def _read_values(column: pa.Array) -> Array:
    """Return the values of a column as those of fields, masked where they are null."""
    if pa.types.is_decimal(column.type):
        column = column.cast(pa.float64())
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        is_null = column.is_null().to_numpy(zero_copy_only=False) if column.null_count else False
        return np.ma.array(column.fill_null(0).to_numpy(zero_copy_only=False), mask=is_null)
    if pa.types.is_timestamp(column.type) and column.type.tz is not None:
        column = arrow.local_timestamp(column)  # as Spark shows it
    values = np.empty(len(column), object)
    values[:] = column.to_pylist()
    return values


def _make_results(scored: ScoredRows, columns: Sequence[ResultColumn]) -> pa.Array:
    arrays = [_make_array(column, values) for column, values in zip(columns, scored.values, strict=True)]
    rows = len(scored.values[0])
    errors = pa.array([scored.errors.get(row) for row in range(rows)], pa.string()) if scored.errors else None
    is_null = None if errors is None else errors.is_valid()
    struct = pa.StructArray.from_arrays(arrays, [column.name for column in columns], mask=is_null)
    return pa.StructArray.from_arrays(
        [struct, pa.nulls(rows, pa.string()) if errors is None else errors], [STRUCT, ERROR]
    )


def _make_array(column: ResultColumn, values: Array) -> pa.Array:
    is_masked = np.ma.getmaskarray(values)
    if column.type != VECTOR:
        return pa.array(values.data, _TYPES[column.type], mask=is_masked)
    rows, size = values.shape
    ends = pa.array(np.arange(0, (rows + 1) * size, size, dtype=np.int32))
    parts = [
        pa.array(np.full(rows, _DENSE, np.int8)),
        pa.nulls(rows, pa.int32()),
        pa.nulls(rows, pa.list_(pa.int32())),
        pa.ListArray.from_arrays(ends, pa.array(values.data.ravel())),
    ]
    return pa.StructArray.from_arrays(parts, fields=list(_VECTOR), mask=pa.array(is_masked[:, 0]))
