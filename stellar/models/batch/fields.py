"""Fields of a batch: columns whose values need no treatment. A record with any other value is a surprise."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from stellar.models.batch.columns import Array, Columns, Flags, Floats, read_codes, read_numbers
from stellar.models.batch.program import Values
from stellar.models.compiled.fields import NotCompiled, find_kind
from stellar.models.evaluation.inputs import find_listed
from stellar.models.forms.fields import DataField, MiningField, ValueRange

# Values, and flags of surprises
Read = Callable[[Array], tuple[Array, Flags]]
SURPRISE = -2  # the code of a string that is one


class InputFields:
    """The fields of records that a batch uses, each declared on first use.

    data: the fields of the document
    mining: those that the model reads
    """

    def __init__(self, data: Iterable[DataField], mining: Iterable[MiningField]) -> None:
        by_name = {field.name: field for field in data}
        self._fields = {field.name: (by_name[field.name], field) for field in mining if field.name in by_name}
        self._kinds: dict[str, str] = {}
        self._codes: dict[str, dict[str, int]] = {}
        self._reads: dict[str, Read] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._fields

    def declare(self, name: str) -> str:
        """Declare the use of a field. Return its kind: double, float, integer or string.

        Raise NotCompiled for a field of another type.
        """
        if name not in self._kinds:
            data, field = self._fields[name]
            self._kinds[name] = find_kind(data, field)
            if self._kinds[name] == "string":
                self._codes[name] = {}
                self._reads[name] = compile_strings(data, self._codes[name])
            else:
                self._reads[name] = _compile_numbers(data, field)
        return self._kinds[name]

    def encode(self, name: str, string: str) -> int:
        """Return the code of a string of a field."""
        codes = self._codes[name]
        return codes.setdefault(string, len(codes))

    def declare_as(self, name: str, read: Read) -> None:
        """Declare a field that is read by a function."""
        self._reads[name] = read

    def read(self, columns: Columns, size: int) -> tuple[Values, Flags]:
        """Return the values of the fields, and flags of records with surprises."""
        values = Values(size)
        surprises = np.zeros(size, bool)
        with np.errstate(all="ignore"):
            for name, read in self._reads.items():
                values[name], found = read(columns[name])
                surprises |= found
        return values, surprises


# -- Strings ----------------------------------------------------------------------------------------------------------


def compile_strings(data: DataField, codes: dict[str, int]) -> Read:
    """Return the function that reads strings as codes: those of `codes`, which the caller extends, else -1."""
    if data.ranges:
        raise NotCompiled
    valid = find_listed(data, "valid")
    others = find_listed(data, "missing") | find_listed(data, "invalid")

    def read(column: Array) -> tuple[Array, Flags]:
        known = codes if not valid else {string: codes.get(string, -1) for string in valid}
        known = known | {other: SURPRISE for other in others if isinstance(other, str)}
        found = read_codes(column, known, SURPRISE if valid else -1)
        return found, found == SURPRISE

    return read


# -- Numbers ----------------------------------------------------------------------------------------------------------


def _compile_numbers(data: DataField, field: MiningField) -> Read:
    is_invalid = _compile_check(data)
    kind, missing = data.type.data, _list_numbers(data, "missing")
    has_outliers, low, high = field.outliers != "asIs", field.low, field.high

    def read(column: Array) -> tuple[Array, Flags]:
        values, others = read_numbers(column)
        surprises = np.isnan(values) if others is None else np.isnan(values) | others
        if kind == "float":
            values = round_singles(values)
        elif kind == "integer":
            surprises |= ~((values == np.trunc(values)) & (np.abs(values + 0.5) < 2.0**31))
        surprises |= is_invalid(values)
        if len(missing):
            surprises |= np.isin(values, missing)
        if has_outliers and low is not None:
            surprises |= values < low
        if has_outliers and high is not None:
            surprises |= values > high
        return values, surprises

    return read


def round_singles(values: Floats) -> Floats:
    """Return the nearest binary32 numbers."""
    return values.astype(np.float32).astype(np.float64)


def _list_numbers(data: DataField, role: str) -> Floats:
    return np.array([value for value in find_listed(data, role) if not isinstance(value, str)], np.float64)


def _compile_check(data: DataField) -> Callable[[Floats], Flags]:
    """Return the test of `inputs.compile_check` for arrays of numbers."""
    valid, invalid = _list_numbers(data, "valid"), _list_numbers(data, "invalid")
    ranges = data.ranges if data.type.operation == "continuous" else ()

    def find_invalid(values: Floats) -> Flags:
        is_invalid = np.zeros(len(values), bool)
        if len(valid) or ranges:
            is_invalid = ~np.isin(values, valid)
            for bounds in ranges:
                is_invalid &= ~find_inside(values, bounds)
        if len(invalid):
            is_invalid |= np.isin(values, invalid)
        return is_invalid

    return find_invalid


def find_inside(values: Floats, bounds: ValueRange) -> Flags:
    """Return flags of the numbers in an interval."""
    inside = np.ones(len(values), bool)
    if bounds.low is not None:
        inside &= values > bounds.low if bounds.is_low_open else values >= bounds.low
    if bounds.high is not None:
        inside &= values < bounds.high if bounds.is_high_open else values <= bounds.high
    return inside
