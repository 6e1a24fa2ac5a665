"""Options that several parsers have."""

from __future__ import annotations

from typing import TypeVar

from stellar.java.regex import TIMEOUT_MS
from stellar.pipeline.parsers.parser import Settings
from stellar.util.abbreviate import quote

T = TypeVar("T")


def read_text(settings: Settings, name: str, default: T) -> str | T:
    """Return a string option, or the default if it is missing or null. Raises ConfigError for another type."""
    return default if settings.options.get(name) is None else settings.text(name)


def read_match_timeout(settings: Settings) -> int:
    """Return the time limit for matching a record, in milliseconds."""
    value = settings.options.get("matchTimeoutMs", TIMEOUT_MS)
    if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
        raise (settings.location / "matchTimeoutMs").error(
            f"expected a positive integer of milliseconds, got {quote(value)}"
        )
    return value
