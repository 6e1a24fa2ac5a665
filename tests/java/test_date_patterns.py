"""Dates by the patterns of SimpleDateFormat; spec lines and the conformance cases test most of them."""

from __future__ import annotations

import pytest

from stellar.java.date_patterns import parse_date
from stellar.java.timezones import DEFAULT


@pytest.mark.parametrize(
    ("string", "milliseconds"),
    [
        ("1970-01-01 00:01:\ufffd30", 60_000),  # as in the bytes of a broken log line
        ("1970-01-01 00:01:∞", 60_000 + (2**31 - 1) * 1000),
        ("1970-01-01 00:01:-∞", 60_000 - 2**31 * 1000),
    ],
)
def test_javas_signs_for_nan_and_infinity_are_numbers(string: str, milliseconds: int) -> None:
    assert parse_date("yyyy-MM-dd HH:mm:ss", string, DEFAULT) == milliseconds
