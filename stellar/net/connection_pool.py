"""The pool of idle keep-alive connections."""

from __future__ import annotations

import logging
import threading
import weakref
from collections import defaultdict
from collections.abc import Callable
from math import inf
from time import monotonic
from typing import NamedTuple

from stellar.net.http11 import Connection

log = logging.getLogger(__name__)

# Common model servers close idle connections after 5 s; close them before
IDLE_SECONDS = 4.0
SWEEP_SECONDS = 0.25

# Connections to a server that sent unsolicited bytes are not reused for this time
DISTRUST_SECONDS = 600.0
MAX_DISTRUSTED = 10_000
MAX_RETIRED = 10_000


class Address(NamedTuple):
    """The host and port of a server, and whether to use TLS."""

    host: str
    port: int
    tls: bool

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class ConnectionPool:
    """Idle connections by address. Safe to use from many threads.

    on_unsolicited: called when a server sent unsolicited bytes
    while_idle: called four times a second while there are idle connections, in a thread

    A thread runs while there are idle connections. It closes those that were not used for some seconds, because a
    server that shuts down gracefully waits for them.
    """

    def __init__(self, on_unsolicited: Callable[[], object], while_idle: Callable[[], object] = lambda: None) -> None:
        self._on_unsolicited, self._while_idle = on_unsolicited, while_idle
        self._idle: defaultdict[Address, list[tuple[Connection, float]]] = defaultdict(list)
        self._all: weakref.WeakSet[Connection] = weakref.WeakSet()
        self._distrusted: dict[Address, float] = {}
        self._retired: dict[Address, float] = {}
        self._sweeper: threading.Thread | None = None
        self._closing = threading.Event()
        self._closed = False
        self._lock = threading.Lock()

    def take(self, target: Address) -> Connection | None:
        """Return an open connection on which nothing arrived since its last use; None if the pool has no such one."""
        if not self._idle:
            return None
        while (found := self._pop(target)) is not None:
            connection, since = found
            if monotonic() - since < IDLE_SECONDS:
                if connection.is_quiet():
                    return connection
                if _is_unsolicited(connection.receive_early()):
                    self.distrust(target)
            connection.close()
        return None

    def _pop(self, target: Address) -> tuple[Connection, float] | None:
        with self._lock:
            idle = self._idle.get(target)
            return idle.pop() if idle else None

    def put(self, target: Address, connection: Connection) -> None:
        """Add an idle connection, or close it if its server is distrusted or was retired, or the pool is closed."""
        now = monotonic()
        with self._lock:
            if (
                self._closed
                or (self._distrusted and self._distrusted.get(target, 0.0) > now)
                or (self._retired and self._retired.get(target, 0.0) >= connection.opened)
            ):
                connection.close()
                return
            self._idle[target].append((connection, now))
            if self._sweeper is None:
                self._sweeper = threading.Thread(target=self._sweep, name="idle connections", daemon=True)
                self._sweeper.start()

    def _sweep(self) -> None:
        while not self._closing.wait(SWEEP_SECONDS):
            try:
                self._while_idle()
            except Exception:  # an error in the callback must not keep idle connections open
                log.exception("the callback for idle connections raised an error")
            with self._lock:
                self._close_idle_since(monotonic() - IDLE_SECONDS)
                if not self._idle:
                    self._sweeper = None  # the next idle connection starts another one
                    return

    def watch(self, connection: Connection) -> None:
        """Track a new connection, so that `abandon` can close it."""
        self._all.add(connection)

    def distrust(self, target: Address) -> None:
        """Stop reusing connections to a server for some time, because it sent unsolicited bytes."""
        now = monotonic()
        with self._lock:
            if self._distrusted.get(target, 0.0) > now:
                return
            if len(self._distrusted) >= MAX_DISTRUSTED:
                self._distrusted.clear()
            self._distrusted[target] = now + DISTRUST_SECONDS
        self._close_idle(target)
        log.warning(
            "%s sent bytes that belong to no request; its connections are not reused for %d s", target, DISTRUST_SECONDS
        )
        self._on_unsolicited()

    def _close_idle_since(self, limit: float) -> None:
        """Close the connections that are idle since before a monotonic time. The caller holds the lock."""
        for target, idle in list(self._idle.items()):
            for connection, since in idle:
                if since < limit:
                    connection.close()
            self._idle[target] = [entry for entry in idle if entry[1] >= limit]
            if not self._idle[target]:
                del self._idle[target]

    def retire(self, target: Address) -> None:
        """Close the connections to a server that was removed: idle ones now, each other one when it is put back.

        A connection that is opened later is not affected: another server may listen at the address.
        """
        with self._lock:
            if len(self._retired) >= MAX_RETIRED:
                self._retired.clear()
            self._retired[target] = monotonic()
        self._close_idle(target)

    def _close_idle(self, target: Address) -> None:
        with self._lock:
            for connection, _ in self._idle.pop(target, ()):
                connection.close()

    def close(self) -> None:
        """Close the idle connections now, and each other one when it is put back."""
        with self._lock:
            self._closed = True
            self._close_idle_since(inf)
        self._closing.set()

    def abandon(self) -> None:
        """Close the child's copies of all sockets after a fork, idle or in use, without sending anything."""
        for connection in list(self._all):
            connection.close()


def _is_unsolicited(received: bytes) -> bool:
    """Return True for unsolicited bytes. A 408 is not counted: servers send it before closing an idle connection."""
    return bool(received) and received.split(b" ", 2)[1:2] != [b"408"]
