"""The English names of time zones, as Java 8 prints and parses them.

`zone_names.txt` has a line for each set of names: the short and the long name of standard time, those of daylight
saving time, and the ids of its zones. A name means the first zone of the first line that has it.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import NamedTuple

LONGEST_NAME = 66  # of any zone


class ZoneNames(NamedTuple):
    """The names of a zone, in the order in which they are tried on a string."""

    long: str
    short: str
    long_daylight: str
    short_daylight: str

    def match(self, string: str, start: int) -> int | None:
        """Return the index of the name at an offset of a string, in any case, otherwise None."""
        for index, name in enumerate(self):
            if string[start : start + len(name)].lower() == name.lower():
                return index
        return None


def find_names(zone: str) -> ZoneNames | None:
    """Return the names of the zone of an id; None if the zone has only an offset."""
    return _load()[0].get(zone)


def find_zone_at(string: str, start: int) -> tuple[str, int] | None:
    """Return the id of the zone whose name is at an offset of a string, and the index of the name."""
    _, zones, lengths = _load()
    found = [zones[key] for length in lengths if (key := string[start : start + length].lower()) in zones]
    if not found:
        return None
    _, index, zone = min(found)
    return zone, index


@cache
def _load() -> tuple[dict[str, ZoneNames], dict[str, tuple[int, int, str]], frozenset[int]]:
    """Return the names by id, the zones by name with their rank, and the lengths of all names."""
    names_by_id: dict[str, ZoneNames] = {}
    zones: dict[str, tuple[int, int, str]] = {}
    content = Path(__file__).with_name("zone_names.txt").read_text("utf-8")
    for number, line in enumerate(content.splitlines()):
        short, long, short_daylight, long_daylight, ids = line.split("\t")
        names = ZoneNames(long, short, long_daylight, short_daylight)
        first, *_ = ids.split()
        names_by_id.update(dict.fromkeys(ids.split(), names))
        for index, name in enumerate(names):
            zones.setdefault(name.lower(), (number, index, first))
    return names_by_id, zones, frozenset(map(len, zones))
