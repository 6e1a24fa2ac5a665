"""A deployer that runs each model version as a YARN service, with one container for each instance.

A runner in each container supervises the instance; YARN replaces a container that ends. All state is in YARN and in the
registry, so a new deployer continues where the previous one stopped.

An *orphan* is a registered instance that YARN does not list: the service's master was restarted and has not recovered
its container, or its node manager died and the instance runs on. YARN starts a replacement long before the model in it
is ready. So an orphan counts as running and goes on serving. Orphans are unregistered one by one, each only when the
remaining instances are as many as desired. A runner that was unregistered ends by itself.
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

from maas_runtime.archive import NAME, archive_name, build_archive, pack
from maas_runtime.deployers import Deployment
from maas_runtime.deployers.yarn.container import CONFIGURATION, FILES, NODE_SECONDS, Description, take_failures
from maas_runtime.deployers.yarn.principal import ServicePrincipal
from maas_runtime.deployers.yarn.rest import YarnServices, YarnServiceState
from maas_runtime.errors import DeployError
from maas_runtime.runner.lifecycle import start_order
from maas_runtime.runner.limits import Limits
from maas_runtime.state.store import StateStore
from maas_runtime.store.base import ModelStore
from stellar.maas.registry import Registry
from stellar.maas.schema import Model
from stellar.util.abbreviate import quote

log = logging.getLogger(__name__)

COMPONENT = "model"
DEFAULT_MB = 512  # for a model without a memory limit
RUNNER_MB = 48  # memory of the runner itself, within the container's
ABSENT_CHECKS = 5  # consecutive checks in which YARN must omit a container
ABSENT_SECONDS = 60.0  # while YARN lists too few containers; its master may take 30 s to recover one
SPARE_SECONDS = 30.0  # for YARN to end a container

# Settings of YARN services, independent of the cluster's defaults
PROPERTIES = {
    "yarn.service.container-failure.retry.max": "0",  # always a new container, so that failures are visible
    "yarn.service.container-failure-per-component.threshold": "100",  # within 30 minutes; then the service fails
    "yarn.service.node-blacklist.threshold": "10",
    "yarn.service.container-recovery.timeout.ms": "30000",  # when the master was lost together with a node
}


@dataclass(frozen=True)
class YarnSettings:
    """Settings for models on YARN.

    queue: YARN queue; None for YARN's default
    label: node label; None for any node of the queue
    python: command of Python 3.11 or newer on every node
    cores: virtual cores of each container
    allocation_seconds: time-out for YARN to allocate containers
    node_seconds: how long a replaced instance goes on without its node manager
    restart: replace an instance that fails
    principal: Kerberos identity of the services; None for a cluster without Kerberos
    """

    queue: str | None = None
    label: str | None = None
    python: str = "python3"
    cores: int = 1
    allocation_seconds: float = 30.0
    node_seconds: float = NODE_SECONDS
    restart: bool = True
    principal: ServicePrincipal | None = None


class Absence(NamedTuple):
    """The time since which YARN does not list a container, and the number of consecutive checks."""

    since: float
    checks: int


@dataclass
class YarnDeployer:
    """A deployer for YARN.

    registry_options: options with which a runner opens the registry
    report: called with the model and the reason when an instance fails
    clock: monotonic time in seconds, for the absence of containers
    """

    yarn: YarnServices
    registry_options: Sequence[str]
    store: ModelStore
    registry: Registry
    state_store: StateStore
    report: Callable[[Model, str], None]
    limits: Limits = field(default_factory=Limits)
    settings: YarnSettings = field(default_factory=YarnSettings)
    clock: Callable[[], float] = time.monotonic
    _locks: defaultdict[Model, threading.Lock] = field(default_factory=lambda: defaultdict(threading.Lock), init=False)
    _known: dict[Model, dict[str, str]] = field(default_factory=dict, init=False)
    _expected: set[str] = field(
        default_factory=set, init=False
    )  # instances that were stopped on request, or whose end was reported
    _absences: dict[Model, dict[str, Absence]] = field(default_factory=dict, init=False)

    def scale(self, deployment: Deployment, instances: int) -> None:
        model = deployment.model
        name = self.service_name(model)
        with self._locks[model]:
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
            self._report_ended(model, None, self._find_orphans(model, state))
            if state is not None:
                reason = self.yarn.read_diagnostics(state.application) or state.state
                log.warning("%s: YARN ended its service: %s", model, reason)
            return 0
        if state.desired is None:
            raise ConnectionError("the master of its YARN service does not report its containers now")
        orphans = self._find_orphans(model, state)
        self._count_absences(model, state, orphans)
        self._report_ended(model, state, orphans)
        self._release_orphan(model, state, orphans)
        failed = self._remove_failed(model, state)
        containers, desired = len(state.containers) - failed, state.desired - failed
        return max(containers, min(desired, containers + len(orphans)))  # an orphan substitutes for a missing container

    def begin(self) -> None:
        """Do nothing: an absent container counts only after several checks in sequence."""

    def take_restored(self) -> list[Deployment]:
        return []

    def _remove_failed(self, model: Model, state: YarnServiceState) -> int:
        """Remove the containers of failed instances if `restart` is off. Return their number.

        Such instances hold their containers, so that YARN does not replace them.
        """
        ended = [container.instance for container in state.containers if container.id in self._expected]
        if self.settings.restart or not ended:
            return 0
        self.yarn.decommission(self.service_name(model), COMPONENT, ended)
        return len(ended)

    def service_name(self, model: Model) -> str:
        """Return the name of a model version's service: a valid DNS label, unique to the registry and version."""
        readable = re.sub(r"[^a-z0-9]+", "-", f"{model.name}-{model.version}".lower()).strip("-")[:40].strip("-")
        key = json.dumps([*self.registry_options, model.name, model.version])
        return f"maas-{readable}-{hashlib.sha256(key.encode()).hexdigest()[:12]}".replace("--", "-")

    # --- scale up

    def _create(self, deployment: Deployment, name: str, instances: int) -> None:
        files, program = self._publish_files(deployment), publish_program(self.store)
        script = self.store.script(deployment.files)
        self.yarn.create(self.specification(deployment, name, instances, script, files, program))
        log.info("%s: started service %s on YARN", deployment.model, name)

    def specification(
        self, deployment: Deployment, name: str, instances: int, script: str, files: str, program: str
    ) -> dict[str, Any]:
        """Return the specification of the service for YARN.

        files, program: URIs of the model's packed files and of the archive `maas.pyz`
        """
        settings, model = self.settings, deployment.model
        memory = _compute_memory(deployment)
        description = Description(
            self._arguments(deployment, script, memory),
            dict(deployment.environment),
            settings.node_seconds,
            settings.restart,
        )
        component: dict[str, Any] = {
            "name": COMPONENT,
            "number_of_containers": instances,
            # No user input here, because a shell reads this line; it is in the configuration
            "launch_command": f"exec {shlex.quote(settings.python)} {NAME} container",
            "resource": {"cpus": settings.cores, "memory": str(memory), **_describe_gpus(deployment.gpus)},
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
        labels = {"maas.model.name": model.name, "maas.model.version": model.version}
        return {
            "name": name,
            "version": "1.0",
            "lifetime": -1,
            **({"queue": settings.queue} if settings.queue else {}),
            **({"kerberos_principal": settings.principal.as_specification()} if settings.principal else {}),
            "configuration": {
                "properties": {**PROPERTIES, **labels, "maas.definition": _digest_definition(deployment, files)}
            },
            "components": [component],
        }

    def _arguments(self, deployment: Deployment, script: str, memory: int) -> list[str]:
        options = {
            "--name": deployment.model.name,
            "--version": deployment.model.version,
            "--script": script,
            "--memory": memory - RUNNER_MB if deployment.memory else 0,
            "--content": deployment.content,
            **self.limits.to_options(),
        }
        warm_up = (f"--warm-up={query}" for query in deployment.warm_up)
        return [*self.registry_options, *(f"{name}={value}" for name, value in options.items()), *warm_up]

    def _publish_files(self, deployment: Deployment) -> str:
        """Pack and publish the model's files. Return their URI.

        The name contains a digest, because YARN does not fetch a changed file again.
        """
        with tempfile.TemporaryDirectory() as folder:
            self.store.fetch(deployment.files, Path(folder, FILES))
            packed = pack(Path(folder, FILES), Path(folder, "packed"))
            digest = hashlib.sha256(packed.read_bytes()).hexdigest()[:32]
            return self.store.publish(packed, f"model-{digest}.tar.gz")

    def _resize(self, deployment: Deployment, name: str, state: YarnServiceState, instances: int) -> None:
        if state.desired is None:
            raise ConnectionError("the master of its YARN service is not available now")
        if instances > state.desired:
            if state.properties.get("maas.definition") != _digest_definition(
                deployment, self._publish_files(deployment)
            ):
                raise DeployError(
                    f"{deployment.model} runs on YARN with other files, memory or environment; "
                    "remove it first, or deploy a new version"
                )
            self.yarn.resize(name, COMPONENT, instances)
        elif instances < state.desired:
            self._scale_down(deployment.model, name, state, state.desired - instances)

    # --- scale down

    def _scale_down(self, model: Model, name: str, state: YarnServiceState, count: int) -> None:
        """Stop `count` instances: first those not allocated yet, then those not ready, then the oldest."""
        waiting = max(0, (state.desired or 0) - len(state.containers))
        if at_once := min(count, waiting):
            self.yarn.resize(name, COMPONENT, (state.desired or 0) - at_once)
        ready = {instance.id for instance in self.registry.instances(*model)}
        surplus = sorted(state.containers, key=lambda container: container.id in ready)[: count - at_once]
        if surplus:
            self._drain(model, [container.id for container in surplus])
            self.yarn.decommission(name, COMPONENT, [container.instance for container in surplus])
            self._await_end(name, {container.id for container in surplus})

    def _remove(self, model: Model, name: str, state: YarnServiceState | None) -> None:
        """Drain all instances and delete the service; orphans may be registered after the service has ended."""
        listed = [container.id for container in state.containers] if state and not state.ended else []
        self._drain(model, [*self._find_orphans(model, state), *listed])
        self._expected.update(self._known.get(model, ()))  # including those that YARN ended before
        if state is not None:
            self._delete(model, name)

    def _delete(self, model: Model, name: str) -> None:
        """Delete the service, and wait until YARN has deleted it."""
        self.yarn.delete(name)
        deadline = time.monotonic() + SPARE_SECONDS
        while self.yarn.state(name) is not None:
            if time.monotonic() > deadline:
                raise DeployError(f"YARN did not end the service {name} within {SPARE_SECONDS:g} seconds")
            time.sleep(0.1)
        log.info("%s: ended service %s on YARN", model, name)

    def _drain(self, model: Model, ids: Sequence[str]) -> None:
        """Unregister instances, and wait for active calls to end."""
        self._expected.update(ids)
        for id in ids:
            self.registry.unregister(model.name, id)
        if ids:
            time.sleep(self.limits.drain)

    # --- observe

    def _await_containers(self, model: Model, name: str, instances: int) -> None:
        deadline = time.monotonic() + self.settings.allocation_seconds
        while (state := self.yarn.state(name)) is None or len(state.containers) < instances:
            if state is not None and state.ended:
                raise DeployError(f"{model}: YARN ended its service: {self.yarn.read_diagnostics(state.application)}")
            if time.monotonic() > deadline:
                count = len(state.containers) if state else 0
                raise DeployError(
                    f"{model}: YARN allocated {count} of {instances} containers within "
                    f"{self.settings.allocation_seconds:g} seconds; the others wait for resources{self._label_hint()}"
                )
            time.sleep(0.2)
        self._known.setdefault(model, {}).update((container.id, state.application) for container in state.containers)

    def _label_hint(self) -> str:
        """Return a hint for a node label, because YARN does not report that it ignores labels."""
        if self.settings.label is None:
            return ""
        return (
            f" on a node labelled {quote(self.settings.label)}; node labels of services require "
            "yarn.resourcemanager.placement-constraints.handler=scheduler"
        )

    def _await_end(self, name: str, ids: set[str]) -> None:
        deadline = time.monotonic() + self.limits.end + SPARE_SECONDS
        while (state := self.yarn.state(name)) is not None and ids & {c.id for c in state.containers}:
            if time.monotonic() > deadline:
                raise DeployError(f"YARN did not end {', '.join(sorted(ids))} in time")
            time.sleep(0.1)

    def _report_ended(self, model: Model, state: YarnServiceState | None, orphans: Sequence[str]) -> None:
        """Report instances that ended by themselves, with the reason that their runner stored, if any.

        state: None if the service and all its containers have ended
        """
        known = self._known.get(model, {})
        application = state.application if state else ""
        present = {container.id: application for container in state.containers} if state else {}
        present.update((id, known.get(id) or parse_application(id)) for id in orphans)
        for id, reason in take_failures(self.state_store, model).items():
            self._expected.add(id)
            self._report_failure(model, id, known.get(id) or application or parse_application(id), reason)
        ended = {id for id in known.keys() - present.keys() if id in self._expected or self._is_over(model, state, id)}
        for id in sorted(ended - self._expected):
            reason = "YARN ended its container, for memory or preemption, or its node was lost"
            self._report_failure(model, id, known[id], reason)
        self._expected -= ended
        self._known[model] = {id: at for id, at in (known | present).items() if id not in ended}

    def _report_failure(self, model: Model, id: str, application: str, reason: str) -> None:
        reason = f"{reason}; see: yarn logs -applicationId {application} -containerId {id}"
        log.warning("%s: an instance failed: %s", model, reason)
        self.report(model, reason)

    # --- orphans

    def _find_orphans(self, model: Model, state: YarnServiceState | None) -> list[str]:
        """Return the registered instances of this service that YARN does not list, oldest first.

        An instance belongs to the service if YARN has listed it, or if it has the same application. Other registrations
        are never touched.
        """
        known = self._known.get(model, {})
        listed = {container.id for container in state.containers} if state and not state.ended else set()
        registered = {i.id for i in self.registry.instances(*model) if i.id.startswith("container_")} - listed
        ours = (id for id in registered if id in known or (state and parse_application(id) == state.application))
        return sorted(ours, key=start_order)

    def _count_absences(self, model: Model, state: YarnServiceState, orphans: Iterable[str]) -> None:
        before, now = self._absences.get(model, {}), self.clock()
        absent = {*self._known.get(model, {}), *orphans} - {container.id for container in state.containers}
        absences = {id: before.get(id, Absence(now, 0)) for id in absent}
        self._absences[model] = {id: Absence(since, checks + 1) for id, (since, checks) in absences.items()}

    def _is_over(self, model: Model, state: YarnServiceState | None, id: str) -> bool:
        """Return whether YARN will not list a container again.

        A restarted master lists its containers one by one as it recovers them. Once it lists as many as desired, none
        is left to recover.
        """
        if state is None or len(state.containers) >= (state.desired or 0):
            return True
        return self.clock() - self._absences[model][id].since >= ABSENT_SECONDS

    def _release_orphan(self, model: Model, state: YarnServiceState, orphans: Sequence[str]) -> None:
        """Unregister the oldest orphan if the other registered instances are as many as desired.

        Only one for each check, so that the next decision uses the registrations after this one.
        """
        listed = {container.id for container in state.containers}
        ready = sum(instance.id in listed for instance in self.registry.instances(*model))
        checks = {id: absence.checks for id, absence in self._absences[model].items()}
        lost = [id for id in orphans if checks[id] >= ABSENT_CHECKS and self._is_over(model, state, id)]
        if lost and ready + len(orphans) > (state.desired or 0):
            log.warning("%s: unregistering %s, which YARN no longer lists and others replace", model, lost[0])
            self.registry.unregister(model.name, lost[0])


def publish_program(store: ModelStore) -> str:
    """Publish the archive `maas.pyz`. Return its URI."""
    with tempfile.NamedTemporaryFile(suffix=NAME) as file:
        file.write(build_archive())
        file.flush()
        return store.publish(Path(file.name), archive_name())


def _compute_memory(deployment: Deployment) -> int:
    """Return the memory of each container in MB.

    Raises DeployError if it leaves too little for the model.
    """
    memory = deployment.memory or DEFAULT_MB
    if memory < 2 * RUNNER_MB:
        raise DeployError(f"{deployment.model}: {memory} MB is too little memory; the runner alone needs {RUNNER_MB}")
    return memory


def _describe_gpus(number: int) -> dict[str, Any]:
    """Return the part of a component's resource that requests GPUs, in the form of YARN's services."""
    return {"additional": {"yarn.io/gpu": {"value": number, "unit": ""}}} if number else {}


def _digest_definition(deployment: Deployment, files: str) -> str:
    """Return a digest of files, memory, environment and warm-up, which all instances of a service share."""
    definition: list[object] = [files.rpartition("/")[2], deployment.memory]
    definition.append(dict(sorted(deployment.environment.items())))
    if deployment.gpus:
        definition.append(deployment.gpus)
    if deployment.warm_up:  # left out otherwise, as services from before this option are still running
        definition.append(deployment.warm_up)
    return hashlib.sha256(json.dumps(definition).encode()).hexdigest()[:16]


def parse_application(container: str) -> str:
    """Return the application of a container: `application_17_0001` for `container_17_0001_01_000002`."""
    parts = [part for part in container.split("_")[1:] if not part.startswith("e")]
    return f"application_{'_'.join(parts[:2])}"
