"""Warnings of the package, as lines on standard error."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from stellar.util.abbreviate import escape


class _WarningFormatter(logging.Formatter):
    """Formats a warning as one line, with unprintable characters of a record escaped.

    program: the name of the command
    """

    def __init__(self, program: str) -> None:
        super().__init__()
        self._program = program

    def format(self, record: logging.LogRecord) -> str:
        return f"{self._program}: warning: {escape(record.getMessage())}"


class _UniqueWarnings(logging.Filter):
    """Passes each warning once, up to a limit.

    limit: number of different warnings; None for no limit
    """

    def __init__(self, limit: int | None) -> None:
        super().__init__()
        self._limit = limit
        self._seen: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        if text in self._seen or len(self._seen) == self._limit:
            return False
        self._seen.add(text)
        return True


def _make_json_formatter() -> logging.Formatter:
    from stellar.monitoring.json_logs import JsonFormatter  # most commands print text

    return JsonFormatter()


@contextmanager
def print_warnings(program: str, limit: int | None, *, as_json: bool = False) -> Iterator[None]:
    """Print the warnings of the package on standard error, after the name of the command.

    as_json: print each as a line of JSON
    """
    handler = logging.StreamHandler(getattr(sys.stderr, "target", sys.stderr) if as_json else None)
    handler.setFormatter(_make_json_formatter() if as_json else _WarningFormatter(program))
    handler.addFilter(_UniqueWarnings(limit))
    logger = logging.getLogger("stellar")
    logger.addHandler(handler)
    logger.propagate, propagates = False, logger.propagate
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagates
