"""`stellar-pipeline schema`: prints the JSON Schema of a kind of configuration."""

from __future__ import annotations

import argparse
import json

from stellar.pipeline.command_line import OK
from stellar.pipeline.config.json_schemas import MODELS, make_json_schema

DESCRIPTION = "Print the JSON Schema of a kind of configuration, for editors and other tools."
EXIT_STATUS = ""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("kind", choices=tuple(MODELS))


def run(options: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    print(json.dumps(make_json_schema(options.kind), indent=2))
    return OK
