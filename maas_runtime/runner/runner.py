"""Run one instance of a model: start its script, register it when it is ready, monitor it, drain and end it.

The script writes `endpoint.dat` to its working directory, `{"url": "http://0.0.0.0:36161"}`, and stays in the
foreground. `python -m maas_runtime.runner.runner --help` shows the options.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import re
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any, Protocol
from urllib.parse import urlsplit, urlunsplit

from maas_runtime.runner.assignment import AssignedLifecycle
from maas_runtime.runner.connections import CHECK_SECONDS, Drain, find_port, is_local
from maas_runtime.runner.endpoint import EndpointFile, parse_health_path, read_endpoint
from maas_runtime.runner.limits import Limits, add_limit_options, read_limits
from maas_runtime.runner.liveness import HealthLimits, HealthMonitor, ModelTurn, Turn
from maas_runtime.runner.memory_limit import create_control_group
from maas_runtime.runner.monitor import InstanceMonitor, Publisher
from maas_runtime.runner.monitor import ModelFailed as ModelFailed
from maas_runtime.runner.processes import ModelProcesses, Signals, become_subreaper
from maas_runtime.runner.reasons import (
    COMMAND_FIX,
    ENDPOINT_FIX,
    LISTEN_FIX,
    REGISTRY_FIX,
    SAMPLE_FIX,
    explain_not_listening,
    find_full_disk,
    find_other_owner,
)
from maas_runtime.runner.samples import parse_warm_up, read_samples
from maas_runtime.state.phases import PhasePublisher, Problem
from maas_runtime.state.store import DirectoryStateStore, StateStore
from maas_runtime.store.base import ENDPOINT_FILE, SERVE_SCRIPT
from stellar.maas.registries.directory import FileRegistry
from stellar.maas.registries.file_registrar import FileRegistrar, read_config
from stellar.maas.registry import BaseRegistry, Registrar, Registry
from stellar.maas.schema import CONFIG_PATH, Endpoint, Model, ServiceInstance
from stellar.net.allowed_hosts import AllowedHosts, find_url_problem
from stellar.util.abbreviate import quote

log = logging.getLogger(__name__)

# Names in an instance's directory
WORK, OUTPUT, ERRORS, OUTCOME, LOCK = "work", "stdout", "stderr", "outcome.json", "lock"

STOP_SECONDS = 0.1  # between checks whether a stopping instance may end

CONTAINER_ID = "MAAS_CONTAINER_ID"  # a variable of the script, which marks its processes
PYTHON = "MAAS_PYTHON"  # a variable of the script with a Python that can run models: by default, that of the runner
HOST = "MODEL_HOST"  # a variable of the script with the address on which models without their own script listen
ENVIRONMENT = "MAAS_ENVIRONMENT"  # the variables of the script as JSON; arguments would be visible to all users


class StopRequested(Exception):
    """The runner received a stop signal before the model was ready."""


@dataclass(frozen=True)
class Instance:
    """An instance to run.

    container: directory of the instance; the model's files are in its subdirectory `work`
    host: host name for other machines, which replaces a local host in the model's URL; empty leaves the URL unchanged
    lasting: register without expiry
    warm_up: queries to which the model must respond before it is registered
    content: path of its files in the model store; empty if unknown
    """

    model: Model
    id: str
    script: str
    container: Path
    host: str = ""
    lasting: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)
    warm_up: Sequence[str] = ()
    content: str = ""


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
    publisher: Publisher,
    turn: Turn,
    *,
    is_subreaper: bool = False,
) -> None:
    """Run an instance until a stop signal arrives or it is no longer desired.

    publisher: publishes the phases of the instance
    turn: of the model's instances, to be judged
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
            {**_choose_defaults(instance), **instance.environment, **own},
            instance.container / OUTPUT,
            instance.container / ERRORS,
            limits.logs,
            memory=create_control_group(instance.id, limits.memory),
            is_subreaper=is_subreaper,
        )
    except OSError as error:
        raise ModelFailed(Problem(f"cannot start {instance.script}: {error}", COMMAND_FIX)) from None
    with processes:
        try:
            _serve(instance, processes, registrar, signals, limits, lifecycle, publisher, turn)
        except StopRequested:
            log.info("%s: stop requested before the instance was ready", instance.model)
        finally:
            _unregister(instance, registrar)
            publisher.publish("ending")
            processes.end(limits.end, signals)


def _choose_defaults(instance: Instance) -> dict[str, str]:
    """Return the variables of the script that the operator may have set: its Python, and where it listens."""
    defaults = {PYTHON: sys.executable}
    if instance.host and instance.host not in LOCAL_HOSTS:
        defaults[HOST] = "0.0.0.0"
    return {name: os.environ.get(name, value) for name, value in defaults.items()}


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
    publisher: Publisher,
    turn: Turn,
) -> None:
    """Wait for readiness, register, monitor, unregister and drain a started instance."""
    deadline = monotonic() + limits.start
    errors = instance.container / ERRORS
    monitor = InstanceMonitor(instance.script, instance.container, errors, limits.memory, processes, publisher)
    content = _await_endpoint(instance, monitor, signals, deadline)
    endpoint = make_reachable(content.endpoint, instance.host)
    registration = ServiceInstance.of(instance.model, instance.id, endpoint, lasting=instance.lasting)
    settings = {**content.settings, **_describe_data_model(instance)}
    port = find_port(endpoint.url) if is_local(urlsplit(endpoint.url).hostname or "") else None
    default = parse_health_path(limits.health)
    health_limits = HealthLimits(limits.probe, limits.misses, limits.hang)
    with closing(
        HealthMonitor(
            endpoint.url,
            default if content.health is None else content.health,
            processes.measure_cpu,
            turn,
            health_limits,
            inspect=lambda: find_full_disk(instance.container),
            changed=signals.wake,
        )
    ) as health:
        _await_healthy(health, endpoint.url, port, monitor, signals, deadline)
        _check_samples(instance, registration, monitor, signals, deadline)
        _register(registrar, registration, settings, monitor, signals)
        log.info("%s is ready at %s", instance.model, endpoint.url)
        _monitor(health, monitor, signals, lifecycle)
        monitor.publish("draining")
        _unregister(instance, registrar)
    log.info("%s is unregistered", instance.model)
    drain = Drain(port, limits.drain)
    while processes.status is None and not drain.is_complete():
        signals.wait(CHECK_SECONDS)


def _describe_data_model(instance: Instance) -> dict[str, Any]:
    """Return the setting for clients of a model that is data. Raises ModelFailed if its lock is invalid."""
    if instance.script != SERVE_SCRIPT:
        return {}
    # Here, as other models do not need it, and a runner should be small
    from maas_runtime.runner.data_models import describe_data_model

    try:
        return describe_data_model(instance.container / WORK, instance.script, instance.content)
    except (OSError, ValueError) as error:
        raise ModelFailed(str(error)) from None


def _await_endpoint(instance: Instance, monitor: InstanceMonitor, signals: Signals, deadline: float) -> EndpointFile:
    """Return the content of endpoint.dat, as soon as it is complete."""
    file = instance.container / WORK / ENDPOINT_FILE
    problem = Problem(f"it wrote no {ENDPOINT_FILE} yet", ENDPOINT_FIX)
    while True:
        _check_running(monitor, signals, f"before it wrote {ENDPOINT_FILE}")
        try:
            if content := read_endpoint(file):
                return content
        except (OSError, ValueError) as error:  # may be a partial write
            problem = Problem(f"invalid {ENDPOINT_FILE}: {error}", ENDPOINT_FIX)
        _wait(0.1, monitor, signals, deadline, problem)


def _await_healthy(
    health: HealthMonitor, url: str, port: int | None, monitor: InstanceMonitor, signals: Signals, deadline: float
) -> None:
    """Wait until the instance is ready, and its first liveness check has begun.

    port: of the URL; None if it is of another machine
    """
    while (problem := _find_problem(health, url, port, monitor.processes)) is not None:
        _check_running(monitor, signals, "before it listened")
        _wait(0.1, monitor, signals, deadline, problem)
    health.start()
    while not health.has_begun.is_set():
        _check_running(monitor, signals, "before it was registered")
        signals.wait(0.02)


def _find_problem(health: HealthMonitor, url: str, port: int | None, processes: ModelProcesses) -> Problem | None:
    """Return why an instance with a valid endpoint.dat is not ready; None if it is."""
    problem = health.check_ready()
    if port is not None and problem is None:  # another instance with a fixed port may have responded
        return find_other_owner(port, processes.list_pids(), CONTAINER_ID)
    if port is not None and problem is not None and problem.fix == LISTEN_FIX:
        return explain_not_listening(url, port, processes.list_pids())
    return problem


def _check_samples(
    instance: Instance, registration: ServiceInstance, monitor: InstanceMonitor, signals: Signals, deadline: float
) -> None:
    """Raise ModelFailed if the model does not respond to its samples as expected."""
    try:
        samples = [*parse_warm_up(instance.warm_up), *read_samples(instance.container / WORK)]
    except ValueError as error:
        raise ModelFailed(Problem(str(error), SAMPLE_FIX)) from None
    if not samples:
        return
    # Here, as most models have no samples, and a runner should be small
    from maas_runtime.runner.sample_calls import SampleFailed, check_samples

    def check_running(origin: str) -> None:
        monitor.publish("starting", Problem(f"it has not responded to {origin} yet"))
        _check_running(monitor, signals, "before it had responded to its samples")

    try:
        check_samples(samples, registration.payload, deadline, check_running)
    except SampleFailed as error:
        raise ModelFailed(Problem(str(error), SAMPLE_FIX)) from None


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
            monitor.publish("starting", Problem(f"cannot register it: {error}", REGISTRY_FIX))
        _check_running(monitor, signals, "before it was registered")
        signals.wait(1.0)


def _monitor(health: HealthMonitor, monitor: InstanceMonitor, signals: Signals, lifecycle: Lifecycle) -> None:
    """Return when the instance may end after a stop signal, or is no longer desired.

    Raises ModelFailed if the model fails.
    """
    intervals = [seconds for seconds in (monitor.interval, lifecycle.interval) if seconds is not None]
    while not (signals.stopping and lifecycle.may_stop()) and lifecycle.is_desired():
        monitor.check("while it served")
        monitor.publish("ready", health.problem)
        if health.failure is not None:
            raise ModelFailed(health.failure)
        signals.wait(STOP_SECONDS if signals.stopping else min(intervals, default=None))


def _check_running(monitor: InstanceMonitor, signals: Signals, when: str) -> None:
    if signals.stopping:
        raise StopRequested
    monitor.check(when)


def _wait(seconds: float, monitor: InstanceMonitor, signals: Signals, deadline: float, problem: Problem) -> None:
    monitor.publish("starting", problem)
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


def parse_devices(text: str) -> str:
    """Return a list of devices, such as `0,1` or `GPU-8932f937,MIG-…`, for argparse."""
    if text and not re.fullmatch(r"[A-Za-z0-9_:/-]+(,[A-Za-z0-9_:/-]+)*", text, re.ASCII):
        raise argparse.ArgumentTypeError(f"invalid devices {quote(text)}: expected ids such as 0,1")
    return text


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m maas_runtime.runner.runner",
        description="Run one instance of a model; started by `maas serve`.",
        allow_abbrev=False,
    )
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
    add(
        "--devices",
        type=parse_devices,
        metavar="ID,...",
        help="the GPUs of the model, as in CUDA_VISIBLE_DEVICES; empty for none (default: all)",
    )
    add("-m", "--memory", type=int, default=0, metavar="MB", help="memory limit of all processes; 0 for no limit")
    add("--content", default="", metavar="PATH", help="path of the model's files in the model store, for clients")
    add("--warm-up", action="append", default=[], metavar="QUERY", help="a request before registration")
    add_limit_options(parser)
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
    instance, limits = _read_instance(args), read_limits(args, args.memory)
    (container / LOCK).write_text(f"{os.getpid()}\n")  # written once signals are handled: others may send them now
    try:
        with closing(_open_registrar(args, signals, make_lifecycle is not None)) as registrar:
            state_store = _open_state_store(args, registrar)
            if make_lifecycle is not None:
                assert isinstance(registrar, BaseRegistry)
                lifecycle = make_lifecycle(instance, registrar, limits)
            else:
                lifecycle = _make_lifecycle(args, instance, state_store, signals)
            with PhasePublisher(state_store, instance.model, instance.id, instance.host) as publisher:
                turn = ModelTurn(state_store, instance.model)
                is_subreaper = become_subreaper()
                run(instance, registrar, signals, limits, lifecycle, publisher, turn, is_subreaper=is_subreaper)
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
        json.loads(os.environ.pop(ENVIRONMENT, "{}"))
        | ({} if args.devices is None else {"CUDA_VISIBLE_DEVICES": args.devices}),
        args.warm_up,
        args.content,
    )


def _open_registrar(args: argparse.Namespace, signals: Signals, reads: bool) -> Registrar:
    """Open the registry; retry until it responds or a stop signal arrives.

    reads: True if other registrations are read too, False to register the instance only
    """
    if args.zk_quorum is None:
        files = FileRegistry if reads else FileRegistrar
        return files(args.registry, config_path=args.zk_root)
    from stellar.maas.registries.zookeeper import ZooKeeperRegistry
    from stellar.maas.registries.zookeeper_registrar import ZooKeeperRegistrar
    from stellar.maas.zookeeper import ZooKeeperSettings

    nodes = ZooKeeperRegistry if reads else ZooKeeperRegistrar
    settings = ZooKeeperSettings.read(args.zk_quorum, args.zk_client)
    while not signals.stopping:
        try:
            return nodes(settings, config_path=args.zk_root)
        except ConnectionError as error:
            log.warning("%s", error)
    raise StopRequested


def _open_state_store(args: argparse.Namespace, registrar: Any) -> StateStore:
    """Open the state store, over the connection of the registry if there is one."""
    if args.zk_quorum is None:
        return DirectoryStateStore(args.registry, read_config(args.registry, args.zk_root).ext_root)
    from maas_runtime.state.zookeeper import ZooKeeperStateStore

    return ZooKeeperStateStore(registrar.connection, args.zk_root)


def _make_lifecycle(
    args: argparse.Namespace, instance: Instance, state_store: StateStore, signals: Signals
) -> Lifecycle:
    """Return the life cycle of an instance that an agent started, or that ends on a stop signal."""
    if args.epoch is None:
        return UntilStopped()
    path = f"assigned/{instance.model.name}/{instance.id}"
    return AssignedLifecycle(state_store.watch(path, signals.wake), args.epoch)


def _write_outcome(container: Path, failure: str | None) -> None:
    (container / OUTCOME).write_text(json.dumps({"failure": failure}))


if __name__ == "__main__":
    sys.exit(main())
