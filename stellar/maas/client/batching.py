"""Batches: concurrent calls merged into one request."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

from stellar.maas.client.attempts import Decoded
from stellar.maas.client.encoding import Arguments
from stellar.maas.errors import MaasError, ModelUnavailable, RecordRefused
from stellar.util.forks import reset_after_fork
from stellar.util.waiting import Event, Future, new_event

SourcedResult = tuple[Decoded, str]
"""A result, and the URL of the instance that returned it."""

Send = Callable[[list[Arguments]], list[SourcedResult]]


class Abandoned(Exception):
    """The caller that made a request for others too was cancelled or interrupted."""


@dataclass(slots=True)
class _Batch:
    members: list[tuple[Arguments, Future[SourcedResult]]] = field(default_factory=list)
    full: Event = field(default_factory=new_event)  # created by the first caller, which waits for it


class Batcher:
    """Merges calls: the first caller waits briefly for others, and sends one request for all of them.

    most: maximum number of calls in a request
    seconds: how long the first caller waits for a full request
    """

    def __init__(self, most: int, seconds: float) -> None:
        self._most = most
        self._seconds = seconds
        self.after_fork()
        reset_after_fork(self)

    def after_fork(self) -> None:
        self._open: dict[Hashable, _Batch] = {}
        self._lock = threading.Lock()

    def call(self, lane: Hashable, arguments: Arguments, send: Send) -> SourcedResult:
        """Return the result for these arguments, requested together with other calls.

        lane: key of the calls that may share a request
        send: sends a request and returns one result for each set of arguments; the function of the first caller is used

        An error of the request is raised in all its callers. But if the model rejects the arguments, each caller sends
        a request of its own, so that only the calls with invalid arguments fail.
        """
        batch, mine, leading = self._join_batch(lane, arguments)
        if leading:
            self._lead(lane, batch, send)
        try:
            return mine.result()
        except RecordRefused:
            if len(batch.members) == 1:
                raise
        except Abandoned:  # send a request of our own
            pass
        (result,) = send([arguments])
        return result

    def _join_batch(self, lane: Hashable, arguments: Arguments) -> tuple[_Batch, Future[SourcedResult], bool]:
        mine: Future[SourcedResult] = Future()
        with self._lock:
            batch = self._open.get(lane)
            if leading := batch is None:
                batch = self._open[lane] = _Batch()
            batch.members.append((arguments, mine))
            if len(batch.members) >= self._most:
                del self._open[lane]
                batch.full.set()
        return batch, mine, leading

    def _lead(self, lane: Hashable, batch: _Batch, send: Send) -> None:
        try:
            if not batch.full.wait(self._seconds):
                self._close(lane, batch)
            results = send([arguments for arguments, _ in batch.members])
        except BaseException as error:
            self._close(lane, batch)
            for _, waiting in batch.members:
                waiting.set_exception(error_for_others(error))
            if not isinstance(error, MaasError):
                raise
        else:
            for (_, waiting), result in zip(batch.members, results, strict=True):
                waiting.set_result(result)

    def _close(self, lane: Hashable, batch: _Batch) -> None:
        with self._lock:
            if self._open.get(lane) is batch:
                del self._open[lane]


def error_for_others(error: BaseException) -> BaseException:
    """Return the error for the callers that waited for the request of a caller that failed."""
    if isinstance(error, MaasError):
        return error
    return ModelUnavailable(f"interrupted: {error!r}") if isinstance(error, Exception) else Abandoned()
