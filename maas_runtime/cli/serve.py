"""maas serve: the service, on this machine or on YARN."""

from __future__ import annotations

import argparse
import logging
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from maas_runtime.cli import background
from maas_runtime.cli.common import (
    log,
    open_backend,
    parse_seconds,
)
from maas_runtime.deployers import Deployer
from maas_runtime.deployers.local import LocalDeployer
from maas_runtime.deployers.yarn import cluster
from maas_runtime.runner import memory_limit as memory
from maas_runtime.runner.endpoint import health_path
from maas_runtime.runner.logs import LogLimits
from maas_runtime.runner.runner import Limits
from maas_runtime.service.service import Service
from maas_runtime.state.backend import Backend
from maas_runtime.state.store import note_failure, nothing
from maas_runtime.store import options as stores
from maas_runtime.store.base import ModelStore


def add_serve_options(parser: argparse.ArgumentParser) -> None:
    limits = Limits()
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="the name by which clients reach this machine (default %(default)s)")
    add("-e", "--shell_env", action="append", default=[], type=_pair, metavar="K=V", help="a variable for all scripts")
    add("--restart", choices=("always", "never"), default="always", help="what to do when an instance ends unasked")
    add("--leave-running", action="store_true", help="when the service ends, let the models run on for the next one")
    add(
        "--file-root",
        action="append",
        default=[],
        type=Path,
        metavar="DIR",
        help="below which alone file:// paths of requests may be; several may be given (default: anywhere)",
    )
    add("--max-instances", type=int, default=100, metavar="N", help="of one model (default %(default)s)")
    for name, seconds, meaning in (
        ("start", limits.start, "for a model to get ready"),
        ("drain", limits.drain, "for calls under way, before a model is ended"),
        ("end", limits.end, "for a model to end, before it is killed"),
        ("probe", limits.probe, "between looks whether a model still listens"),
    ):
        add(
            f"--{name}-seconds",
            type=parse_seconds,
            default=seconds,
            metavar="S",
            help=f"{meaning} (default {seconds:g})",
        )
    add(
        "--log-mb",
        type=_at_least(1),
        default=limits.logs.most_bytes // 1_000_000,
        metavar="MB",
        help="how large each file of what a model prints may grow (default %(default)s)",
    )
    add(
        "--log-files",
        type=_at_least(0),
        default=limits.logs.kept,
        metavar="N",
        help="how many full ones are kept beside it (default %(default)s)",
    )
    add(
        "--health",
        type=_health,
        default=limits.health,
        metavar="PATH",
        help="where models tell how they are, such as /health, unless they say so themselves; one that does not answer "
        "there by 2xx is replaced (default: it is enough that they listen)",
    )
    # A file descriptor to write a line to when the service leads or waits, for maas_service.sh
    add("--ready-fd", type=int, help=argparse.SUPPRESS)
    cluster.options(parser)


def _pair(text: str) -> tuple[str, str]:
    name, _, value = text.strip().partition("=")
    if not name or "\0" in text:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form NAME=VALUE")
    return name, value


def _at_least(least: int) -> Callable[[str], int]:
    def count(text: str) -> int:
        if not re.fullmatch("[0-9]{1,6}", text) or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of {least} or more")
        return int(text)

    return count


def _health(text: str) -> str:
    try:
        health_path(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def serve(given: argparse.Namespace) -> int:
    """Run the service until it is interrupted."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    if given.ready_fd is None:  # else who started us has said it
        for line in cluster.without_effect(given):
            log.warning("%s", line)
    if given.on_yarn:
        return serve_on_yarn(given)
    asked: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: asked.append(number))
    with stores.model_store(given) as store, open_backend(given) as place:
        log.info("serving %s", place.name)
        tell = partial(_tell, given.ready_fd) if given.ready_fd is not None else nothing
        with _deployer(given, place, store) as deployer:
            service = _service(given, place, store, deployer)
            service.run(lambda: bool(asked), leave_running=given.leave_running, tell=tell)
    log.info("ended")
    return 0


def serve_on_yarn(given: argparse.Namespace) -> int:
    if trouble := background.refused(given):
        raise ValueError(trouble)
    with stores.model_store(given) as store, open_backend(given) as place:
        return cluster.start(given, place, store, stores.elsewhere(given))


def _tell(descriptor: int, word: str) -> None:
    with suppress(OSError):  # who started us has heard enough
        os.write(descriptor, f"{word}\n".encode())


@contextmanager
def _deployer(given: argparse.Namespace, place: Backend, store: ModelStore) -> Iterator[Deployer]:
    """What runs models, here or on YARN."""
    limits = Limits(
        given.start_seconds,
        given.drain_seconds,
        given.end_seconds,
        given.probe_seconds,
        logs=LogLimits(given.log_mb * 1_000_000, given.log_files),
        health=given.health,
    )
    report = partial(note_failure, place.notes)
    if cluster.wanted(given):
        with cluster.deployer(given, place, store, report, limits) as deployer:
            yield deployer
        return
    memory.prepare()
    yield LocalDeployer(
        given.registry / "containers",
        place.options,
        store,
        report,
        unregister=place.registry.unregister,
        ready=lambda model: {instance.id for instance in place.registry.instances(*model)},
        host=given.host,
        limits=limits,
    )


def _service(given: argparse.Namespace, place: Backend, store: ModelStore, deployer: Deployer) -> Service:
    return Service(
        place.queue,
        place.registry,
        deployer,
        store,
        place.notes,
        environment=dict(given.shell_env),
        restart=given.restart == "always",
        most_instances=given.max_instances,
    )
