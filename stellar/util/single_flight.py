"""Concurrent calls with equal keys, of which only one is made."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from stellar.util.forks import reset_after_fork
from stellar.util.waiting import Future

T = TypeVar("T")


class SingleFlight(Generic[T]):
    """Shares the result of a call among all callers with its key that come while it is made.

    Safe to use from many threads and fibers. The child of a fork starts without calls.
    """

    def __init__(self) -> None:
        self.after_fork()
        reset_after_fork(self)

    def after_fork(self) -> None:
        """Forget the calls, which exist in the parent only."""
        self._flights: dict[Hashable, Future[tuple[T] | None]] = {}
        self._lock = threading.Lock()

    def call(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return the result of `make`, or that of another caller's with the same key.

        Raises the error of `make` for the caller that made the call. The others then call `make` again, one of them for
        all, because the error may concern the first caller only, as the end of its deadline does.
        """
        while True:
            with self._lock:
                flight = self._flights.get(key)
                if flight is None:
                    own = self._flights[key] = Future()
            if flight is None:
                return self._lead(key, own, make)
            if (shared := flight.result()) is not None:
                return shared[0]

    def _lead(self, key: Hashable, flight: Future[tuple[T] | None], make: Callable[[], T]) -> T:
        shared: tuple[T] | None = None
        try:
            shared = (make(),)
        finally:
            with self._lock:
                if self._flights.get(key) is flight:  # not in the child of a fork that `make` made
                    del self._flights[key]
            flight.set_result(shared)
        return shared[0]
