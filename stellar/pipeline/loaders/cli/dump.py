"""`stellar-enrichment dump`: prints the rows of a table."""

from __future__ import annotations

import argparse
import logging

from stellar.pipeline.command_line import OK
from stellar.pipeline.loaders.cli.common import (
    add_store_options,
    convert_errors,
    open_writable_store,
    read_name,
    read_settings,
)
from stellar.pipeline.records import to_json
from stellar.util.abbreviate import quote

log = logging.getLogger(__name__)

DESCRIPTION = "Print the rows of a table as JSON lines, with family, type, indicator and value."
EXIT_STATUS = "exit status: 0, also for a table without rows; 1 for an error; 2 for invalid options"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add = parser.add_argument
    add("-t", "--table", required=True, metavar="TABLE", type=read_name, help="table of the store")
    add("-c", "--family", metavar="FAMILY", help="column family of the table; by default all of them")
    add("--type", metavar="TYPE", help="the type of the rows; by default all of them")
    add_store_options(parser)


def run(options: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    with convert_errors():
        store = open_writable_store(read_settings(options))
        row = None
        for row in store.scan(options.table, options.family, options.type):
            print(to_json({"family": row.family, "type": row.kind, "indicator": row.indicator, "value": row.value}))
    if row is None:
        log.warning("no such rows in the table %s; check the names if you expected some", quote(options.table))
    return OK
