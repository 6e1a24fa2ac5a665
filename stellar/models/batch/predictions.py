"""Predictions of a batch, in arrays of a program."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from stellar.models.batch.columns import Array, Floats, Integers
from stellar.models.batch.program import BatchProgram, Values


@dataclass(frozen=True, slots=True)
class BatchNumber:
    """A predicted number: the name of its array."""

    array: str


@dataclass(frozen=True, slots=True)
class BatchShares:
    """Shares of categories, each an array, and the array of predicted categories.

    is_vote: a category without a vote has no share
    """

    categories: tuple[Any, ...]
    arrays: tuple[str, ...]
    winner: str
    is_vote: bool = False


BatchPrediction: TypeAlias = BatchNumber | BatchShares


def assign_shares(categories: Sequence[Any], arrays: tuple[str, ...], program: BatchProgram) -> BatchShares:
    """Add the choice of the first category with the largest share."""
    table = make_array(categories)

    def choose(values: Values) -> Array:
        return table[choose_largest([values[array] for array in arrays])]

    return BatchShares(tuple(categories), arrays, program.assign(choose))


def choose_largest(arrays: Sequence[Floats]) -> Integers:
    """Return the index of the first array with the largest value of each record."""
    winner, best = np.zeros(len(arrays[0]), np.intp), arrays[0]
    for index, array in enumerate(arrays[1:], 1):
        winner[array > best] = index
        best = np.maximum(best, array)
    return winner


def make_array(values: Sequence[Any]) -> Array:
    """Return values as an array of doubles, integers or booleans, or of objects if they are something else."""
    array: Array = np.empty(len(values), find_type(values))
    array[:] = values
    return array


def find_type(values: Sequence[Any]) -> type:
    """Return the type of the array that values fit into without a change."""
    if all(isinstance(value, float) for value in values):
        return np.float64
    if all(value.__class__ is bool for value in values):
        return np.bool_
    if all(value.__class__ is int and -(2**63) <= value < 2**63 for value in values):
        return np.int64
    return object
