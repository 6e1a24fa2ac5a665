"""`maas serve` with YARN: its options, and the service itself as a YARN service."""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import os
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from maas_runtime.archive import NAME
from maas_runtime.deployers import Deployer
from maas_runtime.deployers.yarn.configuration import find_configuration, read_resource_manager_urls
from maas_runtime.deployers.yarn.container import NODE_SECONDS
from maas_runtime.deployers.yarn.principal import (
    ServicePrincipal,
    add_principal_options,
    principal_options,
    read_principal,
)
from maas_runtime.errors import DeployError
from maas_runtime.runner.limits import Limits, read_limits
from maas_runtime.state.backend import Backend
from maas_runtime.state.store import StateStore
from maas_runtime.store.base import ModelStore
from maas_runtime.store.options import identity_options, make_auth
from stellar.maas.schema import Model, read_json

if TYPE_CHECKING:
    from maas_runtime.deployers.yarn.rest import YarnServices

log = logging.getLogger(__name__)

CONFIGURED = ""  # --yarn without a URL: use Hadoop's configuration
SERVICE, CONFIGURATION = "service", "service.json"
MASTER_MB = 256
TIMEOUT_MS = 600_000

# Metron's options for YARN: short, long, metavar, help; None for an option without effect
METRON_OPTIONS = (
    ("-q", "--queue", "NAME", "YARN queue"),
    ("-nle", "--node_label_expression", "LABEL", "run on nodes with this label"),
    ("-mm", "--master_memory", "MB", f"memory of the service itself, with --on-yarn (default {MASTER_MB})"),
    ("-mc", "--master_vcores", "N", "virtual cores of the service itself, with --on-yarn (default 1)"),
    ("-t", "--timeout", "MS", f"time-out for the service to run, with --on-yarn (default {TIMEOUT_MS})"),
    ("-j", "--jar", "FILE", None),
    ("-l", "--log4j", "FILE", None),
    ("-d", "--domain", "ID", None),
    ("-va", "--view_acls", "USERS", None),
    ("-ma", "--modify_acls", "USERS", None),
)
_ON_YARN = ("--queue", "--node_label_expression")
_SERVICE_OPTIONS = ("--master_memory", "--master_vcores", "--timeout")


def add_yarn_options(parser: argparse.ArgumentParser) -> None:
    yarn = parser.add_argument_group("YARN")
    add = yarn.add_argument
    add(
        "--yarn",
        nargs="?",
        action="append",
        const=CONFIGURED,
        metavar="URL",
        help="run models on YARN; URL of the resource manager (default: from $HADOOP_CONF_DIR/yarn-site.xml); "
        "repeat for each, if there are several",
    )
    add("--on-yarn", action="store_true", help="run the service itself on YARN too; returns when it runs")
    add(
        "--yarn-python",
        default="python3",
        metavar="COMMAND",
        help="command of Python 3.11 or newer on all nodes (%(default)s)",
    )
    add(
        "--yarn-node-seconds",
        type=float,
        default=NODE_SECONDS,
        metavar="S",
        help="how long a replaced instance goes on without its node manager (default %(default)g)",
    )
    add_principal_options(yarn)
    for short, long, metavar, summary in METRON_OPTIONS:
        add(short, long, metavar=metavar, help=summary or "accepted for compatibility with Metron; has no effect")
    add("-c", "--create", action="store_true", help="accepted for compatibility with Metron; has no effect")
    parser.set_defaults(effective=())


def explain_ignored_options(args: argparse.Namespace) -> Iterator[str]:
    """Yield a message with the reason for each given option that has no effect."""
    names = {long: getattr(args, long.removeprefix("--")) for _, long, _, _ in METRON_OPTIONS}
    used = [(short, long) for short, long, _, _ in METRON_OPTIONS if names[long] is not None]
    if args.create:
        used.append(("-c", "--create"))
    for short, long in used:
        if (reason := _explain_ignored(args, long)) and long not in args.effective:
            yield f"{short} ({long}) has no effect: {reason}"
    if (args.modify_acls or "").isdecimal():
        yield "-ma is for modify_acls; the number of cores is -mc"


def _explain_ignored(args: argparse.Namespace, long: str) -> str | None:
    if not uses_yarn(args):
        return "YARN is not used"
    if long in _SERVICE_OPTIONS:
        return None if args.on_yarn else "the service runs on this machine, not on YARN"
    if long in ("--jar", "--log4j"):
        return "this service does not use Java"
    return None if long in _ON_YARN else "YARN services have no timeline domain"


def uses_yarn(args: argparse.Namespace) -> bool:
    """Return whether the options select YARN for models."""
    return args.yarn is not None or args.on_yarn


@contextmanager
def open_services(args: argparse.Namespace) -> Iterator[YarnServices]:
    """Open the YARN cluster that the options select.

    Raises ValueError or OSError if they select none.
    """
    from maas_runtime.deployers.yarn.rest import YarnServices

    urls = [url for url in args.yarn or () if url != CONFIGURED]
    if not urls:
        folder = find_configuration()
        if folder is None:
            raise ValueError("no YARN configured: $HADOOP_CONF_DIR has no yarn-site.xml; add --yarn URL")
        urls = read_resource_manager_urls(folder)
    with YarnServices(urls, auth=make_auth(args)) as yarn:
        yield yarn


@contextmanager
def open_deployer(
    args: argparse.Namespace, backend: Backend, store: ModelStore, report: Callable[[Model, str], None], limits: Limits
) -> Iterator[Deployer]:
    """Open the deployer for YARN that the options select.

    Raises ConnectionError if YARN is not reachable, ValueError for invalid options.
    """
    from maas_runtime.deployers.yarn.deployer import YarnDeployer, YarnSettings

    settings = YarnSettings(
        args.queue,
        args.node_label_expression,
        args.yarn_python,
        node_seconds=args.yarn_node_seconds,
        restart=args.restart == "always",
        principal=read_principal(args),
    )
    logging.getLogger("httpx").setLevel(logging.WARNING)  # httpx logs every request at INFO
    with open_services(args) as yarn:
        log.info("models run on YARN at %s, Hadoop %s", yarn.urls[0], yarn.cluster().get("hadoopVersion"))
        yield YarnDeployer(
            yarn, backend.registry_options, store, backend.registry, backend.state_store, report, limits, settings
        )


# --- the service itself


@dataclass(frozen=True)
class ServiceDefinition:
    """The service as a YARN service.

    arguments: command line of `maas serve`
    """

    name: str
    arguments: Sequence[str]
    memory: int
    cores: int
    queue: str | None
    python: str
    principal: ServicePrincipal | None

    def specification(self, program: str) -> dict[str, object]:
        """Return the specification for YARN; program: URI of the archive."""
        file = {"arguments": json.dumps([*self.arguments]).replace("$", "\\u0024")}
        component = {
            "name": SERVICE,
            "number_of_containers": 1,
            "launch_command": f"exec {shlex.quote(self.python)} {NAME} {SERVICE}",
            "resource": {"cpus": self.cores, "memory": str(self.memory)},
            "restart_policy": "ALWAYS",
            "configuration": {
                "files": [
                    {"type": "STATIC", "src_file": program, "dest_file": NAME},
                    {"type": "JSON", "dest_file": CONFIGURATION, "properties": file},
                ]
            },
        }
        return {
            "name": self.name,
            "version": "1.0",
            "lifetime": -1,
            **({"queue": self.queue} if self.queue else {}),
            **({"kerberos_principal": self.principal.as_specification()} if self.principal else {}),
            "components": [component],
        }


def start(args: argparse.Namespace, backend: Backend, store: ModelStore, where: str) -> int:
    """Start the service on YARN and wait until it leads. Return 0, or 2 on a time-out.

    where: name of the model store for YARN's nodes
    """
    from maas_runtime.deployers.yarn.deployer import publish_program

    deadline = time.monotonic() + int(args.timeout or TIMEOUT_MS) / 1000
    with open_services(args) as yarn:
        service = _define_service(args, backend, yarn.urls, where)
        state = yarn.state(service.name)
        if state is not None and state.ended:
            yarn.delete(service.name)
            state = None
        if state is None:
            yarn.create(service.specification(publish_program(store)))
        if not _await_leader(backend.state_store, deadline):
            reason = _describe_failure(yarn, service.name)
            yarn.delete(service.name)
            print(f"maas: the service did not start on YARN in time and was ended{reason}", file=sys.stderr)
            return 2
        url = yarn.urls[0]
    line = f"the service runs on YARN at {url} as {service.name}; to end it: yarn app -destroy {service.name}"
    args.out.write(line, state="leading", yarn=url, name=service.name)
    return 0


def _describe_failure(yarn: YarnServices, name: str) -> str:
    state = yarn.state(name)
    if state is None:
        return ""
    diagnostics = yarn.read_diagnostics(state.application) or f"state {state.state}"
    return f": {diagnostics}; see: yarn logs -applicationId {state.application}"


def _await_leader(state_store: StateStore, deadline: float) -> bool:
    while not state_store.is_led():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True


def _define_service(args: argparse.Namespace, backend: Backend, urls: Sequence[str], store: str) -> ServiceDefinition:
    """Return the definition of the service.

    Raises ValueError for options that a service on another machine cannot use.
    """
    if args.zk_quorum is None:
        raise ValueError("a service on YARN requires ZooKeeper: add -zq HOST:PORT")
    principal = read_principal(args)
    digest = hashlib.sha256(json.dumps([*backend.registry_options]).encode()).hexdigest()[:12]
    options = {
        "--restart": args.restart,
        "--max-instances": args.max_instances,
        **read_limits(args).to_options(),
        "--model-files": args.model_files,
        "--model-mb": args.model_mb,
        "--yarn-python": args.yarn_python,
        "--yarn-node-seconds": args.yarn_node_seconds,
        "--store": store,
        "--queue": args.queue,
        "--node_label_expression": args.node_label_expression,
    }
    words = [f"{name}={value}" for name, value in options.items() if value not in (None, "")]
    words += [*(f"--yarn={url}" for url in urls), *identity_options(args), *principal_options(principal)]
    words += [f"--file-root={root.absolute()}" for root in args.file_root]
    words += [f"--shell_env={name}={value}" for name, value in args.shell_env]
    memory = max(int(args.master_memory or 0), MASTER_MB)  # Metron's own default is 10
    return ServiceDefinition(
        f"maas-service-{digest}",
        ["serve", *backend.registry_options, *words, "--leave-running"],
        memory,
        max(1, int(args.master_vcores or 1)),
        args.queue,
        args.yarn_python,
        principal,
    )


def read_arguments(folder: Path) -> list[str]:
    """Return the arguments of `maas` in the container of the service.

    Raises ValueError, OSError or DeployError if they cannot be read.
    """
    words = read_json(read_json((folder / "conf" / CONFIGURATION).read_bytes())["arguments"])
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise DeployError(f"invalid {CONFIGURATION}: expected a list of arguments")
    return [*words, f"--registry={os.getcwd()}"]
