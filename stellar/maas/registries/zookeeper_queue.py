"""The request queue in ZooKeeper, laid out as Metron's own programs read and write it.

    /maas/queue/qn-0000000001      a request
    /maas/ext/notes/n-0000000001   our own data about a request; see stellar.maas.requests
    /maas/ext/requests/<id>        the result of a request, with the token of its note

A request and its note are created in one transaction, so both have the same czxid. By it the consumer finds the note of
an item; the id of an item is `<czxid>-<name>`, as names start again when the queue is deleted and created again.

If the connection is lost during that transaction, it is unknown whether it was applied. The token shows it: it is in
the note while the request waits, and in the result afterwards.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, NamedTuple, Self

from kazoo import exceptions as refusals
from kazoo.client import TransactionRequest
from kazoo.protocol.states import WatchedEvent

from stellar.maas.requests import ITEM_PREFIX, NOTE_PREFIX, Item, Note, encode_note
from stellar.maas.schema import CONFIG_PATH, ModelRequest
from stellar.maas.zookeeper import ZooKeeper, ZooKeeperSettings, read_config
from stellar.util.abbreviate import quote
from stellar.util.forks import reset_after_fork

log = logging.getLogger(__name__)

RECONNECT_SECONDS = 15.0  # until adding a request fails while the connection is lost


class _Node(NamedTuple):
    """A node that was read.

    czxid: id of the transaction that created it
    created: time of that in seconds since the epoch
    """

    path: str
    data: bytes
    czxid: int
    created: float


class ZooKeeperQueue:
    """A request queue in ZooKeeper, as Metron's clients write it and its service reads it.

    where: hosts such as `node1:2181,node2:2181`, settings, or a connection that is shared with others

    Raises ConnectionError if no server responds, ValueError for invalid hosts, settings or configuration.
    """

    def __init__(self, where: ZooKeeper | ZooKeeperSettings | str, config_path: str = CONFIG_PATH) -> None:
        self._zookeeper = where if isinstance(where, ZooKeeper) else ZooKeeper(where)
        self._connection_is_ours = self._zookeeper is not where
        self._awake = threading.Event()
        self._foreign: set[str] = set()
        reset_after_fork(self)
        try:
            config = read_config(self._zookeeper, config_path)
        except BaseException:
            self.close()
            raise
        self._queue = config.queue_path
        self._notes, self._results = f"{config.ext_root}/notes", f"{config.ext_root}/requests"

    def enqueue(self, request: ModelRequest, note: Note | None = None) -> str:
        if note is None:
            return self.put(request.to_json())
        deadline = time.monotonic() + RECONNECT_SECONDS
        name = None
        while name is None:
            try:
                name = self._put_with_note(request.to_json(), note)
            except ConnectionError:
                name = self._await_sent(note["token"], deadline)
        return name

    def put(self, data: bytes) -> str:
        """Add arbitrary bytes at the end of the queue, as another program might."""
        path = f"{self._queue}/{ITEM_PREFIX}"
        created: str = self._zookeeper.request("create", path, data, sequence=True, makepath=True)
        return created.rpartition("/")[2]

    def items(self) -> list[Item]:
        self._awake.clear()
        if not (names := sorted(self._list_items())):
            return []
        notes = {node.czxid: node for node in self._read(self._notes, self._zookeeper.children(self._notes))}
        return [self._make_item(node, notes.get(node.czxid)) for node in self._read(self._queue, names)]

    def wait(self, seconds: float) -> None:
        self._awake.wait(seconds)

    def remove_old_notes(self, seconds: float) -> None:
        items = self._read(self._queue, self._zookeeper.children(self._queue))
        waiting = {item.czxid for item in items}
        for note in self._read(self._notes, self._zookeeper.children(self._notes)):
            if note.czxid not in waiting and time.time() - note.created > seconds:
                self._zookeeper.delete(note.path)

    def take(self, seconds: float) -> Item | None:
        deadline = time.monotonic() + seconds
        while True:
            for item in self.items():
                if self._claim(item):
                    return item
            if (left := deadline - time.monotonic()) <= 0:
                return None
            self.wait(left)

    # --- sending

    def _put_with_note(self, data: bytes, note: Note) -> str:
        def build(transaction: TransactionRequest) -> None:
            transaction.create(f"{self._queue}/{ITEM_PREFIX}", data, sequence=True)
            transaction.create(f"{self._notes}/{NOTE_PREFIX}", encode_note(note), sequence=True)

        while True:
            try:
                created: str = self._zookeeper.transact(build)[0]
            except refusals.NoNodeError:
                for path in (self._queue, self._notes):
                    self._zookeeper.ensure_path(path)
            else:
                return created.rpartition("/")[2]

    def _await_sent(self, token: str, deadline: float) -> str | None:
        """Return `_find_sent` of a token as soon as the connection is back."""
        while True:
            try:
                return self._find_sent(token)
            except ConnectionError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def _find_sent(self, token: str) -> str | None:
        """Return the name of the item that was sent with a token; None if no such item waits or was handled."""
        self._zookeeper.request("sync", "/")
        for note in self._read(self._notes, self._zookeeper.children(self._notes)):
            if _read_token(note.data) == token:
                items = self._read(self._queue, self._zookeeper.children(self._queue))
                if found := [item.path for item in items if item.czxid == note.czxid]:
                    return found[0].rpartition("/")[2]
        for result in self._read(self._results, self._zookeeper.children(self._results)):
            if _read_token(result.data) == token:
                return result.path.rpartition("/")[2].partition("-")[2]
        return None

    # --- receiving

    def _read(self, parent: str, names: list[str]) -> list[_Node]:
        """Return the nodes of these names that still exist, in order."""
        paths = [f"{parent}/{name}" for name in names]
        requests = [(path, self._zookeeper.begin("get", path)) for path in paths]
        return [node for path, request in requests if (node := self._end_read(path, request))]

    def _end_read(self, path: str, request: Any) -> _Node | None:
        try:
            data, status = self._zookeeper.end(request)
        except refusals.NoNodeError:
            return None
        return _Node(path, data, status.czxid, status.created)

    def _make_item(self, node: _Node, note: _Node | None) -> Item:
        name = node.path.rpartition("/")[2]
        nodes = (node.path,) if note is None else (node.path, note.path)
        return Item(name, node.data, f"{node.czxid}-{name}", note and note.data, nodes, self._make_discard(nodes))

    def _make_discard(self, nodes: tuple[str, ...]) -> Callable[[], object]:
        return lambda: [self._zookeeper.delete(node) for node in nodes]

    def _list_items(self) -> list[str]:
        watch = self._on_event  # always the same callable, so that ZooKeeper's client holds one at most
        try:
            children: list[str] = self._zookeeper.request("get_children", self._queue, watch=watch)
        except refusals.NoNodeError:
            if self._zookeeper.request("exists", self._queue, watch=watch):
                return self._list_items()  # it was created just now
            return []
        foreign = {name for name in children if not name.startswith(ITEM_PREFIX)}
        for name in foreign - self._foreign:
            log.warning("%s/%s is not a request and is ignored", self._queue, name)
        self._foreign = foreign
        return [name for name in children if name not in foreign]

    def _claim(self, item: Item) -> bool:
        """Claim an item by deleting it; return False if another service was faster."""
        try:
            is_claimed = self._zookeeper.delete(item.nodes[0])
        except ConnectionError:
            log.warning(
                "lost the connection while claiming %s; the request may be lost: %s", item.name, quote(item.data)
            )
            raise
        for note in item.nodes[1:]:
            self._zookeeper.delete(note)
        return is_claimed

    def _on_event(self, _: WatchedEvent) -> None:
        self._awake.set()

    def after_fork(self) -> None:
        self._awake = threading.Event()

    def close(self) -> None:
        """Close the connection, unless it is shared."""
        if self._connection_is_ours:
            self._zookeeper.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def _read_token(data: bytes) -> str | None:
    try:
        entry = json.loads(data)
    except (ValueError, RecursionError):  # another program's; the service reports it
        return None
    token = entry.get("token") if isinstance(entry, dict) else None
    return token if isinstance(token, str) else None
