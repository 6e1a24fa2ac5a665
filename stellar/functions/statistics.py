"""Summary statistics: mergeable ones of all numbers, or of a window of the last numbers."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from stellar.functions.math import bin_of
from stellar.language.conversions import to_double
from stellar.language.library import stellar
from stellar.language.runtime import describe, nearest_float
from stellar.sketches.summaries import OnlineSummary, Summary, WindowSummary, ratio

# Names that STATS_BIN accepts for lists of percentiles
BINS = {
    "QUARTILE": (25, 50, 75),
    "QUINTILE": (20, 40, 60, 80),
    "DECILE": (10, 20, 30, 40, 50, 60, 70, 80, 90),
}


@stellar("STATS_INIT", pure=True)
def init(window_size: object = None) -> Summary:
    """Return empty statistics.

    windowSize: Size of the window: the statistics cover only the last numbers. By default, and for a size below 1, they
        cover all numbers, and can be merged
    returns: The statistics

    Without a window, percentiles are exact up to 1,000 numbers, and within 1 % of the rank beyond.

        STATS_COUNT(STATS_INIT())  // 0.0
        STATS_MEAN(STATS_ADD(STATS_INIT(2), 1, 2, 3))  // 2.5
    """
    number = window_size if isinstance(window_size, int | float) and not isinstance(window_size, bool) else 0
    return WindowSummary(int(min(number, sys.maxsize))) if number >= 1 else OnlineSummary()


@stellar("STATS_ADD")
def add(stats: OnlineSummary | WindowSummary | None, *values: object) -> Summary:
    """Add numbers to statistics. The statistics themselves are changed.

    stats: The statistics; null creates new ones
    values: Numbers, or lists of numbers; nulls are ignored
    returns: The statistics

        STATS_SUM(STATS_ADD(null, 1, [2, '3'], null))  // 6.0
        STATS_ADD(null, 'many')  // error
    """
    summary = OnlineSummary() if stats is None else stats
    for value in values:
        if value.__class__ is float:
            summary.add(value)
        elif isinstance(value, list | set | frozenset | tuple):
            for number in value:
                if number is not None:
                    summary.add(_require_number(number))
        elif value is not None:
            summary.add(_require_number(value))
    return summary


def _require_number(value: object) -> float:
    if value.__class__ is float:
        return value
    if (number := to_double(value)) is None:
        raise ValueError(f"STATS_ADD expected numbers, got {describe(value)}")
    return number


@stellar("STATS_MERGE")
def merge(list_: object = None) -> Summary | None:
    """Merge statistics.

    list: List of statistics without a window
    returns: New statistics of all their numbers; the only element of a list of one; null for an empty list

        STATS_MEAN(STATS_MERGE([STATS_ADD(null, 1, 2), STATS_ADD(null, 6)]))  // 3.0
        STATS_MERGE([])  // null
    """
    if not isinstance(list_, list):
        return None
    merged: Summary | None = None
    for summary in list_:
        if isinstance(summary, OnlineSummary | WindowSummary):
            merged = summary if merged is None else merged.combine(summary)
    return merged


@stellar("STATS_BIN", pure=True)
def bin_(stats: OnlineSummary | WindowSummary | None, value: object, bounds: object = "QUARTILE") -> int:
    """Return the index of the bin that contains a number, where percentiles of statistics bound the bins.

    stats: The statistics
    value: The number
    bounds: List of percentiles, or QUARTILE (the default), QUINTILE or DECILE
    returns: The index, from 0; -1 if the statistics or the number is null

        STATS_BIN(STATS_ADD(null, [1, 2, 3, 4, 5]), 3)  // 1
        STATS_BIN(STATS_ADD(null, [1, 2, 3, 4, 5]), 3, 'DECILE')  // 4
        STATS_BIN(STATS_ADD(null, 1), 1, 'thirds')  // error
    """
    percents: Iterable[Any]
    if isinstance(bounds, str) and bounds in BINS:
        percents = BINS[bounds]
    elif isinstance(bounds, list):
        percents = bounds
    else:
        raise ValueError(f"STATS_BIN expected a list of percentiles, or {', '.join(BINS)}, got {describe(bounds)}")
    number = to_double(value)
    if stats is None or number is None or not percents:
        return -1
    return bin_of(number, [stats.percentile(_require_percentile(percent)) for percent in percents])


def _require_percentile(value: object) -> float:
    if (percent := to_double(value)) is None:
        raise ValueError(f"expected a number as percentile, got {describe(value)}")
    return percent


@stellar("STATS_PERCENTILE", pure=True)
def percentile(stats: OnlineSummary | WindowSummary | None, p: object) -> float:
    """Estimate a percentile of statistics.

    stats: The statistics
    p: The percentile, from 0 to 100; above 0 for a window
    returns: The percentile, interpolated between neighbors; NaN if there are no numbers, or if an argument is null

        STATS_PERCENTILE(STATS_ADD(null, 1, 2, 3), 50)  // 2.0
        STATS_PERCENTILE(STATS_ADD(null, 1, 2, 3), 25)  // 1.5
        STATS_PERCENTILE(STATS_ADD(null, 1, 2, 3), 101)  // error
    """
    if stats is None or p is None:
        return math.nan
    return stats.percentile(_require_percentile(p))


@stellar("STATS_COUNT", pure=True)
def count_of(stats: OnlineSummary | WindowSummary | None) -> float:
    """Return the count of the numbers in statistics.

    stats: The statistics
    returns: The count; NaN for null

        STATS_COUNT(STATS_ADD(null, 1, 2, 3))  // 3.0
        STATS_COUNT(null)  // NaN
    """
    return math.nan if stats is None else stats.count


@stellar("STATS_SUM", pure=True)
def sum_of(stats: OnlineSummary | WindowSummary | None) -> float:
    """Return the sum of the numbers in statistics.

    stats: The statistics
    returns: The sum; 0.0 if there are no numbers; NaN for null

        STATS_SUM(STATS_ADD(null, 1, 2, 3))  // 6.0
        STATS_SUM(null)  // NaN
    """
    return math.nan if stats is None else stats.total


@stellar("STATS_MEAN", pure=True)
def mean_of(stats: OnlineSummary | WindowSummary | None) -> float:
    """Return the arithmetic mean of the numbers in statistics.

    stats: The statistics
    returns: The mean; NaN for null

        STATS_MEAN(STATS_ADD(null, 1, 2, 3))  // 2.0
        STATS_MEAN(null)  // NaN
    """
    return math.nan if stats is None else stats.mean


@stellar("STATS_MAX", pure=True)
def max_of(stats: OnlineSummary | WindowSummary | None) -> float:
    """Return the maximum of the numbers in statistics.

    stats: The statistics
    returns: The maximum; NaN for null

        STATS_MAX(STATS_ADD(null, 1, 2, 3))  // 3.0
        STATS_MAX(null)  // NaN
    """
    return math.nan if stats is None else stats.maximum


@stellar("STATS_MIN", pure=True)
def min_of(stats: OnlineSummary | WindowSummary | None) -> float:
    """Return the minimum of the numbers in statistics.

    stats: The statistics
    returns: The minimum; NaN for null

        STATS_MIN(STATS_ADD(null, 1, 2, 3))  // 1.0
        STATS_MIN(null)  // NaN
    """
    return math.nan if stats is None else stats.minimum


@stellar("STATS_VARIANCE", pure=True)
def variance_of(stats: OnlineSummary | WindowSummary | None) -> float:
    """Return the sample variance of the numbers in statistics.

    stats: The statistics
    returns: The variance; NaN for null

        STATS_VARIANCE(STATS_ADD(null, 1, 2, 3))  // 1.0
        STATS_VARIANCE(null)  // NaN
    """
    return math.nan if stats is None else stats.variance


@stellar("STATS_SD", pure=True)
def sd_of(stats: OnlineSummary | WindowSummary | None) -> float:
    """Return the sample standard deviation of the numbers in statistics.

    stats: The statistics
    returns: The standard deviation; NaN for null

        STATS_SD(STATS_ADD(null, 1, 2, 3))  // 1.0
        STATS_SD(null)  // NaN
    """
    return math.nan if stats is None else stats.deviation


@stellar("STATS_QUADRATIC_MEAN", pure=True)
def quadratic_mean_of(stats: OnlineSummary | WindowSummary | None) -> float:
    """Return the quadratic mean (root mean square) of the numbers in statistics.

    stats: The statistics
    returns: The quadratic mean; NaN for null

        STATS_QUADRATIC_MEAN(STATS_ADD(null, 1, 7))  // 5.0
        STATS_QUADRATIC_MEAN(null)  // NaN
    """
    return math.nan if stats is None else stats.quadratic_mean


@stellar("STATS_SUM_LOGS", pure=True)
def sum_logs_of(stats: OnlineSummary | WindowSummary | None) -> float:
    """Return the sum of the natural logarithms of the numbers. Not available for a window.

    stats: The statistics
    returns: The sum; NaN for null

        STATS_SUM_LOGS(STATS_ADD(null, 1, 1))  // 0.0
        STATS_SUM_LOGS(STATS_ADD(STATS_INIT(9), 1))  // error
        STATS_SUM_LOGS(null)  // NaN
    """
    return math.nan if stats is None else stats.sum_of_logs


@stellar("STATS_SUM_SQUARES", pure=True)
def sum_squares_of(stats: OnlineSummary | WindowSummary | None) -> float:
    """Return the sum of the squares of the numbers in statistics.

    stats: The statistics
    returns: The sum; NaN for null

        STATS_SUM_SQUARES(STATS_ADD(null, 1, 2, 3))  // 14.0
        STATS_SUM_SQUARES(null)  // NaN
    """
    return math.nan if stats is None else stats.sum_of_squares


@stellar("STATS_POPULATION_VARIANCE", pure=True)
def population_variance_of(stats: OnlineSummary | WindowSummary | None) -> float:
    """Return the population variance of the numbers. Available for a window only.

    stats: The statistics
    returns: The variance; NaN for null

        STATS_POPULATION_VARIANCE(STATS_ADD(STATS_INIT(9), 1, 3))  // 1.0
        STATS_POPULATION_VARIANCE(STATS_ADD(null, 1, 3))  // error
        STATS_POPULATION_VARIANCE(null)  // NaN
    """
    return math.nan if stats is None else stats.population_variance


@stellar("STATS_GEOMETRIC_MEAN", pure=True)
def geometric_mean_of(stats: OnlineSummary | WindowSummary | None) -> float:
    """Return the geometric mean of the numbers. Available for a window only.

    stats: The statistics
    returns: The geometric mean; NaN for null

        ROUND(STATS_GEOMETRIC_MEAN(STATS_ADD(STATS_INIT(9), 2, 8)))  // 4.0
        STATS_GEOMETRIC_MEAN(STATS_ADD(null, 2, 8))  // error
        STATS_GEOMETRIC_MEAN(null)  // NaN
    """
    return math.nan if stats is None else stats.geometric_mean


@stellar("STATS_KURTOSIS", pure=True)
def kurtosis_of(stats: OnlineSummary | WindowSummary | None) -> float:
    """Return the excess kurtosis of the numbers, corrected for bias. At least four numbers are required.

    stats: The statistics
    returns: The kurtosis; NaN for null and for fewer numbers

        ROUND(10 * STATS_KURTOSIS(STATS_ADD(null, 1, 2, 3, 4)))  // -12.0
        STATS_KURTOSIS(STATS_ADD(null, 1, 2, 3))  // NaN
        STATS_KURTOSIS(null)  // NaN
    """
    return math.nan if stats is None else stats.kurtosis


@stellar("STATS_SKEWNESS", pure=True)
def skewness_of(stats: OnlineSummary | WindowSummary | None) -> float:
    """Return the skewness of the numbers, corrected for bias. At least three numbers are required.

    stats: The statistics
    returns: The skewness; NaN for null and for fewer numbers

        STATS_SKEWNESS(STATS_ADD(null, 1, 2, 3))  // 0.0
        STATS_SKEWNESS(null)  // NaN
    """
    return math.nan if stats is None else stats.skewness


@stellar("IT_ENTROPY", pure=True)
def it_entropy(counts: Mapping[Any, Any] | None) -> float | None:
    """Return the Shannon entropy, in bits, of a frequency distribution.

    counts: Map of values to their counts, such as a multiset
    returns: The entropy; 0.0 for an empty map; NaN if a count is not positive; null for null

        IT_ENTROPY({'a' : 2, 'b' : 2})  // 1.0
        IT_ENTROPY({})  // 0.0
        IT_ENTROPY({'a' : 'often'})  // error
    """
    if counts is None:
        return None
    for count in counts.values():
        if not isinstance(count, int) or isinstance(count, bool):
            raise ValueError(f"IT_ENTROPY expected integers as counts, got {describe(count)}")
    total = nearest_float(sum(counts.values()))
    shares = [ratio(nearest_float(count), total) for count in counts.values()]
    if any(not share > 0 for share in shares):
        return math.nan
    return sum((-share * math.log(share) for share in shares), 0.0) / math.log(2)
