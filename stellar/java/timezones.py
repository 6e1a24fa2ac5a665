"""Time zones by Java's ids, with their English names."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from stellar.util.cached_properties import cached_property

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
_FIXED = {"EST": -300, "MST": -420, "HST": -600}

# Abbreviation, minutes from UTC, name. An abbreviation in a date string means the first entry
NAMES = (
    ("UTC", 0, "Coordinated Universal Time"),
    ("GMT", 0, "Greenwich Mean Time"),
    ("EST", -300, "Eastern Standard Time"),
    ("EDT", -240, "Eastern Daylight Time"),
    ("CST", -360, "Central Standard Time"),
    ("CDT", -300, "Central Daylight Time"),
    ("MST", -420, "Mountain Standard Time"),
    ("MDT", -360, "Mountain Daylight Time"),
    ("PST", -480, "Pacific Standard Time"),
    ("PDT", -420, "Pacific Daylight Time"),
    ("AKST", -540, "Alaska Standard Time"),
    ("AKDT", -480, "Alaska Daylight Time"),
    ("HST", -600, "Hawaii Standard Time"),
    ("AST", -240, "Atlantic Standard Time"),
    ("ADT", -180, "Atlantic Daylight Time"),
    ("NST", -210, "Newfoundland Standard Time"),
    ("NDT", -150, "Newfoundland Daylight Time"),
    ("BST", 60, "British Summer Time"),
    ("WET", 0, "Western European Time"),
    ("WEST", 60, "Western European Summer Time"),
    ("CET", 60, "Central European Time"),
    ("CEST", 120, "Central European Summer Time"),
    ("EET", 120, "Eastern European Time"),
    ("EEST", 180, "Eastern European Summer Time"),
    ("MSK", 180, "Moscow Standard Time"),
    ("SAST", 120, "South Africa Standard Time"),
    ("CAT", 120, "Central African Time"),
    ("EAT", 180, "Eastern African Time"),
    ("WAT", 60, "Western African Time"),
    ("IST", 330, "India Standard Time"),
    ("IST", 120, "Israel Standard Time"),
    ("IDT", 180, "Israel Daylight Time"),
    ("IST", 60, "Irish Summer Time"),
    ("PKT", 300, "Pakistan Time"),
    ("CST", 480, "China Standard Time"),
    ("HKT", 480, "Hong Kong Time"),
    ("JST", 540, "Japan Standard Time"),
    ("KST", 540, "Korea Standard Time"),
    ("AWST", 480, "Australian Western Standard Time"),
    ("ACST", 570, "Australian Central Standard Time"),
    ("ACDT", 630, "Australian Central Daylight Time"),
    ("AEST", 600, "Australian Eastern Standard Time"),
    ("AEDT", 660, "Australian Eastern Daylight Time"),
    ("NZST", 720, "New Zealand Standard Time"),
    ("NZDT", 780, "New Zealand Daylight Time"),
    ("SST", -660, "Samoa Standard Time"),
)
_LONG_NAMES = {(abbreviation, minutes): name for abbreviation, minutes, name in NAMES}


@dataclass(frozen=True)
class Zone:
    """A time zone. Instants are epoch milliseconds, offsets are milliseconds to add to UTC."""

    rules: tzinfo

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

    def name(self, instant: int, *, long: bool) -> str:
        """Return the name at an instant, such as EST or Eastern Standard Time."""
        short, offset = self._seasons[self._is_daylight_saving(instant)]
        if not short.isalpha():
            return custom_id(self.offset(instant) // 60_000)
        return _LONG_NAMES.get((short, offset // 60_000), short) if long else short

    @property
    def names(self) -> tuple[tuple[str, int], ...]:
        """All names of the zone with their offsets."""
        return tuple(
            (name, offset)
            for short, offset in self._seasons
            for name in (_LONG_NAMES.get((short, offset // 60_000), short), short)
            if short.isalpha()
        )

    def _is_daylight_saving(self, instant: int) -> bool:
        if not _FIRST_KNOWN <= instant < _LAST_KNOWN:
            return False
        return (self._local(instant).dst() or _ZERO) > _ZERO

    def _local(self, instant: int) -> datetime:
        if instant >= 0:  # some systems do not support earlier ones
            return datetime.fromtimestamp(instant // 1000, self.rules)
        return (_EPOCH + instant * _MS).replace(tzinfo=UTC).astimezone(self.rules)

    @cached_property
    def _standard(self) -> int:
        return self._seasons[False][1]

    @cached_property
    def _seasons(self) -> tuple[tuple[str, int], tuple[str, int]]:
        """Abbreviation and offset of standard time and of daylight saving time, by today's rules."""
        times = (datetime(2037, month, 1, tzinfo=self.rules) for month in (1, 7))
        january, july = ((time.tzname() or "", _milliseconds(time.utcoffset())) for time in times)
        return (january, july) if january[1] <= july[1] else (july, january)


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


def zone(name: str) -> Zone:
    """Return the zone of an id as `find_zone` does; GMT for an unknown id."""
    return find_zone(name) or _GMT


@lru_cache(512)
def find_zone(name: str) -> Zone | None:
    """Return the zone of an IANA id (Europe/Paris), a short id of Java (PST) or an offset (GMT+5:30).

    None for an unknown id.
    """
    if name in _FIXED:
        return Zone(timezone(timedelta(minutes=_FIXED[name]), name))
    if match := _CUSTOM.fullmatch(name) or _CUSTOM_DIGITS.fullmatch(name):
        minutes = (int(match[2]) * 60 + int(match[3] or 0)) * (-1 if match[1] == "-" else 1)
        if int(match[2]) < 24:
            return Zone(timezone(timedelta(minutes=minutes), custom_id(minutes)))
    if re.fullmatch(r"[A-Za-z][A-Za-z0-9_+-]*(?:/[A-Za-z0-9_+-]+)*", name, re.ASCII):
        try:
            return Zone(ZoneInfo(_SHORT_IDS.get(name, name)))
        except (ZoneInfoNotFoundError, ValueError, OSError):
            pass
    return None


_GMT = Zone(timezone(timedelta(), "GMT"))
DEFAULT = Zone(timezone(timedelta(), "UTC"))
