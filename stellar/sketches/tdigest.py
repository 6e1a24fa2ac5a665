"""A t-digest: quantiles of a stream of numbers in little memory, after Dunning and Ertl, https://arxiv.org/abs/1902.04023."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate

# Until there are so many values, each is kept, and quantiles are exact
EXACT = 1000
# The number of centroids that remain after they are merged is at most about this; an error in rank of under 1 % needs
# a quarter of it
COMPRESSION = 400


class TDigest:
    """Values as centroids, which are finer toward both ends. It can be merged with others, and pickled."""

    __slots__ = ("_means", "_sorted", "_weights")

    def __init__(self) -> None:
        self._means: list[float] = []
        self._weights: list[int] = []
        self._sorted = True

    def add(self, value: float, weight: int = 1) -> None:
        """Take in a value; NaN is not one."""
        means = self._means
        means.append(value)
        self._weights.append(weight)
        self._sorted = False
        if len(means) > EXACT:
            self._compress()

    def merge(self, other: TDigest) -> None:
        """Take in all that another has taken in."""
        for mean, weight in list(other.centroids()):
            self.add(mean, weight)

    def centroids(self) -> Iterator[tuple[float, int]]:
        """The mean and the weight of each centroid, in ascending order."""
        self._sort()
        return zip(self._means, self._weights, strict=True)

    def __len__(self) -> int:
        """How many values it has taken in."""
        return sum(self._weights)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TDigest) and list(self.centroids()) == list(other.centroids())

    __hash__ = None  # type: ignore[assignment]

    def quantile(self, fraction: float) -> float:
        """The value below which this fraction (0 to 1) of the values lie; NaN if there are none.

        Between two neighbours it is interpolated: with few values it is `numpy.quantile`'s answer.

        Raises ValueError if the fraction is not within 0 and 1.
        """
        if not 0 <= fraction <= 1:
            raise ValueError(f"a quantile is between 0 and 1, not {fraction}")
        self._sort()
        if not self._means:
            return math.nan
        ends = list(accumulate(self._weights))
        # A centroid stands for values at the ranks around its centre
        centres = [end - (weight + 1) / 2 for end, weight in zip(ends, self._weights, strict=True)]
        rank = fraction * (ends[-1] - 1)
        above = bisect_right(centres, rank)
        if above == 0:
            return self._means[0]
        if above == len(centres):
            return self._means[-1]
        low, high = self._means[above - 1], self._means[above]
        share = (rank - centres[above - 1]) / (centres[above] - centres[above - 1])
        return low if low == high else low + (high - low) * share

    def _sort(self) -> None:
        if not self._sorted:
            ordered = sorted(zip(self._means, self._weights, strict=True))
            self._means = [mean for mean, _ in ordered]
            self._weights = [weight for _, weight in ordered]
            self._sorted = True

    def _compress(self) -> None:
        """Join neighbours as long as they span no more than one step of the scale, which is finer toward the ends."""
        total = len(self)
        means: list[float] = []
        weights: list[int] = []
        done, limit, known, held = 0, 0.0, 0.0, 0
        for mean, weight in self.centroids():
            begin = done
            done += weight
            if done <= limit:
                held += weight
                known += (mean - known) * weight / held
            else:
                means.append(known)
                weights.append(held)
                known, held = mean, weight
                limit = total * _step_end(begin / total)
        # The first that was put there is none
        self._means, self._weights = [*means[1:], known], [*weights[1:], held]


def _step_end(fraction: float) -> float:
    """Where the step of the scale that begins at this fraction ends: one unit on k1(q) = d / 2π · asin(2 q - 1)."""
    scale = COMPRESSION / (2 * math.pi)
    angle = math.asin(2 * fraction - 1) + 1 / scale
    return 1.0 if angle >= math.pi / 2 else (math.sin(angle) + 1) / 2
