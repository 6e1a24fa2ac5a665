"""Name resolution with a cache and a time-out.

`socket.getaddrinfo` can't be interrupted, and the time-out of the system's resolver can be long. So it runs in daemon
threads, one look-up of a host at a time, and callers wait for the result until their own deadline; they do not delay
the exit of the program. Addresses are cached. After the TTL they are looked up again, and the last known ones are used
meanwhile, so that an outage of the resolver does not stop calls to known hosts.
"""

from __future__ import annotations

import socket
import threading
from collections import OrderedDict, deque
from dataclasses import dataclass
from time import monotonic

from stellar.util.abbreviate import quote
from stellar.util.forks import reset_after_fork
from stellar.util.waiting import Future

TTL_SECONDS = 30.0
FAILURE_SECONDS = 1.0  # a failed look-up is not repeated within this time
MAX_HOSTS = 10_000  # names may come from records, and must not fill the memory
MAX_THREADS = 64

Address = tuple[socket.AddressFamily, str]


@dataclass(slots=True)
class _Entry:
    """The result of the last look-up of a host: its addresses, or the failure."""

    addresses: tuple[Address, ...]
    failure: OSError | None
    expires: float


class NameResolver:
    """Addresses of hosts, cached. Safe to use from many threads and fibers.

    ttl: seconds after which addresses are looked up again
    """

    def __init__(self, ttl: float = TTL_SECONDS) -> None:
        self._ttl = ttl
        self._clear()
        reset_after_fork(self)

    def _clear(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[str, _Entry] = OrderedDict()
        self._running: dict[str, Future[None]] = {}
        self._queue: deque[str] = deque()
        self._threads = 0

    def after_fork(self) -> None:
        self._clear()

    def resolve(self, host: str, seconds: float) -> tuple[Address, ...]:
        """Return the addresses of a host, in the order in which to try them.

        Raises TimeoutError if the look-up takes longer than `seconds`, OSError if it fails.
        """
        if (found := self.begin(host)) is None or found.wait(max(0.0, seconds)):
            return self.get_known(host)
        raise TimeoutError(f"the name {host} was not resolved in time")

    def begin(self, host: str) -> Future[None] | None:
        """Start a look-up if the cache has no fresh addresses.

        Return a future that is set at its end, or None if `get_known` can be called at once.
        """
        if is_numeric(host) or _is_fresh(self._known.get(host)):
            return None
        with self._lock:
            entry = self._known.get(host)
            if _is_fresh(entry):
                return None
            running = self._running.get(host) or self._start(host)
        return None if entry is not None and entry.addresses else running

    def get_known(self, host: str) -> tuple[Address, ...]:
        """Return the cached addresses of a host, without waiting. Raises OSError if its look-up failed."""
        if (family := _family(host)) is not None:
            return ((family, host),)
        entry = self._known.get(host)
        if entry is None:
            raise OSError(f"unknown host {host}")
        if not entry.addresses:
            raise entry.failure or OSError(f"the host {host} has no address")
        return entry.addresses

    def _start(self, host: str) -> Future[None]:
        """Queue a look-up, and start a thread for it if necessary. The caller holds the lock."""
        running = self._running[host] = Future()
        self._queue.append(host)
        if self._threads < min(MAX_THREADS, len(self._running)):
            self._threads += 1
            threading.Thread(target=self._work, name="name resolution", daemon=True).start()
        return running

    def _work(self) -> None:
        """Look up hosts until the queue is empty."""
        while True:
            with self._lock:
                if not self._queue:
                    self._threads -= 1
                    return
                host = self._queue.popleft()
            entry = self._look_up(host)
            with self._lock:
                self._store(host, entry)
                running = self._running.pop(host)
            running.set_result(None)

    def _store(self, host: str, entry: _Entry) -> None:
        """Cache the result of a look-up; a failed one keeps the last known addresses. The caller holds the lock."""
        last = self._known.pop(host, None)
        if not entry.addresses and last is not None:
            entry.addresses = last.addresses
        self._known[host] = entry
        while len(self._known) > MAX_HOSTS:
            self._known.popitem(last=False)

    def _look_up(self, host: str) -> _Entry:
        try:
            found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
            addresses = tuple(dict.fromkeys((family, str(address[0])) for family, _, _, _, address in found))
        except Exception as error:  # noqa: BLE001 (the callers wait for a result, so the thread must not end here)
            failure = error if isinstance(error, OSError) else OSError(f"invalid host name {quote(host)}: {error}")
            return _Entry((), failure, monotonic() + FAILURE_SECONDS)
        return _Entry(addresses, None, monotonic() + self._ttl)


def _is_fresh(entry: _Entry | None) -> bool:
    return entry is not None and monotonic() < entry.expires


def is_numeric(host: str) -> bool:
    """Return True for an IPv4 or IPv6 address."""
    return _family(host) is not None


def _family(host: str) -> socket.AddressFamily | None:
    if not (host[-1:].isdigit() or ":" in host):  # fast path: no name has a colon, and few end in a digit
        return None
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host.partition("%")[0])
        except (OSError, ValueError):
            continue
        return family
    return None
