"""`stellar-enrichment summarize`: summarizes files in one object."""

from __future__ import annotations

import argparse
import logging
from contextlib import ExitStack

from stellar.pipeline.command_line import OK, convert_option_errors
from stellar.pipeline.connectors.sources import check_distinct
from stellar.pipeline.loaders.cli.common import (
    add_reading_options,
    add_store_options,
    convert_errors,
    open_reader,
    prepare,
)
from stellar.pipeline.loaders.load import LoadError
from stellar.pipeline.loaders.sources import expand_inputs
from stellar.pipeline.loaders.summarize import WRITERS, explain_missing_state, require_file

DESCRIPTION = (
    "Update the state of a summary with each row of files, by the expressions state_init and state_update of the "
    "extractor, and write it to a file that the function OBJECT_GET reads."
)
EXIT_STATUS = """\
exit status: 0 if the summary was written, even if single lines were rejected;
1 for an error in the extractor or a file, and if there were no rows; 2 for invalid options"""
_MODE_HELP = "LOCAL writes a file, HDFS one of HDFS or another URL, CONSOLE prints the object (default %(default)s)"


log = logging.getLogger(__name__)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add_reading_options(parser)
    add = parser.add_argument
    add("-o", "--output", metavar="FILE", help="the file to write")
    add("-om", "--output-mode", choices=sorted(WRITERS), default="LOCAL", help=_MODE_HELP)
    add_store_options(parser)


def run(options: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    if options.output_mode != "CONSOLE":
        with convert_option_errors():
            require_file(options.output)
    with convert_errors(), ExitStack() as stack:
        loading, summary, _ = prepare(options, needs_type=False)
        if summary is None:
            raise explain_missing_state(loading.location)
        files = expand_inputs(options.files)
        check_distinct(files, (options.rejected, options.output if options.output_mode == "LOCAL" else None))
        if options.processes > 1 and summary.merge is None:
            log.warning("%s: one process reads the files; several need state_merge", options.extractor)
            options.processes = 1
        reader, screen = open_reader(loading, files, options, stack, summary.make_first())
        state = summary.run(reader, files)
        if not options.quiet:
            screen.print_message(f"{options.prog}: {reader.counts}")
        if not reader.counts.rows:
            raise LoadError("no rows to summarize; check the extractor and the files")
        WRITERS[options.output_mode](state, options.output)
    return OK
