"""The metrics and the health of a service: the models as all services see them, and the instances of this machine."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

from maas_runtime.cli.containers import InstanceDirectory, find_instances
from maas_runtime.cli.models import find_models
from maas_runtime.cli.processes import measure_processes
from maas_runtime.service.rollouts import ROLLOUTS, read_rollout
from maas_runtime.service.service import MARKER, Service
from maas_runtime.state.assignments import AssignmentStore
from maas_runtime.state.backend import Backend
from maas_runtime.state.store import failures_path
from stellar.monitoring.metrics import Metric, MetricSample
from stellar.monitoring.process import collect_process

SAMPLE_SECONDS = 1.0  # for which samples are reused, however often they are requested
SILENT_SECONDS = 120.0  # a turn takes less than a second, or the time-outs of a store that is not available

_MODEL = ("model", "version")
_INSTANCE = (*_MODEL, "id")

LEADING = Metric("stellar_service_leading", "gauge", "1 if this service leads, 0 if it waits for another one to end.")
REQUESTS = Metric(
    "stellar_service_requests_total",
    "counter",
    "Requests of the queue that this service has handled, by outcome: stored or rejected.",
    ("outcome",),
)
WAITING = Metric("stellar_service_waiting_requests", "gauge", "Requests in the queue.")
DESIRED = Metric("stellar_service_desired_instances", "gauge", "Desired instances of each version.", _MODEL)
READY = Metric("stellar_service_ready_instances", "gauge", "Registered instances of each version.", _MODEL)
FAILURES = Metric(
    "stellar_service_instance_failures_total", "counter", "Instances of each version that have failed.", _MODEL
)
ROLLOUT = Metric(
    "stellar_service_rollout", "gauge", "1 for the last rollout of each model, with its state.", ("model", "state")
)
UP = Metric(
    "stellar_instance_up",
    "gauge",
    "1 for each instance of this machine that is registered, 0 for one that starts or ends.",
    _INSTANCE,
)
START = Metric("stellar_instance_start_time_seconds", "gauge", "Time of the start of an instance.", _INSTANCE)
RESTARTS = Metric(
    "stellar_instance_restarts", "gauge", "Failed instances that this one replaces, one after the other.", _INSTANCE
)
MEMORY = Metric("stellar_instance_memory_bytes", "gauge", "Memory of all processes of an instance.", _INSTANCE)
METRICS = (LEADING, REQUESTS, WAITING, DESIRED, READY, FAILURES, ROLLOUT, UP, START, RESTARTS, MEMORY)


class ServiceMetrics:
    """The metrics of a service. Thread-safe.

    directory: that of the registry on this machine, whose `containers` has the instances
    service: the service, as soon as it exists
    role: "leading" or "waiting", as the service was notified last; empty while it starts
    """

    def __init__(self, backend: Backend, directory: Path) -> None:
        self._backend, self._directory = backend, directory
        self._state_store = backend.state_store.copy()
        self.service: Service | None = None
        self.role = ""
        self._lock = threading.Lock()
        self._samples: list[MetricSample] = []
        self._until = 0.0
        self._assignments: AssignmentStore | None = None

    def close(self) -> None:
        """End following the assignments."""
        if self._assignments is not None:
            self._assignments.close()

    def collect(self) -> list[MetricSample]:
        """Return all samples. Raises OSError if the state cannot be read."""
        with self._lock:
            if monotonic() >= self._until:
                self._samples = list(self._read())
                self._until = monotonic() + SAMPLE_SECONDS
            return self._samples

    def _read(self) -> Iterator[MetricSample]:
        yield from collect_process()
        if (service := self.service) is not None:
            yield LEADING.sample(int(service.is_leading))
            yield REQUESTS.sample(service.stored, "stored")
            yield REQUESTS.sample(service.rejected, "rejected")
        yield WAITING.sample(sum(1 for item in self._backend.queue.items() if item.data.strip() != b"null"))
        yield from self._read_models()
        yield from self._read_instances()

    def _read_models(self) -> Iterator[MetricSample]:
        ready = Counter(instance.model for instance in self._backend.registry.instances())
        for model in find_models(self._backend):
            desired = self._state_store.read(f"wanted/{model.name}/{model.version}") or {}
            failed = self._state_store.read(failures_path(model)) or {}
            yield DESIRED.sample(_to_count(desired.get("instances")), *model)
            yield READY.sample(ready[model], *model)
            yield FAILURES.sample(_to_count(failed.get("count")), *model)
        for name in self._state_store.names(ROLLOUTS):
            if (rollout := read_rollout(self._state_store, name)) is not None:
                yield ROLLOUT.sample(1, name, rollout.state)

    def _read_instances(self) -> Iterator[MetricSample]:
        registered = {each.id for each in self._backend.registry.instances()}
        if self._assignments is None:  # followed from the first request on
            self._assignments = AssignmentStore(self._state_store)
        restarts = {each.id: each.restarts for each in self._assignments.read()}
        for each in find_instances(self._directory):
            if not each.failed:
                yield from _read_instance(each, each.id in registered, restarts.get(each.id, 0))

    def find_live_problem(self) -> str | None:
        """Return why the service should be restarted: it leads, and its turns have stopped."""
        if self.service is None or not self.service.is_leading:
            return None
        seconds = self.service.seconds_since_turn
        return f"the service last took a turn {seconds:.0f} s ago; restart it" if seconds > SILENT_SECONDS else None

    def find_ready_problem(self) -> str | None:
        """Return why the service cannot do its work: it starts, or its state cannot be read."""
        if not self.role:
            return "the service is starting"
        try:
            self._state_store.read(MARKER)
        except OSError as error:
            return str(error)
        return None


def _read_instance(instance: InstanceDirectory, is_up: bool, restarts: int) -> Iterator[MetricSample]:
    labels = (*instance.model, instance.id)
    yield UP.sample(int(is_up), *labels)
    yield START.sample(instance.started, *labels)
    yield RESTARTS.sample(restarts, *labels)
    runner = instance.runner_pid
    memory = None if runner is None else measure_processes(runner, instance.id).memory
    if memory is not None:
        yield MEMORY.sample(memory, *labels)


def _to_count(value: object) -> int:
    """Return a stored number; 0 for anything else, which another program may have stored."""
    return value if isinstance(value, int) else 0
