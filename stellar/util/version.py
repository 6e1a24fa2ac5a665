"""The version of this distribution, and the option that prints it."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

VERSION = "0.1.0"
__version__ = VERSION


def add_version(parser: argparse.ArgumentParser) -> None:
    """Add the option --version to a command."""
    help = "show the version of the program and exit"
    parser.add_argument("--version", action="version", version=f"%(prog)s {VERSION}", help=help)
