"""What the commands share: common options, exit statuses, waiting."""

from __future__ import annotations

import argparse
import logging
import re
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NoReturn, TypeVar

from maas_runtime.errors import DeployError
from maas_runtime.state import backend as places
from maas_runtime.state.backend import Backend
from maas_runtime.store import options as stores
from stellar.maas.default_location import home
from stellar.maas.errors import MaasError
from stellar.maas.schema import CONFIG_PATH

log = logging.getLogger("maas")


T = TypeVar("T")


ANSWER_SECONDS = 5.0  # how long a service that runs may take to say what becomes of a request


WAIT_SECONDS = 60.0


class Parser(argparse.ArgumentParser):
    """Ends with status 1, as Metron's commands do, when the options can't be understood."""

    def error(self, message: str) -> NoReturn:
        self.exit(1, f"{self.prog}: {message}\nTry '{self.prog} --help'.\n")


def run_command(name: str, given: argparse.Namespace) -> int:
    try:
        return int(given.command(given))
    except (DeployError, MaasError, ValueError, OSError, ModuleNotFoundError) as error:
        if given.debug:
            raise
        print(f"{name}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def add_common_options(parser: argparse.ArgumentParser, *, quorum_needed: bool = False) -> None:
    add = parser.add_argument
    add(
        "--registry",
        type=Path,
        default=home(),
        metavar="DIR",
        help="the directory of the registry, the model store and the containers; with -zq, of the last two "
        "(default %(default)s)",
    )
    stores.options(parser)
    add(
        "-zq",
        "--zk_quorum",
        required=quorum_needed,
        metavar="HOST:PORT,...",
        help="the ZooKeeper that holds registry, queue and notes",
    )
    add(
        "--zk-client",
        type=Path,
        metavar="FILE",
        help="how to speak with ZooKeeper, a JSON file (default $MAAS_ZK_CLIENT)",
    )
    add(
        "-zr",
        "--zk_root",
        default=CONFIG_PATH,
        metavar="PATH",
        help="where the configuration stands in the registry (default %(default)s)",
    )
    add("--debug", action="store_true", help="show where an error came from")


def open_backend(given: argparse.Namespace) -> AbstractContextManager[Backend]:
    """Where it is all written."""
    if given.zk_quorum is None:
        return places.directory(given.registry, given.zk_root)
    return places.zookeeper(given.zk_quorum, given.zk_client, given.zk_root)


def add_no_options(parser: argparse.ArgumentParser) -> None:
    """None but the common ones."""


def await_condition(condition: Callable[[], T], seconds: float) -> T:
    """What the condition gives, as soon as it is true, or in the end."""
    deadline = time.monotonic() + seconds
    while not (found := condition()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


def parse_seconds(text: str) -> float:
    if not re.fullmatch(r"[0-9]+(\.[0-9]+)?", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds")
    return float(text)
