"""What all commands of this distribution have in common."""

from __future__ import annotations

import argparse
from typing import Any


class ShowVersion(argparse.Action):
    """Looks the version up only when it is asked for: that takes as long as the rest of a start."""

    def __init__(self, option_strings: list[str], dest: str, help: str) -> None:
        super().__init__(option_strings, dest=argparse.SUPPRESS, default=argparse.SUPPRESS, nargs=0, help=help)

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        from importlib.metadata import version

        print(f"{parser.prog} {version('stellar-maas')}")
        parser.exit()


def add_version(parser: argparse.ArgumentParser) -> None:
    """Let a command tell its version."""
    parser.add_argument("--version", action=ShowVersion, help="show the version of the program and exit")
