"""Time zones have the names of Java 8."""

from __future__ import annotations

import zoneinfo

import pytest

from stellar.java.timezones import find_zone
from stellar.java.zone_names import LONGEST_NAME, ZoneNames, _load, find_names, find_zone_at

# Zones that have no names in Java, or are newer than the table; other names of GMT; names that Java does not have
WITHOUT_NAMES = {"Asia/Atyrau", "America/Coyhaique", "GMT+0", "GMT-0", "Factory", "ROC", "localtime", "posixrules"}


def test_every_zone_has_names() -> None:
    ids = {name for name in zoneinfo.available_timezones() if not name.startswith(("Etc/GMT+", "Etc/GMT-"))}
    assert {name for name in ids if find_names(name) is None} <= WITHOUT_NAMES


def test_a_zone_of_java_has_the_names_of_standard_and_daylight_saving_time() -> None:
    assert find_names("Asia/Katmandu") == ZoneNames("Nepal Time", "NPT", "Nepal Summer Time", "NPST")
    assert find_names("Nowhere") is None


@pytest.mark.parametrize(
    ("string", "found"),
    [
        ("IST", ("Asia/Jerusalem", 1)),
        ("cst", ("America/Chicago", 1)),
        ("China Standard Time", ("Asia/Shanghai", 0)),
        ("BRST and more", ("America/Araguaina", 3)),
        ("EASTERN daylight time", ("America/New_York", 2)),
        ("Mars", None),
        ("", None),
    ],
)
def test_a_name_means_the_first_zone_that_has_it(string: str, found: tuple[str, int] | None) -> None:
    assert find_zone_at(string, 0) == found
    assert find_zone_at(f"10:00 {string}", 6) == found


def test_no_name_is_longer_than_the_limit() -> None:
    assert max(_load()[2]) == LONGEST_NAME


def test_a_name_means_a_known_zone() -> None:
    for string in ("PST", "Nepal Time", "EET", "UTC", "Samoa Standard Time"):
        found = find_zone_at(string, 0)
        assert found is not None
        assert find_zone(found[0]) is not None
