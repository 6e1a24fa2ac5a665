"""Statistics of numbers for STATS_*: of all numbers, by sums of powers, or of the last ones in a window."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

from stellar.sketches.tdigest import TDigest


class Summary(Protocol):
    """Statistics of numbers.

    Values that need more numbers than there are, are NaN. A value that a class does not support raises ValueError.
    """

    def add(self, value: float) -> None:
        """Add a number. Raises ValueError if the sums overflow or underflow."""

    def percentile(self, percent: float) -> float:
        """Return the value below which a percentage of the numbers is, 0 to 100."""

    def combine(self, other: Summary) -> Summary:
        """Return a summary of the numbers of both. Raises ValueError if one of them has a window."""

    @property
    def count(self) -> float: ...
    @property
    def total(self) -> float: ...
    @property
    def minimum(self) -> float: ...
    @property
    def maximum(self) -> float: ...
    @property
    def mean(self) -> float: ...
    @property
    def variance(self) -> float: ...
    @property
    def population_variance(self) -> float: ...
    @property
    def deviation(self) -> float: ...
    @property
    def geometric_mean(self) -> float: ...
    @property
    def quadratic_mean(self) -> float: ...
    @property
    def sum_of_logs(self) -> float: ...
    @property
    def sum_of_squares(self) -> float: ...
    @property
    def skewness(self) -> float: ...
    @property
    def kurtosis(self) -> float: ...


def ratio(dividend: float, divisor: float) -> float:
    """Divide by IEEE 754: division by zero is infinite or NaN."""
    if divisor:
        return dividend / divisor
    if not dividend or math.isnan(dividend):
        return math.nan
    return math.copysign(math.inf, dividend) * math.copysign(1.0, divisor)


def root(value: float) -> float:
    """Return the square root; NaN for a negative number."""
    return math.nan if value < 0 else math.sqrt(value)


def power(value: float, exponent: int) -> float:
    """Return a power; infinity on overflow."""
    try:
        return value**exponent
    except OverflowError:
        return math.inf


def log(value: float) -> float:
    """Return the natural logarithm; -infinity for zero, NaN for a negative number."""
    return math.log(value) if value > 0 else -math.inf if value == 0 else value if math.isnan(value) else math.nan


@dataclass(slots=True)
class OnlineSummary:
    """Statistics of all numbers, as sums of their powers and a t-digest. They can be merged.

    The central moments are updated by the formulas of Terriberry and Chan; see
    https://en.wikipedia.org/wiki/Algorithms_for_calculating_variance#Higher-order_statistics
    """

    STELLAR_NOUN: ClassVar[str] = "statistics"

    number: int = 0
    total: float = 0.0
    sum_of_squares: float = 0.0
    sum_of_logs: float = 0.0
    minimum: float = math.nan
    maximum: float = math.nan
    m1: float = 0.0
    m2: float = 0.0
    m3: float = 0.0
    m4: float = 0.0
    digest: TDigest = field(default_factory=TDigest)

    def __hash__(self) -> int:
        return hash((self.number, self.total))

    def add(self, value: float) -> None:
        if value != value:
            raise ValueError("NaN can't be added to statistics")
        before = self.number
        if not before:
            self.minimum = self.maximum = value
        elif value < self.minimum:
            self.minimum = value
        elif value > self.maximum:
            self.maximum = value
        self.total += value
        self.sum_of_logs += math.log(value) if value > 0 else log(value)
        self.sum_of_squares += value * value
        self.digest.add(value)
        self.number = n = before + 1
        m2, m3 = self.m2, self.m3
        delta = value - self.m1
        step = delta / n
        square = step * step
        term = delta * step * before
        self.m1 += step
        self.m4 += term * square * (n * n - 3 * n + 3) + 6 * square * m2 - 4 * step * m3
        self.m3 = m3 + (term * step * (n - 2) - 3 * step * m2)
        self.m2 = m2 + term
        # If one of the sums overflows, one of these two does
        if self.m4 - self.m4 != 0 or self.sum_of_squares - self.sum_of_squares != 0 or not self.sum_of_squares:
            self._check()

    def _check(self) -> None:
        if any(map(math.isinf, (self.sum_of_squares, self.m1, self.m2, self.m3, self.m4))):
            raise ValueError("the sums of these statistics overflow")
        if self.sum_of_squares == 0 and self.total > 0:
            raise ValueError("the sums of these statistics underflow")

    def combine(self, other: Summary) -> OnlineSummary:
        if not isinstance(other, OnlineSummary):
            raise ValueError("statistics of a window can't be merged")
        a, b, n = self, other, self.number + other.number
        delta = b.m1 - a.m1
        both = OnlineSummary(
            number=n,
            total=a.total + b.total,
            sum_of_squares=a.sum_of_squares + b.sum_of_squares,
            sum_of_logs=a.sum_of_logs + b.sum_of_logs,
            # As in Metron, minimum and maximum are those of the first one if either is empty
            minimum=min(a.minimum, b.minimum) if a.number and b.number else a.minimum,
            maximum=max(a.maximum, b.maximum) if a.number and b.number else a.maximum,
            m1=ratio(a.number * a.m1 + b.number * b.m1, n),
            m2=a.m2 + b.m2 + ratio(delta**2 * a.number * b.number, n),
            m3=a.m3
            + b.m3
            + ratio(delta**3 * a.number * b.number * (a.number - b.number), n * n)
            + ratio(3.0 * delta * (a.number * b.m2 - b.number * a.m2), n),
            m4=a.m4
            + b.m4
            + ratio(
                delta**4 * a.number * b.number * (a.number * a.number - a.number * b.number + b.number * b.number),
                n * n * n,
            )
            + ratio(6.0 * delta**2 * (a.number * a.number * b.m2 + b.number * b.number * a.m2), n * n)
            + ratio(4.0 * delta * (a.number * b.m3 - b.number * a.m3), n),
        )
        both.digest.merge(a.digest)
        both.digest.merge(b.digest)
        both._check()
        return both

    def percentile(self, percent: float) -> float:
        if not 0 <= percent <= 100:
            raise ValueError(f"invalid percentile: expected 0 to 100, got {percent}")
        return self.digest.quantile(percent / 100.0)

    @property
    def count(self) -> float:
        return float(self.number)

    @property
    def mean(self) -> float:
        return ratio(self.total, self.number)

    @property
    def variance(self) -> float:
        return ratio(self.m2, self.number - 1.0)

    @property
    def deviation(self) -> float:
        return root(self.variance)

    @property
    def population_variance(self) -> float:
        raise ValueError("only statistics of a window, as of STATS_INIT(100), have a population variance")

    @property
    def geometric_mean(self) -> float:
        raise ValueError("only statistics of a window, as of STATS_INIT(100), have a geometric mean")

    @property
    def quadratic_mean(self) -> float:
        return root(ratio(self.sum_of_squares, self.number))

    @property
    def skewness(self) -> float:
        n = self.number
        if n < 3:
            return math.nan
        return ratio(n / ((n - 1) * (n - 2)) * self.m3, power(self.deviation, 3))

    @property
    def kurtosis(self) -> float:
        n = self.number
        if n < 4:
            return math.nan
        first = n * (n + 1) / ((n - 1) * (n - 2) * (n - 3))
        last = 3.0 * ((n - 1) * (n - 1)) / ((n - 2) * (n - 3))
        return first * ratio(self.m4, power(self.deviation, 4)) - last


@dataclass(slots=True)
class WindowSummary:
    """Statistics of the last numbers, up to the size of a window. They can't be merged."""

    STELLAR_NOUN: ClassVar[str] = "statistics"

    window: int
    values: deque[float] = field(init=False)

    def __post_init__(self) -> None:
        self.values = deque(maxlen=self.window)

    def __hash__(self) -> int:
        return hash(tuple(self.values))

    def add(self, value: float) -> None:
        self.values.append(value)

    def combine(self, other: Summary) -> Summary:
        raise ValueError("statistics of a window can't be merged")

    def percentile(self, percent: float) -> float:
        """Return the value at position p (n + 1) / 100 of the ordered numbers, interpolated between neighbours."""
        if not 0 < percent <= 100:
            raise ValueError(f"invalid percentile of a window: expected more than 0 and at most 100, got {percent}")
        ordered = sorted(self.values)
        if not ordered:
            return math.nan
        position = percent * (len(ordered) + 1) / 100
        below = math.floor(position)
        if position < 1:
            return ordered[0]
        if position >= len(ordered):
            return ordered[-1]
        return ordered[below - 1] + (position - below) * (ordered[below] - ordered[below - 1])

    @property
    def count(self) -> float:
        return float(len(self.values))

    @property
    def total(self) -> float:
        return sum(self.values, 0.0)

    @property
    def minimum(self) -> float:
        return min(self.values, default=math.nan)

    @property
    def maximum(self) -> float:
        return max(self.values, default=math.nan)

    @property
    def mean(self) -> float:
        rough = ratio(self.total, self.count)
        # The second pass removes most of the rounding error
        return rough + ratio(sum((value - rough for value in self.values), 0.0), self.count)

    @property
    def variance(self) -> float:
        return 0.0 if len(self.values) == 1 else self._spread(self.count - 1.0)

    @property
    def population_variance(self) -> float:
        return 0.0 if len(self.values) == 1 else self._spread(self.count)

    def _spread(self, divisor: float) -> float:
        if not self.values:
            return math.nan
        mean = self.mean
        squares = self._power_sum(2, mean)
        deviations = self._power_sum(1, mean)
        return ratio(squares - deviations * deviations / self.count, divisor)

    def _power_sum(self, exponent: int, mean: float) -> float:
        return sum((power(value - mean, exponent) for value in self.values), 0.0)

    @property
    def deviation(self) -> float:
        return root(self.variance)

    @property
    def geometric_mean(self) -> float:
        return math.exp(ratio(sum(map(log, self.values), 0.0), self.count)) if self.values else math.nan

    @property
    def quadratic_mean(self) -> float:
        return root(ratio(self.sum_of_squares, self.count))

    @property
    def sum_of_logs(self) -> float:
        raise ValueError("statistics of a window have no sum of logarithms")

    @property
    def sum_of_squares(self) -> float:
        return sum((value * value for value in self.values), 0.0)

    @property
    def skewness(self) -> float:
        n = self.count
        if n < 3:
            return math.nan
        return self._standard_moment(3) * n / ((n - 1) * (n - 2))

    @property
    def kurtosis(self) -> float:
        n = self.count
        if n < 4:
            return math.nan
        first = n * (n + 1) / ((n - 1) * (n - 2) * (n - 3))
        last = 3 * (n - 1) ** 2 / ((n - 2) * (n - 3))
        return first * self._standard_moment(4) - last

    def _standard_moment(self, exponent: int) -> float:
        return ratio(self._power_sum(exponent, self.mean), power(self.deviation, exponent))
