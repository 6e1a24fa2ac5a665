"""`stellar-pipeline explain`: shows the effect of each stage on each record."""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack
from itertools import chain

from stellar.pipeline.cli.common import add_config_or_zookeeper, add_input
from stellar.pipeline.cli.loading import Messages, find_inputs, open_pipeline
from stellar.pipeline.command_line import OK
from stellar.pipeline.connectors.sources import check_readable, expand_names, read_batches
from stellar.pipeline.explain import draw_explanation, explain_message
from stellar.pipeline.options import positive_integer
from stellar.pipeline.routing import PipelineGroup
from stellar.pipeline.services import add_registry_options

DESCRIPTION = (
    "Process lines with the pipeline of a sensor, and show each record as a tree: the expressions that each stage "
    "evaluated, the fields that it added (+), changed (~) and removed (-), and what became of the record."
)
EXIT_STATUS = ""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add_input(parser)
    parser.add_argument(
        "--limit", metavar="N", type=positive_integer, default=10, help="number of lines to explain; by default 10"
    )
    add_registry_options(parser)
    add_config_or_zookeeper(parser)
    parser.set_defaults(quiet=True)


def run(options: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    with ExitStack() as stack:
        opened = open_pipeline(options, stack, Messages())
        files = expand_names(find_inputs(options.files, opened.configs[0]))
        check_readable(files, ())
        opened.connect()
        pipeline = opened.pipeline if isinstance(opened.pipeline, PipelineGroup) else opened.pipeline.current
        messages = chain.from_iterable(
            batch.messages(options.topic) for batch in read_batches(files, options.max_line_bytes)
        )
        for number, raw in enumerate(messages):
            if number == options.limit:
                print(f"stellar-pipeline: stopped after {number} lines; use --limit for more", file=sys.stderr)
                break
            for explanation in explain_message(pipeline, raw):
                print(draw_explanation(explanation, raw))
    return OK
