"""Calls of functions on one field, evaluated once for each of its distinct values.

A function without a translation, such as REGEXP_MATCH, costs as much for each record as without columns. But a field of
a log mostly has few values. So the call becomes a column: its results are joined with the field.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from stellar.columns.functions import TRANSLATIONS
from stellar.columns.records import make_series
from stellar.columns.translated import DTYPES, ColumnType, Rows, Translated
from stellar.language import nodes as n
from stellar.language.context import Context
from stellar.language.errors import EvaluationError
from stellar.language.expression import Expression
from stellar.language.library import Library
from stellar.language.resolver import resolve
from stellar.language.source import Span
from stellar.util.optional_imports import import_optional

if TYPE_CHECKING:
    import polars as pl
else:
    pl = import_optional("polars", "columns")

# More distinct values would take too long if only a few records reach the call
_MOST_DISTINCT = 0.1
# Of floats, -0.0 and 0.0 would be joined
_FIELD_TYPES = (pl.String, pl.Int64, pl.Boolean)
_TYPES = {dtype: column_type for column_type, dtype in DTYPES.items()}


class DistinctCalls:
    """Adds columns with the results of calls to a frame.

    frame: the frame with the columns so far
    """

    def __init__(self, frame: pl.DataFrame, context: Context) -> None:
        self.frame = frame
        self._context = context
        self._fields = {name for name in frame.columns if frame.schema[name] in _FIELD_TYPES}
        self._columns: dict[tuple[str, int], Translated | None] = {}

    def translate(self, expression: Expression) -> Mapping[Span, Translated]:
        """Return the columns of calls in an expression, by their source locations."""
        found = {}
        for node, field in _find_calls(expression.tree, expression.source, expression.library):
            if field in self._fields:
                source = expression.source[node.span.start : node.span.end]
                key = source, id(expression.library)
                if key not in self._columns:
                    call = Expression(source, expression.library, limits=expression.limits)
                    self._columns[key] = self._evaluate(call, field)
                if (column := self._columns[key]) is not None:
                    found[node.span] = column
        return found

    def _evaluate(self, call: Expression, field: str) -> Translated | None:
        """Return the column of a call; None if the field has many values, or the results have several types."""
        values = self.frame[field].unique(maintain_order=True)
        if len(values) > len(self.frame) * _MOST_DISTINCT:
            return None
        results, failed = [], []
        for value in values:
            try:
                results.append(call.evaluate({} if value is None else {field: value}, self._context))
                failed.append(False)
            except EvaluationError:  # evaluated again for each record, which then has the error
                results.append(None)
                failed.append(True)
        name = f"\0call {len(self._columns)}"
        column = make_series(name, results)
        return None if column is None else self._join(field, values, column, pl.Series(f"{name} failed", failed))

    def _join(self, field: str, values: pl.Series, results: pl.Series, failed: pl.Series) -> Translated:
        table = pl.DataFrame([values, results, failed])
        joined = self.frame.select(field).join(table, on=field, how="left", nulls_equal=True, maintain_order="left")
        self.frame = self.frame.with_columns(joined[results.name], joined[failed.name])
        open_rows: Rows = pl.col(failed.name) if failed.any() else False
        column_type, nullable = _TYPES[results.dtype.base_type()], results.null_count() > 0
        if column_type is ColumnType.NULL:
            return Translated(column_type, pl.lit(None), open_rows)
        column = Translated(column_type, pl.col(results.name), open_rows, nullable, solid=True)
        if column_type is not ColumnType.INTEGER:
            return column
        low, high = int(results.min()), int(results.max())  # type: ignore[arg-type]  # some are integers
        return Translated(column_type, column.value, open_rows, nullable, low, high, solid=True)


def _find_calls(tree: n.Expr, source: str, library: Library) -> Iterator[tuple[n.Call, str]]:
    """Yield the calls that depend on one field only, and the field. Calls in lambdas depend on their parameters."""
    stack = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, n.Lambda):
            continue
        field = _find_field(node, source, library) if isinstance(node, n.Call) else None
        if field is None:
            stack.extend(n.children(node))
        else:
            yield node, field  # type: ignore[misc]  # a call


def _find_field(node: n.Call, source: str, library: Library) -> str | None:
    """Return the field on which a call depends, unless it has a translation, or depends on anything else."""
    names = resolve(node, library, source)
    if names.problems or len(names.variables) != 1:
        return None
    functions = [library[name] for name in names.functions]
    if all(each.implementation in TRANSLATIONS for each in functions) or not all(each.pure for each in functions):
        return None
    return next(iter(names.variables))
