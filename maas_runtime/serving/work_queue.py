"""The queue of requests that wait to be scored, bounded in number and in time.

Requests that arrived while records were scored are scored in the next turn of the event loop, without a pause between
them. A turn takes at most 10 ms, so health checks get their responses meanwhile. A request that the queue has no room
for, or that has waited so long that its client has given up, is refused.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from time import monotonic
from typing import NamedTuple, Protocol

from maas_runtime.serving.http import ServedReply
from maas_runtime.serving.tasks import ScoringTask

log = logging.getLogger(__name__)

TURN_SECONDS = 0.010
MOST = 1024
WAIT_SECONDS = 5.0  # the time-out of the model client
RETRY_SECONDS = 1


class Replying(Protocol):
    """A client that waits for a response."""

    is_lost: bool

    def reply(self, reply: ServedReply, arrived: float) -> None:
        """Send the response to the request that arrived at a monotonic time."""

    def abort(self) -> None:
        """Close the connection."""


class _Waiting(NamedTuple):
    arrived: float
    client: Replying
    task: ScoringTask
    is_begun: bool = False


class WorkQueue:
    """A queue of tasks, one for each client.

    most: number of waiting tasks
    seconds: how long a task may wait for its first turn
    """

    def __init__(self, most: int = MOST, seconds: float = WAIT_SECONDS) -> None:
        self._most, self._seconds = most, seconds
        self._waiting: deque[_Waiting] = deque()
        self._is_scheduled = False

    def __len__(self) -> int:
        return len(self._waiting)

    def submit(self, client: Replying, task: ScoringTask) -> ServedReply | None:
        """Add a task. Return the response if it is refused."""
        if len(self._waiting) >= self._most:
            return task.refuse(f"{self._most:,} requests are waiting; try again later", RETRY_SECONDS)
        self._waiting.append(_Waiting(monotonic(), client, task))
        if not self._is_scheduled:
            self._schedule()
        return None

    def _schedule(self) -> None:
        self._is_scheduled = True
        asyncio.get_running_loop().call_soon(self._take_turn)

    def _take_turn(self) -> None:
        waiting = self._waiting
        self._is_scheduled = True  # for the tasks that clients submit when they have their responses
        until = monotonic() + TURN_SECONDS
        while waiting and monotonic() < until:
            each = waiting.popleft()
            try:
                self._advance(each, until)
            except Exception:  # an error of the program must not stop the queue
                log.exception("cannot respond to a request")
                each.client.abort()
        self._is_scheduled = False
        if waiting:
            self._schedule()

    def _advance(self, each: _Waiting, until: float) -> None:
        arrived, client, task, is_begun = each
        if client.is_lost:
            return
        if not is_begun and monotonic() - arrived > self._seconds:
            message = f"not scored within {self._seconds:g} s; try again later"
            client.reply(task.refuse(message, RETRY_SECONDS), arrived)
        elif (reply := task.advance(until)) is not None:
            client.reply(reply, arrived)
        else:
            self._waiting.append(each._replace(is_begun=True))
