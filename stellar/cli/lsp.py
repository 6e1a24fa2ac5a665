"""`stellar lsp`: serves editors."""

from __future__ import annotations

import argparse

from stellar.cli.reading import FINE, Unusable

DESCRIPTION = """\
Serve an editor, which starts this and speaks the Language Server Protocol over
standard input and output. docs/editors.md tells how to set up editors.

It needs pygls: pip install 'stellar-maas[lsp]'
"""

END = """\
exit status: 0 if the client has left; 2 if pygls is not installed
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """What can be said behind `stellar lsp`."""
    parser.add_argument("--stdio", action="store_true", help="speak so: it is the only way, but some editors say it")


def run(options: argparse.Namespace) -> int:
    """Serve until the client leaves; returns the exit status."""
    try:
        from stellar.lsp.server import serve
    except ModuleNotFoundError as error:
        if str(error.name).partition(".")[0] not in ("lsprotocol", "pygls"):
            raise
        raise Unusable("editors are served with pygls, which is not here: pip install 'stellar-maas[lsp]'") from error
    serve()
    return FINE
