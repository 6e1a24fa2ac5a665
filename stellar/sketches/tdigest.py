"""A t-digest: quantiles of a stream of numbers in little memory, after Dunning and Ertl, https://arxiv.org/abs/1902.04023."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import Self

# Up to this number of values each one is stored, and quantiles are exact
EXACT = 1000
# About the maximum number of centroids after compression; a rank error under 1 % needs a quarter of it
COMPRESSION = 400


class TDigest:
    """A mergeable summary of values by centroids, which are finer toward both ends. It can be serialized and
    pickled.
    """

    __slots__ = ("_means", "_sorted", "_weights")

    def __init__(self) -> None:
        self._means: list[float] = []
        self._weights: list[int] = []
        self._sorted = True

    @classmethod
    def of(cls, centroids: Iterable[tuple[float, int]]) -> Self:
        """Return the digest with these centroids: pairs of mean and weight, in ascending order."""
        digest = cls()
        for mean, weight in centroids:
            digest._means.append(mean)
            digest._weights.append(weight)
        return digest

    def add(self, value: float, weight: int = 1) -> None:
        """Add a value, which must not be NaN."""
        means = self._means
        means.append(value)
        self._weights.append(weight)
        self._sorted = False
        if len(means) > EXACT:
            self._compress()

    def merge(self, other: TDigest) -> None:
        """Add the values of another digest."""
        for mean, weight in list(other.centroids()):
            self.add(mean, weight)

    def centroids(self) -> Iterator[tuple[float, int]]:
        """Return mean and weight of each centroid, in ascending order."""
        self._sort()
        return zip(self._means, self._weights, strict=True)

    def __len__(self) -> int:
        """Return the number of values."""
        return sum(self._weights)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TDigest) and list(self.centroids()) == list(other.centroids())

    __hash__ = None  # type: ignore[assignment]

    def quantile(self, fraction: float) -> float:
        """Return the value below which a fraction (0 to 1) of the values is; NaN without values.

        It is interpolated between neighbours; for few values it equals `numpy.quantile`.

        Raises ValueError if the fraction is not in 0 to 1.
        """
        if not 0 <= fraction <= 1:
            raise ValueError(f"invalid quantile: expected 0 to 1, got {fraction}")
        self._sort()
        if not self._means:
            return math.nan
        ends = list(accumulate(self._weights))
        # A centroid represents the values at the ranks around its centre
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
        """Merge neighbours that span at most one step of the scale, which is finer toward the ends."""
        total = len(self)
        means: list[float] = []
        weights: list[int] = []
        done, limit, known, held = 0, 0.0, 0.0, 0
        for mean, weight in self.centroids():
            begin = done
            done += weight
            if done <= limit:
                held += weight
                if mean != known:  # the difference of two infinities is NaN
                    known += (mean - known) * weight / held
            else:
                means.append(known)
                weights.append(held)
                known, held = mean, weight
                limit = total * _step_end(begin / total)
        # The first entry is a placeholder
        self._means, self._weights = [*means[1:], known], [*weights[1:], held]


def _step_end(fraction: float) -> float:
    """Return the end of the scale step that starts at a fraction: one unit of k1(q) = d / 2π · asin(2 q - 1)."""
    scale = COMPRESSION / (2 * math.pi)
    angle = math.asin(2 * fraction - 1) + 1 / scale
    return 1.0 if angle >= math.pi / 2 else (math.sin(angle) + 1) / 2
