"""Command-line options that the shell and the notebook share."""

from __future__ import annotations

import argparse


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of a session to a parser; `stellar.repl.startup` opens sessions from the parsed options."""
    registry = parser.add_mutually_exclusive_group()
    registry.add_argument(
        "-z",
        "--zookeeper",
        metavar="HOST:PORT,...",
        help="ZooKeeper with the registry of models and Metron's global configuration",
    )
    registry.add_argument("--registry", metavar="DIR", help="directory with the registry of models")
    parser.add_argument(
        "--config",
        metavar="DIR",
        help="directory of configurations, whose global.json is the global configuration; CONFIG_GET reads the others",
    )
    parser.add_argument("-v", "--variables", metavar="FILE", help="JSON object whose members become variables")
    parser.add_argument(
        "-p",
        "--properties",
        metavar="FILE",
        help="Java properties: stellar.function.resolver.includes and excludes, stellar.function.paths",
    )
    parser.add_argument("-l", "--log4j", metavar="FILE", help="log levels, from a log4j.properties")


def has_options(options: argparse.Namespace) -> bool:
    """Return True if any option of a session is set."""
    return any(getattr(options, name) is not None for name in _NAMES)


_NAMES = ("zookeeper", "registry", "config", "variables", "properties", "log4j")
