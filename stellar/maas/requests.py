"""The queue of requests from deployers to the service that runs models."""

from __future__ import annotations

import json
import threading
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from stellar.maas.schema import ModelRequest
from stellar.util.forks import reset_after_fork

Note = Mapping[str, Any]
"""Our own data about a request, which Metron's queue items have no field for; JSON, with a unique `token`."""


@dataclass(frozen=True)
class Item:
    """An item of the queue.

    name: its name there, such as `qn-0000000001`; used again if the queue is deleted and created again
    data: its bytes as they were sent, which may be arbitrary: other programs write to the queue too
    id: a name that no other item ever has
    note: the bytes of its note; None if it is missing, as the items of Metron's clients
    nodes: the paths of the item and of its note in ZooKeeper
    discard: removes the item and its note
    """

    name: str
    data: bytes
    id: str = ""
    note: bytes | None = None
    nodes: tuple[str, ...] = ()
    discard: Callable[[], object] = field(default=lambda: None, compare=False)


class RequestQueue(Protocol):
    """Requests in the order they were made. Safe to use from many threads and processes."""

    def enqueue(self, request: ModelRequest, note: Note | None = None) -> str:
        """Add a request, and its note if it has one, at the end of the queue; return the item's name.

        With a note, a request is added once, even if the connection is lost meanwhile.

        Raises OSError if it can't be written.
        """

    def items(self) -> list[Item]:
        """Return the items that wait, in order, with their notes. They stay in the queue."""

    def wait(self, seconds: float) -> None:
        """Wait until the queue may have changed since the last call of `items`, at most so many seconds."""

    def remove_old_notes(self, seconds: float) -> None:
        """Remove notes older than so many seconds whose items another service took."""

    def take(self, seconds: float) -> Item | None:
        """Remove and return the oldest item, waiting up to so many seconds; None if the queue stayed empty.

        No two consumers get the same item. It is removed before it is handled.
        """


ITEM_PREFIX = "qn-"
NOTE_PREFIX = "n-"


def item_name(number: int) -> str:
    """Return the name of an item, as ZooKeeper names sequence nodes."""
    return f"{ITEM_PREFIX}{number:010d}"


def make_note(**fields: Any) -> dict[str, Any]:
    """Return a note with these fields, except those that are None, and with a token of its own."""
    return {"token": uuid.uuid4().hex, **{name: value for name, value in fields.items() if value is not None}}


def encode_note(note: Note) -> bytes:
    return json.dumps(dict(note)).encode()


class MemoryQueue:
    """A queue within this process. The child of a fork has a copy of its own."""

    def __init__(self) -> None:
        self._items: deque[Item] = deque()
        self._number = 0
        self._changed = threading.Condition()
        reset_after_fork(self)

    def after_fork(self) -> None:
        self._changed = threading.Condition()

    def enqueue(self, request: ModelRequest, note: Note | None = None) -> str:
        return self.put(request.to_json(), None if note is None else encode_note(note))

    def put(self, data: bytes, note: bytes | None = None) -> str:
        """Add arbitrary bytes at the end of the queue, as another program might."""
        with self._changed:
            name = item_name(self._number)
            id = f"{self._number}-{name}"
            self._number += 1
            self._items.append(Item(name, data, id, note, discard=lambda: self._discard(id)))
            self._changed.notify()
            return name

    def items(self) -> list[Item]:
        with self._changed:
            return list(self._items)

    def wait(self, seconds: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._items, seconds)

    def remove_old_notes(self, seconds: float) -> None:
        """Do nothing: a note is part of its item."""

    def take(self, seconds: float) -> Item | None:
        with self._changed:
            self._changed.wait_for(lambda: self._items, seconds)
            return self._items.popleft() if self._items else None

    def _discard(self, id: str) -> None:
        with self._changed:
            self._items = deque(item for item in self._items if item.id != id)
