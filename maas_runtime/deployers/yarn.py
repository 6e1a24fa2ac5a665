"""Models as services of YARN: one for each model version, with a container for each instance.

In each container a runner looks after the instance; YARN starts another container when one ends. All that is known
stands in YARN and in the registry, so a deployer that is started anew knows what the last one started.
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
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from maas_runtime.archive import NAME, archive, archive_name, pack
from maas_runtime.container import CONFIGURATION, FILES, NODE_SECONDS, Description, failures_noted
from maas_runtime.deployers import Deployment
from maas_runtime.errors import DeployError
from maas_runtime.notes import Notes
from maas_runtime.runner import Limits
from maas_runtime.store import ModelStore
from maas_runtime.yarn import Container, State, YarnServices
from stellar.maas.registry import Registry
from stellar.maas.schema import Model

log = logging.getLogger(__name__)

COMPONENT = "model"
DEFAULT_MB = 512  # for a model that does not say how much memory it needs
RUNNER_MB = 48  # of a container's memory, for the runner itself
STRANGER_LOOKS = 5  # so often an instance must be missing before it is taken for left behind
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


@dataclass
class YarnDeployer:
    """Runs instances in containers of YARN.

    place: the options by which a runner finds the registry
    report: called with the model and the reason when an instance fails
    """

    yarn: YarnServices
    place: Sequence[str]
    store: ModelStore
    registry: Registry
    notes: Notes
    report: Callable[[Model, str], None]
    limits: Limits = field(default_factory=Limits)
    settings: YarnSettings = field(default_factory=YarnSettings)
    _turn: defaultdict[Model, threading.Lock] = field(default_factory=lambda: defaultdict(threading.Lock), init=False)
    _known: dict[Model, dict[str, str]] = field(default_factory=dict, init=False)
    _expected: set[str] = field(default_factory=set, init=False)  # whose end is asked for, or reported already
    _missing: dict[tuple[Model, str], int] = field(default_factory=dict, init=False)

    def scale(self, deployment: Deployment, instances: int) -> None:
        model = deployment.model
        name = self.service_name(model)
        with self._turn[model]:
            state = self.yarn.state(name)
            if state is not None and (state.ended or not instances):
                self._remove(model, name, state)
                state = None
            if not instances:
                return
            if state is None:
                self._create(deployment, name, instances)
            else:
                self._resize(deployment, name, state, instances)
            self._await_containers(model, name, instances)

    def running(self, model: Model) -> int:
        state = self.yarn.state(self.service_name(model))
        if state is None:
            self._take_in_failures(model, ())
            return 0
        if state.ended:
            self._take_in_failures(model, ())
            log.warning("%s: YARN has ended its service: %s", model, self.yarn.why(state.application) or state.state)
            return 0
        if state.wanted is None:
            raise ConnectionError("the master of its service on YARN can't tell now how many run")
        self._take_in_failures(model, state.containers, state.application)
        self._unregister_strangers(model, state)
        ended = [container for container in state.containers if container.id in self._expected]
        if ended and not self.settings.restart:  # they hold their containers, so that YARN starts no others
            self.yarn.take_away(self.service_name(model), COMPONENT, [container.instance for container in ended])
            return len(state.containers) - len(ended)
        return len(state.containers)

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

    def _remove(self, model: Model, name: str, state: State) -> None:
        if not state.ended:
            registered = [i.id for i in self.registry.instances(*model) if i.id.startswith("container_")]
            self._drain(model, [*registered, *(container.id for container in state.containers)])
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
        self._known[model] = {container.id: state.application for container in state.containers}

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

    def _take_in_failures(self, model: Model, containers: Sequence[Container], application: str = "") -> None:
        """Report what ended unasked: with the reason that its runner noted, or that there is none."""
        before = self._known.get(model, {})
        self._known[model] = {container.id: application for container in containers}
        for id, reason in failures_noted(self.notes, model).items():
            self._expected.add(id)
            self._failed(model, id, before.get(id) or application or _application(id), reason)
        for id in before.keys() - self._known[model].keys():
            if id not in self._expected:
                reason = "its container was ended by YARN, for memory or for room, or its node was lost"
                self._failed(model, id, before[id], reason)
            self._expected.discard(id)

    def _failed(self, model: Model, id: str, application: str, reason: str) -> None:
        reason = f"{reason}; see: yarn logs -applicationId {application} -containerId {id}"
        log.warning("%s: an instance failed: %s", model, reason)
        self.report(model, reason)

    def _unregister_strangers(self, model: Model, state: State) -> None:
        """Unregister instances that YARN knows nothing of any more: their node manager died, and they live on.

        They leave when they see that.
        """
        if state.state != "STABLE" or len(state.containers) != state.wanted:
            return
        present = {container.id for container in state.containers}
        strangers = {
            i.id for i in self.registry.instances(*model) if i.id.startswith("container_") and i.id not in present
        }
        for key in [key for key in self._missing if key[0] == model and key[1] not in strangers]:
            del self._missing[key]
        for id in strangers:
            self._missing[model, id] = looks = self._missing.get((model, id), 0) + 1
            if looks >= STRANGER_LOOKS:
                log.warning("%s: YARN knows nothing of %s any more, which is unregistered", model, id)
                self.registry.unregister(model.name, id)


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
