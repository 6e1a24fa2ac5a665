"""Expressions in the Python processes of executors: rows in, typed values and errors out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from stellar.java.integers import LONG_MAX, LONG_MIN
from stellar.java.match_timer import match_timer
from stellar.language.conversions import to_string
from stellar.language.errors import StellarError
from stellar.language.expression import Expression
from stellar.language.expression import compile as compile_expression
from stellar.language.library import Library
from stellar.language.python_values import from_python
from stellar.language.runtime import describe
from stellar.pipeline.connectors.parquet import make_plain
from stellar.spark.expression_models import Evaluate, ModelSource, get_message, make_evaluate
from stellar.util.optional_imports import import_optional
from stellar.util.windowed import in_order

if TYPE_CHECKING:
    import pyarrow as pa
else:
    pa = import_optional("pyarrow", "spark")

Convert = Callable[[Any], Any]


def compile_source(source: str, library: str | None) -> Expression:
    """Compile an expression.

    library: the functions that it may call, as `module:attribute`; None for the default library

    Raises ParseError or ResolutionError for an invalid source, LookupError, TypeError or ValueError for the library.
    """
    return compile_expression(source, library=None if library is None else Library.named(library))


# -- Types ------------------------------------------------------------------------------------------------------------


def _convert_boolean(value: Any) -> bool:
    if value.__class__ is bool:
        return bool(value)
    raise ValueError(f"expected a boolean, got {describe(value)}")


def _convert_integer(value: Any) -> int:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and LONG_MIN <= value <= LONG_MAX:
        return value
    raise ValueError(f"expected an integer of 64 bits, got {describe(value)}")


def _convert_float(value: Any) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            pass
    raise ValueError(f"expected a number, got {describe(value)}")


def _convert_string(value: Any) -> str:
    text = value if value.__class__ is str else to_string(value)
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


_CONVERSIONS: Mapping[str, Convert] = {
    "boolean": _convert_boolean,
    "bigint": _convert_integer,
    "double": _convert_float,
    "string": _convert_string,
}
TYPES = (*_CONVERSIONS, *(f"array<{name}>" for name in _CONVERSIONS))


def find_conversion(kind: str) -> Convert:
    """Return the function that converts values to a type of Spark; it raises ValueError for other values.

    Raises KeyError for an unknown type.
    """
    if not kind.startswith("array<"):
        return _CONVERSIONS[kind]
    convert = _CONVERSIONS[kind.removeprefix("array<").removesuffix(">")]

    def convert_all(value: Any) -> list[Any]:
        if not isinstance(value, list | set | frozenset):
            raise ValueError(f"expected a list or a set, got {describe(value)}")
        return [None if item is None else convert(from_python(item)) for item in value]

    return convert_all


def _find_arrow_type(kind: str) -> Any:
    if kind.startswith("array<"):
        return pa.list_(_find_arrow_type(kind.removeprefix("array<").removesuffix(">")))
    return {"boolean": pa.bool_(), "bigint": pa.int64(), "double": pa.float64(), "string": pa.string()}[kind]


# -- Columns ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Column:
    """An expression, with the type of its values."""

    name: str
    expression: Expression
    convert: Convert
    type: Any
    models: ModelSource | None
    in_flight: int

    def evaluate(self, records: Sequence[dict[str, Any]], failures: list[dict[str, str]]) -> pa.Array:
        """Return the values, and add the messages of those that failed."""
        values: list[Any] = []
        for (value, problem), found in zip(self._compute(records), failures, strict=True):
            try:
                values.append(None if value is None else self.convert(from_python(value)))
            except ValueError as error:
                found[self.name] = str(error)
                values.append(None)
            if problem is not None:
                found[self.name] = problem
        return pa.array(values, self.type)

    def _compute(self, records: Sequence[dict[str, Any]]) -> Iterator[tuple[Any, str | None]]:
        """Yield the value for each record, and the message of what failed."""
        if self.models is not None:
            evaluate = make_evaluate(self.expression, self.models)
            yield from in_order(evaluate, records, self.in_flight, blocks=self.expression.blocks)
            return
        for value in self.expression.map(records, failures="yield"):
            yield (None, get_message(value)) if isinstance(value, StellarError) else (value, None)


@lru_cache(8)
def _compile_columns(shipped: str) -> tuple[list[str], list[_Column]]:
    library, names, columns, in_flight = json.loads(shipped)
    return names, [
        _Column(
            name,
            compile_source(source, library),
            find_conversion(kind),
            _find_arrow_type(kind),
            None if models is None else ModelSource(*models),
            in_flight,
        )
        for name, source, kind, models in columns
    ]


def evaluate_batches(shipped: str, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Yield batches with columns of expressions, and a column of the errors.

    shipped: JSON of the library, the names of the columns of batches, the names, sources, types and models of the
        others, and the number of records whose models are called concurrently
    """
    given, columns = _compile_columns(shipped)
    read = {name for column in columns for name in column.expression.variables}
    for numbered in batches:
        batch = pa.RecordBatch.from_arrays(numbered.columns, given)
        with match_timer():
            records = list(_read_records(batch, read))
            failures: list[dict[str, str]] = [{} for _ in records]
            new = [column.evaluate(records, failures) for column in columns]
        errors = pa.array([list(each.items()) or None for each in failures], pa.map_(pa.string(), pa.string()))
        names = [*given, *(column.name for column in columns), "errors"]
        yield pa.RecordBatch.from_arrays([*batch.columns, *new, errors], names)


_PLAIN = (pa.types.is_boolean, pa.types.is_integer, pa.types.is_floating, pa.types.is_string, pa.types.is_large_string)


def _read_records(batch: pa.RecordBatch, read: set[str]) -> Iterator[dict[str, Any]]:
    """Yield the rows as records, in which a null is a missing field."""
    names = [name for name in batch.schema.names if name in read or "_" in read]
    if not names:
        yield from ({} for _ in range(batch.num_rows))
        return
    for row in zip(*(_list_values(batch.column(name)) for name in names), strict=True):
        yield {name: value for name, value in zip(names, row, strict=True) if value is not None}


def _list_values(column: pa.Array) -> list[Any]:
    if any(is_plain(column.type) for is_plain in _PLAIN):
        values: list[Any] = column.to_pylist()
        return values
    return [make_plain(value) for value in column.to_pylist(maps_as_pydicts="lossy")]


# -- Functions --------------------------------------------------------------------------------------------------------


@lru_cache(64)
def _compile_function(shipped: str) -> tuple[Evaluate, Sequence[str], Convert]:
    library, source, kind, arguments, models = json.loads(shipped)
    expression = compile_source(source, library)
    evaluate = partial(_evaluate, expression) if models is None else make_evaluate(expression, ModelSource(*models))
    return evaluate, arguments, find_conversion(kind)


def _evaluate(expression: Expression, record: Mapping[str, Any]) -> tuple[Any, str | None]:
    try:
        return expression(record), None
    except StellarError as error:
        return None, get_message(error)


def call_function(shipped: str, values: tuple[Any, ...]) -> tuple[Any, str | None]:
    """Return the value of an expression, and the message of its error.

    shipped: JSON of the library, the source, the type, the names of the arguments, and the models
    """
    evaluate, names, convert = _compile_function(shipped)
    found = {name: _make_value(value) for name, value in zip(names, values, strict=True) if value is not None}
    value, problem = evaluate(found)
    try:
        return (None if value is None else convert(from_python(value))), problem
    except ValueError as error:
        return None, str(error)


def _make_value(value: Any) -> Any:
    """Return a value of Spark as a Stellar value; rows become maps."""
    if value.__class__ in (str, int, float, bool):
        return value
    if hasattr(value, "asDict"):
        value = value.asDict(recursive=True)
    return make_plain(value)
