"""The health of an instance that serves: is it still able to respond?

Three checks, each in its turn, by one thread. None has a second one beside it.

1. *Connection*: the model's port accepts a connection. Refused several times in a row: the model closed its port, and
   the instance has failed. A connection that is only slow is no evidence, because the queue of a busy model is full.
2. *Health path*, if one is declared: a response with a status other than 2xx, several times in a row, is a failure.
3. *Liveness*, for models without a health path that have answered an HTTP request before: any response at all is a
   sign of life, also 404.

A request without a response is judged the same way in 2 and 3. A model that handles one call at a time responds when
its queue reaches the request, which may take long, so the request stays open for a minute. The instance has hung only
if all of these are true for that minute:

- it sent no byte;
- its processes used less than 1 % of a core;
- it accepted no connection of others while that of the probe waited to be accepted: the queue of a busy model may be
  so full that the connection of the probe never enters it;
- it had the turn of its model. A common cause, such as a database that all instances wait for, would end all of them
  at once. So a request that is silent for a second takes the turn, if no other instance has it, and only the instance
  with the turn may be ended. The turn ends with its runner.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from maas_runtime.runner.connections import LISTENING, find_port, list_sockets
from maas_runtime.runner.probe import Outcome, Probe
from maas_runtime.runner.reasons import HANG_FIX, HEALTH_FIX, LISTEN_FIX
from maas_runtime.state.phases import Problem
from maas_runtime.state.store import StateStore
from stellar.maas.probe import probe_url
from stellar.maas.schema import Model

log = logging.getLogger(__name__)

PATH = "maas-liveness"  # unknown to models, so that the response is a quick 404
TURN_SECONDS = 1.0
CLOSE_SECONDS = 0.5
IDLE_SHARE = 0.01  # of a core
LIVENESS_CHECKS = 3  # a liveness check instead of every third connection check


class Turn(Protocol):
    """The turn of one instance of a model to be judged."""

    def take(self) -> bool:
        """Take the turn unless another instance has it; return whether this one has it now."""

    def release(self) -> None:
        """Give the turn to others."""


class AlwaysMyTurn:
    """The turn of a model with one instance."""

    def take(self) -> bool:
        return True

    def release(self) -> None:
        """Do nothing."""


class ModelTurn:
    """The turn of one instance of a model to be judged, as a claim in the state store."""

    def __init__(self, state_store: StateStore, model: Model) -> None:
        self._state_store, self._path = state_store, f"turns/{model.name}"
        self._is_taken = False

    def take(self) -> bool:
        self._is_taken = self._state_store.claim(self._path)
        return self._is_taken

    def release(self) -> None:
        if self._is_taken:
            self._is_taken = False
            self._state_store.unpublish(self._path)


@dataclass(frozen=True)
class HealthLimits:
    """Limits of health checks.

    interval: seconds between two checks
    misses: failed checks in a row after which the instance has failed
    hang: seconds without a byte after which an idle instance has hung
    """

    interval: float = 5.0
    misses: int = 3
    hang: float = 60.0


class HealthMonitor:
    """The health checks of an instance, in a thread.

    url: of the model
    health: path of the health check, relative to the URL; None for a liveness check, False for a connection check only
    measure_cpu: returns the CPU time used by the model's processes, in seconds; None if the system does not report it
    inspect: called after each check, for a problem of another kind
    changed: called when `problem`, `failure` or the result of `inspect` changed, in the thread of the checks

    problem: why the instance does not respond at present; None if it does
    failure: why the instance must end; None as long as it need not
    has_begun: set after the first liveness check, or after a second or two of it
    """

    def __init__(
        self,
        url: str,
        health: str | bool | None,
        measure_cpu: Callable[[], float | None],
        turn: Turn | None = None,
        limits: HealthLimits | None = None,
        *,
        inspect: Callable[[], object] = lambda: None,
        changed: Callable[[], object] = lambda: None,
    ) -> None:
        self.problem: Problem | None = None
        self.failure: Problem | None = None
        self.speaks_http = False
        self.has_begun = threading.Event()
        self._url, self._health = url, health
        self._measure_cpu = measure_cpu
        self._turn: Turn = turn or AlwaysMyTurn()
        self._limits = limits or HealthLimits()
        self._inspect, self._changed = inspect, changed
        self._last: object = (None, None, None)
        self._turn_seconds = min(TURN_SECONDS, self._limits.hang / 2)
        self._misses = self._checks = 0
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    # --- readiness

    def check_ready(self, seconds: float = 2.0) -> Problem | None:
        """Return why the instance is not ready, or None if it is: it listens or, with a health path, responds there."""
        if not isinstance(self._health, str):
            return None if probe_url(self._url) == "listens" else self._not_listening()
        outcome = Probe(self._resolve(self._health)).send(seconds)
        return None if outcome.is_2xx else self._explain(outcome)

    # --- while it serves

    def start(self) -> None:
        """Begin to check in a thread."""
        self._thread = threading.Thread(target=self._run, name="health check", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End all checks, also one that is open."""
        self._closed.set()
        if self._thread is not None:
            self._thread.join(CLOSE_SECONDS)

    def _run(self) -> None:
        if self._health is None:
            self._guard(self._try_http)
        self.has_begun.set()
        while not self._closed.wait(self._limits.interval):
            self._guard(self.check)
            self._notify()

    def _guard(self, check: Callable[[], None]) -> None:
        try:
            check()
        except Exception:  # the thread must survive, to check later
            log.exception("a health check raised an error")

    def _notify(self) -> None:
        current = (self.problem, self.failure, self._inspect())
        if current != self._last:
            self._last = current
            self._changed()

    def check(self) -> None:
        """Check once, and update `problem` and `failure`."""
        self._checks += 1
        if isinstance(self._health, str):
            self._check_path(self._health)
        elif self.speaks_http and self._checks % LIVENESS_CHECKS == 0:
            self._check_liveness()
        else:
            self._check_connection()

    def _try_http(self) -> None:
        """Find out whether the model speaks HTTP. A model that does not answer is never probed again."""

        def wait(elapsed: float) -> bool:
            if elapsed >= self._turn_seconds:
                self.has_begun.set()
            return not self._closed.is_set()

        outcome = Probe(self._resolve(PATH)).send(self._limits.hang, wait)
        self.speaks_http = outcome.kind == "response"
        if outcome.kind not in ("response", "abandoned"):
            log.info("%s did not respond to an HTTP request; its liveness is not checked", self._url)

    def _check_connection(self) -> None:
        if (result := probe_url(self._url)) == "refused":
            self._record_miss(self._not_listening())
        elif result == "listens":
            self._record_success()

    def _check_path(self, path: str) -> None:
        outcome = self._probe(self._resolve(path))
        if outcome.is_2xx:
            self._record_success()
        elif outcome.kind not in ("silent", "abandoned"):
            self._record_miss(self._explain(outcome))

    def _check_liveness(self) -> None:
        outcome = self._probe(self._resolve(PATH))
        if outcome.kind == "refused":
            self._record_miss(self._not_listening())
        elif outcome.kind not in ("silent", "abandoned"):
            self._record_success()

    def _record_success(self) -> None:
        self._misses, self.problem = 0, None

    def _record_miss(self, problem: Problem) -> None:
        self._misses += 1
        self.problem = problem
        if self._misses >= self._limits.misses:
            self.failure = problem

    # --- a request without a response

    def _probe(self, url: str) -> Outcome:
        """Send a request; set `failure` if the instance has hung."""
        watch = SilenceWatch(url, self._measure_cpu, self._turn, self._turn_seconds)
        outcome = watch.probe.send(self._limits.hang, lambda elapsed: self._watch(watch, elapsed))
        try:
            if outcome.kind == "silent":
                self._judge(watch, outcome)
        finally:
            if self.failure is None:
                self._release_turn()
        return outcome

    def _release_turn(self) -> None:
        try:
            self._turn.release()
        except OSError as error:  # it ends with the session
            log.warning("cannot give up the turn to be judged: %s", error)

    def _watch(self, watch: SilenceWatch, elapsed: float) -> bool:
        watch.update(elapsed)
        if elapsed >= self._turn_seconds and not watch.probe.received:
            self.problem = Problem(f"no response from {watch.probe.url} yet", HANG_FIX)
            self._notify()
        return not self._closed.is_set()

    def _judge(self, watch: SilenceWatch, outcome: Outcome) -> None:
        silence = f"no byte from {watch.probe.url} in {outcome.seconds:.0f} s"
        if (doubt := watch.find_doubt(outcome.seconds)) is not None:
            log.info("%s, but %s", silence, doubt)
            return
        self.failure = self.problem = Problem(f"it hung: {silence}, and its processes were idle", HANG_FIX)

    # --- messages

    def _resolve(self, path: str) -> str:
        return f"{self._url.partition('?')[0].rstrip('/')}/{path}"

    def _not_listening(self) -> Problem:
        return Problem(f"no server is listening at {self._url}", LISTEN_FIX)

    def _explain(self, outcome: Outcome) -> Problem:
        """Return the problem of a health check without a 2xx status."""
        url = self._resolve(str(self._health))
        if outcome.kind == "refused":
            return self._not_listening()
        if outcome.kind == "response":
            return Problem(f"the health check returns {outcome.status} at {url}", HEALTH_FIX)
        said = {"silent": "no response", "closed": "a closed connection"}.get(outcome.kind, "no complete HTTP response")
        return Problem(f"the health check gets {said} at {url}", HEALTH_FIX)


class SilenceWatch:
    """The evidence about an instance while its response to a probe is awaited."""

    def __init__(self, url: str, measure_cpu: Callable[[], float | None], turn: Turn, turn_seconds: float) -> None:
        self.probe = Probe(url)
        self._turn_seconds = turn_seconds
        self._port = find_port(url)
        self._measure_cpu, self._turn = measure_cpu, turn
        self._cpu = measure_cpu()
        self._has_turn: bool | None = None  # None until the probe has been silent for a while
        self._accepted: set[int] | None = None  # connections of others at the start
        self._accepts = False

    def update(self, elapsed: float) -> None:
        """Take the turn when it is time, and look at the connections of others."""
        if self._has_turn is None and elapsed >= self._turn_seconds:
            self._has_turn = self._take_turn()
        accepted = self._list_accepted()
        if accepted is not None:
            self._accepts |= self._accepted is not None and not accepted <= self._accepted
            self._accepted = accepted | (self._accepted or set())

    def find_doubt(self, seconds: float) -> str | None:
        """Return why the instance may be alive after so many seconds without a response, or None."""
        now = self._measure_cpu()
        if now is None or self._cpu is None:
            return "the system does not report the CPU time of its processes"
        if (share := (now - self._cpu) / seconds) >= IDLE_SHARE:
            return f"its processes used {share:.0%} of a core"
        if self._accepts:
            return "it accepted other connections"
        if not self._has_turn:
            return "another instance of the model is being judged"
        return None

    def _take_turn(self) -> bool:
        try:
            return self._turn.take()
        except OSError as error:
            log.warning("cannot take the turn to be judged: %s", error)
            return False

    def _list_accepted(self) -> set[int] | None:
        """Return the accepted connections of others; None once that of the probe is accepted."""
        sockets = [each for each in list_sockets(self._port) if each.state != LISTENING and each.inode]
        if any(each.peer_port == self.probe.own_port for each in sockets):
            return None
        return {each.inode for each in sockets}
