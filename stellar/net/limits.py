"""Concurrency limits, and load balancing by the load of each server."""

from __future__ import annotations

import random
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import exp
from time import monotonic

from stellar.net.breaker import normal_url
from stellar.util.forks import reset_after_fork
from stellar.util.waiting import Event, new_event

MAX_LOADS = 10_000  # URLs may come from records, and must not fill the memory

# Assumed for a server with requests that has never responded, so that it gets no others while another one responds
UNKNOWN_LATENCY = 1.0

DECAY_SECONDS = 1.0  # of latencies, so that a server that was slow gets requests again after some seconds


@dataclass(slots=True, eq=False)
class _Waiter:
    """A thread or fiber that waits for a slot; `granted` once it has one."""

    ready: Event
    granted: bool = False


@dataclass(slots=True)
class ServerLoad:
    """The load of one server.

    in_flight: number of requests in flight
    waiting: threads and fibers that wait for a slot, first come, first served
    latency: a peak EWMA, in seconds: it rises at once and falls slowly
    measured, last_response: monotonic times of the last latency and of the last response
    """

    address: str
    in_flight: int = 0
    waiting: deque[_Waiter] = field(default_factory=deque)
    latency: float = 0.0
    measured: float = 0.0
    last_response: float = field(default_factory=monotonic)

    @property
    def requests(self) -> int:
        return self.in_flight + len(self.waiting)

    def measure(self, seconds: float, now: float) -> None:
        """Record the latency of a response, in seconds."""
        if seconds >= self.latency:
            self.latency = seconds
        else:
            weight = exp((self.measured - now) / DECAY_SECONDS)
            self.latency = self.latency * weight + seconds * (1 - weight)
        self.measured = now

    def cost(self, now: float) -> float:
        """Return an estimate of the latency of one more request, for comparison."""
        latency = self.latency * exp((self.measured - now) / DECAY_SECONDS)
        if not self.measured and self.requests:
            latency = UNKNOWN_LATENCY
        return (latency + 1e-6) * (self.requests + 1)


class ConcurrencyLimiter:
    """A limit on concurrent requests to each server, by URL. Safe to use from many threads and fibers.

    limit: for each server; 0 for no limit
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.after_fork()
        reset_after_fork(self)

    def after_fork(self) -> None:
        self._loads: dict[str, ServerLoad] = {}
        self._lock = threading.Lock()

    def of(self, url: str) -> ServerLoad:
        """Return the load of the server of a URL."""
        load = self._loads.get(url)  # the common case: a URL in its normal form
        if load is None and (load := self._loads.get(address := normal_url(url))) is None:
            with self._lock:
                if len(self._loads) >= MAX_LOADS:
                    self._loads = {key: each for key, each in self._loads.items() if each.requests}
                load = self._loads.setdefault(address, ServerLoad(address))
        return load

    def less_busy(self, urls: Sequence[str]) -> str:
        """Return the less loaded of two random URLs: nearly as even as comparing all, and new ones are not flooded."""
        if len(urls) == 1:
            return urls[0]
        now = monotonic()
        return min(random.sample(urls, 2), key=lambda url: self.of(url).cost(now))

    def is_full(self, load: ServerLoad) -> bool:
        """Return True if all slots are taken."""
        return self._limit > 0 and load.in_flight >= self._limit

    def try_enter(self, load: ServerLoad) -> bool:
        """Take a slot, which must be released by `leave`; return False if all are taken."""
        with self._lock:
            if load.in_flight >= self._limit > 0:
                return False
            load.in_flight += 1
            return True

    def enter(self, load: ServerLoad, seconds: float) -> bool:
        """Take a slot, waiting for it for some seconds.

        Return False if no slot became free in that time, or if `evict` ended the wait.
        """
        with self._lock:
            if not self.is_full(load):
                load.in_flight += 1
                return True
            waiter = _Waiter(new_event())
            load.waiting.append(waiter)
        try:
            waiter.ready.wait(seconds)
        except BaseException:  # interrupted: a slot granted meanwhile must be released
            if not self._withdraw(load, waiter):
                self.leave(load)
            raise
        return not self._withdraw(load, waiter)

    def leave(self, load: ServerLoad) -> None:
        """Release a slot."""
        with self._lock:
            if load.waiting:
                waiter = load.waiting.popleft()  # hand the slot over
                waiter.granted = True
                waiter.ready.set()
            else:
                load.in_flight -= 1

    def evict(self, url: str) -> None:
        """End all waits for a slot of a server, for example because its circuit was opened."""
        load = self.of(url)
        with self._lock:
            waiting, load.waiting = load.waiting, deque()
        for waiter in waiting:
            waiter.ready.set()

    def _withdraw(self, load: ServerLoad, waiter: _Waiter) -> bool:
        """Remove a waiter from the queue; return False if it was granted a slot meanwhile."""
        with self._lock:
            if waiter.granted:
                return False
            if waiter in load.waiting:
                load.waiting.remove(waiter)
            return True
