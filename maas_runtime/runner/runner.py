"""Runs one instance of a model: starts its script, registers it when it is ready, takes it away when it ends.

The script writes `endpoint.dat` in the directory where it runs, `{"url": "http://0.0.0.0:36161"}`, and stays in the
foreground. `python -m maas_runtime.runner.runner --help` shows the options.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit, urlunsplit

from maas_runtime.runner.endpoint import EndpointFile, HealthProbe, health_path, read_endpoint
from maas_runtime.runner.logs import LogLimits
from maas_runtime.runner.memory_limit import control_group
from maas_runtime.runner.processes import ModelProcesses, Signals, adopt
from maas_runtime.store.base import ENDPOINT_FILE
from stellar.maas.registries.directory import FileRegistry
from stellar.maas.registry import Registry
from stellar.maas.schema import CONFIG_PATH, Endpoint, Model, ServiceInstance
from stellar.net.allowed_hosts import AllowedHosts, trouble_with

if TYPE_CHECKING:
    from stellar.maas.registries.zookeeper import ZooKeeperRegistry

log = logging.getLogger(__name__)

# In a container's directory
WORK, OUTPUT, ERRORS, OUTCOME, LOCK = "work", "stdout", "stderr", "outcome.json", "lock"

MEMORY_SECONDS = 0.25  # between looks at how much is used, where the system does not limit it
STOP_SECONDS = 0.1  # between looks whether an instance that was asked to stop may do that

CONTAINER_ID = "MAAS_CONTAINER_ID"  # among the script's variables: by it, its processes are known
ENVIRONMENT = "MAAS_ENVIRONMENT"  # the script's own variables, as JSON: not among the arguments, which all users see


@dataclass(frozen=True)
class Limits:
    """How patient a runner is, in seconds, and what it allows.

    start: for a model to get ready
    drain: for calls under way, once it is unregistered
    end: between asking it to end and killing it
    probe: between two looks whether it still answers; it is lost after `misses` in a row
    memory: MB that all its processes may use together; 0 for no limit
    logs: how much of what it prints is kept
    health: the path where it tells how it is, unless it says so itself; empty for none
    """

    start: float = 600.0
    drain: float = 1.0
    end: float = 5.0
    probe: float = 5.0
    misses: int = 3
    memory: int = 0
    logs: LogLimits = field(default_factory=LogLimits)
    health: str = ""

    def options(self) -> dict[str, object]:
        """The options by which a runner is told of these; those of memory are the deployer's affair."""
        return {
            "--start-seconds": self.start,
            "--drain-seconds": self.drain,
            "--end-seconds": self.end,
            "--probe-seconds": self.probe,
            "--log-bytes": self.logs.most_bytes,
            "--log-files": self.logs.kept,
            "--health": self.health,
        }


class ModelFailed(Exception):
    """An instance that did not get ready, or that ended unasked; str() says how."""


class StopRequested(Exception):
    """The runner was asked to stop before the model was ready."""


@dataclass(frozen=True)
class Instance:
    """What is to run, and where.

    container: its directory; the model's files are in `work` below
    host: the name by which others reach this machine; empty to leave addresses as the model writes them
    """

    model: Model
    id: str
    script: str
    container: Path
    host: str = ""
    lasting: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)


class Lifecycle(Protocol):
    """Decides when an instance that works is to end."""

    def is_desired(self) -> bool:
        """Return whether the instance is to run on where it runs. Called every second or so while it serves.

        Raises ModelFailed if it can't run on there.
        """

    def may_stop(self) -> bool:
        """Return whether the instance, which was asked to stop, may do that now. Called until it may."""


class UntilStopped:
    """Lets an instance run until it is asked to stop, and stop at once then."""

    def is_desired(self) -> bool:
        return True

    def may_stop(self) -> bool:
        return True


def run(
    instance: Instance,
    registry: Registry,
    signals: Signals,
    limits: Limits,
    lifecycle: Lifecycle,
    *,
    adopts: bool = False,
) -> None:
    """Run an instance until it is asked to stop, or is desired no longer.

    adopts: whether this process has no other children, and gets those that lose their parents

    Raises ModelFailed if it ends otherwise. In either case nothing of it runs any more, and it is unregistered.
    """
    work = instance.container / WORK
    own = {
        "MAAS_MODEL_NAME": instance.model.name,
        "MAAS_MODEL_VERSION": instance.model.version,
        CONTAINER_ID: instance.id,
    }
    try:
        processes = ModelProcesses(
            work / instance.script,
            work,
            {**instance.environment, **own},
            instance.container / OUTPUT,
            instance.container / ERRORS,
            limits.logs,
            memory=control_group(instance.id, limits.memory),
            adopts=adopts,
        )
    except OSError as error:
        raise ModelFailed(f"{instance.script} can't be started: {error}") from None
    with processes:
        try:
            _serve(instance, processes, registry, signals, limits, lifecycle)
        except StopRequested:
            log.info("%s is asked to stop before it is ready", instance.model)
        finally:
            _unregister(instance, registry)
            processes.end(limits.end, signals)


def _unregister(instance: Instance, registry: Registry) -> None:
    try:
        registry.unregister(instance.model.name, instance.id)
    except OSError as error:
        log.warning("%s can't be unregistered now: %s", instance.model, error)


def _serve(
    instance: Instance,
    processes: ModelProcesses,
    registry: Registry,
    signals: Signals,
    limits: Limits,
    lifecycle: Lifecycle,
) -> None:
    """From start to end of an instance whose script was started. Returns or raises when it is to end."""
    deadline = monotonic() + limits.start
    guard = InstanceMonitor(instance, processes, limits)
    content = _await_endpoint(instance, guard, signals, deadline)
    endpoint = reachable(content.endpoint, instance.host)
    registration = ServiceInstance.of(instance.model, instance.id, endpoint, lasting=instance.lasting)
    with closing(HealthProbe(endpoint.url, content.health or health_path(limits.health))) as looks:
        _await_answer(looks, guard, signals, deadline)
        _register(registry, registration, content.settings, guard, signals)
        log.info("%s is ready at %s", instance.model, endpoint.url)
        _watch(looks, guard, signals, limits, lifecycle)
    _unregister(instance, registry)
    log.info("%s is unregistered", instance.model)
    drained = monotonic() + limits.drain
    while processes.status is None and monotonic() < drained:
        signals.wait(drained - monotonic())


class InstanceMonitor:
    """Sees to it that an instance runs as it should."""

    def __init__(self, instance: Instance, processes: ModelProcesses, limits: Limits) -> None:
        self._instance, self._processes, self._limits = instance, processes, limits
        self._next = 0.0

    def check(self, when: str) -> None:
        """Raise ModelFailed if the script ended or uses too much memory."""
        if self._processes.ended_for_memory():
            raise ModelFailed(f"it wanted more than the {self._limits.memory} MB of memory that it may use")
        if (status := self._processes.status) is not None:
            how = f"with status {status}" if status >= 0 else f"by signal {-status}"
            raise ModelFailed(f"{self._instance.script} ended {how} {when}{self._last_words()}")
        if monotonic() < self._next:
            return
        self._next = monotonic() + MEMORY_SECONDS
        self._processes.reap()
        used = self._processes.memory() >> 20 if self._limits.memory else 0
        if used > self._limits.memory:  # perhaps because what its processes share is counted several times
            used = self._processes.memory_shared_once() >> 20
        if used > self._limits.memory:
            raise ModelFailed(f"it used {used} MB of memory, and may use {self._limits.memory} MB")

    def _last_words(self) -> str:
        self._processes.logs.settle()
        with (self._instance.container / ERRORS).open("rb") as errors:
            errors.seek(max(0, os.fstat(errors.fileno()).st_size - 2000))
            lines = errors.read().decode(errors="replace").split("\n")
        words = [line.strip() for line in lines if line.strip()]
        if not words:
            return ""
        return ": " + "".join(
            letter if letter.isprintable() else "?" for letter in words[-1]
        )  # a terminal will show it


def _await_endpoint(instance: Instance, guard: InstanceMonitor, signals: Signals, deadline: float) -> EndpointFile:
    """Return what the model writes to endpoint.dat, as soon as it is complete."""
    file = instance.container / WORK / ENDPOINT_FILE
    trouble = "it wrote no endpoint.dat"
    while True:
        _go_on(guard, signals, f"before it wrote {ENDPOINT_FILE}")
        try:
            if content := read_endpoint(file):
                return content
        except (OSError, ValueError) as error:  # perhaps half of it is written
            trouble = f"its {ENDPOINT_FILE} can't be used: {error}"
        _wait(0.1, signals, deadline, trouble)


def _await_answer(looks: HealthProbe, guard: InstanceMonitor, signals: Signals, deadline: float) -> None:
    while not looks():
        _go_on(guard, signals, "before it listened")
        _wait(0.1, signals, deadline, looks.nothing)


def _register(
    registry: Registry,
    registration: ServiceInstance,
    settings: Mapping[str, Any],
    guard: InstanceMonitor,
    signals: Signals,
) -> None:
    while True:
        try:
            return registry.register(registration, settings)
        except OSError as error:
            log.warning("the instance can't be registered yet: %s", error)
        _go_on(guard, signals, "before it was registered")
        signals.wait(1.0)


def _watch(looks: HealthProbe, guard: InstanceMonitor, signals: Signals, limits: Limits, lifecycle: Lifecycle) -> None:
    """Return when the instance was asked to stop and may do that, or when it is desired no longer.

    Raises ModelFailed when the model is lost.
    """
    looks.begin(limits.probe)
    while not (signals.stopping and lifecycle.may_stop()) and lifecycle.is_desired():
        guard.check("while it served")
        if looks.misses >= limits.misses:
            raise ModelFailed(looks.lost)
        pause = STOP_SECONDS if signals.stopping else MEMORY_SECONDS if limits.memory else 1.0
        signals.wait(min(pause, limits.probe))


def _go_on(guard: InstanceMonitor, signals: Signals, when: str) -> None:
    if signals.stopping:
        raise StopRequested
    guard.check(when)


def _wait(seconds: float, signals: Signals, deadline: float, trouble: str) -> None:
    if monotonic() > deadline:
        raise ModelFailed(f"it was not ready in time: {trouble}")
    signals.wait(seconds)


LOCAL_HOSTS = ("localhost", "127.0.0.1", "0.0.0.0")


def reachable(endpoint: Endpoint, host: str) -> Endpoint:
    """The endpoint as others reach it: an address of this machine alone gets the machine's name.

    Raises ModelFailed if it is no http address.
    """
    if trouble := trouble_with(endpoint.url, AllowedHosts()):
        raise ModelFailed(f"its url {trouble}")
    parts = urlsplit(endpoint.url)
    scheme, _, path, query, _ = parts
    given, port = parts.hostname, parts.port
    if query:
        log.warning("its url %s has a query, which will stand before the function", endpoint.url)
    if given not in LOCAL_HOSTS or not host:
        return endpoint
    name = f"[{host}]" if ":" in host else host
    url = urlunsplit((scheme, name if port is None else f"{name}:{port}", path, query, ""))
    return Endpoint(url=url, functions=endpoint.functions)


def options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m maas_runtime.runner.runner",
        description="Runs one instance of a model; `maas serve` starts these.",
        allow_abbrev=False,
    )
    limits = Limits()
    add = parser.add_argument
    add("-n", "--name", required=True, help="the model's name")
    add("-v", "--version", required=True, help="the model's version")
    add("-s", "--script", required=True, help="the script in `work` that starts the model")
    add("-ci", "--container_id", required=True, help="the instance's id")
    add("-hn", "--hostname", default="", help="the name by which others reach this machine")
    add("-zr", "--zk_root", default=CONFIG_PATH, help="where the registry's configuration is (default %(default)s)")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--registry", type=Path, metavar="DIR", help="the registry's directory")
    where.add_argument("-zq", "--zk_quorum", metavar="HOST:PORT,...", help="the ZooKeeper that holds the registry")
    add("--zk-client", metavar="FILE", help="how to speak with ZooKeeper: a JSON file")
    add("--container", required=True, type=Path, metavar="DIR", help="the instance's directory, which holds `work`")
    add("--registration", choices=("ephemeral", "static"), default="ephemeral", help="whether it ends with the runner")
    add("-m", "--memory", type=int, default=0, metavar="MB", help="memory for all its processes; 0 for no limit")
    add("--log-bytes", type=int, default=limits.logs.most_bytes, metavar="N", help="for each file of what it prints")
    add("--log-files", type=int, default=limits.logs.kept, metavar="N", help="how many full ones are kept")
    add("--health", default="", metavar="PATH", help="the path where the model tells how it is; none by default")
    add("--start-seconds", type=float, default=limits.start, help="to get ready (default %(default)s)")
    add(
        "--drain-seconds", type=float, default=limits.drain, help="for calls under way at the end (default %(default)s)"
    )
    add("--end-seconds", type=float, default=limits.end, help="before it is killed (default %(default)s)")
    add("--probe-seconds", type=float, default=limits.probe, help="between looks at its port (default %(default)s)")
    return parser


def main(
    argv: Sequence[str] | None = None,
    make_lifecycle: Callable[[Instance, Registry, Limits], Lifecycle] = lambda *_: UntilStopped(),
) -> int:
    """Run one instance: 0 when it was asked to stop, 1 when it failed. What became of it is noted in its directory.

    make_lifecycle: makes what decides when the instance ends; by default, when it is asked to stop
    """
    signals = Signals()
    given = options().parse_args(argv)
    container = given.container.absolute()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    instance = Instance(
        Model(given.name, given.version),
        given.container_id,
        given.script,
        container,
        given.hostname,
        given.registration == "static",
        json.loads(os.environ.pop(ENVIRONMENT, "{}")),
    )
    limits = Limits(
        given.start_seconds,
        given.drain_seconds,
        given.end_seconds,
        given.probe_seconds,
        memory=given.memory,
        logs=LogLimits(given.log_bytes, given.log_files),
        health=given.health,
    )
    (container / LOCK).write_text(f"{os.getpid()}\n")  # signals are handled from here on, so others may send them
    try:
        with _registry(given, signals) as registry:
            run(
                instance,
                registry,
                signals,
                limits,
                make_lifecycle(instance, registry, limits),
                adopts=adopt(),
            )
    except StopRequested:
        log.info("%s is asked to stop before it is started", instance.model)
    except (ModelFailed, PermissionError, ValueError) as error:
        log.warning("%s: %s", instance.model, error)
        _note(container, str(error))
        return 1
    _note(container, None)
    with suppress(OSError):
        shutil.rmtree(container / WORK)
    return 0


def _registry(given: argparse.Namespace, signals: Signals) -> FileRegistry | ZooKeeperRegistry:
    """The registry, as soon as it can be reached."""
    if given.zk_quorum is None:
        return FileRegistry(given.registry, config_path=given.zk_root)
    from stellar.maas.registries.zookeeper import ZooKeeperRegistry
    from stellar.maas.zookeeper import ZooKeeperSettings

    settings = ZooKeeperSettings.read(given.zk_quorum, given.zk_client)
    while not signals.stopping:
        try:
            return ZooKeeperRegistry(settings, config_path=given.zk_root)
        except ConnectionError as error:
            log.warning("%s", error)
    raise StopRequested


def _note(container: Path, failure: str | None) -> None:
    (container / OUTCOME).write_text(json.dumps({"failure": failure}))


if __name__ == "__main__":
    sys.exit(main())
