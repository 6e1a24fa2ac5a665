"""The TCP connections of a model's port, as the kernel lists them in `/proc/net/tcp`.

Each line is a socket of this network namespace: its local and its remote address, `0100007F:05DC`, the state and, as
the tenth field, the inode. A connection within a machine has two lines, one for each end. The end of the server is the
one whose local port is the port that it listens on.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import NamedTuple
from urllib.parse import urlsplit

TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
ESTABLISHED, LISTENING = "01", "0A"

# Clients notice within this time that an instance was unregistered; until then they may still connect
QUIET_SECONDS = 1.0
CHECK_SECONDS = 0.1


class ServerSocket(NamedTuple):
    """A socket whose local port is the port of a server.

    inode: 0 for a connection that the server has not accepted yet
    """

    state: str
    peer_port: int
    inode: int


def find_port(url: str) -> int:
    """Return the port of an http or https URL."""
    parts = urlsplit(url)
    return parts.port or {"http": 80, "https": 443}[parts.scheme]


class ListeningSocket(NamedTuple):
    """A socket that accepts connections."""

    port: int
    inode: int


def list_listening() -> Iterator[ListeningSocket]:
    """Yield all listening sockets; none if the system does not list them."""
    for table in TABLES:
        with suppress(OSError), table.open() as lines:
            for line in lines:
                if f" {LISTENING} " in line:
                    fields = line.split()
                    yield ListeningSocket(int(fields[1].rpartition(":")[2], 16), int(fields[9]))


def find_inodes(pids: Iterable[int]) -> set[int]:
    """Return the inodes of the sockets that processes have open, of those that may be read."""
    found = set()
    for pid in pids:
        with suppress(OSError):
            for name in os.listdir(f"/proc/{pid}/fd"):
                with suppress(OSError):
                    target = os.readlink(f"/proc/{pid}/fd/{name}")
                    if target.startswith("socket:["):
                        found.add(int(target[8:-1]))
    return found


def list_sockets(port: int) -> Iterator[ServerSocket]:
    """Yield the sockets of a local port; none if the system does not list them."""
    pattern = f":{port:04X} "
    for table in TABLES:
        with suppress(OSError), table.open() as lines:
            for line in lines:
                if pattern in line:
                    fields = line.split()
                    if fields[1].endswith(pattern.rstrip()):
                        yield ServerSocket(fields[3], int(fields[2].rpartition(":")[2], 16), int(fields[9]))


def count_connections(port: int) -> int | None:
    """Return the number of established connections to a port of this machine; None if no server listens there.

    A connection that the client has closed is not counted, even if the server has not closed it yet.
    """
    states = [each.state for each in list_sockets(port)]
    return states.count(ESTABLISHED) if LISTENING in states else None


def is_local(host: str) -> bool:
    """Return whether a host name or address is of this machine. May wait for name resolution."""
    with suppress(OSError):
        for family, kind, protocol, _, address in socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM):
            with suppress(OSError), socket.socket(family, kind, protocol) as probe:
                probe.bind(address)  # fails for addresses of other machines
                return True
    return False


class Drain:
    """A graceful end: it is complete when clients were connected to a port for the last time a second ago.

    port: the local port; None for a server on another machine
    seconds: the longest time for the drain, which it takes if connections cannot be counted
    """

    def __init__(self, port: int | None, seconds: float, clock: Callable[[], float] = monotonic) -> None:
        self._port, self._clock = port, clock
        self._quiet_since = clock()
        self._deadline = self._quiet_since + seconds

    def is_complete(self) -> bool:
        now = self._clock()
        if now >= self._deadline:
            return True
        if self._port is None or count_connections(self._port) != 0:
            self._quiet_since = now
        return now - self._quiet_since >= QUIET_SECONDS
