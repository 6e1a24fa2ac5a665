"""Stored values of profiles, and the periods for which they are looked up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stellar.language.context import Context, GlobalSettings
from stellar.language.conversions import to_long, to_optional_string
from stellar.language.library import stellar
from stellar.language.literals import LiteralKind, check_strings
from stellar.language.runtime import describe
from stellar.profiles.periods import CLIENT, UNITS, Period, list_periods, read_duration, to_milliseconds
from stellar.profiles.store import (
    FAMILY_KEY,
    PROFILE_STORE_KEY,
    TABLE_KEY,
    ProfilesComputedHere,
    ProfileStore,
    open_profile_store,
)
from stellar.profiles.windows import parse_window
from stellar.stores.base import STORE_KEY, MissingStore, StoreError
from stellar.util import clock


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
    end = clock.now()
    return list_periods(end - to_milliseconds(amount, units), end, _read_duration(context, config))


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
    moment = to_long(now) if is_number else clock.now()
    if moment is None:
        raise ValueError(f"PROFILE_WINDOW expected milliseconds since 1970 as now, got {describe(now)}")
    return parse_window(selector).select(moment, _read_duration(context, config))


def _read_duration(context: Context, config: Mapping[str, Any] | None) -> int:
    return read_duration({**(context.get(GlobalSettings) or {}), **(config or {})}, CLIENT)


def check_store(context: Context) -> None:
    """Check that the store of profiles can be read. Raises LookupError if not.

    A store that does not exist yet is accepted only in a program that computes profiles, because a misspelt path would
    otherwise be a store without values.
    """
    try:
        context.get_or_make(ProfileStore, open_profile_store).check()
    except StoreError as error:
        is_created_later = isinstance(error, MissingStore) and context.get(ProfilesComputedHere) is not None
        if not is_created_later:
            raise _make_error(error) from error


def _make_error(error: StoreError) -> LookupError:
    if isinstance(error, MissingStore):
        return LookupError(
            f"cannot read the store of profiles {error.address}: the file does not exist; check {PROFILE_STORE_KEY} "
            f"and {STORE_KEY}, or compute profiles with stellar-profiler"
        )
    return LookupError(f"cannot read the store of profiles {error}")


@stellar("PROFILE_GET", check=check_store)
def get(
    context: Context,
    profile: str,
    entity: object,
    periods: list[Any] | None,
    groups: object = None,
    config: object = None,
    *more: object,
) -> list[Any]:
    """Look up the values of a profile.

    profile: Name of the profile
    entity: Name of the entity
    periods: Periods, as PROFILE_FIXED and PROFILE_WINDOW return them; null for none
    groups: List of the groups of the values, as `groupBy` defines them. Arguments from here on that are no list are
        groups, too
    config: Settings that replace those of the global configuration, such as `profiler.default.value`
    more: Further groups, if the fourth argument is not a list
    returns: The values in the order of the periods, without those that do not exist, or with `profiler.default.value`
        instead of them

    `profiler.store` in the global configuration names the store; without it, `enrichment.store` does.
    """
    if groups is None or isinstance(groups, list):
        wanted, overrides = groups or [], _require_map(config)
    else:
        wanted, overrides = [each for each in (groups, config, *more) if each is not None], {}
    found = _read(context, profile, entity, periods, wanted, overrides)
    return [value for _, value in found]


@stellar("PROFILE_VERBOSE", check=check_store)
def verbose(
    context: Context, profile: str, entity: object, periods: list[Any] | None, groups: list[Any] | None = None
) -> list[dict[str, Any]]:
    """Look up the values of a profile, with their periods.

    profile: Name of the profile
    entity: Name of the entity
    periods: Periods, as PROFILE_FIXED and PROFILE_WINDOW return them; null for none
    groups: List of the groups of the values, as `groupBy` defines them
    returns: A map for each value with profile, entity, period (its id), period.start, period.end, value and groups
    """
    return [
        {
            "profile": profile,
            "entity": _require_entity(entity),
            "period": period.id,
            "period.start": period.start,
            "period.end": period.end,
            "value": value,
            "groups": list(groups or []),
        }
        for period, value in _read(context, profile, entity, periods, groups or [], {})
    ]


def _require_map(config: object) -> Mapping[str, Any]:
    if config is not None and not isinstance(config, Mapping):
        raise ValueError(f"PROFILE_GET expected a map as config, got {describe(config)}")
    return config or {}


def _require_entity(entity: object) -> str:
    if (name := to_optional_string(entity)) is None:
        raise ValueError("expected the name of an entity, got null; test it, as in if exists(user) then …")
    return name


def _read(
    context: Context,
    profile: str,
    entity: object,
    periods: list[Any] | None,
    groups: list[Any],
    overrides: Mapping[str, Any],
) -> list[tuple[Period, Any]]:
    for each in periods or ():
        if not isinstance(each, Period):
            raise ValueError(f"expected periods as PROFILE_FIXED and PROFILE_WINDOW return them, got {describe(each)}")
    if not periods:
        return []
    settings = {**(context.get(GlobalSettings) or {}), **overrides}
    default = settings.get("profiler.default.value")
    try:
        store = context.get_or_make(ProfileStore, open_profile_store)
        if any(key in overrides for key in (TABLE_KEY, FAMILY_KEY)):
            store = store.select(settings)
        found = store.read(profile, _require_entity(entity), periods, groups)
    except StoreError as error:
        raise _make_error(error) from error
    if default is not None:
        return [(period, found.get(period, default)) for period in periods]
    return [(period, found[period]) for period in periods if period in found]
