"""The state store and the leader election of services in ZooKeeper.

    /maas/ext/wanted, requests, failures, …   JSON objects; see maas_runtime.state.store
    /maas/ext/am/<...>__lock__0000000001      a service that leads, or waits for leadership

The root depends on that of the registrations: `/maas/ext` for `/maas/service`, `<root>-ext` for any other.

Every change that a leader makes is a transaction that also checks its lock node. A service that was paused, whose
session has expired meanwhile, may go on in the middle of a change; its lock node is gone, so the change fails, and
cannot overwrite what the next leader stored.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress

from kazoo.client import TransactionRequest
from kazoo.exceptions import CancelledError, KazooException, NodeExistsError, NoNodeError
from kazoo.protocol.states import KazooState, WatchedEvent
from kazoo.recipe.lock import Lock

from maas_runtime.state.store import Changes, JsonObject, Notify, Paths, StateView, ignore_status, parse_entry
from stellar.maas.registries.zookeeper_tree import WatchedTree
from stellar.maas.requests import Item
from stellar.maas.schema import CONFIG_PATH
from stellar.maas.zookeeper import SHORT_REQUEST_SECONDS, ZooKeeper, read_config, retry_while_disconnected

log = logging.getLogger(__name__)

RECONNECT_SECONDS = 15.0  # until a read or write fails while the connection is lost
COMMIT_TRIES = 10  # while other processes create and delete the nodes of a change


class LeadershipLost(ConnectionError):
    """A change was not stored, because another service leads."""


class ZooKeeperStateStore:
    """A state store in ZooKeeper. One of several services leads; when its session ends, the next one takes over.

    Changes made within `lead` by this object require the leadership; other processes, and the agent of the same one,
    use an object of their own.
    """

    def __init__(self, zookeeper: ZooKeeper, config_path: str = CONFIG_PATH) -> None:
        self._zookeeper = zookeeper
        self._root = read_config(zookeeper, config_path).ext_root
        self._am = f"{self._root}/am"
        self._lock_node: str | None = None  # while this object leads

    def copy(self) -> ZooKeeperStateStore:
        other = ZooKeeperStateStore.__new__(ZooKeeperStateStore)
        other._zookeeper, other._root, other._am, other._lock_node = self._zookeeper, self._root, self._am, None
        return other

    def read(self, path: str) -> JsonObject | None:
        data = retry_while_disconnected(lambda: self._zookeeper.read(f"{self._root}/{path}"), RECONNECT_SECONDS)
        return parse_entry(data, f"{self._root}/{path}") if data else None

    def write(self, path: str, entry: JsonObject | None) -> None:
        self.commit({path: entry})

    def commit(self, changes: Changes, item: Item | None = None) -> bool:
        deadline = time.monotonic() + RECONNECT_SECONDS
        while True:
            try:
                return self._commit(changes, item)
            except LeadershipLost:
                raise
            except ConnectionError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def names(self, path: str) -> list[str]:
        return retry_while_disconnected(lambda: self._zookeeper.children(f"{self._root}/{path}"), RECONNECT_SECONDS)

    def publish(self, path: str, entry: JsonObject) -> None:
        node, data = f"{self._root}/{path}", json.dumps(entry).encode()
        try:
            found, status = self._zookeeper.request("get", node)
            if status.owner_session_id != self._zookeeper.session:
                self._zookeeper.transact(lambda transaction: _take_over(transaction, node, data))
            elif found != data:
                self._zookeeper.request("set", node, data)
        except NoNodeError:  # or it ended meanwhile, with an earlier session
            with suppress(NodeExistsError):  # by an earlier, ambiguous attempt; compared at the next call
                self._zookeeper.request("create", node, data, ephemeral=True, makepath=True)

    def claim(self, path: str) -> bool:
        with suppress(NodeExistsError):
            self._zookeeper.request("create", f"{self._root}/{path}", b"{}", ephemeral=True, makepath=True)
            return True
        return self._is_own(f"{self._root}/{path}")

    def unpublish(self, path: str) -> None:
        if self._is_own(node := f"{self._root}/{path}"):
            self._zookeeper.delete(node, SHORT_REQUEST_SECONDS)

    def _is_own(self, node: str) -> bool:
        status = self._zookeeper.request("exists", node, seconds=SHORT_REQUEST_SECONDS)
        return status is not None and status.owner_session_id == self._zookeeper.session

    def read_published(self, path: str) -> dict[str, JsonObject]:
        found = {name: self.read(f"{path}/{name}") for name in self.names(path)}
        return {name: entry for name, entry in found.items() if entry is not None}

    def follow(self, path: str, depth: int, changed: Callable[[], object]) -> StateView:
        return ZooKeeperView(self._zookeeper, f"{self._root}/{path}", depth, changed)

    def watch(self, path: str, changed: Callable[[], object] = lambda: None) -> Callable[[], JsonObject | None]:
        return WatchedObject(self._zookeeper, f"{self._root}/{path}", changed).read

    @contextmanager
    def lead(self, stopping: Callable[[], bool], notify: Notify = ignore_status) -> Iterator[Callable[[], bool]]:
        lock = Lock(self._zookeeper.client, self._am, f"{socket.gethostname()} process {os.getpid()}")
        if not self._acquire(lock, stopping, notify):
            yield lambda: False
            return
        node, session = f"{self._am}/{lock.node}", self._zookeeper.session
        self._lock_node = node
        log.info("this service leads")
        try:
            yield lambda: self._is_leader(node, session, stopping)
        finally:
            self._lock_node = None
            with suppress(OSError):  # the node is ephemeral and ends with the session
                self._zookeeper.delete(node, SHORT_REQUEST_SECONDS)

    @property
    def is_shared(self) -> bool:
        return True

    def is_led(self) -> bool:
        return bool(self._zookeeper.children(self._am))

    # --- changes

    def _commit(self, changes: Changes, item: Item | None) -> bool:
        for _ in range(COMMIT_TRIES):
            existing = self._find_existing(changes)
            try:
                self._zookeeper.transact(lambda transaction: self._build(transaction, changes, existing, item))  # noqa: B023
            except (NoNodeError, NodeExistsError):
                self._require_leadership()
                if item is not None and not self._zookeeper.request("exists", item.nodes[0]):
                    return self._is_handled(item)
            else:
                return True
        raise OSError(f"cannot store {', '.join(changes)}: other processes keep changing these nodes")

    def _build(
        self, transaction: TransactionRequest, changes: Changes, existing: frozenset[str], item: Item | None
    ) -> None:
        if self._lock_node is not None:
            transaction.check(self._lock_node, -1)
        for path, entry in changes.items():
            node = f"{self._root}/{path}"
            if entry is None:
                if path in existing:
                    transaction.delete(node)
            elif path in existing:
                transaction.set_data(node, json.dumps(entry).encode())
            else:
                transaction.create(node, json.dumps(entry).encode())
        for node in item.nodes if item is not None else ():
            transaction.delete(node)

    def _find_existing(self, changes: Changes) -> frozenset[str]:
        """Return the paths of a change that exist; create the parents of those that do not."""
        requests = [(path, self._zookeeper.begin("exists", f"{self._root}/{path}")) for path in changes]
        existing = frozenset(path for path, request in requests if self._zookeeper.end(request))
        for path, entry in changes.items():
            if entry is not None and path not in existing:
                self._zookeeper.ensure_path(f"{self._root}/{path}".rpartition("/")[0])
        return existing

    def _require_leadership(self) -> None:
        if self._lock_node is not None and not self._zookeeper.request("exists", self._lock_node):
            raise LeadershipLost("this service does not lead any more")

    def _is_handled(self, item: Item) -> bool:
        """Return whether an item that is gone was handled by an attempt that appeared to fail."""
        return self._zookeeper.read(f"{self._root}/requests/{item.id}") is not None

    # --- leadership

    def _acquire(self, lock: Lock, stopping: Callable[[], bool], notify: Notify) -> bool:
        """Wait for the lock; return False if `stopping()` came first or ZooKeeper failed."""
        acquired: list[bool] = []

        def acquire() -> None:
            try:
                acquired.append(lock.acquire())
            except CancelledError:
                pass
            except KazooException as error:
                log.warning("leader election failed, retrying: %r", error)

        waiting = threading.Thread(target=acquire, name="waiting to lead", daemon=True)
        waiting.start()
        waiting.join(SHORT_REQUEST_SECONDS)
        if waiting.is_alive():
            log.info("another service leads; waiting for its end")
            notify("waiting")
        while waiting.is_alive() and not stopping():
            waiting.join(0.1)
        if waiting.is_alive():
            lock.cancel()
            waiting.join(SHORT_REQUEST_SECONDS)
        return acquired == [True]

    def _is_leader(self, node: str, session: int | None, stopping: Callable[[], bool]) -> bool:
        while True:
            try:
                status = self._zookeeper.request("exists", node, seconds=0.5)
            except ConnectionError:  # unknown until the connection is back; nothing starts meanwhile
                if stopping():
                    return True
            else:
                return status is not None and status.owner_session_id == session


class ZooKeeperView:
    """The objects at one depth below a path, kept current by watches."""

    def __init__(self, zookeeper: ZooKeeper, root: str, depth: int, changed: Callable[[], object]) -> None:
        self._zookeeper, self._changed = zookeeper, changed
        self._tree: WatchedTree[JsonObject] = WatchedTree(zookeeper, root, depth, _parse, self._wake, optional=True)
        zookeeper.listen(self._on_connection_change)

    def read(self) -> Mapping[Paths, JsonObject | None]:
        return retry_while_disconnected(self._tree.read, RECONNECT_SECONDS)

    def mark(self, *path: str) -> None:
        self._tree.mark(path)

    def is_complete(self) -> bool:
        """Return whether no node was unreadable at the last read."""
        return not self._tree.denied

    def close(self) -> None:
        self._zookeeper.stop_listening(self._on_connection_change)

    def _wake(self) -> None:
        self._changed()

    def _on_connection_change(self, state: str) -> None:
        if state == KazooState.CONNECTED:  # all watches are gone
            self._tree.mark_all()
            self._changed()


class WatchedObject:
    """One object, read again when its watch has fired or was lost.

    changed: called then, in a thread that must not wait for ZooKeeper
    """

    def __init__(self, zookeeper: ZooKeeper, node: str, changed: Callable[[], object]) -> None:
        self._zookeeper, self._node, self._changed = zookeeper, node, changed
        self._is_changed = True
        self._value: JsonObject | None = None
        zookeeper.listen(self._on_connection_change)

    def read(self) -> JsonObject | None:
        """Return the current object, or None; the last one while ZooKeeper cannot be reached."""
        if self._is_changed:
            self._is_changed = False  # first, as the new watch may fire at once
            try:
                self._value = self._read()
            except OSError:
                self._is_changed = True
        return self._value

    def _read(self) -> JsonObject | None:
        try:
            data = self._zookeeper.request("get", self._node, watch=self._mark, seconds=SHORT_REQUEST_SECONDS)[0]
        except NoNodeError:
            if self._zookeeper.request("exists", self._node, watch=self._mark, seconds=SHORT_REQUEST_SECONDS):
                self._is_changed = True  # it was created just now
            return None
        return parse_entry(data, self._node)

    def _mark(self, _: WatchedEvent) -> None:
        self._is_changed = True
        self._changed()

    def _on_connection_change(self, state: str) -> None:
        if state == KazooState.CONNECTED:  # the watch is gone
            self._is_changed = True
            self._changed()


def _parse(path: str, data: bytes) -> JsonObject | None:
    return parse_entry(data, path)


def _take_over(transaction: TransactionRequest, node: str, data: bytes) -> None:
    """Replace an ephemeral node of another session, such that no reader finds it absent."""
    transaction.delete(node)
    transaction.create(node, data, ephemeral=True)
