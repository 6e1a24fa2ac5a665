"""Distributions of durations, counted in buckets."""

from __future__ import annotations

import threading
from bisect import bisect_left

from stellar.monitoring.metrics import Distribution
from stellar.util.forks import reset_after_fork

# Seconds: stages of a pipeline take microseconds, model calls milliseconds, look-ups in slow servers seconds
STAGE_BOUNDS = (0.000005, 0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.005, 0.025, 0.1, 1.0, 10.0)
CALL_BOUNDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Histogram:
    """A histogram of durations in seconds. Safe to use from many threads.

    bounds: the upper bounds of the buckets, in increasing order
    """

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._total = 0.0
        self.after_fork()
        reset_after_fork(self)

    def after_fork(self) -> None:
        self._lock = threading.Lock()

    def observe(self, seconds: float) -> None:
        """Count a duration."""
        bucket = bisect_left(self._bounds, seconds)
        with self._lock:
            self._counts[bucket] += 1
            self._total += seconds

    def read(self) -> Distribution:
        """Return the durations so far."""
        with self._lock:
            return Distribution(self._bounds, tuple(self._counts), self._total)
