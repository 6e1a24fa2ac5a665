"""Outliers by the median absolute deviation: how far a number is from the median, in units of the usual distance."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, ClassVar

from stellar.language.conversions import to_double
from stellar.language.library import stellar
from stellar.language.runtime import described, is_number
from stellar.sketches.summaries import ratio
from stellar.sketches.tdigest import TDigest

# Makes the median absolute deviation of normal numbers their standard deviation
SCALE = 0.6745


@dataclass(slots=True, eq=False)
class State:
    """Medians of a tick, the numbers since the last merge, and of the window, which is what scores are measured by."""

    STELLAR_NOUN: ClassVar[str] = "a state of outliers"

    tick_median: TDigest = field(default_factory=TDigest)
    tick_deviation: TDigest = field(default_factory=TDigest)
    window_median: TDigest = field(default_factory=TDigest)
    window_deviation: TDigest = field(default_factory=TDigest)

    def add(self, value: float) -> None:
        self.tick_median.add(value)
        # The number is not yet in the window by whose median it is measured
        deviation = abs(value - self.window_median.quantile(0.5))
        self.window_median.add(value)
        if not math.isnan(deviation):
            self.tick_deviation.add(deviation)
            self.window_deviation.add(deviation)


@stellar("OUTLIER_MAD_STATE_MERGE")
def merge(states: list[Any] | None, current: State | None = None) -> State:
    """A state whose window is the ticks of several states.

    states: The list of states, or null
    current: The state of now, whose tick belongs to the window
    returns: A new state, with an empty tick

        OUTLIER_MAD_SCORE(OUTLIER_MAD_STATE_MERGE([]), 1)  // NaN
        OUTLIER_MAD_STATE_MERGE(5)  // error
    """
    merged = State()
    if current is not None:
        merged.window_median, merged.window_deviation = current.tick_median, current.tick_deviation
    for state in states or ():
        if not isinstance(state, State):
            raise ValueError(f"OUTLIER_MAD_STATE_MERGE takes states of outliers, not {described(state)}")
        merged.window_median.merge(state.tick_median)
        merged.window_deviation.merge(state.tick_deviation)
    return merged


@stellar("OUTLIER_MAD_ADD")
def add(state: State | None, value: object) -> State | None:
    """A state with more numbers; the very one given is changed.

    state: The state
    value: A number, or a list of numbers; NaN is left out
    returns: The state; null if that is null

        OUTLIER_MAD_SCORE(OUTLIER_MAD_ADD(OUTLIER_MAD_STATE_MERGE(null), [1, 2, 3, 4, 5]), 3)  // 0.0
        OUTLIER_MAD_ADD(null, 1)  // null
        OUTLIER_MAD_ADD(null, 'a')  // error
    """
    if value is None:
        return state
    numbers = [_number("OUTLIER_MAD_ADD", item) for item in (value if isinstance(value, list) else [value])]
    if state is not None:
        for number in numbers:
            if not math.isnan(number):
                state.add(number)
    return state


@stellar("OUTLIER_MAD_SCORE")
def score(state: State | None, value: object, scale: object = SCALE) -> float:
    """How far a number is from the median, in median absolute deviations; beyond 3.5 it is called an outlier.

    state: The state
    value: The number
    scale: The factor, by default 0.6745
    returns: The distance; NaN if the state or the number is null, or the state has seen nothing

        OUTLIER_MAD_SCORE(null, 1)  // NaN
        OUTLIER_MAD_SCORE(null, 'a')  // error
    """
    factor = to_double(scale)
    if factor is None:
        raise ValueError(f"OUTLIER_MAD_SCORE takes a number as scale, not {described(scale)}")
    if value is None:
        return math.nan
    number = _number("OUTLIER_MAD_SCORE", value)
    if state is None:
        return math.nan
    distance = abs(number - state.window_median.quantile(0.5))
    return ratio(factor * distance, state.window_deviation.quantile(0.5))


def _number(function: str, value: object) -> float:
    if not is_number(value):
        raise ValueError(f"{function} takes numbers, not {described(value)}")
    return float(value)  # type: ignore[arg-type]
