"""The limits of a runner, declared once: the options of services and runners, their checks, help and documentation."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from maas_runtime.runner.endpoint import parse_health_path
from maas_runtime.runner.logs import LogLimits
from stellar.util.abbreviate import quote
from stellar.util.settings import Check, declared, integer, number, setting

SECONDS = number(0, 31_536_000)
_METAVARS = {"seconds": "S", "mb": "MB", "files": "N", "health": "PATH"}  # by the last word of an option


def _health_path(value: str) -> str:
    parse_health_path(value)
    return value


@dataclass(frozen=True)
class Limits:
    """Time-outs, in seconds, and resource limits of a runner.

    misses: an instance fails after so many consecutive health checks that failed
    memory: limit for all processes together, in MB; 0 for no limit
    """

    start: float = setting("--start-seconds", 600.0, SECONDS, "time for a model to become ready")
    drain: float = setting(
        "--drain-seconds",
        5.0,
        SECONDS,
        "longest time for active calls before a model is ended, if clients stay connected",
    )
    end: float = setting("--end-seconds", 5.0, SECONDS, "time for a model to end before it is killed")
    probe: float = setting("--probe-seconds", 5.0, SECONDS, "interval of health checks")
    hang: float = setting(
        "--hang-seconds", 60.0, SECONDS, "time without a response after which an idle model has hung and is restarted"
    )
    log_mb: int = setting("--log-mb", 20, integer(1, 999_999), "maximum size of each log file of a model")
    log_files: int = setting("--log-files", 4, integer(0, 999_999), "number of rotated log files")
    health: str = setting(
        "--health",
        "",
        _health_path,
        "default path of the health check, such as /health; an instance that returns another status than 2xx there is "
        "restarted. Without it, the port is checked, and that the model responds to any request",
    )
    misses: int = 3
    memory: int = 0

    @property
    def logs(self) -> LogLimits:
        """The limits of the log files."""
        return LogLimits(self.log_mb * 1_000_000, self.log_files)

    def to_options(self) -> dict[str, object]:
        """Return the options for these limits, without memory, which depends on the deployment."""
        return {option: getattr(self, each.name) for option, each in declared(Limits).items()}


def add_limit_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for limits."""
    for option, each in declared(Limits).items():
        default = f" (default {each.default:g})" if each.default != "" else ""
        parser.add_argument(
            option,
            type=_parse_by(each.metadata["check"]),
            default=each.default,
            metavar=_METAVARS[option.rpartition("-")[2]],
            help=each.metadata["help"] + default,
        )


def read_limits(args: argparse.Namespace, memory: int = 0) -> Limits:
    """Return the limits in parsed options."""
    given = {each.name: getattr(args, _destination(option)) for option, each in declared(Limits).items()}
    return Limits(**given, memory=memory)


def _destination(option: str) -> str:
    return option.lstrip("-").replace("-", "_")


def _parse_by(check: Check) -> Callable[[str], Any]:
    def parse(text: str) -> Any:
        try:
            return check(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"{error}, got {quote(text)}") from None

    return parse
