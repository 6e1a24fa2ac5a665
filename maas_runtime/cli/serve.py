"""maas serve: the service, on this machine or on YARN."""

from __future__ import annotations

import argparse
import os
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from threading import Event, Thread

from maas_runtime.cli import background
from maas_runtime.cli.common import (
    InvalidOptions,
    add_registry_options,
    log,
    open_backend,
    reject_options,
)
from maas_runtime.cli.service_metrics import ServiceMetrics
from maas_runtime.deployers import Deployer
from maas_runtime.deployers.assigning import AssigningDeployer
from maas_runtime.deployers.local import LocalInstances
from maas_runtime.deployers.yarn import cluster
from maas_runtime.runner import memory_limit
from maas_runtime.runner.limits import add_limit_options, read_limits
from maas_runtime.runner.processes import list_stop_signals
from maas_runtime.runner.runner import parse_devices
from maas_runtime.service.agent import Agent, find_devices, lock_agent, read_free_memory
from maas_runtime.service.service import Service
from maas_runtime.state.backend import Backend
from maas_runtime.state.store import try_record_failure
from maas_runtime.store import options as stores
from maas_runtime.store.base import ModelStore
from stellar.monitoring.json_logs import log_to_stderr
from stellar.monitoring.options import add_log_format_option, add_metrics_option
from stellar.util.abbreviate import quote

EXAMPLES = """examples:
  maas serve
  maas serve --host node1 -e MODEL_THREADS=2
  maas serve -zq node1:2181 --yarn http://node1:8088 --store /nfs/maas -q models
  maas serve -zq node1:2181 --on-yarn --store /nfs/maas
"""


def add_options(parser: argparse.ArgumentParser, *, quorum_needed: bool = False) -> None:
    add_registry_options(parser, quorum_needed=quorum_needed, contents="the model store and the containers")
    stores.add_store_options(parser)
    _add_service_options(parser)
    add_limit_options(parser)
    add_metrics_option(parser)
    add_log_format_option(parser)
    # A file descriptor to write a line to when the service leads or waits, for maas_service.sh
    parser.add_argument("--ready-fd", type=int, help=argparse.SUPPRESS)
    cluster.add_yarn_options(parser)


def _add_service_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="host name of this machine for clients (default %(default)s)")
    add(
        "-e",
        "--shell_env",
        action="append",
        default=[],
        type=_parse_variable,
        metavar="K=V",
        help="an environment variable for all scripts",
    )
    add(
        "--restart",
        choices=("always", "never"),
        default="always",
        help="whether to restart an instance that ends by itself",
    )
    add("--leave-running", action="store_true", help="leave the models running when the service ends")
    add(
        "--file-root",
        action="append",
        default=[],
        type=Path,
        metavar="DIR",
        help="a directory that file:// paths of requests must be in; may be repeated (default: any)",
    )
    add(
        "--memory",
        type=_integer_from(1),
        metavar="MB",
        help="memory that this host offers for models (default: what is free at the start)",
    )
    add(
        "--gpus",
        type=parse_devices,
        metavar="ID,...",
        help="GPUs that this host offers for models, such as 0,1; empty for none (default: those of /dev/nvidia*)",
    )
    add(
        "--max-instances",
        type=int,
        default=100,
        metavar="N",
        help="maximum number of instances of a model (default %(default)s)",
    )


def _parse_variable(text: str) -> tuple[str, str]:
    name, _, value = text.strip().partition("=")
    if not name or "\0" in text:
        raise argparse.ArgumentTypeError(f"invalid variable {quote(text)}: expected NAME=VALUE")
    return name, value


def _integer_from(least: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not re.fullmatch("[0-9]{1,6}", text) or int(text) < least:
            raise argparse.ArgumentTypeError(f"invalid value {quote(text)}: expected an integer of at least {least}")
        return int(text)

    return parse


def run(args: argparse.Namespace) -> int:
    """Run the service until it is interrupted."""
    log_to_stderr(as_json="json" in (args.output, args.log_format))
    if args.ready_fd is None:  # else the parent process printed it
        for line in cluster.explain_ignored_options(args):
            log.warning("%s", line)
    if args.on_yarn:
        return run_on_yarn(args)
    check_effects(args)
    with _catch_stop_signals() as signals:
        _serve(args, lambda: bool(signals))
    log.info("ended")
    return 0


@contextmanager
def _catch_stop_signals() -> Iterator[list[int]]:
    """Collect the signals that request a stop; at the end, the former handlers are installed again."""
    signals: list[int] = []
    former = {number: signal.signal(number, lambda number, _: signals.append(number)) for number in list_stop_signals()}
    try:
        yield signals
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def _serve(args: argparse.Namespace, stopping: Callable[[], bool]) -> None:
    with (
        stores.model_store(args) as store,
        open_backend(args, create=True) as backend,
        _serve_metrics(args, backend) as metrics,
    ):
        log.info("serving %s", backend.name)

        def notify(word: str) -> None:
            metrics.role = word
            if args.ready_fd is not None:
                _notify(args.ready_fd, word)

        if cluster.uses_yarn(args):
            report = partial(try_record_failure, backend.state_store.copy())
            with cluster.open_deployer(args, backend, store, report, read_limits(args)) as deployer:
                metrics.service = service = _make_service(args, backend, store, deployer)
                service.run(stopping, leave_running=args.leave_running, notify=notify)
        else:
            with _run_agent(args, backend, store, stopping):
                deployer = AssigningDeployer(backend.state_store, backend.registry, store)
                metrics.service = service = _make_service(args, backend, store, deployer)
                service.run(stopping, leave_running=True, notify=notify)  # the agent ends them


@contextmanager
def _serve_metrics(args: argparse.Namespace, backend: Backend) -> Iterator[ServiceMetrics]:
    """Serve metrics, if options have an address. Raises OSError if it cannot be used."""
    metrics = ServiceMetrics(backend, args.registry)
    if args.metrics is None:
        yield metrics
        return
    from stellar.monitoring.server import MonitoringServer  # loads an HTTP server

    problems = metrics.find_live_problem, metrics.find_ready_problem
    with closing(metrics), MonitoringServer(args.metrics, metrics.collect, *problems) as server:
        log.info("metrics at http://%s/metrics", server.address)
        yield metrics


def check_effects(args: argparse.Namespace) -> None:
    """Raise ValueError for an option without effect, other than Metron's, which are accepted with a message."""
    uses_yarn = cluster.uses_yarn(args)
    if not uses_yarn:
        reject_options(args, "without --yarn or --on-yarn", "yarn_python", "yarn_node_seconds")
    else:
        reject_options(args, "on YARN, where each node's own name is used", "host")
        reject_options(args, "on YARN", "memory")
    if args.on_yarn:
        reject_options(args, "with --on-yarn, where models always go on", "leave_running")
        reject_options(args, "with --on-yarn, where the service may run on any host", "metrics")
    if stores.is_in_hdfs(args):
        reject_options(args, "because the model store is in HDFS", "file_root")
    elif not uses_yarn:
        reject_options(args, "without HDFS and YARN", *stores.IDENTITY)


def run_on_yarn(args: argparse.Namespace) -> int:
    """Start the service on YARN, and return when it runs."""
    check_effects(args)
    if message := background.find_invalid_value(args):
        raise InvalidOptions(message)
    with stores.model_store(args) as store, open_backend(args, create=True) as backend:
        return cluster.start(args, backend, store, stores.resolve_shared_name(args))


def _notify(descriptor: int, word: str) -> None:
    with suppress(OSError):  # the parent process has closed the pipe
        os.write(descriptor, f"{word}\n".encode())


@contextmanager
def _run_agent(
    args: argparse.Namespace, backend: Backend, store: ModelStore, stopping: Callable[[], bool]
) -> Iterator[None]:
    """Run the agent of this host in a thread until `stopping()` returns True; wait for its first turn, and its end."""
    memory_limit.prepare()
    agent_store = backend.state_store.copy()
    ready, ended = Event(), Event()

    def run() -> None:
        with lock_agent(args.registry, lambda: stopping() or ended.is_set()) as id:
            if id is not None:
                instances = LocalInstances(
                    args.registry / "containers",
                    backend.registry_options,
                    store,
                    dict(args.shell_env),
                    unregister=backend.registry.unregister,
                    host=args.host,
                    limits=read_limits(args),
                    devices=find_devices() if args.gpus is None else [each for each in args.gpus.split(",") if each],
                )
                agent = Agent(
                    id,
                    instances,
                    agent_store,
                    partial(try_record_failure, agent_store),
                    args.memory or read_free_memory(),
                )
                agent.run(lambda: stopping() or ended.is_set(), ready, leave_running=args.leave_running)

    thread = Thread(target=run, name="agent")
    thread.start()
    try:
        while thread.is_alive() and not ready.wait(0.1) and not backend.state_store.is_led():
            pass
        yield
    finally:
        ended.set()
        thread.join()


def _make_service(args: argparse.Namespace, backend: Backend, store: ModelStore, deployer: Deployer) -> Service:
    return Service(
        backend.queue,
        backend.registry,
        deployer,
        store,
        backend.state_store,
        environment=dict(args.shell_env),
        restart=args.restart == "always",
        max_instances=args.max_instances,
        store_name=stores.store_name(args),
    )
