"""The reporter of a client: counts the calls of each instance, and publishes the counts while someone needs them.

A call adds to two integers; everything else is done by a thread, once a second. It publishes

- once a second while a rollout has a version of a model on trial that this client calls: the counts since then;
- every 10 seconds while a circuit is open;
- nothing otherwise, and then the report is withdrawn.

The thread starts with a call, and ends half a minute after the last one.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import uuid
from collections.abc import Callable, Iterable, Mapping
from time import monotonic
from typing import NamedTuple

from stellar.maas.registry import Registry
from stellar.maas.reports import CLOSED, ClientReport, InstanceCounts, ModelReport, now_ms
from stellar.maas.schema import Model, ServiceInstance
from stellar.net.breaker import normal_url
from stellar.util.forks import reset_after_fork

log = logging.getLogger(__name__)

TURN_SECONDS = 1.0
CIRCUITS_SECONDS = 10.0
IDLE_SECONDS = 30.0
MAX_COUNTED = 10_000  # instances; URLs may come from records


Instance = tuple[Model, str]
"""An instance whose calls are counted: its model and URL."""

Counts = Mapping[Instance, tuple[int, int]]
"""Calls and failures of each instance."""


class _Observed(NamedTuple):
    """A rollout of a model, and the counts when this client saw it."""

    rollout: str
    before: Counts


class Reporter:
    """Counts the calls of a client, and reports them to the registry. Safe for threads and forks.

    read_local: returns the counts of calls that are not counted here
    """

    def __init__(self, registry: Registry, read_local: Callable[[], Counts] = dict) -> None:
        self._registry, self._read_local = registry, read_local
        self._is_closed = False
        self.after_fork()
        reset_after_fork(self)

    def after_fork(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[Instance, list[int]] = {}
        self._thread: threading.Thread | None = None
        self._ending = threading.Event()
        self._client = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}".replace("/", "-")
        self._last: Counts = {}
        self._observed: dict[str, _Observed] = {}
        self._called_at = monotonic()
        self._circuits_at = 0.0
        self._is_published = False
        self._last_error = ""

    def count(self, model: Model, url: str, *, failed: bool) -> None:
        """Count a call of an instance."""
        key = model, url
        with self._lock:
            counts = self._counts.get(key)
            if counts is None:
                if len(self._counts) >= MAX_COUNTED:
                    self._counts.clear()
                counts = self._counts[key] = [0, 0]
            counts[0] += 1
            counts[1] += failed
        self.start()

    def start(self) -> None:
        """Start the thread, if it does not run; a circuit was opened, or a call was counted."""
        if self._thread is not None:
            return
        with self._lock:
            if self._thread is None and not self._is_closed:
                self._called_at = monotonic()
                self._thread = threading.Thread(target=self._run, name="model reports", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Withdraw the report, and end the thread."""
        with self._lock:
            self._is_closed = True
            thread = self._thread
        self._ending.set()
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        while not self._ending.wait(TURN_SECONDS):
            self._try_turn()
            with self._lock:
                if monotonic() - self._called_at > IDLE_SECONDS:
                    self._thread = None
                    break
        self._publish(None)

    def _try_turn(self) -> None:
        try:
            self._turn(monotonic())
        except Exception:  # an error in the reports must not end them
            log.exception("can't report the calls of models")

    def _turn(self, now: float) -> None:
        counts = self.read_counts()
        if counts != self._last:
            self._called_at = now
        observed = self._observe(counts)
        models = {name: _since(counts, name, rollout) for name, rollout in observed.items()}
        self._last, self._observed = counts, observed
        if models or (not self._registry.breakers.all_closed and now - self._circuits_at >= CIRCUITS_SECONDS):
            self._circuits_at = now
            if states := self._registry.breakers.states():
                _add_circuits(models, states, self._registry.instances())
        elif not self._registry.breakers.all_closed:
            return
        self._publish(ClientReport(models, now_ms()) if models else None)

    def read_counts(self) -> Counts:
        """Return a copy of the counts."""
        with self._lock:
            counts = {key: (calls, failures) for key, (calls, failures) in self._counts.items()}
        for key, (calls, failures) in self._read_local().items():
            sent, failed = counts.get(key, (0, 0))
            counts[key] = sent + calls, failed + failures
        return counts

    def _observe(self, counts: Counts) -> dict[str, _Observed]:
        """Return the rollouts of the models that this client calls, by model.

        The counts before a new one are those of the previous turn, as calls may have followed its plan since.
        """
        observed = {}
        for name in {model.name for model, _ in counts}:
            plan = self._registry.traffic(name)
            if plan is not None and plan.trial is not None:
                known = self._observed.get(name)
                is_new = known is None or known.rollout != plan.trial.rollout
                observed[name] = _Observed(plan.trial.rollout, self._last) if is_new or known is None else known
        return observed

    def _publish(self, report: ClientReport | None) -> None:
        """Publish a report; None withdraws the last one."""
        try:
            if report is not None:
                self._is_published = True
                self._registry.reports.publish(self._client, report)
            elif self._is_published:
                self._registry.reports.withdraw(self._client)
                self._is_published = False
            self._last_error = ""
        except OSError as error:
            if str(error) != self._last_error:
                log.warning("can't publish the report of this client; rollouts are judged without it: %s", error)
            self._last_error = str(error)


def _since(counts: Counts, name: str, observed: _Observed) -> ModelReport:
    """Return the report of a model with the counts since a rollout was observed."""
    report = ModelReport(observed.rollout)
    for (model, url), count in counts.items():
        if model.name == name:
            before = observed.before.get((model, url), (0, 0))
            calls, failures = (max(0, now - then) for now, then in zip(count, before, strict=True))
            report.versions.setdefault(model.version, {})[url] = InstanceCounts(calls, min(calls, failures))
    return report


def _add_circuits(
    models: dict[str, ModelReport], states: Mapping[str, str], instances: Iterable[ServiceInstance]
) -> None:
    """Add the circuits that are not closed to the reports of their models."""
    for instance in instances:
        state = states.get(normal_url(instance.url), CLOSED)
        if state != CLOSED:
            report = models.setdefault(instance.model.name, ModelReport())
            urls = report.versions.setdefault(instance.model.version, {})
            counts = urls.get(instance.url, InstanceCounts())
            urls[instance.url] = InstanceCounts(counts.calls, counts.failures, state)
