"""A program: steps that compute arrays, by name, from the columns of a batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import numpy as np

from stellar.models.batch.columns import Array, Flags, Floats


class Values(dict[str, Array]):
    """The arrays of a batch, by name.

    size: number of records
    """

    __slots__ = ("size",)

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size


Compute: TypeAlias = Callable[[Values], Any]


class BatchProgram:
    """The steps of a batch, in order. Each stores an array under a name of its own."""

    def __init__(self) -> None:
        self._steps: list[Callable[[Values], None]] = []

    def assign(self, compute: Compute) -> str:
        """Add the step that computes an array. Return the name of the array."""
        name = f"\0{len(self._steps)}"  # no name of a field

        def store(values: Values) -> None:
            values[name] = compute(values)

        self._steps.append(store)
        return name

    def assign_all(self, count: int, compute: Callable[[Values], Iterable[Array]]) -> tuple[str, ...]:
        """Add the step that computes several arrays. Return their names."""
        names = tuple(f"\0{len(self._steps)}.{index}" for index in range(count))

        def store(values: Values) -> None:
            values.update(zip(names, compute(values), strict=True))

        self._steps.append(store)
        return names

    def run(self, values: Values) -> None:
        """Compute all arrays."""
        with np.errstate(all="ignore"):  # infinity and NaN are results
            for step in self._steps:
                step(values)


def map_each(function: Callable[[float], Any], values: Floats) -> Floats:
    """Return the results of a function of Python; NaN for a number that it refuses."""
    try:
        return np.fromiter(map(function, values.tolist()), np.float64, len(values))
    except (ValueError, ArithmeticError):
        return np.array([_attempt(function, value) for value in values.tolist()], np.float64)


def map_rows(function: Callable[[list[float]], list[float]], columns: Iterable[Floats], count: int) -> list[Floats]:
    """Return the results of a function of the values of each record; NaN for a record that it refuses.

    count: of the results of a record
    """
    rows = zip(*(column.tolist() for column in columns), strict=True)
    results = np.array([_attempt_row(function, list(row), count) for row in rows], np.float64)
    return list(results.reshape(-1, count).T)


def _attempt(function: Callable[[float], Any], value: float) -> float:
    try:
        return float(function(value))
    except (ValueError, ArithmeticError):  # the complete evaluation reports it
        return np.nan


def _attempt_row(function: Callable[[list[float]], list[float]], row: list[float], count: int) -> list[float]:
    try:
        return function(row)
    except (ValueError, ArithmeticError):
        return [np.nan] * count


def find_undefined(arrays: Iterable[Array], size: int) -> Flags:
    """Return flags of records with NaN among their results."""
    undefined = np.zeros(size, bool)
    for array in arrays:
        if array.dtype.kind == "f":
            undefined |= np.isnan(np.ma.getdata(array))
    return undefined
