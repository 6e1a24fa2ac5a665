"""Time zones by Java's ids, with their English names."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from stellar.java.zone_names import ZoneNames, find_names
from stellar.util.abbreviate import quote
from stellar.util.cached_properties import cached_property
from stellar.util.memoize import memoize_for

_EPOCH = datetime(1970, 1, 1)
_MS = timedelta(milliseconds=1)
_ZERO = timedelta()
# Before 1900 Java uses the standard offset of the zone, not local mean time
_FIRST_KNOWN = -2_208_988_800_000
_LAST_KNOWN = 253_370_764_800_000  # the year 9999

# Java's old three-letter ids
_SHORT_IDS = {
    "ACT": "Australia/Darwin",
    "AET": "Australia/Sydney",
    "AGT": "America/Argentina/Buenos_Aires",
    "ART": "Africa/Cairo",
    "AST": "America/Anchorage",
    "BET": "America/Sao_Paulo",
    "BST": "Asia/Dhaka",
    "CAT": "Africa/Harare",
    "CNT": "America/St_Johns",
    "CST": "America/Chicago",
    "CTT": "Asia/Shanghai",
    "EAT": "Africa/Addis_Ababa",
    "ECT": "Europe/Paris",
    "IET": "America/Indiana/Indianapolis",
    "IST": "Asia/Kolkata",
    "JST": "Asia/Tokyo",
    "MIT": "Pacific/Apia",
    "NET": "Asia/Yerevan",
    "NST": "Pacific/Auckland",
    "PLT": "Asia/Karachi",
    "PNT": "America/Phoenix",
    "PRT": "America/Puerto_Rico",
    "PST": "America/Los_Angeles",
    "SST": "Pacific/Guadalcanal",
    "VST": "Asia/Ho_Chi_Minh",
}
_FIXED = {
    "EST": -300,
    "MST": -420,
    "HST": -600,
    **{f"SystemV/{name}": -60 * int(name[3:]) for name in ("AST4", "EST5", "CST6", "MST7", "PST8", "YST9", "HST10")},
}
# Ids of zones that only Java has
_UNSUPPORTED = re.compile(r"SystemV/[A-Z]{3}\d+[A-Z]{3}", re.ASCII)
# Names of the time zone database that are not ids in Java
_OTHERS = frozenset({"Factory", "ROC", "localtime", "posixrules"})

# Zones whose winter time, or time of Ramadan, the time zone database counts as an exception from standard time; Java
# counts the other time as daylight saving time
_REVERSED = frozenset({"Africa/Casablanca", "Africa/El_Aaiun", "Europe/Dublin", "Eire"})
_MONTH = timedelta(days=30)


@dataclass(frozen=True)
class Zone:
    """A time zone. Instants are epoch milliseconds, offsets are milliseconds to add to UTC."""

    rules: tzinfo
    id: str = ""

    def offset(self, instant: int) -> int:
        """Return the offset at an instant."""
        if isinstance(self.rules, timezone) or not _FIRST_KNOWN <= instant < _LAST_KNOWN:
            return self._standard
        return _milliseconds(self._local(instant).utcoffset())

    def offset_of_wall(self, reading: int) -> int:
        """Return the offset at a local time, given as the epoch milliseconds of the same reading in UTC.

        A local time that occurs twice, or never, is taken as standard time.
        """
        if isinstance(self.rules, timezone) or not _FIRST_KNOWN <= reading < _LAST_KNOWN:
            return self._standard
        wall = (_EPOCH + reading * _MS).replace(tzinfo=self.rules)
        first, second = wall.utcoffset(), wall.replace(fold=1).utcoffset()
        return _milliseconds(first if first is None or second is None or first < second else second)

    def standard_offset_of_wall(self, reading: int) -> int:
        """Return the offset of standard time in the year of a local time, as of `offset_of_wall`."""
        offset = self.offset_of_wall(reading)
        return offset - self.savings_at(reading - offset)

    def savings_at(self, instant: int) -> int:
        """Return by how much daylight saving time shifts the clock at an instant; 0 if it is standard time."""
        if isinstance(self.rules, timezone) or not _FIRST_KNOWN <= instant < _LAST_KNOWN:
            return 0
        local = self._local(instant)
        savings = local.dst()
        if not savings:
            if self.id not in _REVERSED:
                return 0
            savings = max(-((local + n * _MONTH).dst() or _ZERO) for n in range(-11, 12))
        return max(_milliseconds(savings), 0)

    @property
    def savings(self) -> int:
        """Return by how much daylight saving time shifts the clock nowadays; 0 if the zone has none."""
        standard, daylight = self._seasons
        return daylight - standard

    def name(self, instant: int, *, long: bool) -> str:
        """Return the name at an instant, such as EST or Eastern Standard Time."""
        names = self.names
        if names is None:
            return self.id if isinstance(self.rules, timezone) else custom_id(self.offset(instant) // 60_000)
        if self.savings_at(instant):
            return names.long_daylight if long else names.short_daylight
        return names.long if long else names.short

    @cached_property
    def names(self) -> ZoneNames | None:
        """The names of the zone; None if it has only an offset."""
        return find_names(self.id)

    def _local(self, instant: int) -> datetime:
        if instant >= 0:  # some systems do not support earlier ones
            return datetime.fromtimestamp(instant // 1000, self.rules)
        return (_EPOCH + instant * _MS).replace(tzinfo=UTC).astimezone(self.rules)

    @cached_property
    def _standard(self) -> int:
        return self._seasons[0]

    @cached_property
    def _seasons(self) -> tuple[int, int]:
        """The offsets of standard time and of daylight saving time, by today's rules."""
        times = (datetime(2037, month, 1, tzinfo=self.rules) for month in (1, 7))
        january, july = (_milliseconds(time.utcoffset()) for time in times)
        return min(january, july), max(january, july)


def _milliseconds(offset: timedelta | None) -> int:
    return (offset or timedelta()) // _MS


def custom_id(minutes: int) -> str:
    """Return the id of a zone that has only an offset, such as GMT+05:30."""
    if minutes == 0:
        return "GMT"
    hours, rest = divmod(abs(minutes), 60)
    return f"GMT{'+' if minutes > 0 else '-'}{hours:02}:{rest:02}"


_CUSTOM = re.compile(r"GMT([+-])(\d{1,2})(?::?([0-5]\d))?", re.ASCII)
_CUSTOM_DIGITS = re.compile(r"GMT([+-])(\d)([0-5]\d)", re.ASCII)


@memoize_for(512)
def zone(name: str) -> Zone:
    """Return the zone of an id as `find_zone` does; GMT for an unknown id.

    Raises ValueError for an id that only Java knows.
    """
    if _UNSUPPORTED.fullmatch(name):
        raise ValueError(f"unsupported time zone {quote(name)}, which only Java knows")
    return find_zone(name) or _GMT


@memoize_for(512)
def find_zone(name: str) -> Zone | None:
    """Return the zone of an IANA id (Europe/Paris), a short id of Java (PST) or an offset (GMT+5:30).

    None for an unknown id.
    """
    if name in _OTHERS:
        return None
    if name in _FIXED:
        return Zone(timezone(timedelta(minutes=_FIXED[name]), name), name)
    if match := _CUSTOM.fullmatch(name) or _CUSTOM_DIGITS.fullmatch(name):
        minutes = (int(match[2]) * 60 + int(match[3] or 0)) * (-1 if match[1] == "-" else 1)
        if int(match[2]) < 24:
            return Zone(timezone(timedelta(minutes=minutes)), custom_id(minutes) if minutes else f"GMT{match[1]}00:00")
    if re.fullmatch(r"[A-Za-z][A-Za-z0-9_+-]*(?:/[A-Za-z0-9_+-]+)*", name, re.ASCII):
        try:
            return Zone(ZoneInfo(_SHORT_IDS.get(name, name)), name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            pass
    return None


_GMT = Zone(timezone(timedelta(), "GMT"), "GMT")
DEFAULT = Zone(timezone(timedelta(), "UTC"), "UTC")
