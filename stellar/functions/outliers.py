"""Outlier scores by the median absolute deviation."""

from __future__ import annotations

import math
from typing import Any

from stellar.language.library import stellar
from stellar.language.python_values import from_python
from stellar.language.runtime import describe, is_number, nearest_float
from stellar.sketches.outliers import OutlierState
from stellar.sketches.summaries import ratio

# Scales the median absolute deviation of normally distributed numbers to their standard deviation
SCALE = 0.6745


@stellar("OUTLIER_MAD_STATE_MERGE")
def merge(states: list[Any] | None, current: OutlierState | None = None) -> OutlierState:
    """Merge states: the window of the result consists of their ticks.

    states: List of states, or null
    current: The current state, whose tick is added to the window
    returns: A new state with an empty tick

        OUTLIER_MAD_SCORE(OUTLIER_MAD_STATE_MERGE([]), 1)  // NaN
        OUTLIER_MAD_STATE_MERGE(5)  // error
    """
    merged = OutlierState()
    if current is not None:
        merged.window_median, merged.window_deviation = current.tick_median, current.tick_deviation
    for state in states or ():
        if not isinstance(state, OutlierState):
            raise ValueError(f"OUTLIER_MAD_STATE_MERGE expected states of outliers, got {describe(state)}")
        merged.window_median.merge(state.tick_median)
        merged.window_deviation.merge(state.tick_deviation)
    return merged


@stellar("OUTLIER_MAD_ADD")
def add(state: OutlierState | None, value: object) -> OutlierState | None:
    """Add numbers to a state. The state itself is changed.

    state: The state
    value: A number, or a list of numbers; NaN is ignored
    returns: The state; null for null

        OUTLIER_MAD_SCORE(OUTLIER_MAD_ADD(OUTLIER_MAD_STATE_MERGE(null), [1, 2, 3, 4, 5]), 3)  // 0.0
        OUTLIER_MAD_ADD(null, 1)  // null
        OUTLIER_MAD_ADD(null, 'a')  // error
    """
    if value is None:
        return state
    numbers = [_require_number("OUTLIER_MAD_ADD", item) for item in (value if isinstance(value, list) else [value])]
    if state is not None:
        for number in numbers:
            if not math.isnan(number):
                state.add(number)
    return state


@stellar("OUTLIER_MAD_SCORE", pure=True)
def score(state: OutlierState | None, value: object, scale: object = SCALE) -> float:
    """Score a number by its distance from the median, in median absolute deviations. Values above 3.5 are commonly
    outliers.

    state: The state
    value: The number
    scale: Scale factor; 0.6745 by default
    returns: The score; NaN if the state or the number is null, or if the state is empty

        OUTLIER_MAD_SCORE(null, 1)  // NaN
        OUTLIER_MAD_SCORE(null, 'a')  // error
    """
    scale = SCALE if scale is None else from_python(scale)
    if not is_number(scale):
        raise ValueError(f"OUTLIER_MAD_SCORE expected a number as scale, got {describe(scale)}")
    if value is None:
        return math.nan
    number = _require_number("OUTLIER_MAD_SCORE", value)
    if state is None:
        return math.nan
    distance = abs(number - state.window_median.quantile(0.5))
    return ratio(nearest_float(scale) * distance, state.window_deviation.quantile(0.5))


def _require_number(function: str, value: object) -> float:
    value = from_python(value)
    if not is_number(value):
        raise ValueError(f"{function} expected numbers, got {describe(value)}")
    return nearest_float(value)  # type: ignore[arg-type]
