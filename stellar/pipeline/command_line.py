"""Commands of the pipeline with subcommands: their options, errors and exit statuses.

A subcommand is a module with `add_options` and `run`, and with DESCRIPTION and EXIT_STATUS, which its help shows before
and after the options; only the module of the given subcommand is loaded.
"""

from __future__ import annotations

import argparse
import os
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from importlib import import_module

from stellar.language.errors import ConfigError
from stellar.util.program_cache import command_cache
from stellar.util.subcommands import select_command
from stellar.util.version import add_version

OK, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130
# Failures and warnings printed on a terminal; all failures are counted
MAX_SHOWN = 20


class OptionError(ValueError):
    """An option without effect, or one that is missing or cannot be combined with others."""


@contextmanager
def convert_option_errors() -> Iterator[None]:
    """Raise OptionError for the ValueError of a check of options."""
    try:
        yield
    except ValueError as error:
        raise OptionError(str(error)) from error


@dataclass(frozen=True)
class Program:
    """A command with subcommands.

    name: the name of the command
    description: the first lines of its help
    package: the package with a module for each subcommand
    commands: summaries by subcommand
    elsewhere: modules by subcommand, for those of higher layers, which this package can't import
    """

    name: str
    description: str
    package: str
    commands: Mapping[str, str]
    elsewhere: Mapping[str, str] = field(default_factory=dict)

    def run(self, arguments: Sequence[str] | None = None) -> int:
        """Run the command and return its exit status."""
        words = sys.argv[1:] if arguments is None else arguments
        return run_parsed(self.name, self.make_parser(words).parse_args(words))

    def make_parser(self, words: Sequence[str]) -> argparse.ArgumentParser:
        """Return a parser for these arguments, which has the options of the subcommand that they name."""
        parser = argparse.ArgumentParser(self.name, description=self.description)
        add_version(parser)
        commands = parser.add_subparsers(title="commands", required=True, metavar="command")
        selected = select_command(parser, words, self.commands)
        for name, summary in self.commands.items():
            command = commands.add_parser(name, help=summary, formatter_class=argparse.RawDescriptionHelpFormatter)
            if name == selected:
                add_command(command, self.elsewhere.get(name, f"{self.package}.{name}"))
        return parser


def add_command(parser: argparse.ArgumentParser, module_name: str) -> None:
    """Add the options and the help of a subcommand, given by its module."""
    module = import_module(module_name)
    parser.description = textwrap.fill(module.DESCRIPTION)
    parser.epilog = module.EXIT_STATUS
    parser.set_defaults(run=module.run, prog=parser.prog.partition(" ")[0], max_warnings=MAX_SHOWN, debug=False)
    module.add_options(parser)


def run_parsed(name: str, options: argparse.Namespace) -> int:
    """Run a subcommand by its parsed options, print its warnings and errors, and return the exit status.

    It is 2 for invalid options, for which argparse may end the program before, and 1 for all other errors.
    """
    from stellar.pipeline.warnings_on_stderr import print_warnings

    as_json = getattr(options, "log_format", "text") == "json"
    with (
        _write_json(name) if as_json else nullcontext(),
        print_warnings(name, options.max_warnings, as_json=as_json),
        command_cache(name, getattr(options, "config", None)),
    ):
        try:
            return int(options.run(options))
        except BrokenPipeError:  # the reader of our output has closed it
            _drop_output()
            return OK
        except (ConfigError, OSError, ValueError) as error:
            if options.debug:
                raise
            print_error(name, error)
            return USAGE if isinstance(error, OptionError) else FAILED
        except KeyboardInterrupt:
            return INTERRUPTED


@contextmanager
def _write_json(name: str) -> Iterator[None]:
    """Write all messages on standard error as lines of JSON."""
    from stellar.monitoring.json_logs import JsonMessages  # most commands print text

    before = sys.stderr
    sys.stderr = lines = JsonMessages(before, name)
    try:
        yield
    finally:
        lines.finish()
        sys.stderr = before


def print_error(name: str, error: Exception) -> None:
    """Print an error of a command, or each of several ones, with the location of one in a configuration."""
    from stellar.pipeline.connectors.sinks import STANDARD_OUTPUT_NAME

    if isinstance(error, OSError) and error.filename == STANDARD_OUTPUT_NAME:
        _drop_output()
    write_message = getattr(sys.stderr, "write_message", None)
    for each in error.errors if isinstance(error, ConfigError) else (error,):
        if write_message is None:
            print(f"{name}: {_format_error(each)}", file=sys.stderr)
        else:
            write_message("ERROR", _format_error(each))


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
