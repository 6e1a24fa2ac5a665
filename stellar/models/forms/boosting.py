"""Parameters of gradient boosted trees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stellar.models.errors import Origin


@dataclass(frozen=True, slots=True)
class Split:
    """A node that compares a feature.

    feature: index of the feature
    operator: lessThan, lessOrEqual or isIn, which lead to the left child
    threshold: of the first two; of isIn, the smallest value that can be a category
    categories: of isIn
    is_missing_left: a missing value leads to the left child
    is_zero_missing: zero is a missing value
    left, right: indexes of nodes
    """

    feature: int
    operator: str
    threshold: float
    categories: frozenset[int]
    is_missing_left: bool
    is_zero_missing: bool
    left: int
    right: int


@dataclass(frozen=True, slots=True)
class BoostedTree:
    """A tree that adds to an output.

    nodes: splits, and the values of leaves; the first is the root
    output: index of the output
    weight: of its values, for DART
    """

    nodes: tuple[Split | float, ...]
    output: int
    weight: float
    origin: Origin


@dataclass(frozen=True, slots=True)
class Feature:
    """A feature of a booster.

    categories: strings, or integers, whose index is the value of the feature; empty for numbers
    """

    name: str
    categories: tuple[str | int, ...] = ()


@dataclass(frozen=True, slots=True)
class Link:
    """The conversion of sums to results.

    name: identity, logistic, softmax, exponential, …
    scale: factor of a sum, for logistic
    result: number, class or probabilities
    """

    name: str
    result: str
    scale: float = 1.0


@dataclass(frozen=True, slots=True)
class BoosterForm:
    """Sums of trees, converted by a link.

    bases: value of each output before the first tree
    is_single: sums are binary32 numbers
    divisor: of the sums; above 1 for averages
    zero: absolute value up to which a feature is zero
    """

    trees: tuple[BoostedTree, ...]
    features: tuple[Feature, ...]
    bases: tuple[float, ...]
    link: Link
    is_single: bool
    divisor: int
    zero: float
    origin: Origin
