"""The state store and the leader election of services in ZooKeeper.

    /maas/ext/wanted, requests, failures      JSON objects; see maas_runtime.state.store
    /maas/ext/am/<...>__lock__0000000001      a service that leads, or waits for leadership

The root depends on that of the registrations: `/maas/ext` for `/maas/service`, `<root>-ext` for any other.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from kazoo.exceptions import CancelledError, KazooException
from kazoo.recipe.lock import Lock

from maas_runtime.state.store import JsonObject, Notify, ignore_status, parse_entry
from stellar.maas.schema import CONFIG_PATH
from stellar.maas.zookeeper import SHORT_REQUEST_SECONDS, ZooKeeper, read_config, retry_while_disconnected

log = logging.getLogger(__name__)

RECONNECT_SECONDS = 15.0  # until a read or write fails while the connection is lost


class ZooKeeperStateStore:
    """A state store in ZooKeeper. One of several services leads; when its session ends, the next one takes over."""

    def __init__(self, zookeeper: ZooKeeper, config_path: str = CONFIG_PATH) -> None:
        self._zookeeper = zookeeper
        self._root = read_config(zookeeper, config_path).ext_root
        self._am = f"{self._root}/am"

    def read(self, path: str) -> JsonObject | None:
        data = retry_while_disconnected(lambda: self._zookeeper.read(f"{self._root}/{path}"), RECONNECT_SECONDS)
        return parse_entry(data, f"{self._root}/{path}") if data else None

    def write(self, path: str, entry: JsonObject | None) -> None:
        node = f"{self._root}/{path}"
        if entry is None:
            retry_while_disconnected(lambda: self._zookeeper.delete(node), RECONNECT_SECONDS)
        else:
            retry_while_disconnected(lambda: self._zookeeper.write(node, json.dumps(entry).encode()), RECONNECT_SECONDS)

    def names(self, path: str) -> list[str]:
        return retry_while_disconnected(lambda: self._zookeeper.children(f"{self._root}/{path}"), RECONNECT_SECONDS)

    @contextmanager
    def lead(self, stopping: Callable[[], bool], notify: Notify = ignore_status) -> Iterator[Callable[[], bool]]:
        lock = Lock(self._zookeeper.client, self._am, f"{socket.gethostname()} process {os.getpid()}")
        if not self._acquire(lock, stopping, notify):
            yield lambda: False
            return
        node, session = f"{self._am}/{lock.node}", self._zookeeper.session
        log.info("this service leads")
        try:
            yield lambda: self._is_leader(node, session, stopping)
        finally:
            with suppress(OSError):  # the node is ephemeral and ends with the session
                self._zookeeper.delete(node, SHORT_REQUEST_SECONDS)

    def is_led(self) -> bool:
        return bool(self._zookeeper.children(self._am))

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
