"""`stellar lsp`: start the language server."""

from __future__ import annotations

import argparse

from stellar.cli.reading import OK, UsageError

DESCRIPTION = """\
Start the language server. Editors run this command and use the Language Server
Protocol over standard input and output. docs/editors.md describes their setup.

Requires pygls: pip install 'stellar-maas[lsp]'
"""

END = """\
exit status: 0 if the client has exited; 2 if pygls is not installed
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `stellar lsp`."""
    parser.add_argument(
        "--stdio",
        action="store_true",
        help="use standard input and output; the default, accepted for editors that pass it",
    )


def run(options: argparse.Namespace) -> int:
    """Serve until the client exits; return the exit status."""
    try:
        from stellar.lsp.server import serve
    except ModuleNotFoundError as error:
        if str(error.name).partition(".")[0] not in ("lsprotocol", "pygls"):
            raise
        raise UsageError("the language server requires pygls: pip install 'stellar-maas[lsp]'") from error
    serve()
    return OK
