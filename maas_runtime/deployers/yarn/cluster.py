"""`maas serve` with YARN: the options that speak of it, and the service itself as a service of YARN."""

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
from maas_runtime.deployers.yarn.configuration import configuration, configured_urls
from maas_runtime.deployers.yarn.container import NODE_SECONDS
from maas_runtime.errors import DeployError
from maas_runtime.runner.runner import Limits
from maas_runtime.state.backend import Backend
from maas_runtime.state.store import StateStore
from maas_runtime.store.base import ModelStore
from maas_runtime.store.options import auth, identity
from stellar.maas.schema import Model, read_json

if TYPE_CHECKING:
    from maas_runtime.deployers.yarn.rest import YarnServices

log = logging.getLogger(__name__)

CONFIGURED = ""  # what --yarn without an address gives: the one in Hadoop's configuration
SERVICE, CONFIGURATION = "service", "service.json"
MASTER_MB = 256
TIMEOUT_MS = 600_000

# Metron's options that speak of YARN: short, long, metavar, and what they do here, if they can do anything
METRONS = (
    ("-q", "--queue", "NAME", "the queue of YARN's scheduler"),
    ("-nle", "--node_label_expression", "LABEL", "run on nodes of this label"),
    ("-mm", "--master_memory", "MB", f"memory of the service itself, with --on-yarn (default {MASTER_MB})"),
    ("-mc", "--master_vcores", "N", "virtual cores of the service itself, with --on-yarn (default 1)"),
    ("-t", "--timeout", "MS", f"how long to wait until it runs, with --on-yarn (default {TIMEOUT_MS})"),
    ("-j", "--jar", "FILE", None),
    ("-l", "--log4j", "FILE", None),
    ("-d", "--domain", "ID", None),
    ("-va", "--view_acls", "USERS", None),
    ("-ma", "--modify_acls", "USERS", None),
)
_ON_YARN = ("--queue", "--node_label_expression")
_OF_THE_SERVICE = ("--master_memory", "--master_vcores", "--timeout")


def options(parser: argparse.ArgumentParser) -> None:
    yarn = parser.add_argument_group("YARN")
    add = yarn.add_argument
    add(
        "--yarn",
        nargs="?",
        action="append",
        const=CONFIGURED,
        metavar="URL",
        help="run models on YARN; where its resource manager is, by default as $HADOOP_CONF_DIR/yarn-site.xml says; "
        "once for each, where there are several",
    )
    add("--on-yarn", action="store_true", help="let the service itself run on YARN, too; returns when it runs")
    add("--yarn-python", default="python3", metavar="COMMAND", help="Python 3.11 or newer on all nodes (%(default)s)")
    add(
        "--yarn-node-seconds",
        type=float,
        default=NODE_SECONDS,
        metavar="S",
        help="after so long without its node manager an instance that is replaced ends itself (default %(default)g)",
    )
    for short, long, metavar, meaning in METRONS:
        add(short, long, metavar=metavar, help=meaning or "accepted for Metron's sake; has no effect")
    add("-c", "--create", action="store_true", help="accepted for Metron's sake; has no effect")
    parser.set_defaults(effective=())


def without_effect(given: argparse.Namespace) -> Iterator[str]:
    """Says of each option that was given and does nothing, why."""
    names = {long: getattr(given, long.removeprefix("--")) for _, long, _, _ in METRONS}
    given_ones = [(short, long) for short, long, _, _ in METRONS if names[long] is not None]
    if given.create:
        given_ones.append(("-c", "--create"))
    for short, long in given_ones:
        if (why := _why_without_effect(given, long)) and long not in given.effective:
            yield f"{short} ({long}) has no effect: {why}"
    if (given.modify_acls or "").isdecimal():
        yield "-ma is for modify_acls; the number of cores is -mc"


def _why_without_effect(given: argparse.Namespace, long: str) -> str | None:
    if not wanted(given):
        return "no YARN is used"
    if long in _OF_THE_SERVICE:
        return None if given.on_yarn else "the service runs on this machine, not on YARN"
    if long in ("--jar", "--log4j"):
        return "there is no Java here"
    return None if long in _ON_YARN else "YARN's services take no timeline domain"


def wanted(given: argparse.Namespace) -> bool:
    """Whether models are to run on YARN."""
    return given.yarn is not None or given.on_yarn


@contextmanager
def services(given: argparse.Namespace) -> Iterator[YarnServices]:
    """The YARN that the options name.

    Raises ValueError or OSError if they name none.
    """
    from maas_runtime.deployers.yarn.rest import YarnServices

    urls = [url for url in given.yarn or () if url != CONFIGURED]
    if not urls:
        folder = configuration()
        if folder is None:
            raise ValueError("where is YARN? $HADOOP_CONF_DIR has no yarn-site.xml; give an address: --yarn URL")
        urls = configured_urls(folder)
    with YarnServices(urls, auth=auth(given)) as yarn:
        yield yarn


@contextmanager
def deployer(
    given: argparse.Namespace, place: Backend, store: ModelStore, report: Callable[[Model, str], None], limits: Limits
) -> Iterator[Deployer]:
    """What runs models on YARN, as the options say.

    Raises ConnectionError if YARN can't be reached, ValueError if the options can't be meant.
    """
    from maas_runtime.deployers.yarn.deployer import YarnDeployer, YarnSettings

    settings = YarnSettings(
        given.queue,
        given.node_label_expression,
        given.yarn_python,
        node_seconds=given.yarn_node_seconds,
        restart=given.restart == "always",
    )
    logging.getLogger("httpx").setLevel(logging.WARNING)  # else it tells of every look at YARN
    with services(given) as yarn:
        log.info("models run on YARN at %s, Hadoop %s", yarn.urls[0], yarn.cluster().get("hadoopVersion"))
        yield YarnDeployer(yarn, place.options, store, place.registry, place.notes, report, limits, settings)


# --- the service itself


@dataclass(frozen=True)
class Home:
    """The service as a service of YARN.

    arguments: of `maas serve`
    """

    name: str
    arguments: Sequence[str]
    memory: int
    cores: int
    queue: str | None
    python: str

    def specification(self, program: str) -> dict[str, object]:
        """What YARN is asked to run; program: the address of the archive."""
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
            "components": [component],
        }


def start(given: argparse.Namespace, place: Backend, store: ModelStore, where: str) -> int:
    """Let the service run on YARN, and return when it does: 0, or 2 if it does not in time.

    where: how YARN's nodes find the model store
    """
    from maas_runtime.deployers.yarn.deployer import publish_program

    deadline = time.monotonic() + int(given.timeout or TIMEOUT_MS) / 1000
    with services(given) as yarn:
        home = _home(given, place, yarn.urls, where)
        state = yarn.state(home.name)
        if state is not None and state.ended:
            yarn.delete(home.name)
            state = None
        if state is None:
            yarn.create(home.specification(publish_program(store)))
        if not _leads(place.notes, deadline):
            why = _why(yarn, home.name)
            yarn.delete(home.name)
            print(f"maas: the service did not run on YARN in time and is ended{why}", file=sys.stderr)
            return 2
        url = yarn.urls[0]
    print(f"the service runs on YARN at {url} as {home.name}; to end it: yarn app -destroy {home.name}")
    return 0


def _why(yarn: YarnServices, name: str) -> str:
    state = yarn.state(name)
    if state is None:
        return ""
    said = yarn.why(state.application) or f"it is {state.state}"
    return f": {said}; see: yarn logs -applicationId {state.application}"


def _leads(notes: StateStore, deadline: float) -> bool:
    while not notes.is_led():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True


def _home(given: argparse.Namespace, place: Backend, urls: Sequence[str], store: str) -> Home:
    """Raises ValueError for what a service elsewhere could not use."""
    if given.zk_quorum is None:
        raise ValueError("a service on YARN needs ZooKeeper: -zq HOST:PORT")
    digest = hashlib.sha256(json.dumps([*place.options]).encode()).hexdigest()[:12]
    options = {
        "--restart": given.restart,
        "--max-instances": given.max_instances,
        "--start-seconds": given.start_seconds,
        "--drain-seconds": given.drain_seconds,
        "--end-seconds": given.end_seconds,
        "--probe-seconds": given.probe_seconds,
        "--log-mb": given.log_mb,
        "--log-files": given.log_files,
        "--health": given.health or None,
        "--model-files": given.model_files,
        "--model-mb": given.model_mb,
        "--yarn-python": given.yarn_python,
        "--yarn-node-seconds": given.yarn_node_seconds,
        "--store": store,
        "--queue": given.queue,
        "--node_label_expression": given.node_label_expression,
    }
    words = [f"{name}={value}" for name, value in options.items() if value is not None]
    words += [*(f"--yarn={url}" for url in urls), *identity(given)]
    words += [f"--file-root={root.absolute()}" for root in given.file_root]
    words += [f"--shell_env={name}={value}" for name, value in given.shell_env]
    memory = max(int(given.master_memory or 0), MASTER_MB)  # Metron's own default is 10
    return Home(
        f"maas-service-{digest}",
        ["serve", *place.options, *words, "--leave-running"],
        memory,
        max(1, int(given.master_vcores or 1)),
        given.queue,
        given.yarn_python,
    )


def arguments(folder: Path) -> list[str]:
    """Those of `maas`, in the container where YARN runs the service.

    Raises ValueError, OSError.
    """
    found = read_json(read_json((folder / "conf" / CONFIGURATION).read_bytes())["arguments"])
    if not isinstance(found, list) or not all(isinstance(word, str) for word in found):
        raise DeployError(f"{CONFIGURATION} holds no arguments")
    return [*found, f"--registry={os.getcwd()}"]
