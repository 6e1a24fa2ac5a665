"""The version of this package on driver and executors."""

from __future__ import annotations

from stellar.pipeline.records import hostname
from stellar.util.version import __version__


def check_version(driver: str) -> None:
    """Raise RuntimeError unless the driver has the version of this executor."""
    if driver != __version__:
        raise RuntimeError(
            f"stellar-maas is {__version__} on the executor {hostname()}, and {driver} on the driver; install "
            "the same version on both"
        )
