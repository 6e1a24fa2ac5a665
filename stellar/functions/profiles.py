"""Stored values of profiles, and the periods for which they are looked up."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from stellar.language.context import Context, GlobalSettings
from stellar.language.conversions import to_long
from stellar.language.library import stellar
from stellar.language.literals import LiteralKind, check_strings
from stellar.language.runtime import describe
from stellar.profiles.periods import CLIENT, UNITS, Period, list_periods, read_duration, to_milliseconds
from stellar.profiles.windows import parse_window


def _check_unit(unit: str) -> None:
    to_milliseconds(1, unit)


WINDOW = LiteralKind(check_strings(parse_window), "write a window such as '30 minutes' or 'from 2 days ago'")
TIME_UNIT = LiteralKind(check_strings(_check_unit), f"use one of {', '.join(UNITS)}")


@stellar("PROFILE_FIXED", literals={"units": TIME_UNIT})
def fixed(context: Context, duration_ago: object, units: object, config: dict[str, Any] | None = None) -> list[Period]:
    """Return the periods of the last time, up to now.

    durationAgo: The amount of time
    units: The unit of time: SECONDS, MINUTES, HOURS, DAYS or another one of Java
    config: Settings that replace those of the global configuration, such as `profiler.client.period.duration`
    returns: The periods, the oldest first; the first one contains the start of the time

        LENGTH(PROFILE_FIXED(3, 'DAYS', {'profiler.client.period.duration.units' : 'DAYS'})) <= 4  // true
        PROFILE_FIXED(1, 'days')  // error
        PROFILE_FIXED('some', 'DAYS')  // error
    """
    if (amount := to_long(duration_ago)) is None:
        raise ValueError(f"PROFILE_FIXED expected an integer as durationAgo, got {describe(duration_ago)}")
    now = _now()
    return list_periods(now - to_milliseconds(amount, units), now, _read_duration(context, config))


@stellar("PROFILE_WINDOW", literals={"selector": WINDOW})
def window(context: Context, selector: str, now: object = None, config: dict[str, Any] | None = None) -> list[Period]:
    """Return the periods that a window selects.

    selector: The window, such as `30 minute window every 24 hours from 14 days ago including weekdays`
    now: The time to which the window is relative, in milliseconds since 1970; by default the current time
    config: Settings that replace those of the global configuration; may also be the second argument
    returns: The periods, the oldest first

        LENGTH(PROFILE_WINDOW('30 minutes', 1514289600000))  // 3
        LENGTH(PROFILE_WINDOW('1 hour every 1 day from 7 days ago excluding weekends', 1514289600000))  // 25
        PROFILE_WINDOW('30 minuets')  // error
        PROFILE_WINDOW('')  // error
    """
    if config is None and isinstance(now, Mapping):
        config = dict(now)
    is_number = isinstance(now, int | float) and not isinstance(now, bool)
    moment = to_long(now) if is_number else _now()
    if moment is None:
        raise ValueError(f"PROFILE_WINDOW expected milliseconds since 1970 as now, got {describe(now)}")
    return parse_window(selector).select(moment, _read_duration(context, config))


def _now() -> int:
    return time.time_ns() // 1_000_000


def _read_duration(context: Context, config: Mapping[str, Any] | None) -> int:
    return read_duration({**(context.get(GlobalSettings) or {}), **(config or {})}, CLIENT)
