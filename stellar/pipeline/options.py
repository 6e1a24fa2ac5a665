"""Options and types of options that commands of several packages have in common."""

from __future__ import annotations

import argparse

from stellar.pipeline.connectors.lines import MAX_LINE_BYTES
from stellar.util.abbreviate import quote


def add_line_limit(parser: argparse.ArgumentParser) -> None:
    """Add the option for the length of lines."""
    parser.add_argument(
        "--max-line-bytes",
        metavar="N",
        type=positive_integer,
        default=MAX_LINE_BYTES,
        help="limit of a line; a longer one is an error (default %(default)s)",
    )


def positive_integer(text: str) -> int:
    """Return the integer of an option. Raises ArgumentTypeError if it is not 1 or more."""
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"expected an integer of 1 or more, got {quote(text)}")
    return int(text)
