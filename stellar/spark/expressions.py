"""Expressions on data frames: typed columns, and functions for SQL."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stellar.spark.evaluation import TYPES, compile_source
from stellar.spark.expression_models import choose_models
from stellar.spark.tasks import make_function, make_task
from stellar.util.abbreviate import quote
from stellar.util.optional_imports import import_optional
from stellar.util.suggestions import suggest_name
from stellar.util.windowed import IN_FLIGHT, check_in_flight

if TYPE_CHECKING:
    from pyspark.sql import DataFrame
    from pyspark.sql import functions as sql
    from pyspark.sql.types import DataType, StructType
else:
    import_optional("pyspark", "spark")
    from pyspark.sql import functions as sql
    from pyspark.sql.types import DataType, StructType

ERRORS = "errors"
_EVALUATION = "stellar.spark.evaluation"


def evaluate(
    frame: DataFrame,
    columns: Mapping[str, str | tuple[str, str]],
    *,
    library: str | None = None,
    registry: str | Path | None = None,
    zookeeper: str | None = None,
    in_flight: int = IN_FLIGHT,
) -> DataFrame:
    """Return a data frame with the values of expressions as further columns, and their errors in the column `errors`.

    A row in which an expression fails has null there, and the message in `errors`, a map by the names of the columns,
    which is null for a row without errors. Fields of records are the columns of the frame; a null is a missing field.

    columns: the expression of each column, or a tuple of the expression and the type of the column: boolean, bigint,
        double, string (the default), or an array of these
    library: the functions that expressions may call, as `module:attribute`; by default those of `stellar.compile`
    registry: the directory of the model registry, which all executors can read; `none` for null instead of all results
        of models
    zookeeper: the ZooKeeper servers with the model registry
    in_flight: records of each task whose models are called concurrently. A call that fails is null, and its message is
        in `errors`.

    Raises ParseError or ResolutionError for an invalid expression, and ValueError for an invalid name or type, and for
    an expression that calls models without a registry.
    """
    check_in_flight(in_flight)
    typed = [(name, *((each, "string") if isinstance(each, str) else each)) for name, each in columns.items()]
    for name in (*columns, ERRORS):
        if name in frame.columns:
            raise ValueError(f"the data frame has a column {quote(name)}; rename it by withColumnRenamed")
    if ERRORS in columns:
        raise ValueError(f"the column {quote(ERRORS)} has the errors of expressions; use another name")
    models = [choose_models(_check(source, kind, library), registry, zookeeper) for _, source, kind in typed]
    schema = StructType(list(frame.schema.fields))
    for name, kind in (*((name, kind) for name, _, kind in typed), (ERRORS, "map<string,string>")):
        schema = schema.add(name, DataType.fromDDL(kind))
    described = [(*each, model) for each, model in zip(typed, models, strict=True)]
    shipped = json.dumps((library, frame.columns, described, in_flight))
    numbered = frame.toDF(*map(str, range(len(frame.columns))))  # mapInArrow fails for names with dots
    return numbered.mapInArrow(make_task(_EVALUATION, "evaluate_batches", shipped), schema)


def make_udf(
    source: str,
    returns: str,
    arguments: Sequence[str],
    *,
    library: str | None = None,
    registry: str | Path | None = None,
    zookeeper: str | None = None,
) -> Any:
    """Return an expression as a function of columns, for the DataFrame API and `spark.udf.register`.

    Its result is a struct: `value`, and `error`, the message if the expression fails for a row, otherwise null. Models
    are called for one row after the other; `evaluate` calls them concurrently.

    returns: the type of the value; see `evaluate`
    arguments: the names of the variables of the expression, in the order of the arguments of the function
    registry, zookeeper: those of the models; see `evaluate`

    Raises ParseError or ResolutionError for an invalid expression, and ValueError for an invalid argument.
    """
    expression = _check(source, returns, library)
    if unknown := sorted(expression.variables.difference(arguments)):
        names = ", ".join(map(quote, unknown))
        raise ValueError(f"no argument for the variable {names} of {quote(source)}; add it to arguments")
    models = choose_models(expression, registry, zookeeper)
    shipped = json.dumps((library, source, returns, list(arguments), models))
    return sql.udf(make_function(_EVALUATION, "call_function", shipped), f"struct<value: {returns}, error: string>")


def _check(source: str, kind: str, library: str | None) -> Any:
    """Return a compiled expression. Raises ParseError, ResolutionError, or ValueError for an unknown type."""
    if kind not in TYPES:
        raise ValueError(f"unknown type {quote(kind)}; {suggest_name(kind, TYPES)}")
    return compile_source(source, library)
