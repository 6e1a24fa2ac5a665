"""`stellar-pipeline check`: checks the files of a configuration directory."""

from __future__ import annotations

import argparse
from functools import partial

from stellar.language.errors import ConfigError
from stellar.pipeline.cli.common import add_config
from stellar.pipeline.directory_check import check_directory
from stellar.pipeline.pipeline import Pipeline
from stellar.pipeline.services import add_registry_options, find_missing_services
from stellar.tooling.check_command import CHECK_EXIT_STATUS, add_report_options, run_check
from stellar.tooling.diagnostics import DiagnosticReport

DESCRIPTION = (
    "Read all files of a configuration directory, check all keys, compile all expressions, check what they need "
    "from outside, and warn of probable mistakes. docs/lints.md describes the lints."
)
EXIT_STATUS = CHECK_EXIT_STATUS


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add = parser.add_argument
    add("--sensor", metavar="NAME", help="check this sensor only; by default the whole directory is checked")
    add("--offline", action="store_true", help="do not check stores, files and registries outside the directory")
    add_report_options(parser)
    add_registry_options(parser)
    add_config(parser)
    parser.set_defaults(max_warnings=None)


def run(options: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    sensors: dict[str, frozenset[str]] = {}
    return run_check(partial(_check, options, sensors), options, sensors)


def _check(options: argparse.Namespace, sensors: dict[str, frozenset[str]]) -> DiagnosticReport:
    """Check the directory; `sensors` becomes the sensors without errors, with the functions that they call."""
    result = check_directory(options.config, options.sensor, partial(_find_missing, options))
    sensors.clear()
    sensors.update(result.sensors)
    return result.report


def _find_missing(options: argparse.Namespace, pipeline: Pipeline) -> list[ConfigError]:
    return [] if options.offline else find_missing_services(pipeline, options)
