"""Scores of a model as columns of data frames of Spark."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.mllib.linalg import VectorUDT
from pyspark.sql import functions as sql
from pyspark.sql.types import (
    BooleanType,
    DoubleType,
    FloatType,
    IntegerType,
    StringType,
    StructField,
    StructType,
)

from stellar.spark.input_columns import find_input_columns
from stellar.spark.result_columns import STRUCT, VECTOR
from stellar.spark.shipped_models import ERROR, ShippedModel
from stellar.spark.tasks import make_task

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

    from stellar.spark.transformer import Transformer

_RESULTS = "stellar results"
_TYPES = {
    "string": StringType(),
    "integer": IntegerType(),
    "float": FloatType(),
    "double": DoubleType(),
    "boolean": BooleanType(),
    VECTOR: VectorUDT(),
}


def transform_spark(transformer: Transformer, frame: DataFrame) -> DataFrame:
    """Return a data frame with the results. Raises ValueError if a column is missing, or the model has no file."""
    ignores_case = frame.sparkSession.conf.get("spark.sql.caseSensitive") != "true"
    fields = find_input_columns(transformer.model, frame.columns, ignores_case=ignores_case)
    shipped = ShippedModel.of(transformer.model, fields, transformer.columns, fails=transformer.error is None)
    struct = StructType([StructField(column.name, _TYPES[column.type]) for column in transformer.columns])
    results = StructType([StructField(STRUCT, struct), StructField(ERROR, StringType())])
    schema = StructType([*frame.schema.fields, StructField(_RESULTS, results)])
    numbered = frame.toDF(*map(str, range(len(frame.columns))))  # mapInArrow fails for names with dots
    scored = numbered.mapInArrow(make_task("stellar.spark.model_tasks", "score_batches", shipped.encode()), schema)
    return scored.withColumns(_list_columns(transformer)).drop(_RESULTS)


def _list_columns(transformer: Transformer) -> dict[str, Column]:
    results = sql.col(_RESULTS)
    struct = results.getField(STRUCT)
    columns = {STRUCT: struct}
    if transformer.is_exploded:
        columns = {column.name: struct.getField(column.name) for column in transformer.columns}
    if transformer.error is not None:
        columns[transformer.error] = results.getField(ERROR)
    return columns
