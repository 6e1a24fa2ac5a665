"""The parser of WebSphere's log."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from unittest import mock

import pytest

from stellar.pipeline.config.locations import SourceLocation
from stellar.pipeline.parsers import PARSERS, Settings

OPTIONS = {
    "grokPath": "/patterns/websphere",
    "patternLabel": "WEBSPHERE",
    "timestampField": "timestamp_string",
    "dateFormat": "yyyy MMM dd HH:mm:ss",
}


def parse(message: str, date: str = "Apr 15 17:47:28", now: str = "2026-06-15T12:00:00Z", **options: Any) -> Any:
    """Return the record of a message at a time, without its original string."""
    parser = PARSERS["GrokWebSphere"](Settings({**OPTIONS, **options}, SourceLocation("x")))
    nanoseconds = milliseconds(now) * 1_000_000
    with mock.patch("time.time_ns", return_value=nanoseconds):
        (record,) = parser(f"<133>{date} HOST [0x81000033][auth][notice] {message}")
    assert isinstance(record, dict)
    assert parser.complaint(record) is None
    return record


def milliseconds(iso: str) -> int:
    return round(datetime.fromisoformat(iso).timestamp() * 1000)


@pytest.mark.parametrize(
    ("message", "fields"),
    [
        (
            "user(bob): [1.2.3.4]: User logged into 'x'.",
            {"event_subtype": "login", "username": "bob", "ip_src_addr": "1.2.3.4"},
        ),
        ("somebody logged into x", {"event_subtype": "login", "message": "somebody logged into x"}),
        (
            "[1.2.3.4]: User 'u' logged out from 'd'.",
            {"event_subtype": "logout", "username": "u", "ip_src_addr": "1.2.3.4", "security_domain": "d"},
        ),
        ("User 'u' logged out.", {"event_subtype": "logout", "message": "User 'u' logged out."}),
        ("rbm(a): b: c", {"process": "rbm", "message": "b: c"}),
        ("timeout", {"message": "timeout"}),
        ("12345", {"message": 12345}),
        ("", {}),
    ],
)
def test_a_message_is_interpreted_by_its_words(message: str, fields: dict[str, Any]) -> None:
    record = parse(message)
    for name in ("timestamp", "original_string", "priority", "hostname", "event_code", "event_type", "severity"):
        del record[name]
    assert record == fields


@pytest.mark.parametrize(
    ("message", "problem"),
    [
        ("logged into:", "the message of a login has nothing after its first colon"),
        (")user(: [1.2.3.4]: logged into", "expected '\\)' after 'user\\(', got '\\)user\\('"),
        ("x: ]1.2.3.4[: logged into", "expected '\\]' after '\\[', got ' \\]1.2.3.4\\['"),
        ("x 'u' logged out ''", "the message of a logout has nothing after its third quote"),
        ("proc(a):", "the message has nothing after its first colon"),
    ],
)
def test_a_message_that_breaks_off_is_rejected(message: str, problem: str) -> None:
    with pytest.raises(ValueError, match=f"Grok parser Error: {problem} on <133>"):
        parse(message)


@pytest.mark.parametrize(
    ("date", "now", "zone", "timestamp"),
    [
        ("Apr 15 17:47:28", "2026-06-15T12:00:00Z", "UTC", "2026-04-15T17:47:28Z"),
        ("Dec 31 23:59:59", "2026-01-03T08:00:00Z", "UTC", "2025-12-31T23:59:59Z"),
        ("Jan  3 00:00:00", "2025-12-31T23:59:00Z", "UTC", "2025-01-03T00:00:00Z"),
        ("Jun 19 12:00:00", "2026-06-15T12:00:00Z", "UTC", "2026-06-19T12:00:00Z"),  # a clock that is 4 days ahead
        ("Jun 19 12:00:01", "2026-06-15T12:00:00Z", "UTC", "2025-06-19T12:00:01Z"),
        ("Dec 31 20:00:00", "2026-01-01T01:00:00Z", "America/New_York", "2026-01-01T01:00:00Z"),
        ("Jan  1 08:00:00", "2025-12-31T21:00:00Z", "Australia/Sydney", "2025-12-31T21:00:00Z"),
        ("De  5 08:00:00", "2026-06-15T12:00:00Z", "UTC", "2026-06-15T12:00:00Z"),  # no month: the current time
    ],
)
def test_a_time_without_a_year_is_the_latest_possible_one(date: str, now: str, zone: str, timestamp: str) -> None:
    assert parse("x", date, now, timeZone=zone)["timestamp"] == milliseconds(timestamp)
