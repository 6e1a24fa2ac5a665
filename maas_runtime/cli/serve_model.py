"""maas serve-model: the server of one model file, without a registry."""

from __future__ import annotations

import argparse
from pathlib import Path

from maas_runtime.cli.output import add_output_option
from maas_runtime.serving.options import add_serving_options, serve

EXAMPLES = """examples:
  maas serve-model model.pmml --port 8080
  maas serve-model ./ffsn --model ffsn.txt --host 0.0.0.0
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    add_serving_options(parser)
    add = parser.add_argument
    add("--endpoint-file", type=Path, metavar="FILE", help="write the URL and the functions to a file, as models do")
    add_output_option(parser)
    add("--debug", action="store_true", help="print the traceback of an error")
    parser.set_defaults(parser=parser)


def run(args: argparse.Namespace) -> int:
    """Serve a model until it is interrupted."""
    serve(args, args.endpoint_file)
    return 0
