"""Scores of a model in the Python processes of executors, in batches of Arrow."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from stellar.models.errors import NotScored
from stellar.models.loading import read_model_file
from stellar.models.scoring import ScoringModel
from stellar.spark.result_columns import VECTOR, ResultColumn
from stellar.spark.scored_rows import ScoredRows, score_rows
from stellar.spark.shipped_models import ERROR, ShippedModel
from stellar.spark.versions import check_version
from stellar.util.optional_imports import import_optional

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.compute as arrow
else:
    pa = import_optional("pyarrow", "spark")
    arrow = import_optional("pyarrow.compute", "spark")

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
        fields = {name: _list_values(batch.column(index)) for name, index in task.fields.items()}
        scored = score_rows(model, fields, batch.num_rows, task.columns)
        if task.fails:
            _check(scored, start)
        start += batch.num_rows
        names = list(map(str, range(batch.num_columns + 1)))
        yield pa.RecordBatch.from_arrays([*batch.columns, _make_results(scored, task.columns)], names)


def _check(scored: ScoredRows, start: int) -> None:
    """Raise NotScored for the first row that the model does not accept."""
    from pyspark import TaskContext

    for row, reason in scored.errors.items():
        context = TaskContext.get()
        partition = "" if context is None else f" of partition {context.partitionId()}"
        raise NotScored(f"row {start + row}{partition}: {reason}; call withErrorCol to continue without such rows")


def _list_values(column: pa.Array) -> list[Any]:
    """Return the values of a column as those of a record."""
    if pa.types.is_decimal(column.type):
        column = column.cast(pa.float64())
    elif pa.types.is_timestamp(column.type) and column.type.tz is not None:
        column = arrow.local_timestamp(column)  # as Spark shows it
    values: list[Any] = column.to_pylist()
    return values


def _make_results(scored: ScoredRows, columns: Sequence[ResultColumn]) -> pa.Array:
    arrays = [_make_array(column, values) for column, values in zip(columns, scored.values, strict=True)]
    rows = len(scored.values[0])
    is_null = pa.array([row in scored.errors for row in range(rows)]) if scored.errors else None
    struct = pa.StructArray.from_arrays(arrays, [column.name for column in columns], mask=is_null)
    errors = pa.array([scored.errors.get(row) for row in range(rows)], pa.string())
    return pa.StructArray.from_arrays([struct, errors], ["pmml", ERROR])


def _make_array(column: ResultColumn, values: Sequence[Any]) -> pa.Array:
    if column.type != VECTOR:
        return pa.array(values, _TYPES[column.type])
    numbers = pa.array(values, pa.list_(pa.float64()))
    rows = len(numbers)
    parts = [
        pa.array([_DENSE], pa.int8()).take(pa.array([0] * rows, pa.int32())),
        pa.nulls(rows, pa.int32()),
        pa.nulls(rows, pa.list_(pa.int32())),
        numbers,
    ]
    return pa.StructArray.from_arrays(parts, fields=list(_VECTOR), mask=numbers.is_null())
