"""Shared by the commands: common options, exit statuses, waiting."""

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
from maas_runtime.state import backend as backends
from maas_runtime.state.backend import Backend
from maas_runtime.store import options as stores
from stellar.maas.default_location import home
from stellar.maas.errors import MaasError
from stellar.maas.schema import CONFIG_PATH

log = logging.getLogger("maas")

T = TypeVar("T")

RESPONSE_SECONDS = 5.0  # time-out for the service to record the result of a request
WAIT_SECONDS = 60.0


class CommandParser(argparse.ArgumentParser):
    """A parser that exits with status 1 for invalid options, as Metron's commands do."""

    def error(self, message: str) -> NoReturn:
        self.exit(1, f"{self.prog}: {message}\nTry '{self.prog} --help'.\n")


def run_command(name: str, args: argparse.Namespace) -> int:
    """Run the selected command. Print an error and return 1 if it fails."""
    try:
        return int(args.command(args))
    except (DeployError, MaasError, ValueError, OSError, ModuleNotFoundError) as error:
        if args.debug:
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
        help="directory of registry, model store and containers; with -zq, of the last two (default %(default)s)",
    )
    stores.add_store_options(parser)
    add(
        "-zq",
        "--zk_quorum",
        required=quorum_needed,
        metavar="HOST:PORT,...",
        help="ZooKeeper with registry, queue and state",
    )
    add(
        "--zk-client",
        type=Path,
        metavar="FILE",
        help="JSON file with settings of the ZooKeeper connection (default $MAAS_ZK_CLIENT)",
    )
    add(
        "-zr",
        "--zk_root",
        default=CONFIG_PATH,
        metavar="PATH",
        help="path of the configuration in the registry (default %(default)s)",
    )
    add("--debug", action="store_true", help="print the traceback of an error")


def open_backend(args: argparse.Namespace) -> AbstractContextManager[Backend]:
    """Open the registry, queue and state store that the options select."""
    if args.zk_quorum is None:
        return backends.open_directory(args.registry, args.zk_root)
    return backends.open_zookeeper(args.zk_quorum, args.zk_client, args.zk_root)


def add_no_options(parser: argparse.ArgumentParser) -> None:
    """Add no options, for a command that has only the common ones."""


def await_condition(condition: Callable[[], T], seconds: float) -> T:
    """Call `condition` until it returns a true value, at most `seconds`. Return its last value."""
    deadline = time.monotonic() + seconds
    while not (result := condition()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return result


def parse_seconds(text: str) -> float:
    """Parse a non-negative decimal number, for argparse."""
    if not re.fullmatch(r"[0-9]+(\.[0-9]+)?", text):
        raise argparse.ArgumentTypeError(f"invalid number of seconds {text!r}")
    return float(text)
