"""Functions in columns. A function is found by its implementation, so that a library may have another one of its name.

Cases of letters are those of Unicode's version in Python, so rows with characters outside of ASCII are open.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stellar.columns.translated import ColumnType, Rows, Translated, as_expression, boolean, literal, unknown
from stellar.functions import collections, conversion, strings
from stellar.language.conversions import JAVA_WHITESPACE
from stellar.util.optional_imports import import_optional

if TYPE_CHECKING:
    import polars as pl
else:
    pl = import_optional("polars", "columns")

_MOST_CHARACTERS = 2**32  # of a string in Polars


@dataclass(frozen=True)
class FunctionTranslation:
    """A function in columns.

    arguments: the number of arguments with which it has a translation
    translate: returns the result for the columns of the arguments
    """

    arguments: int
    translate: Callable[..., Translated]


def _map_string(
    change: Callable[[pl.Expr], pl.Expr], find_open: Callable[[pl.Expr], Rows] = lambda value: False
) -> FunctionTranslation:
    """Return the translation of a function from string to string, with null for null.

    find_open: returns the rows of strings for which it does not hold
    """

    def translate(text: Translated) -> Translated:
        if text.kind is ColumnType.NULL:
            return text
        if text.kind is not ColumnType.STRING:
            return unknown()
        rows = find_open(text.value.fill_null("") if text.nullable else text.value)
        return Translated(ColumnType.STRING, change(text.value), nullable=text.nullable).also_open(text.open, rows)

    return FunctionTranslation(1, translate)


def _test_strings(test: Callable[[pl.Expr, pl.Expr], pl.Expr]) -> FunctionTranslation:
    """Return the translation of a test of two strings, which is false for null."""

    def translate(text: Translated, other: Translated) -> Translated:
        given = (text, other)
        if any(each.kind not in (ColumnType.STRING, ColumnType.NULL) for each in given):
            return unknown()
        if any(each.kind is ColumnType.NULL for each in given):
            return boolean(pl.lit(False), text.open, other.open)
        return boolean(test(text.value, other.value).fill_null(False), text.open, other.open)

    return FunctionTranslation(2, translate)


def _has_other_characters(value: pl.Expr) -> pl.Expr:
    return value.str.len_bytes() != value.str.len_chars()


def _measure(text: Translated) -> Translated:
    if text.kind is ColumnType.UNKNOWN:
        return unknown()
    if text.kind is not ColumnType.STRING:
        return literal(0).also_open(text.open)
    value = text.value.str.len_chars().cast(pl.Int64).fill_null(0)
    return Translated(ColumnType.INTEGER, value, text.open, nullable=False, low=0, high=_MOST_CHARACTERS)


def _test_empty(text: Translated) -> Translated:
    if text.kind is ColumnType.UNKNOWN:
        return unknown()
    if text.kind is ColumnType.STRING:
        return boolean((text.value == "").fill_null(True), text.open)
    is_null = text.is_null
    return boolean(as_expression(is_null), text.open)


def _print(value: Translated) -> Translated:
    """Translate TO_STRING, except for floats, which Java prints in its own form."""
    if value.kind in (ColumnType.STRING, ColumnType.NULL):
        return value
    if value.kind is ColumnType.INTEGER:
        return Translated(ColumnType.STRING, value.value.cast(pl.String), value.open, value.nullable)
    if value.kind is ColumnType.BOOLEAN:
        words = pl.when(value.value).then(pl.lit("true")).when(~value.value).then(pl.lit("false"))
        return Translated(ColumnType.STRING, words.otherwise(None), value.open, value.nullable)
    return unknown()


TRANSLATIONS: dict[Any, FunctionTranslation] = {
    collections.is_empty: FunctionTranslation(1, _test_empty),
    collections.length: FunctionTranslation(1, _measure),
    conversion.to_string: FunctionTranslation(1, _print),
    strings.ends_with: _test_strings(lambda text, suffix: text.str.ends_with(suffix)),
    strings.starts_with: _test_strings(lambda text, prefix: text.str.starts_with(prefix)),
    strings.to_lower: _map_string(lambda value: value.str.to_lowercase(), _has_other_characters),
    strings.to_upper: _map_string(lambda value: value.str.to_uppercase(), _has_other_characters),
    strings.trim: _map_string(lambda value: value.str.strip_chars(JAVA_WHITESPACE)),
}
