"""Circuit breakers, which stop calls to instances that failed.

A circuit is closed while its instance responds. It opens

- after 3 failures in a row within 10 seconds, for 1, 2, 4 … seconds, at most 10 minutes;
- after one refused connection, for 0.1, 0.2, 0.4 … seconds, at most 30;
- when a busy instance sends Retry-After, for that time, at most 5 seconds. This does not count as a failure.

After that time the circuit is half-open: one real call decides. A response closes the circuit, and so does a new
registration at the same URL; a failure opens it for twice as long.

A hedge that overtakes the first call is weak evidence, because any process can pause briefly. It counts as a failure in
a row, but opens a circuit only if the instance has not responded for some time.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Literal

from stellar.util.forks import reset_after_fork
from stellar.util.memoize import memoize_for

FAILURES = 3
ROW_SECONDS = 10.0
FIRST_SECONDS, MAX_SECONDS = 1.0, 600.0
FIRST_REFUSED_SECONDS, MAX_REFUSED_SECONDS = 0.1, 30.0
MIN_REST_SECONDS, MAX_REST_SECONDS = 0.05, 5.0  # bounds of Retry-After
TRIAL_SECONDS = 60.0  # after this a trial whose caller was killed is over
MAX_CIRCUITS = 10_000  # URLs may come from records

State = Literal["open", "half-open", "resting"]


@memoize_for(4096)
def normal_url(url: str) -> str:
    """Return the normal form of a URL, by which instances are compared: `HTTP://Node1:80/` becomes `http://node1`."""
    scheme, separator, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    default_port = {"http": ":80", "https": ":443"}.get(scheme.lower(), "\0")
    return f"{scheme.lower()}{separator}{host.lower().removesuffix(default_port)}{slash}{path}".rstrip("/")


@dataclass(slots=True)
class _Circuit:
    """The circuit of an instance that failed; times are monotonic seconds.

    failures: times of the failures in a row
    row_began: time at which the first of these requests was sent
    opened, refused: numbers of times in a row that it was opened by failures and by refused connections
    """

    failures: deque[float]
    row_began: float = 0.0
    opened: int = 0
    refused: int = 0
    open_until: float = 0.0
    rests_until: float = 0.0
    trial_until: float = 0.0

    @property
    def has_failed(self) -> bool:
        return bool(self.opened or self.refused)

    def is_open(self, now: float) -> bool:
        """Return True while the instance must not be called."""
        return now < self.open_until or now < self.rests_until or now < self.trial_until


@dataclass
class CircuitBreakers:
    """The circuits of all instances, by URL. Safe to use from many threads.

    failures: number of failures in a row that opens a circuit
    clock: returns monotonic seconds
    row_seconds: period in which these failures must occur
    first_seconds, max_seconds: time for which a circuit is open at first; it doubles each time, up to the maximum
    """

    failures: int = FAILURES
    clock: Callable[[], float] = monotonic
    row_seconds: float = ROW_SECONDS
    first_seconds: float = FIRST_SECONDS
    max_seconds: float = MAX_SECONDS
    _circuits: dict[str, _Circuit] = field(default_factory=dict, init=False)  # only of instances that failed

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        reset_after_fork(self)

    def after_fork(self) -> None:
        self._lock = threading.Lock()
        for circuit in self._circuits.values():
            circuit.trial_until = 0.0  # the trial is a call of the parent

    @property
    def all_closed(self) -> bool:
        return not self._circuits

    def is_healthy(self, url: str) -> bool:
        """Return True if the instance has not failed since its last response."""
        return not self._circuits or normal_url(url) not in self._circuits

    def is_open(self, url: str) -> bool:
        """Return True while the instance must not be called, which includes the time of a trial."""
        if not self._circuits:  # the common case
            return False
        circuit = self._circuits.get(normal_url(url))
        return circuit is not None and circuit.is_open(self.clock())

    __contains__ = is_open

    def exclude_open(self, urls: Sequence[str]) -> Sequence[str]:
        """Return the URLs without those whose circuit is open, or all of them if more than half are open.

        If all of them are returned, it is the given sequence itself.
        """
        circuits = self._circuits
        if not circuits:
            return urls
        now = self.clock()
        closed = [url for url in urls if (found := circuits.get(normal_url(url))) is None or not found.is_open(now)]
        return closed if len(urls) > len(closed) >= len(urls) / 2 else urls

    def begin_trial(self, url: str) -> bool:
        """Claim the trial call of a half-open circuit; return False if the circuit is closed or open.

        The caller must report the outcome by one of the methods below.
        """
        if self.is_healthy(url):
            return False
        with self._lock:
            circuit = self._circuits.get(normal_url(url))
            now = self.clock()
            if circuit is None or not circuit.has_failed or now < max(circuit.open_until, circuit.trial_until):
                return False
            circuit.trial_until = now + TRIAL_SECONDS
            return True

    def end_trial(self, url: str) -> None:
        """End a trial without an outcome: it was cancelled, or got no slot."""
        with self._lock:
            if (circuit := self._circuits.get(normal_url(url))) is not None:
                circuit.trial_until = 0.0

    def record_success(self, url: str) -> None:
        """Record a response or a new registration, and close the circuit."""
        if not self.is_healthy(url):
            with self._lock:
                self._circuits.pop(normal_url(url), None)

    def record_failure(self, url: str) -> bool:
        """Record a failure; return True if this call opened the circuit."""
        with self._lock:
            circuit, now = self._circuit(url), self.clock()
            circuit.failures.append(now)
            return self._open_if_due(circuit, now)

    def record_refused(self, url: str) -> bool:
        """Record a refused connection; return True if this call opened the circuit."""
        with self._lock:
            circuit, now = self._circuit(url), self.clock()
            if now < circuit.open_until:  # one of many concurrent calls
                return False
            _open(circuit, now + _double(FIRST_REFUSED_SECONDS, circuit.refused, MAX_REFUSED_SECONDS))
            circuit.refused += 1
            return True

    def record_beaten(self, url: str, began: float) -> bool:
        """Record that a hedge overtook a call to this instance; return True if that opened the circuit.

        began: time at which the call was sent to this instance
        """
        with self._lock:
            circuit, now = self._circuit(url), self.clock()
            if not circuit.failures:
                circuit.row_began = began
            circuit.failures.append(now)
            return circuit.has_failed and self._open_if_due(circuit, now)  # half-open: this call was the trial

    def open_if_unresponsive(self, url: str, last_response: float, seconds: float) -> bool:
        """Open the circuit after enough failures in a row without a response; return True if this call opened it.

        last_response: time of the last response of the instance
        seconds: least time without a response
        """
        with self._lock:
            circuit = self._circuits.get(normal_url(url))
            now = self.clock()
            if circuit is None or now - max(last_response, circuit.row_began) < seconds:
                return False
            return self._open_if_due(circuit, now)

    def rest(self, url: str, seconds: float) -> None:
        """Stop calls to a busy instance for a time, within bounds."""
        with self._lock:
            circuit = self._circuit(url)
            circuit.rests_until = self.clock() + min(max(seconds, MIN_REST_SECONDS), MAX_REST_SECONDS)
            circuit.trial_until = 0.0

    def rest_seconds(self, url: str) -> float:
        """Return the seconds until a busy instance may be called again; 0.0 if it is not busy."""
        circuit = self._circuits.get(normal_url(url))
        return 0.0 if circuit is None else max(0.0, circuit.rests_until - self.clock())

    def states(self) -> Mapping[str, State]:
        """Return the states of the circuits that are not closed, by URL."""
        with self._lock:
            now = self.clock()
            circuits = list(self._circuits.items())
        return {url: state for url, circuit in circuits if (state := _state(circuit, now)) is not None}

    def _circuit(self, url: str) -> _Circuit:
        """Return the circuit of an instance, creating it if necessary. The caller holds the lock."""
        key = normal_url(url)
        circuit = self._circuits.get(key)
        if circuit is None:
            if len(self._circuits) >= MAX_CIRCUITS:
                del self._circuits[next(iter(self._circuits))]
            circuit = self._circuits[key] = _Circuit(deque(maxlen=self.failures))
        return circuit

    def _open_if_due(self, circuit: _Circuit, now: float) -> bool:
        if now < circuit.open_until:
            return False
        if not circuit.has_failed and not self._is_row(circuit, now):
            return False
        _open(circuit, now + _double(self.first_seconds, circuit.opened, self.max_seconds))
        circuit.opened += 1
        return True

    def _is_row(self, circuit: _Circuit, now: float) -> bool:
        """Return True if enough failures occurred within `row_seconds`."""
        failures = circuit.failures
        return len(failures) >= self.failures and now - failures[-self.failures] <= self.row_seconds


def _open(circuit: _Circuit, until: float) -> None:
    circuit.open_until, circuit.trial_until = until, 0.0


def _double(first: float, times: int, limit: float) -> float:
    """Return a time doubled several times, up to a limit."""
    return min(limit, first * 2.0 ** min(times, 30))


def _state(circuit: _Circuit, now: float) -> State | None:
    if now < circuit.open_until:
        return "open"
    if circuit.has_failed:
        return "half-open"
    return "resting" if now < circuit.rests_until else None
