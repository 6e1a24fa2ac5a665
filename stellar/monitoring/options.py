"""The command line options of metrics and logs."""

from __future__ import annotations

import argparse

from stellar.monitoring.address import ListenAddress, read_address

LOG_FORMATS = ("text", "json")

_METRICS_HELP = (
    "serve metrics in the format of Prometheus at /metrics, and health at /healthz and /readyz; :PORT listens on all "
    "addresses of the machine"
)
_FORMAT_HELP = "form of messages on standard error: text, or one JSON object a line (default %(default)s)"


def add_metrics_option(parser: argparse.ArgumentParser) -> None:
    """Add the option that starts a server of metrics."""
    parser.add_argument("--metrics", metavar="[HOST]:PORT", type=_read_address, help=_METRICS_HELP)


def add_log_format_option(parser: argparse.ArgumentParser) -> None:
    """Add the option that selects the form of messages."""
    parser.add_argument("--log-format", choices=LOG_FORMATS, default=LOG_FORMATS[0], help=_FORMAT_HELP)


def _read_address(text: str) -> ListenAddress:
    try:
        return read_address(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
