"""`stellar-enrichment get`: shows the enrichment of an indicator."""

from __future__ import annotations

import argparse
import sys

from stellar.pipeline.command_line import FAILED, OK
from stellar.pipeline.loaders.cli.common import add_store_options, add_table_options, convert_errors, read_settings
from stellar.pipeline.records import to_json
from stellar.stores.opening import look_up, open_store
from stellar.util.abbreviate import quote

DESCRIPTION = "Show the enrichment of an indicator, or that of the smallest network or range that contains it."
EXIT_STATUS = "exit status: 0 if it exists; 1 if it does not, and for an error; 2 for invalid options"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("type", metavar="TYPE", help="the type, such as malicious_ip")
    parser.add_argument("indicator", metavar="INDICATOR", help="the indicator, such as an address")
    add_table_options(parser)
    add_store_options(parser)


def run(options: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    with convert_errors():
        store = open_store(read_settings(options))
        found = look_up(store, options.table, options.family, options.type, options.indicator)
    if found is None:
        print(f"{options.prog}: no {options.type} {quote(options.indicator)} in {options.table}", file=sys.stderr)
        return FAILED
    print(to_json(found))
    return OK
