"""Answers that are remembered, within bounds."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import TypeVar

T = TypeVar("T")

_ANSWERS = 4096
_LONGEST = 1000


def remembered(function: Callable[[str], T]) -> Callable[[str], T]:
    """A function of a text that knows its last answers; not those to long texts, which would fill the memory."""
    cached = lru_cache(_ANSWERS)(function)

    @wraps(function)
    def answer(text: str) -> T:
        return cached(text) if len(text) <= _LONGEST else function(text)

    return answer
