"""Circuit breakers: which instances to leave alone for a while, because they failed.

A circuit is closed while its instance answers. It opens

- after 3 failures in a row within 10 seconds, for 1, 2, 4 … seconds, at most 10 minutes;
- after one refused connection, for 0.1, 0.2, 0.4 … seconds, at most 30;
- when the instance asked to be left alone, for as long as it said, at most 5 seconds. This is no failure.

When that time has passed the circuit is half-open: one real call decides. An answer closes the circuit, and so does a
new registration at the same address; a failure opens it for twice as long.

That a second instance was quicker (a hedge that won) is weak evidence, since any process may be paused for a moment. It
counts as a failure in a row, but opens a circuit only once the instance has answered nothing for some time.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from time import monotonic
from typing import Literal

from stellar.util.forks import reset_after_fork

FAILURES = 3
ROW_SECONDS = 10.0
FIRST_SECONDS, MAX_SECONDS = 1.0, 600.0
FIRST_REFUSED_SECONDS, MAX_REFUSED_SECONDS = 0.1, 30.0
MIN_REST_SECONDS, MAX_REST_SECONDS = 0.05, 5.0  # whatever a busy instance says
TRIAL_SECONDS = 60.0  # a trial that never reports back, because its caller was killed, is over then
MAX_CIRCUITS = 10_000  # addresses may come from records

State = Literal["open", "half-open", "resting"]


@lru_cache(4096)
def normal_url(url: str) -> str:
    """Return a URL in the one spelling by which it is recognised: `HTTP://Node1:80/` is `http://node1`."""
    scheme, separator, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    default_port = {"http": ":80", "https": ":443"}.get(scheme.lower(), "\0")
    return f"{scheme.lower()}{separator}{host.lower().removesuffix(default_port)}{slash}{path}".rstrip("/")


@dataclass(slots=True)
class _Circuit:
    """The state of the circuit of an address that failed; times are monotonic seconds.

    failures: times of the failures in a row
    row_began: when the first request of these was sent
    opened, refused: how often in a row it was opened for failures, and for refused connections
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


@dataclass
class CircuitBreakers:
    """The circuits of all instances, by URL. Safe to use from many threads.

    failures: the number of failures in a row that opens a circuit
    clock: monotonic seconds
    row_seconds: the seconds within which these failures must occur
    first_seconds, max_seconds: for how long it is open at first, which doubles each time, and at most
    """

    failures: int = FAILURES
    clock: Callable[[], float] = monotonic
    row_seconds: float = ROW_SECONDS
    first_seconds: float = FIRST_SECONDS
    max_seconds: float = MAX_SECONDS
    _circuits: dict[str, _Circuit] = field(default_factory=dict, init=False)  # only of addresses that failed

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        reset_after_fork(self)

    def after_fork(self) -> None:
        self._lock = threading.Lock()
        for circuit in self._circuits.values():
            circuit.trial_until = 0.0  # the parent's call

    @property
    def all_closed(self) -> bool:
        return not self._circuits

    def is_open(self, url: str) -> bool:
        """True while the instance is to be left alone, also because one call is finding out whether it answers."""
        if not self._circuits:  # as usual
            return False
        circuit = self._circuits.get(normal_url(url))
        return circuit is not None and self.clock() < max(circuit.open_until, circuit.rests_until, circuit.trial_until)

    __contains__ = is_open

    def closed(self, urls: Sequence[str]) -> Sequence[str]:
        """Return those of a version's instances to choose from: all of them if more than half are open."""
        if not self._circuits:
            return urls
        closed = [url for url in urls if not self.is_open(url)]
        return closed if 2 * len(closed) >= len(urls) else urls

    def begin_trial(self, url: str) -> bool:
        """Claim the one call that decides about a half-open circuit; False if the circuit is closed or open.

        The outcome must be reported by one of the methods below.
        """
        if not self._circuits:
            return False
        with self._lock:
            circuit = self._circuits.get(normal_url(url))
            now = self.clock()
            if circuit is None or not circuit.has_failed or now < max(circuit.open_until, circuit.trial_until):
                return False
            circuit.trial_until = now + TRIAL_SECONDS
            return True

    def end_trial(self, url: str) -> None:
        """Report that the trial decided nothing: it was cancelled, or found no room."""
        with self._lock:
            if (circuit := self._circuits.get(normal_url(url))) is not None:
                circuit.trial_until = 0.0

    def record_success(self, url: str) -> None:
        """Report an answer, or a new registration: the circuit is closed."""
        if self._circuits:
            with self._lock:
                self._circuits.pop(normal_url(url), None)

    def record_failure(self, url: str) -> bool:
        """Report a failure; return True if it opened the circuit."""
        with self._lock:
            circuit, now = self._circuit(url), self.clock()
            circuit.failures.append(now)
            return self._open_if_due(circuit, now)

    def record_refused(self, url: str) -> bool:
        """Report a refused connection; return True if it opened the circuit."""
        with self._lock:
            circuit, now = self._circuit(url), self.clock()
            if now < circuit.open_until:  # one of many at the same time
                return False
            _open(circuit, now + _double(FIRST_REFUSED_SECONDS, circuit.refused, MAX_REFUSED_SECONDS))
            circuit.refused += 1
            return True

    def record_beaten(self, url: str, began: float) -> bool:
        """Report that another instance was quicker though it was called later; return True if it opened the circuit.

        began: when the call was sent to this one
        """
        with self._lock:
            circuit, now = self._circuit(url), self.clock()
            if not circuit.failures:
                circuit.row_began = began
            circuit.failures.append(now)
            return circuit.has_failed and self._open_if_due(circuit, now)  # it was the trial

    def open_if_silent(self, url: str, last_answer: float, seconds: float) -> bool:
        """Open the circuit if there were enough failures in a row and no answer for so long; True if that opened it.

        last_answer: when the instance answered last
        """
        with self._lock:
            circuit = self._circuits.get(normal_url(url))
            now = self.clock()
            if circuit is None or now - max(last_answer, circuit.row_began) < seconds:
                return False
            return self._open_if_due(circuit, now)

    def rest(self, url: str, seconds: float) -> None:
        """Leave an instance alone that said it is busy."""
        with self._lock:
            circuit = self._circuit(url)
            circuit.rests_until = self.clock() + min(max(seconds, MIN_REST_SECONDS), MAX_REST_SECONDS)
            circuit.trial_until = 0.0

    def rest_of(self, url: str) -> float:
        """Return the seconds for which a busy instance still wants to be left alone."""
        circuit = self._circuits.get(normal_url(url))
        return 0.0 if circuit is None else max(0.0, circuit.rests_until - self.clock())

    def states(self) -> Mapping[str, State]:
        """Return the addresses whose circuit is not closed."""
        with self._lock:
            now = self.clock()
            known = list(self._circuits.items())
        return {url: state for url, circuit in known if (state := _state(circuit, now)) is not None}

    def _circuit(self, url: str) -> _Circuit:
        """The circuit of an address, for the lock's holder to change."""
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
        """True if there were enough failures within the last seconds."""
        failures = circuit.failures
        return len(failures) >= self.failures and now - failures[-self.failures] <= self.row_seconds


def _open(circuit: _Circuit, until: float) -> None:
    circuit.open_until, circuit.trial_until = until, 0.0


def _double(first: float, times: int, limit: float) -> float:
    """Return the seconds after so many doublings."""
    return min(limit, first * 2.0 ** min(times, 30))


def _state(circuit: _Circuit, now: float) -> State | None:
    if now < circuit.open_until:
        return "open"
    if circuit.has_failed:
        return "half-open"
    return "resting" if now < circuit.rests_until else None
