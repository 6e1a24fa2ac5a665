"""Keep-alive connections that are not in use."""

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

# Servers that people run behind models close idle connections after 5 s; be there first
IDLE_SECONDS = 4.0

# For so long no connection is used again to a server that sent what nobody asked for
DISTRUST_SECONDS = 600.0
MAX_DISTRUSTED = 10_000


class Address(NamedTuple):
    """Where to connect."""

    host: str
    port: int
    tls: bool

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class ConnectionPool:
    """Connections that are not in use, by their address.

    on_unsolicited: called when a server sent what nobody asked for
    """

    def __init__(self, on_unsolicited: Callable[[], object]) -> None:
        self._on_unsolicited = on_unsolicited
        self._idle: defaultdict[Address, list[tuple[Connection, float]]] = defaultdict(list)
        self._all: weakref.WeakSet[Connection] = weakref.WeakSet()
        self._distrusted: dict[Address, float] = {}
        self._next_sweep = 0.0
        self._closed = False
        self._lock = threading.Lock()

    def take(self, target: Address) -> Connection | None:
        """A connection on which nothing happened since its last use; None if there is none."""
        if not self._idle:
            return None
        while (found := self._pop(target)) is not None:
            connection, since = found
            if monotonic() - since < IDLE_SECONDS:
                if connection.is_quiet():
                    return connection
                if _is_unsolicited(connection.received()):
                    self.distrust(target)
            connection.close()
        return None

    def _pop(self, target: Address) -> tuple[Connection, float] | None:
        with self._lock:
            kept = self._idle.get(target)
            return kept.pop() if kept else None

    def put(self, target: Address, connection: Connection) -> None:
        """Keep a connection for later."""
        now = monotonic()
        with self._lock:
            if self._closed or (self._distrusted and self._distrusted.get(target, 0.0) > now):
                connection.close()
                return
            self._idle[target].append((connection, now))
            if now >= self._next_sweep:
                self._next_sweep = now + IDLE_SECONDS
                self._close_idle_since(now - IDLE_SECONDS)

    def watch(self, connection: Connection) -> None:
        """Know a connection that was just made, so that it can be abandoned."""
        self._all.add(connection)

    def distrust(self, target: Address) -> None:
        """The server sent what nobody asked for: use no connection to it twice for a while."""
        now = monotonic()
        with self._lock:
            if self._distrusted.get(target, 0.0) > now:
                return
            if len(self._distrusted) >= MAX_DISTRUSTED:
                self._distrusted.clear()
            self._distrusted[target] = now + DISTRUST_SECONDS
        self.close_idle(target)
        log.warning("%s sent bytes that belong to no request; its connections are not reused for a while", target)
        self._on_unsolicited()

    def _close_idle_since(self, moment: float) -> None:
        for target, kept in list(self._idle.items()):
            for connection, since in kept:
                if since < moment:
                    connection.close()
            self._idle[target] = [one for one in kept if one[1] >= moment]
            if not self._idle[target]:
                del self._idle[target]

    def close_idle(self, target: Address) -> None:
        """Close the connections to an address that are not in use."""
        with self._lock:
            for connection, _ in self._idle.pop(target, ()):
                connection.close()

    def close(self) -> None:
        """Close what is not in use, and what is as soon as it is put back."""
        with self._lock:
            self._closed = True
            self._close_idle_since(inf)

    def abandon(self) -> None:
        """Close the child's copies of all sockets, also of those in use, after a fork. Nothing is sent."""
        for connection in list(self._all):
            connection.close()


def _is_unsolicited(received: bytes) -> bool:
    """True for bytes that a server should not have sent: anything but a 408, by which it closes an idle connection."""
    return bool(received) and received.split(b" ", 2)[1:2] != [b"408"]
