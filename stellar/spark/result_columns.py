"""Columns of data frames with the results of a model: their names and types."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from stellar.models.values import to_boolean, to_double, to_integer, to_string

VECTOR = "vector"
STRUCT = "pmml"  # the column with all results of a row, if they are not columns of their own
ADVICE = "call withErrorCol to continue without such rows"
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
