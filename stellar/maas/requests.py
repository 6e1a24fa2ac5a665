"""The queue of requests from deployers to the service that runs models."""

from __future__ import annotations

import threading
from collections import deque
from typing import NamedTuple, Protocol

from stellar.maas.schema import ModelRequest
from stellar.util.forks import reset_after_fork


class Item(NamedTuple):
    """What stood on the queue: its name there, such as `qn-0000000001`, and its bytes as they were sent."""

    name: str
    data: bytes


class RequestQueue(Protocol):
    """Requests in the order they were made. Safe to use from many threads and processes."""

    def enqueue(self, request: ModelRequest) -> str:
        """Put a request at the end; returns the item's name, which no later item gets.

        Raises OSError if it can't be written.
        """

    def take(self, seconds: float) -> Item | None:
        """Take the oldest item off, waiting so long for one; None if none came.

        No two takers get the same item. It is gone once taken, whether or not it is handled. What it holds may be
        anything: others write to the queue too.
        """


ITEM_PREFIX = "qn-"


def item_name(number: int) -> str:
    return f"{ITEM_PREFIX}{number:010d}"


class MemoryQueue:
    """A queue within this process. The child of a fork goes on with a copy."""

    def __init__(self) -> None:
        self._items: deque[Item] = deque()
        self._number = 0
        self._changed = threading.Condition()
        reset_after_fork(self)

    def after_fork(self) -> None:
        self._changed = threading.Condition()

    def enqueue(self, request: ModelRequest) -> str:
        return self.put(request.to_json())

    def put(self, data: bytes) -> str:
        """Put any bytes at the end, as a stranger might."""
        with self._changed:
            name = item_name(self._number)
            self._number += 1
            self._items.append(Item(name, data))
            self._changed.notify()
            return name

    def take(self, seconds: float) -> Item | None:
        with self._changed:
            self._changed.wait_for(lambda: self._items, seconds)
            return self._items.popleft() if self._items else None
