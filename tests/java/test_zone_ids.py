"""Time zones by the ids of java.time."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from stellar.java.zone_ids import find_zone_id


@pytest.mark.parametrize(
    ("name", "hours"),
    [
        ("UTC", 0),
        ("Z", 0),
        ("GMT", 0),
        ("Etc/GMT+5", -5),
        ("America/New_York", -4),
        ("EST5EDT", -4),
        ("+2", 2),
        ("+02:00", 2),
        ("-0530", -5.5),
        ("UTC+2", 2),
        ("GMT-03:30", -3.5),
        ("+18:00", 18),
        ("+01:00:36", 1.01),
    ],
)
def test_an_id_is_a_region_or_an_offset(name: str, hours: float) -> None:
    zone = find_zone_id(name)
    assert zone is not None
    assert datetime(2026, 7, 1, tzinfo=zone).utcoffset() == timedelta(hours=hours)


@pytest.mark.parametrize(
    "name",
    ["", "EST", "HST", "Nowhere", "+19:00", "+18:01", "2", "+2:60", "GMT+", "../zone", "/etc/passwd", "a\0b", "é"],
)
def test_an_unknown_id_is_none(name: str) -> None:
    assert find_zone_id(name) is None
