"""Warnings of other processes, logged in the parent as if it had logged them itself.

A warning that a process logs once, with the first value that it concerns, is logged once by all processes together, and
with the first value of the input: `log.warning(…, extra=once("port"))`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

# A warning for its way between processes: the logger, the level, the message, and its key if it is logged once
RelayedWarning = tuple[str, int, str, str | None]

_KEY = "stellar_once"


def once(key: str) -> dict[str, Any]:
    """Return the `extra` of a warning that is logged once for a key."""
    return {_KEY: key}


class WarningCollector(logging.Handler):
    """Collects the warnings of the package in this process, instead of printing them."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._warnings: list[RelayedWarning] = []

    def install(self) -> None:
        """Replace the handlers of the package."""
        logger = logging.getLogger("stellar")
        logger.handlers[:] = [self]
        logger.propagate = False

    def emit(self, record: logging.LogRecord) -> None:
        self._warnings.append((record.name, record.levelno, record.getMessage(), getattr(record, _KEY, None)))

    def take(self) -> list[RelayedWarning]:
        """Return the warnings since the last call."""
        self.acquire()
        try:
            taken, self._warnings = self._warnings, []
        finally:
            self.release()
        return taken


class WarningRelay:
    """Logs the warnings of other processes."""

    def __init__(self) -> None:
        self._logged: set[tuple[str, str]] = set()

    def log(self, warnings: Iterable[RelayedWarning]) -> None:
        """Log warnings, but one with a key only if none with this key was logged."""
        for name, level, text, key in warnings:
            if key is None or (name, key) not in self._logged:
                logging.getLogger(name).log(level, "%s", text)
            if key is not None:
                self._logged.add((name, key))
