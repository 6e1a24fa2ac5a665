"""A deployer that assigns instances to hosts; the agent of each host starts and stops its own.

The number of instances that run is that of the assignments. An instance counts until there is evidence that it is gone:

- Its agent reports that it has ended.
- Both its registration and its agent's session have been gone for ABSENT_SECONDS. One alone does not count: a service
  may be restarted or paused while its instances serve, and an instance is not registered before it is ready. The time
  is for sessions that expired together, because ZooKeeper or the network did not respond, and begin again.

A missing node does not count either. If someone deletes it, or ZooKeeper loses its data, the instance counts for
RESTORE_SECONDS, until its agent has stored the assignment again; and as long as it is registered.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from maas_runtime.deployers import Deployment
from maas_runtime.errors import DeployError
from maas_runtime.state.assignments import Assignment, AssignmentStore, make_id
from maas_runtime.state.store import StateStore
from maas_runtime.store.base import ModelStore
from stellar.maas.registry import Registry
from stellar.maas.schema import Model

log = logging.getLogger(__name__)

AGENTS = "agents"
HOSTS_SECONDS = 0.25  # how long the list of hosts is used again
ABSENT_SECONDS = 3.0
RESTORE_SECONDS = 15.0
END_SECONDS = 30.0  # until `scale` returns although an instance has not ended
NOMINAL_MB = 512  # of an instance without a limit, when hosts are compared
REFUSAL_SECONDS = 60.0  # during which a host that could not start a deployment gets no more of its instances


@dataclass(frozen=True)
class Host:
    """A host whose agent lives.

    memory: offered for instances, in MB
    devices: GPUs offered for instances, as in CUDA_VISIBLE_DEVICES
    """

    id: str
    name: str
    memory: int
    devices: tuple[str, ...] = ()

    @classmethod
    def from_object(cls, id: str, entry: Mapping[str, object]) -> Host | None:
        """Return the host in a published object; None, with a warning, for an invalid one."""
        name, memory, devices = entry.get("host"), entry.get("memory"), entry.get("devices", [])
        if (
            isinstance(name, str)
            and type(memory) is int
            and memory >= 0
            and isinstance(devices, list)
            and all(isinstance(device, str) for device in devices)
        ):
            return cls(id, name, memory, tuple(devices))
        log.warning("invalid host %s, ignored: expected host, memory and devices, got %s", id, str(entry)[:200])
        return None


def read_hosts(state_store: StateStore) -> dict[str, Host]:
    """Return the hosts whose agents live, by id."""
    found = state_store.read_published(AGENTS)
    hosts = (Host.from_object(id, entry) for id, entry in found.items())
    return {host.id: host for host in hosts if host is not None}


class _Refusal(NamedTuple):
    """The reason why a host could not start a deployment, and when it may be tried again."""

    reason: str
    until: float


class _Vanished(NamedTuple):
    """An assignment whose node is missing, since a time."""

    assignment: Assignment
    since: float


@dataclass
class AssigningDeployer:
    """A deployer that assigns instances to the hosts whose agents live, by the memory that they offer.

    changed: called in another thread when an assignment has changed, if the state store notices it
    clock: monotonic time in seconds
    """

    state_store: StateStore
    registry: Registry
    store: ModelStore
    changed: Callable[[], object] = lambda: None
    clock: Callable[[], float] = time.monotonic
    _locks: defaultdict[Model, threading.Lock] = field(default_factory=lambda: defaultdict(threading.Lock), init=False)

    def __post_init__(self) -> None:
        self._assigned = AssignmentStore(self.state_store, self.changed)
        self._reading = threading.RLock()
        self._read: object = None  # the list of assignments that was read last
        self._assignments: dict[str, Assignment] = {}
        self._by_model: dict[Model, list[Assignment]] = {}
        self._vanished: dict[str, _Vanished] = {}
        self._deleted: set[str] = set()
        self._refusals: dict[tuple[str, str], _Refusal] = {}
        self._restarts: defaultdict[Model, list[int]] = defaultdict(list)  # of failed instances, for their successors
        self._absent: dict[str, float] = {}  # since when neither agent nor registration of an instance exists
        self._hosts: dict[str, Host] = {}
        self._hosts_read = float("-inf")

    def begin(self) -> None:
        """Forget how long instances were absent: nobody looked for them until now."""
        self._absent.clear()

    def close(self) -> None:
        """End following the assignments."""
        self._assigned.close()

    # --- the number of instances

    def running(self, model: Model) -> int:
        return len(self._list_active(model))

    def scale(self, deployment: Deployment, instances: int) -> None:
        model = deployment.model
        with self._locks[model]:
            active = self._list_active(model)
            lost = [each for each in self._list_assigned(model) if each.is_active and each not in active]
            surplus = self._sort_for_removal(deployment, active)[: max(0, len(active) - instances)]
            self._end([*lost, *surplus], deployment.epoch)
            if (missing := instances - len(active)) > 0:
                self._assign(deployment, missing)
            else:
                self._restarts.pop(model, None)
            if surplus:
                self._await_end(surplus)

    def take_restored(self) -> list[Deployment]:
        """Return the deployments of the assignments that agents stored again, and mark these as adopted."""
        with self._reading:
            self._refresh()
            restored = [each for each in self._assignments.values() if each.restored]
            self._assigned.write(*(replace(assignment, restored=False) for assignment in restored))
        return [_make_deployment(each) for each in restored if each.is_active]

    def _list_active(self, model: Model) -> list[Assignment]:
        """Return the desired assignments of a model that run or will, including those that vanished just now."""
        assigned = [each for each in self._list_assigned(model) if each.is_active]  # also finds those that vanished
        vanished = [each for each in self._vanished.values() if each.assignment.model == model]
        hosts = self._read_hosts()
        if not vanished and all(each.owner in hosts for each in assigned):
            return assigned
        registered = {instance.id for instance in self.registry.instances(*model)}
        found = [each for each in assigned if self._may_run(each, hosts, registered)]
        for assignment, since in vanished:
            is_recent = assignment.owner in hosts and self.clock() - since < RESTORE_SECONDS
            if assignment.is_active and (is_recent or assignment.id in registered):
                found.append(assignment)
            elif not is_recent:
                self._vanished.pop(assignment.id, None)
        return found

    def _may_run(self, assignment: Assignment, hosts: Mapping[str, Host], registered: Set[str]) -> bool:
        """Return whether an instance exists, or did until recently."""
        if assignment.owner in hosts or assignment.id in registered:
            self._absent.pop(assignment.id, None)
            return True
        return self.clock() - self._absent.setdefault(assignment.id, self.clock()) < ABSENT_SECONDS

    def _list_assigned(self, model: Model) -> list[Assignment]:
        with self._reading:
            self._refresh()
            return self._by_model.get(model, [])

    def _sort_for_removal(self, deployment: Deployment, active: list[Assignment]) -> list[Assignment]:
        if len(active) < 2:
            return active
        ready = {instance.id for instance in self.registry.instances(*deployment.model)}

        def rank(assignment: Assignment) -> tuple[bool, bool, str]:
            has_its_files = not deployment.content or assignment.content == deployment.content
            return assignment.id in ready, has_its_files, assignment.id

        return sorted(active, key=rank)

    # --- changes

    def _end(self, assignments: Iterable[Assignment], epoch: int) -> None:
        with self._reading:
            self._assigned.write(*(each.end_by(epoch) for each in assignments))

    def _assign(self, deployment: Deployment, count: int) -> None:
        self.store.script(deployment.files)
        content = deployment.content or self.store.snapshot(deployment.path)
        created: list[Assignment] = []
        try:
            for _ in range(count):
                host, devices = self._choose_host(deployment, content, created)
                failed = self._restarts[deployment.model]
                created.append(
                    Assignment(
                        deployment.model,
                        make_id(),
                        host.id,
                        deployment.epoch,
                        deployment.path,
                        content,
                        deployment.memory,
                        warm_up=deployment.warm_up,
                        devices=devices,
                        restarts=failed.pop(0) if failed else 0,
                    )
                )
        finally:  # as many as possible
            with self._reading:
                self._assigned.write(*created)

    def _await_end(self, assignments: list[Assignment]) -> None:
        """Wait until the agents have ended instances; not for an agent that does not live."""
        waiting = {each.id: each for each in assignments}
        deadline = time.monotonic() + END_SECONDS
        while waiting and time.monotonic() < deadline:
            with self._reading:
                self._refresh()
                hosts = self._read_hosts()
                waiting = {id: each for id, each in waiting.items() if id in self._assignments and each.owner in hosts}
            if waiting:
                time.sleep(0.02)

    # --- hosts

    def _read_hosts(self) -> dict[str, Host]:
        if self.clock() - self._hosts_read >= HOSTS_SECONDS:
            self._hosts = read_hosts(self.state_store)
            self._hosts_read = self.clock()
        return self._hosts

    def _choose_host(
        self, deployment: Deployment, content: str, created: list[Assignment]
    ) -> tuple[Host, tuple[str, ...]]:
        """Return the host for an instance, and which of its GPUs.

        Of the hosts where it fits, this is the one with the most free memory; an instance without a limit counts as
        NOMINAL_MB. Raises DeployError, with what each host has, if it fits nowhere.
        """
        hosts = self._read_hosts()
        if not hosts:
            raise DeployError(f"{deployment.model}: no host runs instances; start a service with: maas serve")
        with self._reading:
            known = [*self._assignments.values(), *created]
        used: defaultdict[str, int] = defaultdict(int)
        load: defaultdict[str, int] = defaultdict(int)
        for assignment in known:
            used[assignment.owner] += assignment.memory
            load[assignment.owner] += assignment.memory or NOMINAL_MB
        free = {id: host.memory - used[id] for id, host in hosts.items()}
        devices = {id: _find_free_devices(host, known) for id, host in hosts.items()}
        fitting = [
            host for id, host in hosts.items() if free[id] >= deployment.memory and len(devices[id]) >= deployment.gpus
        ]
        if not fitting:
            raise DeployError(_explain_lack(deployment, hosts, free, devices))
        willing = [host for host in fitting if not self._find_refusal(host.id, content)]
        chosen = max(willing or fitting, key=lambda host: (host.memory - load[host.id], host.id))
        return chosen, devices[chosen.id][: deployment.gpus]

    def _find_refusal(self, host: str, content: str) -> _Refusal | None:
        refusal = self._refusals.get((host, content))
        return refusal if refusal and refusal.until > self.clock() else None

    # --- the stored assignments

    def _refresh(self) -> None:
        """Read the changed assignments; delete those that have ended."""
        read = self._assigned.read()
        if read is self._read:
            return
        before = self._assignments
        for assignment in [each for each in read if each.ended]:
            self._forget_ended(assignment)
        self._assignments = {each.id: each for each in read if not each.ended}
        self._by_model = {}
        for assignment in self._assignments.values():
            self._by_model.setdefault(assignment.model, []).append(assignment)
        if self._assigned.is_complete:
            self._note_vanished(before, {each.id for each in read})
        self._read = read

    def _note_vanished(self, before: Mapping[str, Assignment], present: set[str]) -> None:
        for id in before.keys() - present - self._deleted:
            log.warning("the assignment of %s was deleted; its agent stores it again", before[id].model)
            self._vanished[id] = _Vanished(before[id], self.clock())
        self._deleted &= before.keys() | present
        for id in present & self._vanished.keys():
            del self._vanished[id]

    def _forget_ended(self, assignment: Assignment) -> None:
        if assignment.refused:
            until = self.clock() + REFUSAL_SECONDS
            self._refusals[assignment.owner, assignment.content] = _Refusal(assignment.reason, until)
        if assignment.reason and not assignment.ending:
            self._restarts[assignment.model].append(assignment.restarts + 1)
        self._deleted.add(assignment.id)
        self._assigned.delete(assignment)


def _make_deployment(assignment: Assignment) -> Deployment:
    """Return the deployment for which an instance was assigned, without its environment, which is not stored."""
    return Deployment(
        assignment.model,
        assignment.path,
        assignment.memory,
        content=assignment.content,
        warm_up=assignment.warm_up,
        gpus=len(assignment.devices),
    )


def _find_free_devices(host: Host, assignments: Iterable[Assignment]) -> tuple[str, ...]:
    used = {device for each in assignments if each.owner == host.id for device in each.devices}
    return tuple(device for device in host.devices if device not in used)


def _explain_lack(
    deployment: Deployment, hosts: Mapping[str, Host], free: Mapping[str, int], devices: Mapping[str, tuple[str, ...]]
) -> str:
    """Return the error if no host has the memory and GPUs for an instance."""
    needed, fix = f"{deployment.memory:,} MB", "reduce -m, remove instances, or raise --memory of a service"
    if deployment.gpus:
        needed, fix = f"{needed} and {deployment.gpus} GPUs", f"{fix}, or its --gpus"
    offers = (
        f"{host.name} has {max(0, free[id]):,} MB" + (f" and {len(devices[id])} GPUs" if deployment.gpus else "")
        for id, host in hosts.items()
    )
    return f"{deployment.model}: no host has {needed} for it: {'; '.join(offers)} free; {fix}"
