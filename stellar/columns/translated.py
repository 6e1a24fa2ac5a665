"""Values of an expression in a column, and the rows in which they are proven to be those of Stellar.

Where Stellar would raise an error, or return a value of another type, a row is *open*: it is evaluated by the compiled
expression. So an operator is translated with the condition under which its translation holds, which is much smaller
than the set of all cases:

    a / b          open where b is 0 or null
    a and f(b)     open where a is true, if f has no translation
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from functools import reduce
from typing import TYPE_CHECKING, Any

from stellar.java.integers import LONG_MAX, LONG_MIN
from stellar.util.optional_imports import import_optional

if TYPE_CHECKING:
    import polars as pl
else:
    pl = import_optional("polars", "columns")

# True for all rows, False for none
Rows = bool | pl.Expr


class ColumnType(Enum):
    """The type of the values of a column that are not null."""

    NULL = "null"
    BOOLEAN = "boolean"
    INTEGER = "integer"
    FLOAT = "float"
    STRING = "string"
    UNKNOWN = "unknown"


DTYPES: dict[ColumnType, Any] = {
    ColumnType.NULL: pl.Null,
    ColumnType.BOOLEAN: pl.Boolean,
    ColumnType.INTEGER: pl.Int64,
    ColumnType.FLOAT: pl.Float64,
    ColumnType.STRING: pl.String,
}


@dataclass(frozen=True, slots=True)
class Translated:
    """An expression, or a part of one, in a column.

    value: the values; without meaning in open rows
    open: the rows that must be evaluated by the compiled expression; not null
    nullable: False if no value is null
    low, high: bounds of integers
    solid: True if Polars has a value for each row, also if all are equal
    constant: the value of all rows, for floats
    """

    kind: ColumnType
    value: pl.Expr
    open: Rows = False
    nullable: bool = True
    low: int = LONG_MIN
    high: int = LONG_MAX
    solid: bool = False
    constant: float | None = None

    @property
    def is_number(self) -> bool:
        return self.kind in (ColumnType.INTEGER, ColumnType.FLOAT)

    @property
    def is_null(self) -> Rows:
        """The rows with null."""
        if self.kind is ColumnType.NULL:
            return True
        return self.value.is_null() if self.nullable else False

    def also_open(self, *rows: Rows) -> Translated:
        """Return the column with more rows open."""
        return replace(self, open=any_of(self.open, *rows))


def unknown() -> Translated:
    """Return the column of an expression without a translation."""
    return Translated(ColumnType.UNKNOWN, pl.lit(None), open=True)


def literal(value: bool | int | float | str | None) -> Translated:
    """Return a constant; it has no translation if no column can contain it."""
    match value:
        case None:
            return Translated(ColumnType.NULL, pl.lit(None))
        case bool():
            return boolean(pl.lit(value))
        case int() if LONG_MIN <= value <= LONG_MAX:
            return Translated(ColumnType.INTEGER, pl.lit(value, pl.Int64), nullable=False, low=value, high=value)
        case float():
            return Translated(ColumnType.FLOAT, pl.lit(value, pl.Float64), nullable=False, constant=value)
        case str() if is_unicode(value):
            return Translated(ColumnType.STRING, pl.lit(value, pl.String), nullable=False)
    return unknown()


def is_unicode(text: str) -> bool:
    """Return False for a string with half of a surrogate pair, which no column can contain."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def boolean(value: pl.Expr, *open_rows: Rows) -> Translated:
    """Return a column of booleans without nulls."""
    return Translated(ColumnType.BOOLEAN, value, any_of(*open_rows), nullable=False)


# -- Rows -------------------------------------------------------------------------------------------------------------


def as_expression(rows: Rows) -> pl.Expr:
    """Return rows as an expression."""
    return pl.lit(rows) if isinstance(rows, bool) else rows


def any_of(*rows: Rows) -> Rows:
    """Return the rows that are among any of these."""
    none: Rows = False
    return reduce(_or, rows, none)


def all_of(*rows: Rows) -> Rows:
    """Return the rows that are among all of these."""
    every: Rows = True
    return reduce(_and, rows, every)


def invert(rows: Rows) -> Rows:
    """Return all other rows."""
    return not rows if isinstance(rows, bool) else ~rows


def _or(left: Rows, right: Rows) -> Rows:
    if isinstance(left, bool):
        return True if left else right
    if isinstance(right, bool):
        return True if right else left
    return left | right


def _and(left: Rows, right: Rows) -> Rows:
    if isinstance(left, bool):
        return right if left else False
    if isinstance(right, bool):
        return left if right else False
    return left & right
