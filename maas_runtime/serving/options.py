"""The options of a model server, and its start with them."""

from __future__ import annotations

import argparse
import os
import re
from pathlib import Path

from maas_runtime.serving.detection import find_model
from maas_runtime.serving.server import serve_model
from maas_runtime.serving.work_queue import MOST
from stellar.monitoring.address import ListenAddress
from stellar.monitoring.json_logs import log_to_stderr
from stellar.monitoring.options import add_log_format_option
from stellar.util.abbreviate import quote

HOST, PORT = "MODEL_HOST", "MODEL_PORT"  # environment variables


def add_serving_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of a server."""
    add = parser.add_argument
    add("path", type=Path, metavar="FILE", help="the model file, or a directory that has one")
    add("--model", metavar="NAME", help="the model file, in a directory with several")
    add(
        "--host",
        default=os.environ.get(HOST, "127.0.0.1"),
        help=f"address to listen on; 0.0.0.0 for all addresses of the machine (default ${HOST}, else 127.0.0.1)",
    )
    add(
        "--port",
        type=_parse_port,
        default=os.environ.get(PORT, "0"),
        help=f"port to listen on; 0 for any free port (default ${PORT}, else 0)",
    )
    add(
        "--queue",
        type=_parse_queue,
        default=MOST,
        metavar="N",
        help="requests that may wait to be scored; further ones get status 503 (default %(default)s)",
    )
    add_log_format_option(parser)


def _parse_port(text: str) -> int:
    if not re.fullmatch("[0-9]{1,5}", text) or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"invalid port {quote(text)}: expected 0–65535")
    return int(text)


def _parse_queue(text: str) -> int:
    if not re.fullmatch("[0-9]{1,6}", text) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"invalid value {quote(text)}: expected an integer of at least 1")
    return int(text)


def serve(args: argparse.Namespace, endpoint_file: Path | None) -> None:
    """Serve the model that the options name, until a signal. Raise as `serve_model` does."""
    log_to_stderr(as_json="json" in (args.log_format, getattr(args, "output", None)))
    found = find_model(args.path, args.model)
    serve_model(found, ListenAddress(args.host, args.port), endpoint_file, args.queue)
