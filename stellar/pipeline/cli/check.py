"""`stellar-pipeline check`: checks the files of a configuration directory."""

from __future__ import annotations

import argparse
from functools import partial

from stellar.language.errors import ConfigError
from stellar.pipeline.cli.common import add_config
from stellar.pipeline.command_line import FAILED, OK
from stellar.pipeline.directory_check import check_directory
from stellar.pipeline.pipeline import Pipeline
from stellar.pipeline.services import add_registry_options, find_missing_services
from stellar.tooling.diagnostics import FORMATS

DESCRIPTION = (
    "Read all files of a configuration directory, check all keys, compile all expressions, check what they need "
    "from outside, and warn of probable mistakes. The exit status is 1 if there are errors; warnings do not count, "
    "unless --strict is passed."
)
EXIT_STATUS = ""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add = parser.add_argument
    add("--sensor", metavar="NAME", help="check this sensor only; by default the whole directory is checked")
    add("--format", choices=FORMATS, default="text", help="format of the findings (default %(default)s)")
    add("--offline", action="store_true", help="do not check stores, files and registries outside the directory")
    add("--strict", action="store_true", help="the exit status is 1 for warnings, too")
    add_registry_options(parser)
    add_config(parser)
    parser.set_defaults(max_warnings=None)


def run(options: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    result = check_directory(options.config, options.sensor, partial(_find_missing, options))
    print(FORMATS[options.format](result.reports), end="")
    if options.format == "text":
        for name, functions in result.sensors.items():
            print(f"{name}: valid; functions called: {', '.join(sorted(functions)) or 'none'}")
    return FAILED if result.has_errors or (options.strict and result.reports) else OK


def _find_missing(options: argparse.Namespace, pipeline: Pipeline) -> list[ConfigError]:
    return [] if options.offline else find_missing_services(pipeline, options)
