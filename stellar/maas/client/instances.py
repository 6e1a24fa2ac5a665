"""The state of instances in a client: load, latency, hedging, and complete replacements."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from stellar.maas.registry import Registry, VersionSnapshot
from stellar.maas.schema import Model
from stellar.net.breaker import normal_url
from stellar.util.forks import reset_after_fork

# --- hedging

MIN_HEDGE_SECONDS = 0.010
FIRST_HEDGE_SECONDS = 0.100  # until there are enough samples
HEDGE_SHARE = 0.05
HEDGE_BURST = 100.0
MIN_SAMPLES, MAX_SAMPLES, SAMPLES_A_TURN = 16, 256, 32


class HedgePolicy:
    """The hedging policy of one model: the delay before a second instance is called, and a budget.

    seconds: the delay; None for the 95th percentile of the recent latencies, at least 10 ms

    At most 5 % of the requests are hedges, in bursts of at most 100. Approximate under concurrency, because it takes no
    lock.
    """

    __slots__ = ("_fixed", "_latencies", "_since", "_tokens", "delay")

    def __init__(self, seconds: float | None) -> None:
        self._fixed = seconds is not None
        self.delay = FIRST_HEDGE_SECONDS if seconds is None else seconds
        self._latencies: deque[float] = deque(maxlen=MAX_SAMPLES)
        self._since = SAMPLES_A_TURN - MIN_SAMPLES
        self._tokens = HEDGE_BURST

    def record(self, seconds: float) -> None:
        """Record a request and the latency of its response."""
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
        """Take a hedge from the budget; return False if it is used up."""
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


# --- deployments


@dataclass(slots=True)
class _Deployment:
    """A deployment: the instances that existed between two complete replacements.

    number: identifies the deployment
    first: identities of the instances when it began
    """

    number: int
    snapshot: VersionSnapshot | None
    first: frozenset[tuple[object, ...]]
    urls: frozenset[str]


def _urls_of(deployment: _Deployment | None) -> frozenset[str]:
    return frozenset() if deployment is None else deployment.urls


class DeploymentTracker:
    """Detects when all instances of a version have been replaced, which invalidates cached results.

    An instance that comes back with the same id, URL and time of registration is the same instance.

    on_removed: called with each URL that no longer has an instance of a version
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
        """Return the number of the current deployment; 0 for a version that never had an instance."""
        known = self._find_current(model)
        return 0 if known is None else known.number

    def is_current(self, model: Model, number: int, url: str) -> bool:
        """Return True if the deployment is still current, and the instance at this URL is part of it."""
        known = self._find_current(model)
        if known is None:
            return number == 0
        return known.number == number and (url in known.urls or normal_url(url) in known.urls)

    def update(self) -> None:
        """Notice removed instances of all known models, between calls."""
        for model in list(self._known):
            self._find_current(model)

    def _find_current(self, model: Model) -> _Deployment | None:
        snapshot = self._registry.version(*model)
        known = self._known.get(model)
        if known is None and snapshot is None:
            return None
        if known is not None and known.snapshot is snapshot:
            return known
        with self._lock:  # so that of several threads one notices a removal
            before = _urls_of(self._known.get(model))
            known = self._update(model, snapshot)
            removed = before - _urls_of(known)
        for url in removed:
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
