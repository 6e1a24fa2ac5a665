"""Time zones by the ids of java.time, which does not know the three-letter ids of older Java."""

from __future__ import annotations

import re
from datetime import UTC, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from stellar.util.memoize import memoize_for

_OFFSET = re.compile(r"([+-])(\d{1,2})(?::?([0-5]\d)(?::?([0-5]\d))?)?", re.ASCII)
_PREFIXED = re.compile(r"(?:UTC|GMT|UT)([+-].+)", re.ASCII)
_REGION = re.compile(r"[A-Za-z][A-Za-z0-9~._+-]+(?:/[A-Za-z0-9~._+-]+)*", re.ASCII)
# Names of the tz database that are not regions of java.time
_NOT_REGIONS = frozenset({"EST", "MST", "HST", "ROC", "Factory", "localtime", "posixrules"})
_LARGEST_OFFSET = timedelta(hours=18)


@memoize_for(512)
def find_zone_id(name: str) -> tzinfo | None:
    """Return the zone of an id, or None if java.time does not know it.

    An id is a region (Europe/Paris), an offset (Z, +2, +02:00, -0530) or an offset with a prefix (UTC+2, GMT+02:00).
    """
    if name == "Z":
        return UTC
    if name[:1] in ("+", "-"):
        return _find_offset(name)
    if match := _PREFIXED.fullmatch(name):
        return _find_offset(match[1])
    return find_region(name)


def find_region(name: str) -> tzinfo | None:
    """Return the zone of a region, or None if java.time does not know it."""
    if name in _NOT_REGIONS or not _REGION.fullmatch(name):
        return None
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def _find_offset(text: str) -> tzinfo | None:
    match = _OFFSET.fullmatch(text)
    if match is None:
        return None
    offset = timedelta(hours=int(match[2]), minutes=int(match[3] or 0), seconds=int(match[4] or 0))
    if offset > _LARGEST_OFFSET:
        return None
    return timezone(-offset if match[1] == "-" else offset)
