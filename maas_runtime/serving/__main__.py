"""The start of a model without a script of its own: `python -m maas_runtime.serving FOLDER`, or `serving.pyz FOLDER`.

It writes `endpoint.dat` in the working directory, as every model does.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from maas_runtime.serving.options import add_serving_options, serve
from maas_runtime.store.base import ENDPOINT_FILE
from stellar.util.version import add_version


def main(argv: Sequence[str] | None = None) -> int:
    """Serve a model. Return the exit status: 0 after a signal, 1 with a message if it cannot be served."""
    parser = argparse.ArgumentParser("serving", description="Serve a model that is data.", allow_abbrev=False)
    add_version(parser)
    add_serving_options(parser)
    args = parser.parse_args(argv)
    try:
        serve(args, Path(ENDPOINT_FILE))
    except (ValueError, OSError) as error:
        print(f"serving: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
