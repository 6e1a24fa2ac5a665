"""Shared by the commands: the registry's options, exit statuses, waiting."""

from __future__ import annotations

import argparse
import logging
import os
import re
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn, TypeVar

from maas_runtime.cli.output import Output, add_output_option
from maas_runtime.errors import DeployError
from maas_runtime.state import backend as backends
from maas_runtime.state.backend import Backend
from stellar.maas.default_location import home
from stellar.maas.errors import MaasError
from stellar.maas.schema import CONFIG_PATH, validate_name
from stellar.util.abbreviate import quote

log = logging.getLogger("maas")

T = TypeVar("T")

RESPONSE_SECONDS = 5.0  # time-out for the service to record the result of a request
WAIT_SECONDS = 60.0
BROKEN_PIPE = 141  # as shells report it


class CommandParser(argparse.ArgumentParser):
    """A parser that exits with status 2 for invalid options."""

    invalid_options = 2

    def error(self, message: str) -> NoReturn:
        self.exit(self.invalid_options, f"{self.prog}: {message}\nTry '{self.prog} --help'.\n")


class MetronParser(CommandParser):
    """A parser that exits with status 1 for invalid options, as Metron's commands do."""

    invalid_options = 1


class InvalidOptions(ValueError):
    """Options that are invalid, by themselves or together."""


def run_command(name: str, args: argparse.Namespace) -> int:
    """Run the selected command. Print an error and return 1 if it fails, or the status of its parser for options."""
    args.out = Output(args.output == "json")
    try:
        return _run_and_finish(args)
    except BrokenPipeError:  # the reader of the output has ended; nothing else can be printed
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except (DeployError, MaasError, ValueError, OSError, ModuleNotFoundError) as error:
        if args.debug:
            raise
        _print_error(name, error, as_json=getattr(args, "log_format", "text") == "json")
        args.out.finish(str(error))
        return args.parser.invalid_options if isinstance(error, InvalidOptions) else 1
    except KeyboardInterrupt:
        return 130


def _print_error(name: str, error: Exception, *, as_json: bool) -> None:
    if not as_json:
        print(f"{name}: {error}", file=sys.stderr)
        return
    from stellar.monitoring.json_logs import format_message  # most commands print text

    print(format_message("ERROR", str(error)), file=sys.stderr)


def _run_and_finish(args: argparse.Namespace) -> int:
    status = int(args.command(args))
    args.out.finish()
    return status


# --- options


def add_registry_options(parser: argparse.ArgumentParser, *, quorum_needed: bool = False, contents: str = "") -> None:
    """Add the options that select a registry, and those of every command.

    contents: what the command uses in the directory of the registry if the registry itself is in ZooKeeper
    """
    add = parser.add_argument
    more = f"; with -zq, of {contents}" if contents else "; not with -zq"
    add(
        "--registry",
        type=Path,
        default=home(),
        metavar="DIR",
        help=f"directory of registry, model store and containers{more} (default %(default)s)",
    )
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
    add_output_option(parser)
    add("--debug", action="store_true", help="print the traceback of an error")
    parser.set_defaults(parser=parser, uses_directory=bool(contents))


def is_given(args: argparse.Namespace, name: str) -> bool:
    """Return whether an option has another value than its default."""
    return bool(getattr(args, name) != args.parser.get_default(name))


def reject_options(args: argparse.Namespace, reason: str, *names: str) -> None:
    """Raise InvalidOptions, with the reason, if one of these options is given: it has no effect."""
    for name in names:
        if is_given(args, name):
            raise InvalidOptions(f"--{name.replace('_', '-')} has no effect {reason}")


def read_name(text: str, subject: str = "model's name") -> str:
    """Return the name of a model or version in an option. Raises InvalidOptions, as `validate_name` does."""
    try:
        return validate_name(text, subject)
    except ValueError as error:
        raise InvalidOptions(str(error)) from error


def describe_registry_options(args: argparse.Namespace) -> str:
    """Return the given options of the registry, with a leading space, for commands in messages."""
    options = (("--registry", "registry"), ("-zq", "zk_quorum"), ("--zk-client", "zk_client"), ("-zr", "zk_root"))
    return "".join(
        f" {option} {shlex.quote(str(getattr(args, name)))}" for option, name in options if is_given(args, name)
    )


# --- the registry


@contextmanager
def open_backend(args: argparse.Namespace, *, create: bool = False) -> Iterator[Backend]:
    """Open the registry, queue and state store that the options select.

    create: the command may create the registry; otherwise one that does not exist is an error

    Raises ValueError or OSError.
    """
    if args.zk_quorum is None:
        reject_options(args, "without -zq", "zk_client")
        if not create:
            _require_directory(args)
        with backends.open_directory(args.registry, args.zk_root) as backend:
            yield backend
        return
    if not args.uses_directory:
        reject_options(args, "with -zq", "registry")
    with backends.open_zookeeper(args.zk_quorum, args.zk_client, args.zk_root, create=create) as backend:
        yield backend


def _require_directory(args: argparse.Namespace) -> None:
    if not args.registry.is_dir():
        problem = "is not a directory" if args.registry.exists() else "does not exist"
        hint = "" if is_given(args, "registry") else "; select a registry with --registry DIR or -zq HOST:PORT"
        raise ValueError(
            f"the registry directory {args.registry} {problem}; maas serve creates it, or the first maas deploy{hint}"
        )


# --- waiting


def await_condition(condition: Callable[[], T], seconds: float) -> T:
    """Call `condition` until it returns a true value, at most `seconds`. Return its last value."""
    deadline = time.monotonic() + seconds
    while not (result := condition()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return result


def parse_seconds(text: str) -> float:
    """Parse a non-negative decimal number, for argparse."""
    if not re.fullmatch(r"[0-9]+(\.[0-9]+)?", text):
        raise argparse.ArgumentTypeError(f"invalid number of seconds {quote(text)}")
    return float(text)
