"""The instances of a model as an operator sees them: registrations, and directories and processes of this machine."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from maas_runtime.cli.containers import InstanceDirectory, find_instances
from maas_runtime.cli.output import make_printable
from maas_runtime.cli.processes import ProcessUsage, measure_processes
from stellar.maas.probe import probe_url
from stellar.maas.registry import Registry
from stellar.maas.schema import Model, ServiceInstance

READY, STARTING, ENDING = "ready", "starting", "ending"
_NO_USAGE = ProcessUsage(None, None)


@dataclass(frozen=True)
class InstanceStatus:
    """An instance of a model.

    number: its position among the instances of the model, for `maas logs --instance`
    state: `ready` if it is registered, else `starting`; `ending` if its runner has ended
    pid, runner_pid, memory: of an instance on this machine; memory in bytes
    uptime: seconds since it was registered, or else since it was started
    probe: result of a connection to its port now; None for one that is not registered
    """

    number: int
    id: str
    version: str
    state: str
    host: str | None
    port: int | None
    url: str | None
    pid: int | None
    runner_pid: int | None
    uptime: float
    memory: int | None
    probe: str | None

    def to_fields(self) -> dict[str, Any]:
        return asdict(self)


def read_instances(registry: Registry, directory: Path, name: str) -> list[InstanceStatus]:
    """Return the instances of a model, oldest first: registered ones, and others of this machine.

    directory: the registry's directory on this machine, whose `containers` has the instances
    """
    local = {each.id: each for each in find_instances(directory, name) if not each.failed}
    registered = {each.id: each for each in registry.instances(name)}
    ids = _sort_ids(registered, local)
    with ThreadPoolExecutor(32, "probe") as pool:
        rows = [(number, registered.get(id), local.get(id)) for number, id in enumerate(ids, 1)]
        return list(pool.map(lambda row: _read_instance(*row), rows))


def list_ids(registry: Registry, directory: Path, name: str) -> list[str]:
    """Return the ids of the instances that `read_instances` returns, in its order."""
    local = {each.id: each for each in find_instances(directory, name) if not each.failed}
    return _sort_ids({each.id: each for each in registry.instances(name)}, local)


def _sort_ids(registered: Mapping[str, ServiceInstance], local: Mapping[str, InstanceDirectory]) -> list[str]:
    began = {
        **{id: instance.registration_time_utc / 1000 for id, instance in registered.items()},
        **{id: each.started for id, each in local.items()},
    }
    return sorted(began, key=lambda id: (began[id], id))


def _read_instance(number: int, registered: ServiceInstance | None, local: InstanceDirectory | None) -> InstanceStatus:
    runner = local.runner_pid if local else None
    id = registered.id if registered else local.id if local else ""
    usage = measure_processes(runner, id) if runner else _NO_USAGE
    return InstanceStatus(
        number,
        id,
        _find_model(registered, local).version,
        READY if registered else STARTING if runner else ENDING,
        registered.address if registered else None,
        registered.port if registered else None,
        registered.url if registered else None,
        usage.pid,
        runner,
        max(0.0, time.time() - _find_start(registered, local)),
        usage.memory,
        probe_url(registered.url) if registered else None,
    )


def _find_model(registered: ServiceInstance | None, local: InstanceDirectory | None) -> Model:
    known = registered or local
    assert known is not None
    return known.model


def _find_start(registered: ServiceInstance | None, local: InstanceDirectory | None) -> float:
    """Return the time of registration, or else of the start, in seconds since the epoch."""
    return registered.registration_time_utc / 1000 if registered else local.started if local else time.time()


HEADINGS = ("no", "instance", "version", "state", "host", "port", "pid", "uptime", "memory", "probe")


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
            "-" if each.memory is None else f"{each.memory / 1e6:.0f} MB",
            each.probe or "-",
        )
        for each in instances
    ]
    return [HEADINGS, *(tuple(map(make_printable, row)) for row in rows)]


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
