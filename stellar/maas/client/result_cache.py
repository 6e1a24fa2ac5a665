"""The answers of models, kept as the bytes that arrived.

Decoded answers would be some million dicts, among which Python's garbage collector looks for cycles again and again:
pauses of 0.2 to 0.5 s were measured. Bytes are not looked at, and take a third of the memory; a hit decodes them, which
also gives every caller an object of its own.
"""

from __future__ import annotations

import struct
import threading
from collections import OrderedDict
from collections.abc import Callable
from sys import getsizeof
from time import monotonic

from stellar.util.forks import reset_after_fork

ENTRY_BYTES = 120  # of the dictionary itself, for each entry

_STAMP = struct.Struct(">I")  # when an answer was stored, in seconds of the clock, before its bytes
_STAMP_BYTES = _STAMP.size


class ResultCache:
    """A least-recently-used cache with a limited age. Safe to use from many threads.

    entries, max_bytes: limits of the number of answers, and of the memory that they take
    seconds: how long an answer is used
    clock: monotonic seconds
    """

    def __init__(self, entries: int, seconds: float, max_bytes: int, clock: Callable[[], float] = monotonic) -> None:
        self._entries, self._seconds, self._max_bytes, self._clock = entries, seconds, max_bytes, clock
        self.enabled = entries > 0 and seconds > 0 and max_bytes > 0
        self._begin = clock()
        self._lock = threading.Lock()
        self._stored: OrderedDict[str, bytes] = OrderedDict()  # the least recently used first
        self.bytes = self.epoch = 0
        reset_after_fork(self)

    def after_fork(self) -> None:
        self._lock = threading.Lock()
        self.clear()  # another thread may have been changing it

    def __len__(self) -> int:
        return len(self._stored)

    def get(self, key: str) -> bytes | None:
        """Return what is stored and not too old."""
        if not self.enabled:
            return None
        with self._lock:
            if (entry := self._stored.get(key)) is None:
                return None
            if self._clock() - self._begin - _STAMP.unpack_from(entry)[0] >= self._seconds:
                self._drop(key)
                return None
            self._stored.move_to_end(key)
        return entry[_STAMP_BYTES:]

    def put(self, key: str, data: bytes, epoch: int) -> None:
        """Store an answer, in place of an earlier one.

        epoch: what it was when the answer was asked for; one that was asked for before a `clear` is not stored
        """
        if not self.enabled:
            return
        entry = _STAMP.pack(int(self._clock() - self._begin)) + data
        size = _size(key, entry)
        if size > self._max_bytes:
            return
        with self._lock:
            if epoch != self.epoch:
                return
            self._drop(key)
            self._stored[key] = entry
            self.bytes += size
            while len(self._stored) > self._entries or self.bytes > self._max_bytes:
                self._drop(next(iter(self._stored)))

    def _drop(self, key: str) -> None:
        if (entry := self._stored.pop(key, None)) is not None:
            self.bytes -= _size(key, entry)

    def clear(self) -> None:
        with self._lock:
            self._stored = OrderedDict()
            self.bytes = 0
            self.epoch += 1


def _size(key: str, entry: bytes) -> int:
    return getsizeof(key) + getsizeof(entry) + ENTRY_BYTES
