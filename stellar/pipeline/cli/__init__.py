"""The command stellar-pipeline: runs the pipeline of a sensor on lines, and checks configurations.

Each command is a module here with `add_options` and `run`, and with DESCRIPTION and EXIT_STATUS, which its help shows
before and after the options; only the module of the given command is loaded.
"""

from __future__ import annotations

import argparse
import os
import sys
import textwrap
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

from stellar.language.errors import ConfigError
from stellar.pipeline.cli.common import FAILED, INTERRUPTED, MAX_SHOWN, OK
from stellar.util.version import add_version

# Summaries by command
COMMANDS = {
    "run": "process lines with the pipeline of a sensor",
    "check": "check configurations and compile all their expressions",
    "explain": "show the effect of each stage on each record",
    "schema": "print the JSON Schema of a kind of configuration, for editors",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    from stellar.pipeline.cli.warnings_on_stderr import print_warnings

    words = sys.argv[1:] if arguments is None else arguments
    options = make_parser(words).parse_args(words)
    with print_warnings(options.max_warnings):
        try:
            return int(options.run(options))
        except BrokenPipeError:  # the reader of our output has closed it
            _drop_output()
            return OK
        except (ConfigError, OSError, ValueError) as error:
            if options.debug:
                raise
            _print_error(error)
            return FAILED
        except KeyboardInterrupt:
            return INTERRUPTED


def make_parser(words: Sequence[str]) -> argparse.ArgumentParser:
    """Return a parser for these arguments, which has the options of the command that they name."""
    parser = _Parser("stellar-pipeline", description="Run and check pipelines configured by Metron's JSON files.")
    add_version(parser)
    commands = parser.add_subparsers(title="commands", required=True, metavar="command")
    selected = next((word for word in words if word in COMMANDS), None)
    for name, summary in COMMANDS.items():
        command = commands.add_parser(name, help=summary, formatter_class=argparse.RawDescriptionHelpFormatter)
        if name == selected:
            _add_command(command, name)
    return parser


def _add_command(parser: argparse.ArgumentParser, name: str) -> None:
    module = import_module(f"stellar.pipeline.cli.{name}")
    parser.description = textwrap.fill(module.DESCRIPTION)
    parser.epilog = module.EXIT_STATUS
    parser.set_defaults(run=module.run, max_warnings=MAX_SHOWN, debug=False)
    module.add_options(parser)


class _Parser(argparse.ArgumentParser):
    """Exits with 1 for invalid options, as for all other errors of the command; argparse exits with 2."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(FAILED, f"{self.prog}: {message}\n")


def _print_error(error: ConfigError | OSError | ValueError) -> None:
    from stellar.pipeline.config.locations import ConfigErrors
    from stellar.pipeline.connectors.sinks import STANDARD_OUTPUT_NAME

    if isinstance(error, OSError) and error.filename == STANDARD_OUTPUT_NAME:
        _drop_output()
    for each in error.errors if isinstance(error, ConfigErrors) else (error,):
        print(f"stellar-pipeline: {_format_error(each)}", file=sys.stderr)


def _format_error(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    if isinstance(error, ConfigError):
        from stellar.pipeline.config.positions import describe_error

        return describe_error(error)
    return str(error)


def _drop_output() -> None:
    """Discard pending standard output, about which Python would otherwise print an error when it exits."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
