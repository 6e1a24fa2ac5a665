"""Run one instance of a model: start its script, register it when it is ready, monitor it, drain and end it.

The script writes `endpoint.dat` to its working directory, `{"url": "http://0.0.0.0:36161"}`, and stays in the
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
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from urllib.parse import urlsplit, urlunsplit

from maas_runtime.runner.assignment import AssignedLifecycle
from maas_runtime.runner.connections import CHECK_SECONDS, Drain, is_local
from maas_runtime.runner.endpoint import EndpointFile, HealthProbe, find_port, parse_health_path, read_endpoint
from maas_runtime.runner.logs import LogLimits
from maas_runtime.runner.memory_limit import create_control_group
from maas_runtime.runner.processes import ModelProcesses, Signals, become_subreaper
from maas_runtime.state.store import DirectoryStateStore, StateStore
from maas_runtime.store.base import ENDPOINT_FILE
from stellar.maas.registries.directory import FileRegistry
from stellar.maas.registries.file_registrar import FileRegistrar, read_config
from stellar.maas.registry import Registrar, Registry
from stellar.maas.schema import CONFIG_PATH, Endpoint, Model, ServiceInstance
from stellar.net.allowed_hosts import AllowedHosts, find_url_problem

if TYPE_CHECKING:
    from stellar.maas.registries.zookeeper_registrar import ZooKeeperRegistrar
    from stellar.maas.zookeeper import ZooKeeperSettings

log = logging.getLogger(__name__)
T = TypeVar("T")

# Names in an instance's directory
WORK, OUTPUT, ERRORS, OUTCOME, LOCK = "work", "stdout", "stderr", "outcome.json", "lock"

MEMORY_SECONDS = 0.25  # between samples of the memory, without a control group
GROUP_SECONDS = 1.0  # between checks of a control group
STOP_SECONDS = 0.1  # between checks whether a stopping instance may end

CONTAINER_ID = "MAAS_CONTAINER_ID"  # a variable of the script, which marks its processes
ENVIRONMENT = "MAAS_ENVIRONMENT"  # the variables of the script as JSON; arguments would be visible to all users


@dataclass(frozen=True)
class Limits:
    """Time-outs, in seconds, and resource limits of a runner.

    start: time for a model to become ready
    drain: longest time for active calls after the instance is unregistered; it ends before that once no client is
        connected, and never later than the time-out of clients
    end: time between SIGTERM and SIGKILL
    probe: interval of health checks; the instance fails after `misses` consecutive failures
    memory: limit for all processes together, in MB; 0 for no limit
    logs: limits of the log files
    health: default path of the health check; empty for a connection check
    """

    start: float = 600.0
    drain: float = 5.0
    end: float = 5.0
    probe: float = 5.0
    misses: int = 3
    memory: int = 0
    logs: LogLimits = field(default_factory=LogLimits)
    health: str = ""

    def to_options(self) -> dict[str, object]:
        """Return the command-line options for these limits, except memory, which the deployer sets."""
        return {
            "--start-seconds": self.start,
            "--drain-seconds": self.drain,
            "--end-seconds": self.end,
            "--probe-seconds": self.probe,
            "--log-bytes": self.logs.max_bytes,
            "--log-files": self.logs.backups,
            "--health": self.health,
        }


class ModelFailed(Exception):
    """The instance did not become ready, or ended by itself; str() gives the reason."""


class StopRequested(Exception):
    """The runner received a stop signal before the model was ready."""


@dataclass(frozen=True)
class Instance:
    """An instance to run.

    container: directory of the instance; the model's files are in its subdirectory `work`
    host: host name for other machines, which replaces a local host in the model's URL; empty leaves the URL unchanged
    lasting: register without expiry
    """

    model: Model
    id: str
    script: str
    container: Path
    host: str = ""
    lasting: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)


class Lifecycle(Protocol):
    """A policy that decides when a healthy instance ends."""

    @property
    def interval(self) -> float | None:
        """The seconds between two calls of `is_desired`; None if it is called after events only."""

    def is_desired(self) -> bool:
        """Return whether the instance is desired here. Called while it serves, after `interval` and after events.

        Raises ModelFailed if it cannot go on here.
        """

    def may_stop(self) -> bool:
        """Return whether the instance may end now, after a stop signal. Called until it may."""


class UntilStopped:
    """A life cycle that ends at once on a stop signal."""

    interval = None

    def is_desired(self) -> bool:
        return True

    def may_stop(self) -> bool:
        return True


def run(
    instance: Instance,
    registrar: Registrar,
    signals: Signals,
    limits: Limits,
    lifecycle: Lifecycle,
    *,
    is_subreaper: bool = False,
) -> None:
    """Run an instance until a stop signal arrives or it is no longer desired.

    is_subreaper: this process has no other children and is the parent of orphaned descendants

    Raises ModelFailed if it ends otherwise. In either case it is unregistered and none of its processes runs.
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
            memory=create_control_group(instance.id, limits.memory),
            is_subreaper=is_subreaper,
        )
    except OSError as error:
        raise ModelFailed(f"cannot start {instance.script}: {error}") from None
    with processes:
        try:
            _serve(instance, processes, registrar, signals, limits, lifecycle)
        except StopRequested:
            log.info("%s: stop requested before the instance was ready", instance.model)
        finally:
            _unregister(instance, registrar)
            processes.end(limits.end, signals)


def _unregister(instance: Instance, registrar: Registrar) -> None:
    try:
        registrar.unregister(instance.model.name, instance.id)
    except OSError as error:
        log.warning("cannot unregister %s: %s", instance.model, error)


def _serve(
    instance: Instance,
    processes: ModelProcesses,
    registrar: Registrar,
    signals: Signals,
    limits: Limits,
    lifecycle: Lifecycle,
) -> None:
    """Wait for readiness, register, monitor, unregister and drain a started instance."""
    deadline = monotonic() + limits.start
    monitor = InstanceMonitor(instance, processes, limits)
    content = _await_endpoint(instance, monitor, signals, deadline)
    endpoint = make_reachable(content.endpoint, instance.host)
    registration = ServiceInstance.of(instance.model, instance.id, endpoint, lasting=instance.lasting)
    with closing(HealthProbe(endpoint.url, content.health or parse_health_path(limits.health))) as probe:
        _await_healthy(probe, monitor, signals, deadline)
        _register(registrar, registration, content.settings, monitor, signals)
        log.info("%s is ready at %s", instance.model, endpoint.url)
        port = find_port(endpoint.url) if is_local(urlsplit(endpoint.url).hostname or "") else None
        _monitor(probe, monitor, signals, limits, lifecycle)
    _unregister(instance, registrar)
    log.info("%s is unregistered", instance.model)
    drain = Drain(port, limits.drain)
    while processes.status is None and not drain.is_complete():
        signals.wait(CHECK_SECONDS)


class InstanceMonitor:
    """A monitor of an instance's script and memory.

    interval: the seconds between two checks; None if a check is due only when a child process has ended
    """

    def __init__(self, instance: Instance, processes: ModelProcesses, limits: Limits) -> None:
        self._instance, self._processes, self._limits = instance, processes, limits
        self._next = 0.0
        seconds = MEMORY_SECONDS if processes.is_memory_sampled else GROUP_SECONDS
        self.interval = seconds if limits.memory else None

    def check(self, when: str) -> None:
        """Raise ModelFailed if the script ended or exceeds its memory limit.

        when: phase for the message, such as "while it served"
        """
        if self._processes.was_killed_for_memory():
            raise ModelFailed(f"it exceeded its memory limit of {self._limits.memory} MB")
        if (status := self._processes.status) is not None:
            how = f"with status {status}" if status >= 0 else f"by signal {-status}"
            raise ModelFailed(f"{self._instance.script} ended {how} {when}{self._last_error_line()}")
        self._processes.reap()
        if not self._limits.memory or monotonic() < self._next:
            return
        self._next = monotonic() + MEMORY_SECONDS
        used = self._processes.measure_memory() >> 20
        if used > self._limits.memory:  # shared memory may have been counted several times
            used = self._processes.measure_unshared_memory() >> 20
        if used > self._limits.memory:
            raise ModelFailed(f"it used {used} MB of memory, above its limit of {self._limits.memory} MB")

    def _last_error_line(self) -> str:
        self._processes.logs.settle()
        with (self._instance.container / ERRORS).open("rb") as errors:
            errors.seek(max(0, os.fstat(errors.fileno()).st_size - 2000))
            lines = errors.read().decode(errors="replace").split("\n")
        lines = [line.strip() for line in lines if line.strip()]
        if not lines:
            return ""
        return ": " + "".join(character if character.isprintable() else "?" for character in lines[-1])  # for terminals


def _await_endpoint(instance: Instance, monitor: InstanceMonitor, signals: Signals, deadline: float) -> EndpointFile:
    """Return the content of endpoint.dat, as soon as it is complete."""
    file = instance.container / WORK / ENDPOINT_FILE
    problem = "it wrote no endpoint.dat"
    while True:
        _check_running(monitor, signals, f"before it wrote {ENDPOINT_FILE}")
        try:
            if content := read_endpoint(file):
                return content
        except (OSError, ValueError) as error:  # may be a partial write
            problem = f"invalid {ENDPOINT_FILE}: {error}"
        _wait(0.1, signals, deadline, problem)


def _await_healthy(probe: HealthProbe, monitor: InstanceMonitor, signals: Signals, deadline: float) -> None:
    while not probe():
        _check_running(monitor, signals, "before it listened")
        _wait(0.1, signals, deadline, probe.not_ready)


def _register(
    registrar: Registrar,
    registration: ServiceInstance,
    settings: Mapping[str, Any],
    monitor: InstanceMonitor,
    signals: Signals,
) -> None:
    while True:
        try:
            return registrar.register(registration, settings)
        except OSError as error:
            log.warning("cannot register the instance, retrying: %s", error)
        _check_running(monitor, signals, "before it was registered")
        signals.wait(1.0)


def _monitor(
    probe: HealthProbe, monitor: InstanceMonitor, signals: Signals, limits: Limits, lifecycle: Lifecycle
) -> None:
    """Return when the instance may end after a stop signal, or is no longer desired.

    Raises ModelFailed if the model fails.
    """
    probe.start(limits.probe, signals.wake)
    intervals = [seconds for seconds in (monitor.interval, lifecycle.interval) if seconds is not None]
    while not (signals.stopping and lifecycle.may_stop()) and lifecycle.is_desired():
        monitor.check("while it served")
        if probe.misses >= limits.misses:
            raise ModelFailed(probe.failure)
        signals.wait(STOP_SECONDS if signals.stopping else min(intervals, default=None))


def _check_running(monitor: InstanceMonitor, signals: Signals, when: str) -> None:
    if signals.stopping:
        raise StopRequested
    monitor.check(when)


def _wait(seconds: float, signals: Signals, deadline: float, problem: str) -> None:
    if monotonic() > deadline:
        raise ModelFailed(f"it was not ready in time: {problem}")
    signals.wait(seconds)


LOCAL_HOSTS = ("localhost", "127.0.0.1", "0.0.0.0")


def make_reachable(endpoint: Endpoint, host: str) -> Endpoint:
    """Return the endpoint for other machines: a local host in its URL is replaced by `host`.

    Raises ModelFailed for an invalid URL.
    """
    if problem := find_url_problem(endpoint.url, AllowedHosts()):
        raise ModelFailed(f"its url {problem}")
    parts = urlsplit(endpoint.url)
    scheme, _, path, query, _ = parts
    local, port = parts.hostname, parts.port
    if query:
        log.warning("the query in its url %s will precede the function", endpoint.url)
    if local not in LOCAL_HOSTS or not host:
        return endpoint
    name = f"[{host}]" if ":" in host else host
    url = urlunsplit((scheme, name if port is None else f"{name}:{port}", path, query, ""))
    return Endpoint(url=url, functions=endpoint.functions)


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m maas_runtime.runner.runner",
        description="Run one instance of a model; started by `maas serve`.",
        allow_abbrev=False,
    )
    limits = Limits()
    add = parser.add_argument
    add("-n", "--name", required=True, help="the model's name")
    add("-v", "--version", required=True, help="the model's version")
    add("-s", "--script", required=True, help="the start script in `work`")
    add("-ci", "--container_id", required=True, help="the instance's id")
    add("-hn", "--hostname", default="", help="host name of this machine for clients")
    add("-zr", "--zk_root", default=CONFIG_PATH, help="path of the registry's configuration (default %(default)s)")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--registry", type=Path, metavar="DIR", help="the registry's directory")
    where.add_argument("-zq", "--zk_quorum", metavar="HOST:PORT,...", help="ZooKeeper with the registry")
    add("--zk-client", metavar="FILE", help="JSON file with settings of the ZooKeeper connection")
    add("--container", required=True, type=Path, metavar="DIR", help="the instance's directory, which contains `work`")
    add(
        "--registration",
        choices=("ephemeral", "static"),
        default="ephemeral",
        help="`ephemeral` ends with the runner (default)",
    )
    add("--epoch", type=int, help="epoch of the desired state that includes the instance; it ends with a later one")
    add("-m", "--memory", type=int, default=0, metavar="MB", help="memory limit of all processes; 0 for no limit")
    add("--log-bytes", type=int, default=limits.logs.max_bytes, metavar="N", help="maximum size of each log file")
    add("--log-files", type=int, default=limits.logs.backups, metavar="N", help="number of rotated log files")
    add("--health", default="", metavar="PATH", help="path of the health check; none by default")
    add("--start-seconds", type=float, default=limits.start, help="time to become ready (default %(default)s)")
    add(
        "--drain-seconds",
        type=float,
        default=limits.drain,
        help="longest time for active calls at the end (default %(default)s)",
    )
    add("--end-seconds", type=float, default=limits.end, help="time before it is killed (default %(default)s)")
    add("--probe-seconds", type=float, default=limits.probe, help="interval of health checks (default %(default)s)")
    return parser


def main(
    argv: Sequence[str] | None = None,
    make_lifecycle: Callable[[Instance, Registry, Limits], Lifecycle] | None = None,
) -> int:
    """Run one instance. Return 0 after a stop signal, 1 after a failure; the outcome is written to its directory.

    make_lifecycle: makes the policy that ends the instance, which may read other registrations; by default, it ends on
        a stop signal, and with --epoch when it is not desired any more
    """
    signals = Signals()
    args = make_parser().parse_args(argv)
    container = args.container.absolute()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    instance, limits = _read_instance(args), _read_limits(args)
    (container / LOCK).write_text(f"{os.getpid()}\n")  # written once signals are handled: others may send them now
    try:
        if make_lifecycle is None:
            with closing(_open_registrar(args, signals)) as registrar:
                lifecycle = UntilStopped() if args.epoch is None else _assign(args, instance, registrar, signals)
                run(instance, registrar, signals, limits, lifecycle, is_subreaper=become_subreaper())
        else:
            with closing(_open_registry(args, signals)) as registry:
                lifecycle = make_lifecycle(instance, registry, limits)
                run(instance, registry, signals, limits, lifecycle, is_subreaper=become_subreaper())
    except StopRequested:
        log.info("%s: stop requested before the instance was started", instance.model)
    except (ModelFailed, PermissionError, ValueError) as error:
        log.warning("%s: %s", instance.model, error)
        _write_outcome(container, str(error))
        return 1
    _write_outcome(container, None)
    with suppress(OSError):
        shutil.rmtree(container / WORK)
    return 0


def _read_instance(args: argparse.Namespace) -> Instance:
    return Instance(
        Model(args.name, args.version),
        args.container_id,
        args.script,
        args.container.absolute(),
        args.hostname,
        args.registration == "static",
        json.loads(os.environ.pop(ENVIRONMENT, "{}")),
    )


def _read_limits(args: argparse.Namespace) -> Limits:
    return Limits(
        args.start_seconds,
        args.drain_seconds,
        args.end_seconds,
        args.probe_seconds,
        memory=args.memory,
        logs=LogLimits(args.log_bytes, args.log_files),
        health=args.health,
    )


def _open_registrar(args: argparse.Namespace, signals: Signals) -> FileRegistrar | ZooKeeperRegistrar:
    """Open the registry only to register an instance; see `_open_registry`."""
    if args.zk_quorum is None:
        return FileRegistrar(args.registry, config_path=args.zk_root)
    from stellar.maas.registries.zookeeper_registrar import ZooKeeperRegistrar

    return _connect(lambda settings: ZooKeeperRegistrar(settings, config_path=args.zk_root), args, signals)


def _open_registry(args: argparse.Namespace, signals: Signals) -> Registry:
    """Open the registry; retry until it responds or a stop signal arrives."""
    if args.zk_quorum is None:
        return FileRegistry(args.registry, config_path=args.zk_root)
    from stellar.maas.registries.zookeeper import ZooKeeperRegistry

    return _connect(lambda settings: ZooKeeperRegistry(settings, config_path=args.zk_root), args, signals)


def _connect(connect: Callable[[ZooKeeperSettings], T], args: argparse.Namespace, signals: Signals) -> T:
    from stellar.maas.zookeeper import ZooKeeperSettings

    settings = ZooKeeperSettings.read(args.zk_quorum, args.zk_client)
    while not signals.stopping:
        try:
            return connect(settings)
        except ConnectionError as error:
            log.warning("%s", error)
    raise StopRequested


def _assign(
    args: argparse.Namespace, instance: Instance, registrar: FileRegistrar | ZooKeeperRegistrar, signals: Signals
) -> Lifecycle:
    """Return the life cycle of an instance that an agent started."""
    state_store: StateStore
    if isinstance(registrar, FileRegistrar):
        state_store = DirectoryStateStore(args.registry, read_config(args.registry, args.zk_root).ext_root)
    else:
        from maas_runtime.state.zookeeper import ZooKeeperStateStore

        state_store = ZooKeeperStateStore(registrar.connection, args.zk_root)
    path = f"assigned/{instance.model.name}/{instance.id}"
    return AssignedLifecycle(state_store.watch(path, signals.wake), args.epoch)


def _write_outcome(container: Path, failure: str | None) -> None:
    (container / OUTCOME).write_text(json.dumps({"failure": failure}))


if __name__ == "__main__":
    sys.exit(main())
