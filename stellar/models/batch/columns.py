"""Columns of records: their check, and their values as numbers, codes of strings, or Python's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from stellar.models.errors import InvalidColumns
from stellar.util.abbreviate import quote
from stellar.util.suggestions import suggest_name

Array: TypeAlias = NDArray[Any]
Floats: TypeAlias = NDArray[np.float64]
Flags: TypeAlias = NDArray[np.bool_]
Integers: TypeAlias = NDArray[np.intp]
Columns: TypeAlias = dict[str, Array]

_NUMBERS = "fiub"  # kinds of types of arrays
_LARGEST = 2**63


def check_columns(columns: Mapping[str, Any], required: Iterable[str], optional: Iterable[str]) -> tuple[Columns, int]:
    """Return the columns of the fields of a model as arrays of one length, and this length.

    Raise InvalidColumns for a field without a column, and for columns that are not of one dimension and length.
    """
    if missing := [name for name in required if name not in columns]:
        hint = suggest_name(missing[0], columns)
        raise InvalidColumns(f"missing column {quote(missing[0], 80)}; add it, masked if no record has a value; {hint}")
    arrays = {name: _to_array(name, columns[name]) for name in (*required, *optional) if name in columns}
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        (first, length), (other, different) = _find_difference(lengths)
        raise InvalidColumns(
            f"column {quote(other, 80)} has {different} values, and {quote(first, 80)} has {length}; expected columns "
            "of one length"
        )
    if not arrays:
        raise InvalidColumns("expected a column, as the number of records follows from it; the model uses none")
    return arrays, next(iter(lengths.values()))


def _find_difference(lengths: dict[str, int]) -> tuple[tuple[str, int], tuple[str, int]]:
    first, *others = lengths.items()
    return first, next(pair for pair in others if pair[1] != first[1])


def _to_array(name: str, column: Any) -> Array:
    array: Array = np.asanyarray(column)
    if array.ndim != 1:
        raise InvalidColumns(f"column {quote(name, 80)} has {array.ndim} dimensions, expected 1")
    # Python has no nanoseconds, so these arrays convert to lists of integers
    return array.astype("datetime64[us]") if array.dtype == np.dtype("datetime64[ns]") else array


def list_values(column: Array) -> list[Any]:
    """Return the values of a column as those of records; a masked one is None."""
    return list(column.tolist())


def find_mask(column: Array) -> Flags | None:
    """Return the flags of masked values, None if no value is masked."""
    mask = np.ma.getmaskarray(column) if isinstance(column, np.ma.MaskedArray) else None
    return mask if mask is not None and mask.any() else None


def read_numbers(column: Array) -> tuple[Floats, Flags | None]:
    """Return the numbers of a column, and flags of values that are something else; a missing value is NaN."""
    surprises: Flags | None = None
    if column.dtype.kind in _NUMBERS and column.dtype.itemsize <= 8:
        values = np.ma.getdata(column).astype(np.float64)
        if (mask := find_mask(column)) is not None:
            values[mask] = np.nan
    elif column.dtype.kind == "O":
        values, surprises = _read_objects(list_values(column))
    else:
        values, surprises = np.full(len(column), np.nan), np.ones(len(column), bool)
    return values, surprises


def _read_objects(values: Sequence[Any]) -> tuple[Floats, Flags | None]:
    classes = set(map(type, values))
    if classes <= {float}:
        return np.array(values, np.float64), None
    numbers = [_to_number(value) for value in values]
    surprises = [number is None for number in numbers]
    return np.array([np.nan if number is None else number for number in numbers]), np.array(surprises, bool)


def _to_number(value: Any) -> float | None:
    """Return the number of a value, NaN if it is missing, None if it is something else."""
    kind = value.__class__
    if kind is float:
        return value  # type: ignore[no-any-return]
    if kind is bool or (kind is int and -_LARGEST < value < _LARGEST):
        return float(value)
    return np.nan if value is None else None


def read_codes(column: Array, codes: Mapping[Any, int], other: int) -> Integers:
    """Return the codes of the strings of a column: `other` for strings without one, -2 for values of other types."""
    values = list_values(column)
    found = (codes.get(value, other) if value.__class__ is str else -2 for value in values)
    return np.fromiter(found, np.intp, len(values))
