"""Periods of time, each with an id: the number of periods of the same length since 1970."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from stellar.java.integers import LONG_MAX
from stellar.language.conversions import to_long, to_optional_string
from stellar.language.runtime import describe

# Milliseconds of Java's time units, as a fraction
UNITS = {
    "NANOSECONDS": (1, 1_000_000),
    "MICROSECONDS": (1, 1_000),
    "MILLISECONDS": (1, 1),
    "SECONDS": (1_000, 1),
    "MINUTES": (60_000, 1),
    "HOURS": (3_600_000, 1),
    "DAYS": (86_400_000, 1),
}
MAX_PERIODS = 1_000_000  # of one selection: 28 years of 15 minutes

DURATION = "period.duration"
PROFILER, CLIENT = "profiler.", "profiler.client."  # prefixes of settings, of the profiler and of PROFILE_* functions

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Period:
    """A period of time.

    id: the number of periods of this duration that precede it since 1970
    duration: in milliseconds
    """

    id: int
    duration: int

    @property
    def start(self) -> int:
        """The first millisecond since 1970."""
        return self.id * self.duration

    @property
    def end(self) -> int:
        """The first millisecond after the period."""
        return self.start + self.duration

    def __str__(self) -> str:
        return (
            f"ProfilePeriod{{period={self.id}, durationMillis={self.duration}, "
            f"startTime={_format_instant(self.start)}, endTime={_format_instant(self.end)}}}"
        )


def _format_instant(milliseconds: int) -> str:
    try:
        moment = _EPOCH + timedelta(milliseconds=milliseconds)
    except OverflowError:  # after the year 9999
        return f"{milliseconds}"
    shown = "milliseconds" if moment.microsecond else "seconds"
    return f"{moment.replace(tzinfo=None).isoformat(timespec=shown)}Z"


def find_period(milliseconds: int, duration: int) -> Period:
    """Return the period of a time in milliseconds since 1970.

    Raises ValueError for a time before 1970.
    """
    if milliseconds < 0:
        raise ValueError(f"invalid time {milliseconds}: it is before 1970; expected milliseconds since 1970")
    return Period(milliseconds // duration, duration)


def list_periods(
    start: int, end: int, duration: int, is_selected: Callable[[int], bool] = lambda start: True
) -> list[Period]:
    """Return the periods from the one that contains `start` to the last one that starts at `end` or before.

    start, end: milliseconds since 1970
    is_selected: called with the start of each period; returns False to leave it out

    Raises ValueError for a start before 1970 and for more than 1,000,000 periods.
    """
    return [period for period in _iterate(start, end, duration) if is_selected(period.start)]


def _iterate(start: int, end: int, duration: int) -> Iterator[Period]:
    if start <= -duration:
        raise ValueError("the periods begin before 1970; select a shorter time")
    first, last = max(start, 0) // duration, end // duration
    if last - first >= MAX_PERIODS:
        raise ValueError(
            f"{last - first + 1:,} periods of {duration:,} ms are selected, more than {MAX_PERIODS:,}; "
            "select a shorter time or longer periods"
        )
    return (Period(number, duration) for number in range(first, last + 1))


def to_milliseconds(amount: int, unit: object) -> int:
    """Convert an amount of a time unit of Java, such as MINUTES; fractions are truncated.

    Raises ValueError for an unknown unit.
    """
    if not isinstance(unit, str) or unit not in UNITS:
        raise ValueError(f"unknown time unit {describe(unit)}: expected one of {', '.join(UNITS)}")
    numerator, denominator = UNITS[unit]
    product = abs(amount) * numerator // denominator
    return min(product, LONG_MAX) * (1 if amount >= 0 else -1)


def read_duration(
    settings: Mapping[str, Any], prefix: str = PROFILER, default: tuple[int, str] = (15, "MINUTES")
) -> int:
    """Return the length of periods in milliseconds that settings configure, by default 15 minutes.

    prefix: of the settings, PROFILER or CLIENT

    Raises ValueError for an invalid setting.
    """
    return read_time(settings, prefix + DURATION, default)


def read_time(settings: Mapping[str, Any], key: str, default: tuple[int, str]) -> int:
    """Return the time in milliseconds of two settings: `key` is an integer, and `key.units` its unit.

    Raises ValueError for an invalid setting.
    """
    amount, unit = settings.get(key), settings.get(f"{key}.units")
    number = default[0] if amount is None else to_long(amount)
    if number is None or number <= 0:
        raise ValueError(f"invalid {key}: expected an integer of 1 or more, got {describe(amount)}")
    try:
        milliseconds = to_milliseconds(number, default[1] if unit is None else to_optional_string(unit))
    except ValueError as error:
        raise ValueError(f"invalid {key}.units: {error}") from None
    if milliseconds <= 0:
        raise ValueError(f"invalid {key}: expected a millisecond or more, got {describe(amount)} {unit}")
    return milliseconds
