"""Calls that come at about the same moment, merged into one request."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

from stellar.maas.client.attempts import Decoded
from stellar.maas.client.encoding import Arguments
from stellar.maas.errors import MaasError, ModelUnavailable, RecordRefused
from stellar.util.forks import reset_after_fork
from stellar.util.waiting import Event, Future, new_event

Answered = tuple[Decoded, str]
"""An answer, and the URL of the instance that gave it."""

Send = Callable[[list[Arguments]], list[Answered]]


class Abandoned(Exception):
    """The caller that was to bring an answer for others too was cancelled or interrupted."""


@dataclass(slots=True)
class _Batch:
    members: list[tuple[Arguments, Future[Answered]]] = field(default_factory=list)
    full: Event = field(default_factory=new_event)  # made by the first of them, which waits


class Batcher:
    """Merges calls: the first one waits a moment for others, and sends them all.

    most: how many calls a request may hold
    seconds: how long the first one waits for the request to become full
    """

    def __init__(self, most: int, seconds: float) -> None:
        self._most = most
        self._seconds = seconds
        self.after_fork()
        reset_after_fork(self)

    def after_fork(self) -> None:
        self._open: dict[Hashable, _Batch] = {}
        self._lock = threading.Lock()

    def ask(self, lane: Hashable, arguments: Arguments, send: Send) -> Answered:
        """The answer to these arguments, asked together with others of the same lane.

        send: sends a request and gives as many answers as there were arguments; the first caller's is used

        All callers get the error that a request ends with. But where a model finds fault with what it was asked, each
        asks again for itself, so that only those fail that are to blame.
        """
        batch, mine, leading = self._joined(lane, arguments)
        if leading:
            self._lead(lane, batch, send)
        try:
            return mine.result()
        except RecordRefused:
            if len(batch.members) == 1:
                raise
        except Abandoned:  # each of the others goes on by itself
            pass
        (answer,) = send([arguments])
        return answer

    def _joined(self, lane: Hashable, arguments: Arguments) -> tuple[_Batch, Future[Answered], bool]:
        mine: Future[Answered] = Future()
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
            answers = send([arguments for arguments, _ in batch.members])
        except BaseException as error:
            self._close(lane, batch)
            for _, waiting in batch.members:
                waiting.set_exception(for_others(error))
            if not isinstance(error, MaasError):
                raise
        else:
            for (_, waiting), answer in zip(batch.members, answers, strict=True):
                waiting.set_result(answer)

    def _close(self, lane: Hashable, batch: _Batch) -> None:
        with self._lock:
            if self._open.get(lane) is batch:
                del self._open[lane]


def for_others(error: BaseException) -> BaseException:
    """Return the error for the callers that waited for the answer of one that failed."""
    if isinstance(error, MaasError):
        return error
    return ModelUnavailable(f"interrupted: {error!r}") if isinstance(error, Exception) else Abandoned()
