"""The state of outlier scores: sketches of a median and of the deviations from it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import ClassVar

from stellar.sketches.tdigest import TDigest


@dataclass(slots=True, eq=False)
class OutlierState:
    """Quantile sketches of a tick, the numbers since the last merge, and of the window, against which numbers are
    scored.
    """

    STELLAR_NOUN: ClassVar[str] = "a state of outliers"

    tick_median: TDigest = field(default_factory=TDigest)
    tick_deviation: TDigest = field(default_factory=TDigest)
    window_median: TDigest = field(default_factory=TDigest)
    window_deviation: TDigest = field(default_factory=TDigest)

    def add(self, value: float) -> None:
        self.tick_median.add(value)
        # The deviation is from the median of the window before this number
        deviation = abs(value - self.window_median.quantile(0.5))
        self.window_median.add(value)
        if not math.isnan(deviation):
            self.tick_deviation.add(deviation)
            self.window_deviation.add(deviation)
