"""Outages: waiting for a desired model without a reachable instance.

A desired model without instances, or with instances that refuse connections, is probably being restarted, or listens
only between two calls. Its callers wait, once per outage. After the time limit calls fail at once, until an instance
responds.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from time import monotonic

from stellar.util.forks import reset_after_fork
from stellar.util.waiting import Future

RETRY_SECONDS = 0.05
RECENT_SECONDS = 5.0
MAX_OUTAGES = 1000

Name = tuple[str, str | None]
"""A model's name and version; the version is None for calls that name no version."""


@dataclass(slots=True)
class _Outage:
    """An outage; times are monotonic seconds.

    until: end of the waiting time
    seen: time of the last call during the outage
    next_attempt: time at which one of the callers tries again
    """

    until: float
    seen: float
    next_attempt: float
    ended: Future[None] = field(default_factory=Future)


class Outages:
    """The outages of all models. Safe to use from many threads and fibers.

    seconds: how long callers wait, from the beginning of an outage; 0 for not at all
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.after_fork()
        reset_after_fork(self)

    def after_fork(self) -> None:
        self._lock = threading.Lock()
        self._outages: dict[Name, _Outage] = {}

    def wait(self, name: Name, until: float) -> bool:
        """Wait until it is this caller's turn to retry; return False if the outage lasts too long, or at the deadline.

        Of all waiting callers one retries every 50 ms, and all of them after the outage has ended.

        until: deadline of the call, monotonic
        """
        if not self._seconds:
            return False
        outage = self._find_or_begin(name)
        while not outage.ended.done:
            now = outage.seen = monotonic()
            end = min(outage.until, until)
            if now >= end:
                return False
            with self._lock:
                if now >= outage.next_attempt:
                    outage.next_attempt = now + RETRY_SECONDS
                    return True
            outage.ended.wait(min(outage.next_attempt, end) - now)
        return True

    def end(self, name: Name) -> None:
        """End the outage, after an instance has responded."""
        if self._outages:  # rarely
            with self._lock:
                outage = self._outages.pop(name, None)
            if outage is not None:
                outage.ended.set_result(None)

    def _find_or_begin(self, name: Name) -> _Outage:
        with self._lock:
            outage = self._outages.get(name)
            if outage is None:
                if len(self._outages) >= MAX_OUTAGES:
                    self._outages.pop(next(iter(self._outages))).ended.set_result(None)
                now = monotonic()
                outage = _Outage(self._begin_time(name, now) + self._seconds, now, now + RETRY_SECONDS)
                self._outages[name] = outage
            return outage

    def _begin_time(self, name: Name, now: float) -> float:
        """Return the time at which the outage began, perhaps seen first by calls with, or without, a version."""
        others = [
            outage.until - self._seconds
            for (model, version), outage in self._outages.items()
            if model == name[0] and None in (version, name[1]) and now - outage.seen < RECENT_SECONDS
        ]
        return max(others, default=now)
