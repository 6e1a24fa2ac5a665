"""The time of day."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

_fixed: int | None = None


def now() -> int:
    """Return the time in milliseconds since 1970."""
    return time.time_ns() // 1_000_000 if _fixed is None else _fixed


@contextmanager
def fix_time(milliseconds: int) -> Iterator[None]:
    """Let `now` return this time, in milliseconds since 1970, in all threads, as tests of configurations need it."""
    global _fixed
    earlier, _fixed = _fixed, milliseconds
    try:
        yield
    finally:
        _fixed = earlier
