"""Memoization with bounded memory."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import TypeVar

T = TypeVar("T")

_MAX_RESULTS = 4096
_MAX_LENGTH = 1000


def memoize(function: Callable[[str], T]) -> Callable[[str], T]:
    """Cache the last results of a function of a string, except those for long strings, which would take much memory."""
    cached = lru_cache(_MAX_RESULTS)(function)

    @wraps(function)
    def call(string: str) -> T:
        return cached(string) if len(string) <= _MAX_LENGTH else function(string)

    return call
