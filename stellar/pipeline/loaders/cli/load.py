"""`stellar-enrichment load`: loads files into the enrichment store."""

from __future__ import annotations

import argparse
from contextlib import ExitStack

from stellar.pipeline.command_line import INTERRUPTED, OK
from stellar.pipeline.connectors.sources import check_distinct
from stellar.pipeline.loaders.cli.common import (
    add_reading_options,
    add_store_options,
    add_table_options,
    convert_errors,
    open_reader,
    open_writable_store,
    prepare,
)
from stellar.pipeline.loaders.load import BATCH_ROWS, LoadError, LoadTarget, RowReader, merge, replace_types
from stellar.pipeline.loaders.sources import expand_inputs
from stellar.pipeline.options import positive_integer
from stellar.stores.base import Store

DESCRIPTION = (
    "Load the rows of files into a table of the enrichment store. Rows with the same type and indicator are replaced. "
    "Running pipelines see the new rows without a restart."
)
EXIT_STATUS = """\
exit status: 0 if rows were stored, even if single lines were rejected;
1 for an error in the extractor, a file or the store, and if there were no rows; 2 for invalid options"""
_REPLACE_HELP = (
    "replace all rows of the types that the files contain, in one step for readers; if there is an error, or no row, "
    "the store stays as it was. By default rows are added to those of earlier loads"
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add_reading_options(parser)
    add_table_options(parser)
    add = parser.add_argument
    add("--replace", action="store_true", help=_REPLACE_HELP)
    add("--ttl", metavar="SECONDS", type=positive_integer, help="time until the rows expire; by default they do not")
    add(
        "-b",
        "--batch",
        metavar="N",
        type=positive_integer,
        default=BATCH_ROWS,
        help="rows per transaction (%(default)s)",
    )
    add_store_options(parser)


def run(options: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    with convert_errors(), ExitStack() as stack:
        loading, _, settings = prepare(options, needs_type=True)
        files = expand_inputs(options.files)
        check_distinct(files, (options.rejected,))
        store = open_writable_store(settings)
        stack.callback(store.close)
        reader, screen = open_reader(loading, files, options, stack)
        target = LoadTarget(options.table, options.family, options.ttl, loading.config.config.intervals)
        try:
            _store(reader, files, store, target, options)
        except KeyboardInterrupt:
            stored = "the store is unchanged" if options.replace else "all but the last rows are stored"
            screen.print_message(f"{options.prog}: interrupted; {stored}")
            return INTERRUPTED
        finally:
            if not options.quiet:
                screen.print_message(f"{options.prog}: {options.table}: {reader.counts}")
    return OK


def _store(reader: RowReader, files: list[str], store: Store, target: LoadTarget, options: argparse.Namespace) -> None:
    rows = target.make_rows(reader.read(files), reader.counts)
    if options.replace:
        replace_types(rows, store, target)
    elif not merge(rows, store, target, options.batch):
        raise LoadError("no rows to store; check the extractor and the files")
