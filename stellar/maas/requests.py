"""The queue of requests from deployers to the service that runs models."""

from __future__ import annotations

import threading
from collections import deque
from typing import NamedTuple, Protocol

from stellar.maas.schema import ModelRequest
from stellar.util.forks import reset_after_fork


class Item(NamedTuple):
    """An item taken off the queue: its name there, such as `qn-0000000001`, and its bytes as they were sent."""

    name: str
    data: bytes


class RequestQueue(Protocol):
    """Requests in the order they were made. Safe to use from many threads and processes."""

    def enqueue(self, request: ModelRequest) -> str:
        """Add a request at the end of the queue; return the item's name, which is never reused.

        Raises OSError if it can't be written.
        """

    def take(self, seconds: float) -> Item | None:
        """Remove and return the oldest item, waiting up to so many seconds; None if the queue stayed empty.

        No two consumers get the same item. It is removed before it is handled. Its data may be arbitrary bytes: other
        programs write to the queue too.
        """


ITEM_PREFIX = "qn-"


def item_name(number: int) -> str:
    """Return the name of an item, as ZooKeeper names sequence nodes."""
    return f"{ITEM_PREFIX}{number:010d}"


class MemoryQueue:
    """A queue within this process. The child of a fork has a copy of its own."""

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
        """Add arbitrary bytes at the end of the queue, as another program might."""
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
