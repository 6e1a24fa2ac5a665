"""Evaluation of expressions over records in columns.

    tree ──► translation ──► Polars ──► values, open rows
                                             │
             expression, record by record ◄──┘ and a sample of the other rows, whose values must be equal

If a value of the sample differs, the translation has an error: it is logged as a warning, and all rows are evaluated
record by record. So no result depends on a translation that was seen to be wrong.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from stellar.columns.distinct import DistinctCalls
from stellar.columns.records import RecordColumns, make_series
from stellar.columns.translate import Translator
from stellar.columns.translated import DTYPES, ColumnType, Translated, unknown
from stellar.language.context import NOTHING, Context
from stellar.language.errors import EvaluationError
from stellar.language.expression import Expression
from stellar.language.expression import compile as compile_expression
from stellar.language.library import Library
from stellar.util.abbreviate import abbreviate, abbreviate_value
from stellar.util.optional_imports import import_optional

if TYPE_CHECKING:
    import polars as pl
else:
    pl = import_optional("polars", "columns")

log = logging.getLogger(__name__)

SAMPLE = 64
_COLUMN_TYPES = {
    pl.Boolean: ColumnType.BOOLEAN,
    pl.Int64: ColumnType.INTEGER,
    pl.Float64: ColumnType.FLOAT,
    pl.String: ColumnType.STRING,
}
# Without simplification, which replaces `0.0 + x` by `x`, although that is -0.0 for -0.0
_OPTIMIZATIONS = pl.QueryOptFlags(simplify_expression=False)
_FEWEST_ROWS = 2  # as Polars has other rules for columns of one value
_COUNT = "\0count"  # no field of a column that was created here has this name


@dataclass
class ColumnResult:
    """The values of an expression for each record.

    values: a column of booleans, integers, floats or strings if all values have this type, otherwise of objects; null
        where the evaluation failed
    failures: the errors by row
    evaluated: the number of rows that were evaluated record by record, without those of the sample
    """

    values: pl.Series
    failures: dict[int, EvaluationError] = field(default_factory=dict)
    evaluated: int = 0


def evaluate(
    table: RecordColumns | pl.DataFrame,
    expression: Expression | str,
    context: Context = NOTHING,
    *,
    library: Library | None = None,
    sample: int = SAMPLE,
) -> pl.Series:
    """Return the values of an expression for each record.

    table: the records, or a data frame with a row for each
    library: the functions that a source may call; defaults to the default library
    sample: the number of rows that are also evaluated record by record, to compare the values

    Raises EvaluationError for the first record in which the evaluation fails, and ParseError or ResolutionError for an
    invalid source.
    """
    (result,) = evaluate_all(table, {"": expression}, context, library=library, sample=sample).values()
    for row in sorted(result.failures):
        raise result.failures[row]
    return result.values


def evaluate_all(
    table: RecordColumns | pl.DataFrame,
    expressions: Mapping[str, Expression | str],
    context: Context = NOTHING,
    *,
    library: Library | None = None,
    sample: int = SAMPLE,
) -> dict[str, ColumnResult]:
    """Return the values of each expression for each record, with the errors of the records in which it fails.

    Raises ParseError or ResolutionError for an invalid source.
    """
    records = table if isinstance(table, RecordColumns) else RecordColumns.from_frame(table)
    compiled = {
        name: each if isinstance(each, Expression) else compile_expression(each, library=library)
        for name, each in expressions.items()
    }
    frame, columns = _translate_all(records, compiled, context)
    computed = _compute(frame, records.height, columns)
    sampled = _choose_sample(records, compiled.values(), sample)
    return {
        name: _Evaluation(records, expression, context, sampled).complete(*computed[name], name)
        for name, expression in compiled.items()
    }


def _choose_sample(records: RecordColumns, expressions: Iterable[Expression], size: int) -> dict[int, dict[str, Any]]:
    """Return some records by row, at equal distances."""
    rows = range(0, records.height, max(1, records.height // size)) if size else range(0)
    names = {name for expression in expressions for name in expression.variables}
    return dict(zip(rows, records.records(rows, names), strict=True))


# -- In columns -------------------------------------------------------------------------------------------------------


def _translate_all(
    records: RecordColumns, expressions: Mapping[str, Expression], context: Context
) -> tuple[pl.DataFrame, dict[str, Translated]]:
    """Return the translations of expressions, and the frame with all columns that these read."""
    read = {name for expression in expressions.values() for name in expression.variables}
    fields = _describe_fields(records.frame, [name for name in records.frame.columns if name in read])
    untyped = frozenset(records.others)
    distinct = DistinctCalls(records.frame, context)
    columns = {}
    for name, each in expressions.items():
        translator = Translator(fields, untyped, each.library, distinct.translate(each))
        columns[name] = _require_boolean(translator.translate(each.tree), each.predicate)
    return distinct.frame, columns


def _require_boolean(column: Translated, is_predicate: bool) -> Translated:
    """Return the column of a predicate, in which values that are neither a boolean nor null are errors."""
    if not is_predicate or column.kind in (ColumnType.BOOLEAN, ColumnType.NULL):
        return column
    return unknown()


def _describe_fields(frame: pl.DataFrame, names: Sequence[str]) -> dict[str, Translated]:
    """Return the columns of fields, with their bounds."""
    integers = [name for name in names if frame.schema[name] == pl.Int64]
    low = frame.select(pl.col(integers).min()).row(0) if integers else ()
    high = frame.select(pl.col(integers).max()).row(0) if integers else ()
    bounds = dict(zip(integers, zip(low, high, strict=True), strict=True))
    fields = {}
    for name in names:
        kind, nullable = _COLUMN_TYPES[frame.schema[name].base_type()], frame[name].null_count() > 0
        column = Translated(kind, pl.col(name), nullable=nullable, solid=True)
        if name in bounds:
            column = Translated(kind, pl.col(name), False, nullable, *bounds[name], solid=True)
        fields[name] = column
    return fields


def _compute(
    frame: pl.DataFrame, height: int, columns: Mapping[str, Translated]
) -> dict[str, tuple[pl.Series | None, Sequence[int]]]:
    """Return the values and the open rows of each column; no values if all rows are open."""
    every = range(height)
    found: dict[str, tuple[pl.Series | None, Sequence[int]]] = dict.fromkeys(columns, (None, every))
    if len(every) < _FEWEST_ROWS or not frame.width:
        return found
    translated = {str(number): name for number, (name, each) in enumerate(columns.items()) if each.open is not True}
    if not translated:
        return found
    selected = [pl.int_range(height).alias(_COUNT)]  # gives constants the height
    for key, name in translated.items():
        column = columns[name]
        selected.append(column.value.cast(DTYPES[column.kind]).alias(key))
        if not isinstance(column.open, bool):
            selected.append(column.open.alias(f"open {key}"))
    computed = frame.lazy().select(selected).collect(optimizations=_OPTIMIZATIONS)
    for key, name in translated.items():
        is_open = computed[f"open {key}"] if f"open {key}" in computed.columns else None
        found[name] = computed[key], () if is_open is None else is_open.arg_true().to_list()
    return found


# -- Record by record -------------------------------------------------------------------------------------------------


@dataclass
class _Evaluation:
    """Completes the values of an expression that were computed in columns."""

    records: RecordColumns
    expression: Expression
    context: Context
    sampled: Mapping[int, dict[str, Any]]

    def complete(self, values: pl.Series | None, rows: Sequence[int], name: str) -> ColumnResult:
        """Return the result for values, of which those in some rows are evaluated now."""
        every = range(self.records.height)
        if values is not None and not self._agrees(values, rows):
            values, rows = None, every
        failures: dict[int, EvaluationError] = {}
        if not rows and values is not None:
            return ColumnResult(_without_type(values.alias(name)), failures)
        evaluated = self._evaluate(rows, self.records.records(rows, self.expression.variables), failures)
        if values is None:
            return ColumnResult(_make_column(name, evaluated), failures, len(rows))
        return ColumnResult(self._merge(name, values, rows, evaluated), failures, len(rows))

    def _evaluate(
        self, rows: Iterable[int], records: Iterable[dict[str, Any]], failures: dict[int, EvaluationError]
    ) -> list[Any]:
        """Return the values of records; null, and a failure, for an error."""
        found = []
        for row, record in zip(rows, records, strict=True):
            try:
                found.append(self.expression.evaluate(record, self.context))
            except EvaluationError as error:
                failures[row] = error
                found.append(None)
        return found

    def _merge(self, name: str, values: pl.Series, rows: Sequence[int], evaluated: list[Any]) -> pl.Series:
        """Return the values with those in some rows replaced."""
        new = make_series(name, evaluated)
        if new is not None and (new.dtype == values.dtype or pl.Null in (new.dtype, values.dtype)):
            dtype = values.dtype if new.dtype == pl.Null else new.dtype
            merged = values.cast(dtype)
            if dtype != pl.Null:
                merged = merged.scatter(list(rows), new.cast(dtype))
            return _without_type(merged.alias(name))
        merged_values = values.to_list()
        for row, value in zip(rows, evaluated, strict=True):
            merged_values[row] = value
        return _make_column(name, merged_values)

    def _agrees(self, values: pl.Series, rows: Sequence[int]) -> bool:
        """Compare a sample of the rows that are not open. Log the first difference, and return False for one."""
        is_open = set(rows)
        chosen = [row for row in self.sampled if row not in is_open]
        failures: dict[int, EvaluationError] = {}
        expectations = self._evaluate(chosen, map(self.sampled.__getitem__, chosen), failures)
        for row, expected in zip(chosen, expectations, strict=True):
            if row in failures or not are_same(values[row], expected):
                self._report(row, values[row], failures.get(row, expected))
                return False
        return True

    def _report(self, row: int, value: Any, expected: object) -> None:
        shown = str(expected) if isinstance(expected, EvaluationError) else abbreviate_value(expected)
        log.warning(
            "%s: row %d is %s in columns, but %s: all rows are evaluated one by one; please report this error",
            abbreviate(self.expression.source, 200),
            row,
            abbreviate_value(value),
            shown,
        )


def are_same(value: Any, expected: Any) -> bool:
    """Return True if two values have the same type, and are the same; of floats, also the sign of zero."""
    if value.__class__ is not expected.__class__:
        return False
    if isinstance(value, float):
        both_nan = math.isnan(value) and math.isnan(expected)
        return both_nan or (value == expected and math.copysign(1, value) == math.copysign(1, expected))
    return bool(value == expected)


def _make_column(name: str, values: list[Any]) -> pl.Series:
    """Return values as a column of one type, or of objects."""
    column = make_series(name, values)
    return pl.Series(name, values, pl.Object) if column is None else column


def _without_type(values: pl.Series) -> pl.Series:
    """Return values without a type if all of them are null, as if they were evaluated record by record."""
    return values.cast(pl.Null) if values.dtype != pl.Null and values.null_count() == len(values) else values
