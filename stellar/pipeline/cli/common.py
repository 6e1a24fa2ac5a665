"""The options that the commands of stellar-pipeline have in common."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from stellar.pipeline.config.loading import INPUTS_KEY
from stellar.pipeline.options import add_line_limit

if TYPE_CHECKING:
    from stellar.pipeline.config.cluster import ZooKeeperLocation

_CONFIG_HELP = "directory of the configuration, with global.json, parsers/, enrichments/ and patterns/"
_PATTERNS_HELP = (
    "directory in which the files of grokPath are searched first, for a configuration in ZooKeeper, which has none"
)
_SENSOR_HELP = (
    "the sensors, or groups of parser.groups: parsers/NAME.json, enrichments/NAME.json. The first one reads the input, "
    "the others what it passes on to their topics"
)
_FILES_HELP = (
    "file to read, or glob such as 'logs/*.log'; gzip, bzip2, xz and Zstandard are decompressed. - is standard input. "
    f"By default the files of {INPUTS_KEY} in global.json, if it has the sensor, otherwise standard input"
)


def add_config(parser: argparse.ArgumentParser) -> None:
    """Add the option that selects the directory of the configuration."""
    parser.add_argument("--config", metavar="DIR", type=_read_directory, required=True, help=_CONFIG_HELP)
    parser.add_argument("--debug", action="store_true", help="print the Python traceback of an error")


def add_config_or_zookeeper(parser: argparse.ArgumentParser, more_help: str = "") -> None:
    """Add the options that select the configuration, in a directory or in ZooKeeper."""
    help_ = f"{_CONFIG_HELP}; or zookeeper:HOST:PORT,.../metron for a configuration in ZooKeeper{more_help}"
    parser.add_argument("--config", metavar="DIR", type=_read_config_location, required=True, help=help_)
    parser.add_argument("--patterns", metavar="DIR", type=Path, help=_PATTERNS_HELP)
    parser.add_argument("--debug", action="store_true", help="print the Python traceback of an error")


def _read_directory(text: str) -> Path:
    location = _read_config_location(text)
    if isinstance(location, Path):
        return location
    raise argparse.ArgumentTypeError(
        "expected a directory; for a configuration in ZooKeeper, `stellar-pipeline config check` checks it, and "
        "`zk_load_configs.sh -m PULL` copies it to a directory"
    )


def _read_config_location(text: str) -> Path | ZooKeeperLocation:
    from stellar.pipeline.config.cluster import read_location

    try:
        return read_location(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def add_input(parser: argparse.ArgumentParser) -> None:
    """Add the options that select sensors and their input."""
    add = parser.add_argument
    add("files", nargs="*", metavar="FILE", help=_FILES_HELP)
    add("--sensor", required=True, metavar="NAME,...", help=_SENSOR_HELP)
    add("--topic", metavar="TOPIC", help="the topic of the input, by default that of the first sensor")
    add_line_limit(parser)
