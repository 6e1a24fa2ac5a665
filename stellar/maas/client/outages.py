"""Waiting for a model of which no instance can be reached at the moment.

A model that is wanted and has no instance, or only instances that refuse connections, is on its way: it was killed and
is being started again, or it listens only between two calls. Its callers wait, once per outage. When the time is over,
calls fail at once until an instance answers.
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
"""A model's name and version; without a version for calls that name none."""


@dataclass(slots=True)
class _Outage:
    """An outage; times are monotonic seconds.

    until: when waiting is over
    seen: when a caller last met it
    next_try: when one of the callers is to try again
    """

    until: float
    seen: float
    next_try: float
    ended: Future[None] = field(default_factory=Future)


class Outages:
    """The outages of all models. Safe to use from many threads and fibers.

    seconds: how long callers wait, from the beginning of an outage
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.after_fork()
        reset_after_fork(self)

    def after_fork(self) -> None:
        self._lock = threading.Lock()
        self._outages: dict[Name, _Outage] = {}

    def wait(self, name: Name, until: float) -> bool:
        """Wait until it is this caller's turn to try again; False if the outage has lasted, or the time is over.

        Of all callers that wait, one tries every 50 ms, and all of them once the outage has ended.

        until: monotonic time
        """
        if not self._seconds:
            return False
        outage = self._of(name)
        while not outage.ended.done:
            now = outage.seen = monotonic()
            end = min(outage.until, until)
            if now >= end:
                return False
            with self._lock:
                if now >= outage.next_try:
                    outage.next_try = now + RETRY_SECONDS
                    return True
            outage.ended.wait(min(outage.next_try, end) - now)
        return True

    def end(self, name: Name) -> None:
        """Report that an instance can be called."""
        if self._outages:  # seldom
            with self._lock:
                outage = self._outages.pop(name, None)
            if outage is not None:
                outage.ended.set_result(None)

    def _of(self, name: Name) -> _Outage:
        with self._lock:
            outage = self._outages.get(name)
            if outage is None:
                if len(self._outages) >= MAX_OUTAGES:
                    self._outages.pop(next(iter(self._outages))).ended.set_result(None)
                now = monotonic()
                outage = _Outage(self._begun(name, now) + self._seconds, now, now + RETRY_SECONDS)
                self._outages[name] = outage
            return outage

    def _begun(self, name: Name, now: float) -> float:
        """When the outage began: its callers may have met it under another name, with a version or without."""
        others = [
            outage.until - self._seconds
            for (model, version), outage in self._outages.items()
            if model == name[0] and None in (version, name[1]) and now - outage.seen < RECENT_SECONDS
        ]
        return max(others, default=now)
