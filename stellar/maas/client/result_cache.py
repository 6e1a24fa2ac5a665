"""A cache of results, stored as the bytes that arrived.

Decoded results would be millions of dicts, which Python's garbage collector scans for cycles: pauses of 0.2 to 0.5 s
were measured. Bytes are not scanned, and take a third of the memory; a hit decodes them, so that every caller gets an
object of its own.
"""

from __future__ import annotations

import struct
import threading
from collections import OrderedDict
from collections.abc import Callable
from sys import getsizeof
from time import monotonic

from stellar.util.forks import reset_after_fork

ENTRY_BYTES = 120  # overhead of the dictionary for each entry

_STAMP = struct.Struct(">I")  # time at which a result was stored, in seconds of the clock, in front of its bytes
_STAMP_BYTES = _STAMP.size


class ResultCache:
    """A least-recently-used cache with an expiry time. Thread-safe.

    entries, max_bytes: maximum number of results, and maximum memory; 0 switches the cache off
    seconds: time after which a result expires; 0 switches the cache off
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
        """Return the stored bytes; None if they are missing or expired."""
        if not self.enabled or key not in self._stored:
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
        """Store a result; replace an earlier one.

        epoch: of the cache when the request was made; a result requested before the last `clear` is not stored
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
            if key in self._stored:
                self._drop(key)
            self._stored[key] = entry
            self.bytes += size
            while len(self._stored) > self._entries or self.bytes > self._max_bytes:
                self._drop(next(iter(self._stored)))

    def _drop(self, key: str) -> None:
        if (entry := self._stored.pop(key, None)) is not None:
            self.bytes -= _size(key, entry)

    def clear(self) -> None:
        """Remove all results, and begin a new epoch."""
        with self._lock:
            self._stored = OrderedDict()
            self.bytes = 0
            self.epoch += 1


def _size(key: str, entry: bytes) -> int:
    return getsizeof(key) + getsizeof(entry) + ENTRY_BYTES
