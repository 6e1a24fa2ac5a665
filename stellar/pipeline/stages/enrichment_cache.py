"""A bounded cache of enrichment results, and keys for it."""

from __future__ import annotations

import threading
from collections.abc import Hashable, Iterable
from copy import deepcopy
from time import monotonic
from typing import Any

from stellar.language.limits import SCALARS
from stellar.pipeline.records import Record
from stellar.util.forks import reset_after_fork


class EnrichmentCache:
    """Fields by key, for a time after they were stored. Safe to use from many threads.

    The oldest result is removed first. As all results live equally long, it is the next to expire, so that Python's
    dict, which is in order of insertion, needs no other structure beside it.

    size: maximum number of results; Metron's by default, as is the time
    seconds: time to live
    """

    def __init__(self, size: int = 100_000, seconds: float = 600.0) -> None:
        self._size, self._seconds = size, seconds
        self._results: dict[Hashable, tuple[float, bool, Record]] = {}
        self._writing = threading.Lock()
        reset_after_fork(self)

    def after_fork(self) -> None:
        """Replace the lock: another thread may have held it."""
        self._writing = threading.Lock()

    def get(self, key: Hashable) -> Record | None:
        """Return the fields of a key, or None. The caller must not change the map itself."""
        found = self._results.get(key)
        if found is None or found[0] <= monotonic():
            return None
        return deepcopy(found[2]) if found[1] else found[2]

    def put(self, key: Hashable, fields: Record) -> None:
        """Store fields, unless they have values that cannot be copied, such as a Bloom filter."""
        if not all(map(is_plain, fields.values())):
            return
        has_containers = not all(value.__class__ in SCALARS for value in fields.values())
        stored = deepcopy(fields) if has_containers else fields
        with self._writing:
            self._results.pop(key, None)
            while len(self._results) >= self._size:
                del self._results[next(iter(self._results))]
            self._results[key] = (monotonic() + self._seconds, has_containers, stored)

    def __len__(self) -> int:
        return len(self._results)


def is_plain(value: Any) -> bool:
    """Return True for a string, a number, a boolean, null, or a list or map of these."""
    if value.__class__ in SCALARS:
        return True
    if value.__class__ is dict:
        return all(key.__class__ in SCALARS and is_plain(each) for key, each in value.items())
    return value.__class__ is list and all(map(is_plain, value))


def make_key(values: Iterable[Any]) -> Hashable | None:
    """Return a key for values that differs for 1, 1.0 and true; None if they can't be keys, or are too long."""
    parts: list[Hashable] = []
    for value in values:
        if value.__class__ is str:
            parts.append(value)
        elif is_plain(value):
            text = repr(value)  # of plain values: equal for equal types and values in the same order
            if len(text) > _LONGEST_KEY:
                return None
            parts.append((text,))
        else:
            return None
    return tuple(parts)


_LONGEST_KEY = 10_000
