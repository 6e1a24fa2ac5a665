"""The log of failed calls: one warning for each model and reason, then one count a minute.

An unavailable model may fail thousands of calls a second. Values of records are logged at DEBUG only.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

from stellar.maas.errors import MaasError
from stellar.util.forks import reset_after_fork

log = logging.getLogger(__name__)

COUNT_SECONDS = 60.0
MAX_KEYS = 1000  # names may come from records

_Key = tuple[str, str]


@dataclass(slots=True)
class _Count:
    """Failures since the last line of the log, which was written at time `logged`."""

    logged: float
    failures: int = 0


class FailureLog:
    """Counts and logs failures by model and reason. Thread-safe.

    clock: monotonic seconds
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self.after_fork()
        reset_after_fork(self)

    def after_fork(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[_Key, _Count] = {}

    def record(self, model: str, error: MaasError) -> None:
        """Count a failed call; log it if it is the first of its kind, or if the minute is over."""
        log.debug("%s: %s", model, error)
        now = self._clock()
        with self._lock:
            key = self._key(model, error)
            count = self._counts.get(key)
            if first := count is None:
                self._counts[key] = _Count(now)
            elif due := self._due(count, now):
                count.failures, count.logged = 0, now
        if first:
            log.warning(
                "%s: %s (%s); further ones are counted, details are logged at DEBUG", model, error.summary, error.reason
            )
        elif due:
            _log_count(key, due)

    def _key(self, model: str, error: MaasError) -> _Key:
        key = (model, error.reason)
        return key if key in self._counts or len(self._counts) < MAX_KEYS else ("other models", error.reason)

    def _due(self, count: _Count, now: float) -> int:
        """Return the number of failures to log now, this one included; 0 if the minute is not over."""
        count.failures += 1
        return count.failures if now - count.logged >= COUNT_SECONDS else 0

    def close(self) -> None:
        """Log the failures counted since the last line."""
        with self._lock:
            counts, self._counts = self._counts, {}
        for key, count in counts.items():
            if count.failures:
                _log_count(key, count.failures)


def _log_count(key: _Key, failures: int) -> None:
    model, reason = key
    log.warning("%s: %s more failed calls (%s)", model, f"{failures:,}", reason)
