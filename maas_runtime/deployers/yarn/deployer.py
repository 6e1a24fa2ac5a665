"""Models as services of YARN: one for each model version, with a container for each instance.

In each container a runner looks after the instance; YARN starts another container when one ends. All that is known
stands in YARN and in the registry, so a deployer that is started anew knows what the last one started.

An *orphan* is an instance that is registered, and that YARN does not list: the service's master was restarted and has
not recovered its container, or its node manager died and it runs on. YARN starts another container in its stead, long
before the model in that is ready. So an orphan counts as running and serves on, and orphans are unregistered one by
one, each only once the instances that remain are as many as desired. A runner that was unregistered ends by itself.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import shlex
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from maas_runtime.archive import NAME, archive, archive_name, pack
from maas_runtime.deployers import Deployment
from maas_runtime.deployers.yarn.container import CONFIGURATION, FILES, NODE_SECONDS, Description, failures_noted
from maas_runtime.deployers.yarn.rest import State, YarnServices
from maas_runtime.errors import DeployError
from maas_runtime.runner.lifecycle import start_order
from maas_runtime.runner.runner import Limits
from maas_runtime.state.store import StateStore
from maas_runtime.store.base import ModelStore
from stellar.maas.registry import Registry
from stellar.maas.schema import Model

log = logging.getLogger(__name__)

COMPONENT = "model"
DEFAULT_MB = 512  # for a model that does not say how much memory it needs
RUNNER_MB = 48  # of a container's memory, for the runner itself
ABSENT_LOOKS = 5  # so often in a row YARN must not list a container before that counts
ABSENT_SECONDS = 60.0  # and for so long while YARN lists too few; its master may take 30 to recover a container
SPARE_SECONDS = 30.0  # that YARN may take to end a container

# How YARN looks after a service, whatever the cluster's own defaults are
PROPERTIES = {
    "yarn.service.container-failure.retry.max": "0",  # a new container each time, not the same one again, unseen
    "yarn.service.container-failure-per-component.threshold": "100",  # within half an hour; then the service fails
    "yarn.service.node-blacklist.threshold": "10",
    "yarn.service.container-recovery.timeout.ms": "30000",  # when the master was lost together with a node
}


@dataclass(frozen=True)
class YarnSettings:
    """How models run on YARN.

    queue: the scheduler's queue; None for YARN's default
    label: of the nodes to run on; None for any that the queue may use
    python: the command that is Python 3.11 or newer on every node
    cores: virtual cores of each container
    place_seconds: how long to wait for YARN to give containers, before that is said
    node_seconds: after so long without its node manager an instance ends
    restart: whether another instance is started when one fails
    """

    queue: str | None = None
    label: str | None = None
    python: str = "python3"
    cores: int = 1
    place_seconds: float = 30.0
    node_seconds: float = NODE_SECONDS
    restart: bool = True


class Absence(NamedTuple):
    """How long YARN has not listed a container: since when by the deployer's clock, and in how many looks in a row."""

    since: float
    looks: int


@dataclass
class YarnDeployer:
    """Runs instances in containers of YARN.

    place: the options by which a runner finds the registry
    report: called with the model and the reason when an instance fails
    clock: seconds, for how long YARN has not listed a container
    """

    yarn: YarnServices
    place: Sequence[str]
    store: ModelStore
    registry: Registry
    notes: StateStore
    report: Callable[[Model, str], None]
    limits: Limits = field(default_factory=Limits)
    settings: YarnSettings = field(default_factory=YarnSettings)
    clock: Callable[[], float] = time.monotonic
    _turn: defaultdict[Model, threading.Lock] = field(default_factory=lambda: defaultdict(threading.Lock), init=False)
    _known: dict[Model, dict[str, str]] = field(default_factory=dict, init=False)
    _expected: set[str] = field(default_factory=set, init=False)  # whose end is asked for, or reported already
    _absences: dict[Model, dict[str, Absence]] = field(default_factory=dict, init=False)

    def scale(self, deployment: Deployment, instances: int) -> None:
        model = deployment.model
        name = self.service_name(model)
        with self._turn[model]:
            state = self.yarn.state(name)
            if not instances:
                self._remove(model, name, state)
                return
            if state is not None and state.ended:
                self._delete(model, name)
                state = None
            if state is None:
                self._create(deployment, name, instances)
            else:
                self._resize(deployment, name, state, instances)
            self._await_containers(model, name, instances)

    def running(self, model: Model) -> int:
        state = self.yarn.state(self.service_name(model))
        if state is None or state.ended:
            self._report_ended(model, None, self._orphans(model, state))
            if state is not None:
                why = self.yarn.why(state.application) or state.state
                log.warning("%s: YARN has ended its service: %s", model, why)
            return 0
        if state.wanted is None:
            raise ConnectionError("the master of its service on YARN can't tell now how many run")
        orphans = self._orphans(model, state)
        self._count_absences(model, state, orphans)
        self._report_ended(model, state, orphans)
        self._release_orphan(model, state, orphans)
        failed = self._take_away_failed(model, state)
        containers, desired = len(state.containers) - failed, state.wanted - failed
        return max(containers, min(desired, containers + len(orphans)))  # an orphan fills in for a missing container

    def _take_away_failed(self, model: Model, state: State) -> int:
        """Take away the containers of failed instances where nothing is restarted, and return how many those are.

        Such instances hold their containers, so that YARN does not start others.
        """
        ended = [container.instance for container in state.containers if container.id in self._expected]
        if self.settings.restart or not ended:
            return 0
        self.yarn.take_away(self.service_name(model), COMPONENT, ended)
        return len(ended)

    def service_name(self, model: Model) -> str:
        """The name of a model version's service: DNS-like, and never that of another one."""
        readable = re.sub(r"[^a-z0-9]+", "-", f"{model.name}-{model.version}".lower()).strip("-")[:40].strip("-")
        key = json.dumps([*self.place, model.name, model.version])
        return f"maas-{readable}-{hashlib.sha256(key.encode()).hexdigest()[:12]}".replace("--", "-")

    # --- more

    def _create(self, deployment: Deployment, name: str, instances: int) -> None:
        files, program = self._published(deployment), publish_program(self.store)
        script = self.store.script(deployment.path)
        self.yarn.create(self.specification(deployment, name, instances, script, files, program))
        log.info("%s: service %s is started on YARN", deployment.model, name)

    def specification(
        self, deployment: Deployment, name: str, instances: int, script: str, files: str, program: str
    ) -> dict[str, Any]:
        """What YARN is asked to run.

        files, program: the addresses of the model's packed files and of the program
        """
        settings, model = self.settings, deployment.model
        memory = _memory(deployment)
        description = Description(
            self._arguments(deployment, script, memory),
            dict(deployment.environment),
            settings.node_seconds,
            settings.restart,
        )
        component: dict[str, Any] = {
            "name": COMPONENT,
            "number_of_containers": instances,
            # All that users say is in the configuration, for this line is read by a shell
            "launch_command": f"exec {shlex.quote(settings.python)} {NAME} container",
            "resource": {"cpus": settings.cores, "memory": str(memory)},
            "restart_policy": "ALWAYS",
            "configuration": {
                "properties": PROPERTIES,
                "files": [
                    {"type": "STATIC", "src_file": program, "dest_file": NAME},
                    {"type": "ARCHIVE", "src_file": files, "dest_file": FILES},
                    {"type": "JSON", "dest_file": CONFIGURATION, "properties": description.as_properties()},
                ],
            },
        }
        if settings.label is not None:
            constraint = {"type": "AFFINITY", "scope": "NODE", "node_partitions": [settings.label]}
            component["placement_policy"] = {"constraints": [constraint]}
        said = {"maas.model.name": model.name, "maas.model.version": model.version}
        return {
            "name": name,
            "version": "1.0",
            "lifetime": -1,
            **({"queue": settings.queue} if settings.queue else {}),
            "configuration": {"properties": {**PROPERTIES, **said, "maas.definition": _definition(deployment, files)}},
            "components": [component],
        }

    def _arguments(self, deployment: Deployment, script: str, memory: int) -> list[str]:
        options = {
            "--name": deployment.model.name,
            "--version": deployment.model.version,
            "--script": script,
            "--memory": memory - RUNNER_MB if deployment.memory else 0,
            **self.limits.options(),
        }
        return [*self.place, *(f"{name}={value}" for name, value in options.items())]

    def _published(self, deployment: Deployment) -> str:
        """The address of the model's files, packed, where every node finds them.

        Their name says what is in them: YARN does not fetch a file again that has changed.
        """
        with tempfile.TemporaryDirectory() as folder:
            self.store.fetch(deployment.path, Path(folder, FILES))
            packed = pack(Path(folder, FILES), Path(folder, "packed"))
            digest = hashlib.sha256(packed.read_bytes()).hexdigest()[:32]
            return self.store.publish(packed, f"model-{digest}.tar.gz")

    def _resize(self, deployment: Deployment, name: str, state: State, instances: int) -> None:
        if state.wanted is None:
            raise ConnectionError("the master of its service on YARN can't be asked now")
        if instances > state.wanted:
            if state.properties.get("maas.definition") != _definition(deployment, self._published(deployment)):
                raise DeployError(
                    f"{deployment.model} runs on YARN with other files, memory or environment; "
                    "remove it first, or deploy these as a new version"
                )
            self.yarn.resize(name, COMPONENT, instances)
        elif instances < state.wanted:
            self._take_away(deployment.model, name, state, state.wanted - instances)

    # --- less

    def _take_away(self, model: Model, name: str, state: State, count: int) -> None:
        """End so many instances: first those that only wait for room, then what is not ready, then the oldest."""
        waiting = max(0, (state.wanted or 0) - len(state.containers))
        if at_once := min(count, waiting):
            self.yarn.resize(name, COMPONENT, (state.wanted or 0) - at_once)
        ready = {instance.id for instance in self.registry.instances(*model)}
        surplus = sorted(state.containers, key=lambda container: container.id in ready)[: count - at_once]
        if surplus:
            self._drain(model, [container.id for container in surplus])
            self.yarn.take_away(name, COMPONENT, [container.instance for container in surplus])
            self._await_end(name, {container.id for container in surplus})

    def _remove(self, model: Model, name: str, state: State | None) -> None:
        """End the service, with all its instances; orphans are registered still when the service has ended already."""
        listed = [container.id for container in state.containers] if state and not state.ended else []
        self._drain(model, [*self._orphans(model, state), *listed])
        self._expected.update(self._known.get(model, ()))  # also of what YARN ended before: it is not desired now
        if state is not None:
            self._delete(model, name)

    def _delete(self, model: Model, name: str) -> None:
        """Delete the service, and wait until YARN has done that."""
        self.yarn.delete(name)
        deadline = time.monotonic() + SPARE_SECONDS
        while self.yarn.state(name) is not None:
            if time.monotonic() > deadline:
                raise DeployError(f"YARN has not ended the service {name} within {SPARE_SECONDS:g} seconds")
            time.sleep(0.1)
        log.info("%s: service %s is ended on YARN", model, name)

    def _drain(self, model: Model, ids: Sequence[str]) -> None:
        """Let no new calls come to these instances, and those under way end."""
        self._expected.update(ids)
        for id in ids:
            self.registry.unregister(model.name, id)
        if ids:
            time.sleep(self.limits.drain)

    # --- what is seen

    def _await_containers(self, model: Model, name: str, instances: int) -> None:
        deadline = time.monotonic() + self.settings.place_seconds
        while (state := self.yarn.state(name)) is None or len(state.containers) < instances:
            if state is not None and state.ended:
                raise DeployError(f"{model}: YARN has ended its service: {self.yarn.why(state.application)}")
            if time.monotonic() > deadline:
                there = len(state.containers) if state else 0
                raise DeployError(
                    f"{model}: YARN has given {there} of {instances} containers within "
                    f"{self.settings.place_seconds:g} seconds; the others wait for room{self._of_the_label()}"
                )
            time.sleep(0.2)
        self._known.setdefault(model, {}).update((container.id, state.application) for container in state.containers)

    def _of_the_label(self) -> str:
        """What else may be the reason, for YARN does not say of a label that it can't do anything with it."""
        if self.settings.label is None:
            return ""
        return (
            f" on a node labelled {self.settings.label!r}; YARN needs "
            "yarn.resourcemanager.placement-constraints.handler=scheduler to look at labels of services"
        )

    def _await_end(self, name: str, ids: set[str]) -> None:
        deadline = time.monotonic() + self.limits.end + SPARE_SECONDS
        while (state := self.yarn.state(name)) is not None and ids & {c.id for c in state.containers}:
            if time.monotonic() > deadline:
                raise DeployError(f"YARN has not ended {', '.join(sorted(ids))} in time")
            time.sleep(0.1)

    def _report_ended(self, model: Model, state: State | None, orphans: Sequence[str]) -> None:
        """Report the instances that ended without being asked to: with the reason their runner noted, if it did.

        state: None if the service has ended, and with it all its containers
        """
        known = self._known.get(model, {})
        application = state.application if state else ""
        present = {container.id: application for container in state.containers} if state else {}
        present.update((id, known.get(id) or _application(id)) for id in orphans)
        for id, reason in failures_noted(self.notes, model).items():
            self._expected.add(id)
            self._failed(model, id, known.get(id) or application or _application(id), reason)
        ended = {id for id in known.keys() - present.keys() if id in self._expected or self._is_over(model, state, id)}
        for id in sorted(ended - self._expected):
            reason = "its container was ended by YARN, for memory or for room, or its node was lost"
            self._failed(model, id, known[id], reason)
        self._expected -= ended
        self._known[model] = {id: at for id, at in (known | present).items() if id not in ended}

    def _failed(self, model: Model, id: str, application: str, reason: str) -> None:
        reason = f"{reason}; see: yarn logs -applicationId {application} -containerId {id}"
        log.warning("%s: an instance failed: %s", model, reason)
        self.report(model, reason)

    # --- orphans

    def _orphans(self, model: Model, state: State | None) -> list[str]:
        """Return the registered instances of our service that YARN does not list, oldest first.

        Instances are ours if YARN has listed them, or if they are of the same application: registrations that others
        made are left alone.
        """
        known = self._known.get(model, {})
        listed = {container.id for container in state.containers} if state and not state.ended else set()
        registered = {i.id for i in self.registry.instances(*model) if i.id.startswith("container_")} - listed
        ours = (id for id in registered if id in known or (state and _application(id) == state.application))
        return sorted(ours, key=start_order)

    def _count_absences(self, model: Model, state: State, orphans: Iterable[str]) -> None:
        before, now = self._absences.get(model, {}), self.clock()
        absent = {*self._known.get(model, {}), *orphans} - {container.id for container in state.containers}
        seen = {id: before.get(id, Absence(now, 0)) for id in absent}
        self._absences[model] = {id: Absence(since, looks + 1) for id, (since, looks) in seen.items()}

    def _is_over(self, model: Model, state: State | None, id: str) -> bool:
        """Return whether YARN will not list a container again.

        A master that was restarted lists its containers once it has recovered them, one after the other. While it
        lists as many as desired, nothing is left to recover.
        """
        if state is None or len(state.containers) >= (state.wanted or 0):
            return True
        return self.clock() - self._absences[model][id].since >= ABSENT_SECONDS

    def _release_orphan(self, model: Model, state: State, orphans: Sequence[str]) -> None:
        """Unregister the oldest orphan if the other registered instances are as many as desired.

        It is one for each look, so that the next is judged by what is registered then.
        """
        listed = {container.id for container in state.containers}
        ready = sum(instance.id in listed for instance in self.registry.instances(*model))
        looks = {id: absence.looks for id, absence in self._absences[model].items()}
        lost = [id for id in orphans if looks[id] >= ABSENT_LOOKS and self._is_over(model, state, id)]
        if lost and ready + len(orphans) > (state.wanted or 0):
            log.warning("%s: YARN no longer lists %s, which is unregistered: others replace it", model, lost[0])
            self.registry.unregister(model.name, lost[0])


def publish_program(store: ModelStore) -> str:
    """The address of the program that travels, where every node finds it."""
    with tempfile.NamedTemporaryFile(suffix=NAME) as file:
        file.write(archive())
        file.flush()
        return store.publish(Path(file.name), archive_name())


def _memory(deployment: Deployment) -> int:
    """MB of each container.

    Raises DeployError if a model could not have any of them.
    """
    memory = deployment.memory or DEFAULT_MB
    if memory < 2 * RUNNER_MB:
        raise DeployError(f"{deployment.model}: {memory} MB are too little; its runner alone takes {RUNNER_MB}")
    return memory


def _definition(deployment: Deployment, files: str) -> str:
    """What is the same as long as all instances are started alike."""
    definition = [files.rpartition("/")[2], deployment.memory, dict(sorted(deployment.environment.items()))]
    return hashlib.sha256(json.dumps(definition).encode()).hexdigest()[:16]


def _application(container: str) -> str:
    """The application that a container belongs to: `container_17_0001_01_000002` is of `application_17_0001`."""
    parts = [part for part in container.split("_")[1:] if not part.startswith("e")]
    return f"application_{'_'.join(parts[:2])}"
