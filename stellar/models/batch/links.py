"""Functions from sums to results in arrays. Exponential functions are those of the complete evaluation."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

from stellar.models.batch.columns import Floats
from stellar.models.batch.fields import round_singles
from stellar.models.batch.program import map_each, map_rows
from stellar.models.evaluation.boosting_links import LARGEST_EXPONENT, LINKS
from stellar.models.evaluation.regression import INVERSES, exponential
from stellar.models.forms.boosting import Link
from stellar.models.singles import exp_single
from stellar.models.values import identity

Convert: TypeAlias = Callable[[Sequence[Floats]], Sequence[Floats]]
_LARGEST = 709.0  # exp of it is finite


def map_exponential(values: Floats) -> Floats:
    """Return e to powers, infinity for those that overflow."""
    powers = map_each(math.exp, np.minimum(values, _LARGEST))
    large = np.flatnonzero(values > _LARGEST)
    powers[large] = [exponential(value) for value in values[large].tolist()]
    return powers


def invert_link(name: str, values: Floats) -> Floats:
    """Return the inverse of a link function of PMML."""
    if name == "none":
        return values
    if name == "logit":
        return 1.0 / (1.0 + map_exponential(-values))
    if name == "exp":
        return map_exponential(values)
    invert = INVERSES[name]
    return map_each(lambda value: invert(value, identity), values)


def _compute_logistic(link: Link) -> Convert:
    def convert(sums: Sequence[Floats]) -> Sequence[Floats]:
        share = 1.0 / (1.0 + map_exponential(-link.scale * sums[0]))
        return [share] if link.result == "number" else [1.0 - share, share]

    return convert


def _compute_single_logistic(link: Link) -> Convert:
    def convert(sums: Sequence[Floats]) -> Sequence[Floats]:
        powers = map_each(exp_single, np.minimum(-sums[0], LARGEST_EXPONENT))
        share = round_singles(1.0 / round_singles(powers + 1.0))
        return [share] if link.result == "number" else [round_singles(1.0 - share), share]

    return convert


def _return_sums(_: Link) -> Convert:
    return lambda sums: sums


# By the width of the sums, True for binary32; the others are computed record by record
_LINKS: dict[bool, dict[str, Callable[[Link], Convert]]] = {
    True: {"identity": _return_sums, "logistic": _compute_single_logistic},
    False: {"identity": _return_sums, "logistic": _compute_logistic},
}


def find_link(link: Link, outputs: int, *, is_single: bool) -> tuple[Convert, int]:
    """Return the function of the sums of a booster, and the number of its results.

    outputs: number of sums
    """
    function = LINKS[is_single][link.name](link)
    count = len(function([0.5] * outputs))
    if link.name in _LINKS[is_single]:
        return _LINKS[is_single][link.name](link), count
    return lambda sums: map_rows(function, sums, count), count
