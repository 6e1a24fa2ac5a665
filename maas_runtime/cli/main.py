"""The command `maas`, with a module for each of its commands.

A module has `add_options`, `run` and, in `EXAMPLES`, the end of its help. Only the module of the selected command is
imported: all of them take 0.4 s, which is most of the time of a short command.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

from maas_runtime.cli.common import CommandParser, run_command
from stellar.util.subcommands import select_command
from stellar.util.version import add_version

# name: (module, summary)
COMMANDS = {
    "serve": ("serve", "run the requested models until interrupted"),
    "serve-model": ("serve_model", "serve one model file by HTTP, without a registry, until interrupted"),
    "deploy": ("deploy", "add, remove, replace or list instances of a model"),
    "traffic": ("traffic", "set or show the traffic plan of a model, which routes calls without a version"),
    "status": ("status", "show desired and ready instances, and failures"),
    "hosts": ("hosts", "show the hosts that run instances"),
    "logs": ("logs", "show the output of the instances of a model"),
    "apply": ("apply", "make the desired state that of a file"),
    "export": ("export", "print the desired state as a file for apply"),
    "inspect": ("inspect_model", "show kind, inputs and outputs of a model file, and whether it can be served"),
    "call": ("call", "call a model once, and print its result"),
    "prune": ("prune", "remove copies of models' files that nothing needs"),
    "doctor": ("doctor", "check the installation, and suggest fixes"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command. Return its exit status: 0 for success, 1 for a failure, 2 for invalid options."""
    words = sys.argv[1:] if argv is None else argv
    return run_command("maas", make_parser(words).parse_args(words))


def make_parser(words: Sequence[str]) -> CommandParser:
    """Return a parser for these arguments, which has the options of the command that they name."""
    parser = CommandParser("maas", description="Model as a Service: run models, and find them.", allow_abbrev=False)
    add_version(parser)
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    selected = select_command(parser, words, COMMANDS)
    for name, (module, summary) in COMMANDS.items():
        sub = commands.add_parser(
            name,
            help=summary,
            description=summary.capitalize() + ".",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        if name == selected:
            _add_command(sub, module)
    return parser


def _add_command(parser: CommandParser, module: str) -> None:
    command = import_module(f"maas_runtime.cli.{module}")
    parser.epilog = command.EXAMPLES
    parser.set_defaults(command=command.run)
    command.add_options(parser)
