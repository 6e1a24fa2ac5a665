"""The options that the shell and the notebook have in common."""

from __future__ import annotations

import argparse


def add_options(parser: argparse.ArgumentParser) -> None:
    """Let a command take the options that make a session; `stellar.repl.startup` takes what they parse to."""
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "-z",
        "--zookeeper",
        metavar="HOST:PORT,...",
        help="the ZooKeeper where models are registered, and Metron's global configuration is kept",
    )
    where.add_argument("--registry", metavar="DIR", help="the directory where models are registered")
    parser.add_argument("-v", "--variables", metavar="FILE", help="a JSON object whose members become variables")
    parser.add_argument(
        "-p",
        "--properties",
        metavar="FILE",
        help="Java properties: stellar.function.resolver.includes and excludes, stellar.function.paths",
    )
    parser.add_argument("-l", "--log4j", metavar="FILE", help="what is logged where, as in a log4j.properties")


def are_given(options: argparse.Namespace) -> bool:
    """Whether any of these options asks for something."""
    return any(getattr(options, name) is not None for name in _NAMES)


_NAMES = ("zookeeper", "registry", "variables", "properties", "log4j")
