"""Columns of data frames with the results of a model: their names, types and values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from stellar.models.values import to_boolean, to_double, to_integer, to_string

VECTOR = "vector"
STRUCT = "pmml"  # the column with all results of a row, if they are not columns of their own
CONVERSIONS: dict[str, Callable[[Any], Any]] = {
    "string": to_string,
    "integer": to_integer,
    "float": to_double,
    "double": to_double,
    "boolean": to_boolean,
}


@dataclass(frozen=True, slots=True)
class ResultColumn:
    """A column.

    type: string, integer, float, double or boolean; `vector` for shares of categories
    keys: the names of its results in those of `score`; one, unless it is a vector
    """

    name: str
    type: str
    keys: tuple[str, ...]

    def read(self, results: Mapping[str, Any]) -> Any:
        """Return the value for a row: a list of floats if it is a vector; None for a row without a result.

        Raises ValueError for a result of another type, such as a list of rules.
        """
        if self.type == VECTOR:
            return _read_shares(results, self.keys)
        value = results.get(self.keys[0])
        try:
            return None if value is None else CONVERSIONS[self.type](value)
        except ValueError as error:
            raise ValueError(f"column {self.name}: {error}") from None


def _read_shares(results: Mapping[str, Any], keys: tuple[str, ...]) -> list[float] | None:
    """Return the shares of categories; 0 for a category without one."""
    if not any(key in results for key in keys):
        return None
    return [float(results.get(key) or 0.0) for key in keys]
