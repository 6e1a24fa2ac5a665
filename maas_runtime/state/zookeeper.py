"""What the service writes down, and which of several services leads, in ZooKeeper.

    /maas/ext/wanted, requests, failures      the notes; see maas_runtime.state.store
    /maas/ext/am/<...>__lock__0000000001      a service that leads or waits until it may

They stand beside the registrations: those of `/maas/service` in `/maas/ext`, those of another root in `<root>-ext`.
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

from maas_runtime.state.store import Note, Tell, nothing, read_note
from stellar.maas.schema import CONFIG_PATH
from stellar.maas.zookeeper import SHORT_REQUEST_SECONDS, ZooKeeper, read_config, retry_while_disconnected

log = logging.getLogger(__name__)

NOTE_SECONDS = 15.0  # for a connection to come back, before a note is given up


class ZooKeeperStateStore:
    """Notes in ZooKeeper. Of several services one leads; when it ends, or is cut off, the next one does."""

    def __init__(self, zookeeper: ZooKeeper, config_path: str = CONFIG_PATH) -> None:
        self._zookeeper = zookeeper
        self._root = read_config(zookeeper, config_path).ext_root
        self._am = f"{self._root}/am"

    def read(self, path: str) -> Note | None:
        data = retry_while_disconnected(lambda: self._zookeeper.read(f"{self._root}/{path}"), NOTE_SECONDS)
        return read_note(data, f"{self._root}/{path}") if data else None

    def write(self, path: str, note: Note | None) -> None:
        place = f"{self._root}/{path}"
        if note is None:
            retry_while_disconnected(lambda: self._zookeeper.delete(place), NOTE_SECONDS)
        else:
            retry_while_disconnected(lambda: self._zookeeper.write(place, json.dumps(note).encode()), NOTE_SECONDS)

    def names(self, path: str) -> list[str]:
        return retry_while_disconnected(lambda: self._zookeeper.children(f"{self._root}/{path}"), NOTE_SECONDS)

    @contextmanager
    def lead(self, stopping: Callable[[], bool], tell: Tell = nothing) -> Iterator[Callable[[], bool]]:
        lock = Lock(self._zookeeper.client, self._am, f"{socket.gethostname()} process {os.getpid()}")
        if not self._acquired(lock, stopping, tell):
            yield lambda: False
            return
        node, session = f"{self._am}/{lock.node}", self._zookeeper.session
        log.info("this service leads")
        try:
            yield lambda: self._leads(node, session, stopping)
        finally:
            with suppress(OSError):  # the end of the session takes it away
                self._zookeeper.delete(node, SHORT_REQUEST_SECONDS)

    def is_led(self) -> bool:
        return bool(self._zookeeper.children(self._am))

    def _acquired(self, lock: Lock, stopping: Callable[[], bool], tell: Tell) -> bool:
        """Wait until the lock is ours; false if we are to stop before."""
        gotten: list[bool] = []

        def acquire() -> None:
            try:
                gotten.append(lock.acquire())
            except CancelledError:
                pass
            except KazooException as error:
                log.warning("this service can't lead yet: %r", error)

        waiting = threading.Thread(target=acquire, name="waiting to lead", daemon=True)
        waiting.start()
        waiting.join(SHORT_REQUEST_SECONDS)
        if waiting.is_alive():
            log.info("another service leads; this one waits for its end")
            tell("waiting")
        while waiting.is_alive() and not stopping():
            waiting.join(0.1)
        if waiting.is_alive():
            lock.cancel()
            waiting.join(SHORT_REQUEST_SECONDS)
        return gotten == [True]

    def _leads(self, node: str, session: int | None, stopping: Callable[[], bool]) -> bool:
        while True:
            try:
                status = self._zookeeper.request("exists", node, seconds=0.5)
            except ConnectionError:  # nobody can know now, and nothing is begun meanwhile
                if stopping():
                    return True
            else:
                return status is not None and status.owner_session_id == session
