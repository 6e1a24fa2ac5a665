"""Memoization with bounded memory."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any, TypeVar, cast

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

_MAX_RESULTS = 4096
_MAX_LENGTH = 1000
# For strings that are longer, up to a length, such as patterns with many alternatives
_MAX_LONG_RESULTS = 8
_MAX_LONG_LENGTH = 65_536


def memoize(function: Callable[[str], T]) -> Callable[[str], T]:
    """Cache the last results of a function of a string, except those for long strings, which would take much memory."""
    cached = lru_cache(_MAX_RESULTS)(function)

    @wraps(function)
    def call(string: str) -> T:
        return cached(string) if len(string) <= _MAX_LENGTH else function(string)

    return call


def memoize_for(most: int) -> Callable[[F], F]:
    """Return a decorator that caches the last results of a function of a string, such as a pattern that it compiles.

    most: the number of results for strings of up to 1,000 characters; few are cached for longer ones
    """

    def decorate(function: F) -> F:
        cached = lru_cache(most)(function)
        cached_long = lru_cache(_MAX_LONG_RESULTS)(function)

        @wraps(function)
        def call(string: str, *others: Any) -> Any:
            length = len(string)
            look_up = cached if length <= _MAX_LENGTH else cached_long if length <= _MAX_LONG_LENGTH else function
            return look_up(string, *others)

        return cast(F, call)

    return decorate
