"""The command stellar-enrichment: loads, summarizes and shows enrichments.

Each subcommand is a module here; see stellar.pipeline.command_line. Metron's commands are in `metron`.
"""

from __future__ import annotations

from collections.abc import Sequence

from stellar.pipeline.command_line import Program

PROGRAM = Program(
    "stellar-enrichment",
    "Load files of indicators into an enrichment store.",
    "stellar.pipeline.loaders.cli",
    {
        "load": "load files into the enrichment store",
        "check": "check the files of extractors",
        "summarize": "summarize files in one object, such as a Bloom filter",
        "get": "show the enrichment of an indicator",
        "dump": "print the rows of a table as JSON lines",
    },
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    return PROGRAM.run(arguments)
