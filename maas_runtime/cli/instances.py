"""The instances of a model as an operator sees them.

An instance may be known by its registration, its directory and processes on this machine, what its runner publishes,
and the reports of clients. Each of these may be missing.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from maas_runtime.cli.containers import InstanceDirectory, find_instances
from maas_runtime.cli.output import make_printable
from maas_runtime.cli.processes import ProcessUsage, measure_processes
from maas_runtime.cli.reports import ReportedCalls, count_circuits
from maas_runtime.state.assignments import AssignmentStore
from maas_runtime.state.backend import Backend
from maas_runtime.state.phases import InstancePhase, read_phases
from maas_runtime.state.store import StateStore
from stellar.maas.probe import probe_url
from stellar.maas.schema import ServiceInstance

READY, STARTING, ENDING = "ready", "starting", "ending"
_NO_USAGE = ProcessUsage(None, None)


@dataclass(frozen=True)
class InstanceStatus:
    """An instance of a model.

    number: its position among the instances of the model, for `maas logs --instance`
    state: the phase that its runner publishes; else `ready` if it is registered, `ending` if its runner has ended
    reason, fix: why it is not ready
    pid, runner_pid, memory: of an instance on this machine; memory in bytes
    uptime: seconds since it was registered, or else since it was started
    probe: result of a connection to its port now; None for one that is not registered
    restarts: number of failed instances that it replaces, one after the other; None if its service does not record it
    breaker: number of clients by the state of their circuit, of those that report it
    """

    number: int
    id: str
    version: str
    state: str
    reason: str
    fix: str
    host: str | None
    port: int | None
    url: str | None
    pid: int | None
    runner_pid: int | None
    uptime: float
    restarts: int | None
    memory: int | None
    probe: str | None
    breaker: Mapping[str, int]

    def to_fields(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class _Sources:
    """What is known of the instances of a model, by id."""

    registered: Mapping[str, ServiceInstance]
    local: Mapping[str, InstanceDirectory]
    phases: Mapping[str, InstancePhase]
    restarts: Mapping[str, int]

    @classmethod
    def read(cls, backend: Backend, directory: Path, name: str) -> _Sources:
        return cls(
            {each.id: each for each in backend.registry.instances(name)},
            {each.id: each for each in find_instances(directory, name) if not each.failed},
            {each.id: each for each in read_phases(backend.state_store, name)},
            _read_restarts(backend.state_store, name),
        )

    def list_ids(self) -> list[str]:
        """Return the ids of all instances, oldest first."""
        began = {id: self.find_start(id) for id in {*self.registered, *self.local, *self.phases}}
        return sorted(began, key=lambda id: (began[id], id))

    def find_start(self, id: str) -> float:
        """Return the time at which an instance was started, or else registered, in seconds since the epoch."""
        if id in self.local:
            return self.local[id].started
        return self.registered[id].registration_time_utc / 1000 if id in self.registered else self.phases[id].since

    def find_ready_time(self, id: str) -> float:
        """Return the time at which an instance was registered, or else started, in seconds since the epoch."""
        return self.registered[id].registration_time_utc / 1000 if id in self.registered else self.find_start(id)

    def find_version(self, id: str) -> str:
        known = self.registered.get(id) or self.local.get(id)
        return known.model.version if known else self.phases[id].model.version


def _read_restarts(state_store: StateStore, name: str) -> dict[str, int]:
    """Return how many failed instances each instance of a model replaces, by id."""
    with AssignmentStore(state_store) as stored:
        return {each.id: each.restarts for each in stored.read() if each.model.name == name}


def list_ids(backend: Backend, directory: Path, name: str) -> list[str]:
    """Return the ids of the instances that `read_instances` returns, in its order."""
    return _Sources.read(backend, directory, name).list_ids()


def read_instances(backend: Backend, directory: Path, name: str, reports: list[ReportedCalls]) -> list[InstanceStatus]:
    """Return the instances of a model, oldest first.

    directory: the registry's directory on this machine, whose `containers` has the instances
    reports: what clients report about the model
    """
    sources, circuits = _Sources.read(backend, directory, name), count_circuits(reports)
    with ThreadPoolExecutor(32, "probe") as pool:
        rows = enumerate(sources.list_ids(), 1)
        return list(pool.map(lambda row: _read_instance(row[0], row[1], sources, circuits), rows))


def _read_instance(number: int, id: str, sources: _Sources, circuits: Mapping[str, Counter[str]]) -> InstanceStatus:
    registered, local, phase = sources.registered.get(id), sources.local.get(id), sources.phases.get(id)
    runner = local.runner_pid if local else None
    usage = measure_processes(runner, id) if runner else _NO_USAGE
    url = registered.url if registered else None
    return InstanceStatus(
        number,
        id,
        sources.find_version(id),
        (phase.phase if phase else "") or (READY if registered else STARTING if runner else ENDING),
        phase.reason if phase else "",
        phase.fix if phase else "",
        registered.address if registered else phase.host or None if phase else None,
        registered.port if registered else None,
        url,
        usage.pid,
        runner or (phase.pid or None if phase else None),
        max(0.0, time.time() - sources.find_ready_time(id)),
        sources.restarts.get(id),
        usage.memory,
        probe_url(url) if url else None,
        dict(circuits.get(url or "", ())),
    )


HEADINGS = (
    "no",
    "instance",
    "version",
    "state",
    "host",
    "port",
    "pid",
    "uptime",
    "restarts",
    "memory",
    "probe",
    "breaker",
)


def format_instances(instances: Sequence[InstanceStatus]) -> list[tuple[str, ...]]:
    """Return the rows of a table of instances, with headings."""
    rows = [
        (
            str(each.number),
            each.id,
            each.version,
            each.state,
            each.host or "-",
            _format_optional(each.port),
            _format_optional(each.pid),
            format_duration(each.uptime),
            _format_optional(each.restarts),
            "-" if each.memory is None else f"{each.memory / 1e6:.0f} MB",
            each.probe or "-",
            ", ".join(f"{state} ({clients})" for state, clients in sorted(each.breaker.items())) or "-",
        )
        for each in instances
    ]
    return [HEADINGS, *(tuple(map(make_printable, row)) for row in rows)]


def describe_problems(instances: Sequence[InstanceStatus]) -> list[str]:
    """Return a line for each instance with a reason for not being ready."""
    return [
        f"{each.id}: {each.state}: {each.reason}" + (f"; {each.fix}" if each.fix else "")
        for each in instances
        if each.reason
    ]


def _format_optional(number: int | None) -> str:
    return "-" if number is None else str(number)


def format_duration(seconds: float) -> str:
    """Return a duration in its two largest units, such as `2 h 5 min`."""
    rest = int(seconds)
    found: list[str] = []
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1)):
        count, rest = divmod(rest, size)
        if count or (unit == "s" and not found):
            found.append(f"{count} {unit}")
        elif found:
            break
    return " ".join(found[:2])
