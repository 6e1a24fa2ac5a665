"""The instances that a client calls: their load, their latencies, and when all were replaced."""

from __future__ import annotations

import random
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import exp
from time import monotonic

from stellar.maas.errors import ModelTimeOut
from stellar.maas.registry import Registry, VersionSnapshot
from stellar.maas.schema import Model
from stellar.net.breaker import normal_url
from stellar.util.forks import reset_after_fork
from stellar.util.waiting import Event, new_event

# Addresses and names that records make up must not fill the memory
MAX_LOADS = 10_000

# Assumed of an instance that has requests and has never answered: it gets no others while another one answers
UNKNOWN_LATENCY = 1.0

DECAY_SECONDS = 1.0  # of latencies: some seconds after an instance was slow it is tried again like any other


@dataclass(slots=True, eq=False)
class _Waiter:
    """Someone who waits for a slot; `granted` once it has one."""

    ready: Event
    granted: bool = False


@dataclass(slots=True)
class InstanceLoad:
    """The requests to one address.

    in_flight: how many are under way
    waiting: those that wait until one of them is over
    latency: a peak EWMA, in seconds: it follows a rise at once, and a fall slowly
    measured, last_answer: monotonic times of the last latency and of the last answer
    """

    address: str
    in_flight: int = 0
    waiting: deque[_Waiter] = field(default_factory=deque)
    latency: float = 0.0
    measured: float = 0.0
    last_answer: float = field(default_factory=monotonic)

    @property
    def requests(self) -> int:
        return self.in_flight + len(self.waiting)

    def measure(self, seconds: float, now: float) -> None:
        """Take in how long an answer took."""
        if seconds >= self.latency:
            self.latency = seconds
        else:
            weight = exp((self.measured - now) / DECAY_SECONDS)
            self.latency = self.latency * weight + seconds * (1 - weight)
        self.measured = now

    def cost(self, now: float) -> float:
        """An estimate of how long one more request would take, for comparison."""
        latency = self.latency * exp((self.measured - now) / DECAY_SECONDS)
        if not self.measured and self.requests:
            latency = UNKNOWN_LATENCY
        return (latency + 1e-6) * (self.requests + 1)


class ConcurrencyLimiter:
    """Limits the concurrent requests to each address, and knows how many there are.

    limit: for each address; 0 for no limit
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.after_fork()
        reset_after_fork(self)

    def after_fork(self) -> None:
        self._loads: dict[str, InstanceLoad] = {}
        self._lock = threading.Lock()

    def of(self, url: str) -> InstanceLoad:
        """Return the load of an address."""
        address = normal_url(url)
        load = self._loads.get(address)
        if load is None:
            with self._lock:
                if len(self._loads) >= MAX_LOADS:
                    self._loads = {key: each for key, each in self._loads.items() if each.requests}
                load = self._loads.setdefault(address, InstanceLoad(address))
        return load

    def less_busy(self, urls: Sequence[str]) -> str:
        """Return the better of any two of the addresses: nearly as even as asking all, and new ones are not flooded."""
        if len(urls) == 1:
            return urls[0]
        now = monotonic()
        return min(random.sample(urls, 2), key=lambda url: self.of(url).cost(now))

    def is_full(self, load: InstanceLoad) -> bool:
        return self._limit > 0 and load.in_flight >= self._limit

    def try_enter(self, load: InstanceLoad) -> bool:
        """Take a slot if there is a free one; it is to be given back by `leave`."""
        with self._lock:
            if self.is_full(load):
                return False
            load.in_flight += 1
            return True

    def enter(self, load: InstanceLoad, seconds: float) -> bool:
        """Take a slot, waiting for it up to so many seconds.

        False if there was none in that time, or the wait was ended by `evict`.
        """
        with self._lock:
            if not self.is_full(load):
                load.in_flight += 1
                return True
            waiter = _Waiter(new_event())
            load.waiting.append(waiter)
        try:
            waiter.ready.wait(seconds)
        except BaseException:  # an interrupt: who does not wait any more must not keep a slot
            if not self._withdraw(load, waiter):
                self.leave(load)
            raise
        return not self._withdraw(load, waiter)

    def leave(self, load: InstanceLoad) -> None:
        """Give a slot back."""
        with self._lock:
            if load.waiting:
                waiter = load.waiting.popleft()  # it gets our slot
                waiter.granted = True
                waiter.ready.set()
            else:
                load.in_flight -= 1

    def evict(self, url: str) -> None:
        """Send away who waits for a slot of an instance that answers nobody."""
        load = self.of(url)
        with self._lock:
            waiting, load.waiting = load.waiting, deque()
        for waiter in waiting:
            waiter.ready.set()

    def _withdraw(self, load: InstanceLoad, waiter: _Waiter) -> bool:
        """Take a waiter back; False if it got a slot, perhaps at the last moment."""
        with self._lock:
            if waiter.granted:
                return False
            if waiter in load.waiting:
                load.waiting.remove(waiter)
            return True

    def timed_out(self, url: str) -> ModelTimeOut:
        return ModelTimeOut(f"{url} was busy with {self._limit} requests all the time")


# --- hedging

MIN_HEDGE_SECONDS = 0.010
FIRST_HEDGE_SECONDS = 0.100  # as long as little is known of a model
HEDGE_SHARE = 0.05
HEDGE_BURST = 100.0
MIN_SAMPLES, MAX_SAMPLES, SAMPLES_A_TURN = 16, 256, 32


class HedgePolicy:
    """When a second instance of one model is called besides the first, and how often that may be.

    seconds: the delay; None for the 95th percentile of the recent latencies, at least 10 ms

    At most 5 % of the requests are hedges, and 100 at once. Not exact under concurrency, and it need not be.
    """

    __slots__ = ("_fixed", "_latencies", "_since", "_tokens", "delay")

    def __init__(self, seconds: float | None) -> None:
        self._fixed = seconds is not None
        self.delay = FIRST_HEDGE_SECONDS if seconds is None else seconds
        self._latencies: deque[float] = deque(maxlen=MAX_SAMPLES)
        self._since = SAMPLES_A_TURN - MIN_SAMPLES
        self._tokens = HEDGE_BURST

    def record(self, seconds: float) -> None:
        """Take in a request and how long its answer took."""
        if self._tokens < HEDGE_BURST:
            self._tokens += HEDGE_SHARE
        if self._fixed:
            return
        self._latencies.append(seconds)
        self._since += 1
        if self._since >= SAMPLES_A_TURN:
            self._since = 0
            ordered = sorted(self._latencies)
            self.delay = max(MIN_HEDGE_SECONDS, ordered[int(len(ordered) * (1 - HEDGE_SHARE))])

    def take(self) -> bool:
        """Claim a hedge; False if there were too many."""
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


# --- deployments


@dataclass(slots=True)
class _Deployment:
    """The instances of a version between two complete replacements; `number` tells deployments apart.

    first: the identities of the instances when it began
    """

    number: int
    snapshot: VersionSnapshot | None
    first: frozenset[tuple[object, ...]]
    urls: frozenset[str]


class DeploymentTracker:
    """Notices when all instances of a version have been replaced by others, so that cached answers are void.

    An instance that comes back with the same id, URL and time of registration is the same one.

    on_removed: called with each URL at which there is no instance of a version any more
    """

    def __init__(self, registry: Registry, on_removed: Callable[[str], object] = lambda _: None) -> None:
        self._registry = registry
        self._on_removed = on_removed
        self._known: dict[Model, _Deployment] = {}
        self._last = 0
        self._lock = threading.Lock()
        reset_after_fork(self)

    def after_fork(self) -> None:
        self._lock = threading.Lock()

    def number(self, model: Model) -> int:
        """Return the number of the present deployment; 0 for a version of which no instance was ever registered."""
        known = self._present(model)
        return 0 if known is None else known.number

    def is_present(self, model: Model, number: int, url: str) -> bool:
        """True if an answer that this address gave to a deployment still counts."""
        known = self._present(model)
        return number == 0 if known is None else known.number == number and normal_url(url) in known.urls

    def _present(self, model: Model) -> _Deployment | None:
        snapshot = self._registry.version(*model)
        known = self._known.get(model)
        if known is None and snapshot is None:
            return None
        if known is not None and known.snapshot is snapshot:
            return known
        before = frozenset() if known is None else known.urls
        with self._lock:
            known = self._update(model, snapshot)
        for url in before - (frozenset() if known is None else known.urls):
            self._on_removed(url)
        return known

    def _update(self, model: Model, snapshot: VersionSnapshot | None) -> _Deployment | None:
        known = self._known.get(model)
        if snapshot is None:
            if known is not None:
                known.snapshot, known.urls = None, frozenset()
            return known
        identities = frozenset((each.id, each.url, each.registration_time_utc) for each in snapshot.instances)
        urls = frozenset(map(normal_url, snapshot.urls))
        if known is None or not identities & known.first:
            self._last += 1
            self._known[model] = known = _Deployment(self._last, snapshot, identities, urls)
        else:
            known.snapshot, known.urls = snapshot, urls
        return known
