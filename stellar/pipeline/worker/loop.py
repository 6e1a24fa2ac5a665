"""The loop of a worker: read, process, deliver, acknowledge, commit.

    reader ──▶ pipeline ──▶ targets ──▶ acknowledged ──▶ offsets committed
       ▲                       │
       └── paused while messages wait for their targets

Documents are stored before the offsets of their messages are committed, about once a second. A worker that is killed
repeats at most what it has delivered since. One that is stopped processes what it has read, and repeats nothing.
"""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from stellar.pipeline.connectors.kafka.consumer import TopicReader
from stellar.pipeline.records import Forward, Outcome, Raw, Rejected, Report, TopicPosition
from stellar.pipeline.run import DeliveryLoop
from stellar.pipeline.worker.targets import Targets

SECONDS_BETWEEN_COMMITS = 1.0
# A poll of an idle worker waits longer each time, so that it wakes rarely, but the first results return soon
_SHORTEST_POLL, _LONGEST_POLL = 0.005, 0.5
_SECONDS_BETWEEN_POLLS = 30.0
_SECONDS_TO_FINISH, _SECONDS_BETWEEN_TRIES = 10.0, 0.1
SECONDS_TO_STORE = 20.0  # for documents that wait for their targets when the worker is stopped


class Stop:
    """The end of a worker: requested by a signal, or after some seconds.

    seconds: the time after which the worker ends; None for no limit
    """

    def __init__(self, seconds: float | None = None) -> None:
        self._at = math.inf if seconds is None else time.monotonic() + seconds

    @property
    def requested(self) -> bool:
        return self.seconds_ago >= 0

    @property
    def seconds_ago(self) -> float:
        """The seconds since the end was requested; negative before that."""
        return time.monotonic() - self._at

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        """Request the end at SIGTERM and SIGINT; a second one interrupts at once."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

        def request(*_: object) -> None:
            self._at = time.monotonic()
            for number in before:
                signal.signal(number, signal.default_int_handler)

        for number in before:
            signal.signal(number, request)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


class _Pause:
    """An item between messages: the outcomes of all earlier ones were delivered when the loop commits it."""


_PAUSE = _Pause()


class Commits:
    """Acknowledges documents and commits the offsets of their messages, about once a second.

    readers: the readers of all topics
    stop: limits the time for which documents wait for their targets
    """

    def __init__(
        self, readers: Sequence[TopicReader], targets: Targets, stop: Stop, seconds: float = SECONDS_BETWEEN_COMMITS
    ) -> None:
        self.readers = tuple(readers)
        self.stop = stop
        self._targets = targets
        self._seconds = seconds
        self._next_commit = 0.0
        self._next_stay = 0.0

    def find(self, topic: str) -> TopicReader:
        """Return the reader of a topic."""
        if len(self.readers) == 1:
            return self.readers[0]
        return next(reader for reader in self.readers if topic in reader.topics)

    def owns(self, position: TopicPosition) -> bool:
        """Return True if the message at a position is still to be delivered by this worker."""
        return self.find(position.topic).owns(position)

    def note_delivery(self, position: TopicPosition) -> None:
        """Note that the outcomes of a message were passed to the targets."""
        self.find(position.topic).note_delivery(position)
        self.stay_in_time()

    def stay_in_time(self) -> None:
        """Remain a member of all groups if messages were read long ago, because one batch takes long."""
        if time.monotonic() >= self._next_stay:
            self.stay()

    def stay(self) -> None:
        """Remain a member of all groups although no messages are read."""
        for reader in self.readers:
            reader.stay()
        self.note_poll()

    def await_targets(self) -> None:
        """Remain a member of all groups while documents wait for a target that is away.

        Raises OSError if the worker was stopped long ago.
        """
        if self.stop.seconds_ago > SECONDS_TO_STORE:
            raise OSError(
                f"stopped while a target was not available for {SECONDS_TO_STORE:g} s; messages whose documents are "
                "not stored are not committed, so the next worker reads them again"
            )
        self.stay()

    def note_poll(self) -> None:
        """Note that messages were read, by which the worker remains a member of its groups."""
        self._next_stay = time.monotonic() + _SECONDS_BETWEEN_POLLS

    @property
    def seconds_since_poll(self) -> float:
        """The time since messages were read last; 0 before the first time."""
        return time.monotonic() - self._next_stay + _SECONDS_BETWEEN_POLLS if self._next_stay else 0.0

    def commit_in_time(self, _: object = None) -> None:
        """Acknowledge and commit if the last time is long enough ago. Raises OSError."""
        if time.monotonic() >= self._next_commit and any(reader.has_uncommitted for reader in self.readers):
            self.commit()

    def commit(self) -> None:
        """Acknowledge and commit. Raises OSError if a document cannot be stored."""
        self._targets.acknowledge()
        for reader in self.readers:
            reader.commit()
        self._next_commit = time.monotonic() + self._seconds

    def finish(self) -> None:
        """Acknowledge and commit at the end; a rebalance at that moment is waited for. Raises OSError."""
        end = time.monotonic() + _SECONDS_TO_FINISH
        self.commit()
        while any(reader.has_uncommitted for reader in self.readers) and time.monotonic() < end:
            self.stay()
            time.sleep(_SECONDS_BETWEEN_TRIES)
            self.commit()


@dataclass(frozen=True)
class WorkerLoop(DeliveryLoop):
    """The loop over the messages of topics.

    Partitions move to other workers while messages are read. So a message may belong to another worker when it has been
    processed together with others. Then it is not delivered.
    """

    commits: Commits = field(kw_only=True)
    targets: Targets = field(kw_only=True)

    def process(self, in_flight: int | None) -> None:
        """Process messages until the worker is stopped; see `run`. Raises OSError if they cannot be read or stored."""
        try:
            self.run(self._read(), in_flight)
        except OSError:
            with suppress(OSError):  # the first one is raised
                self.commits.commit()
            raise
        self.commits.finish()

    def _read(self) -> Iterator[Raw | _Pause]:
        wait = _SHORTEST_POLL
        readers = self.commits.readers
        while not self.commits.stop.requested:
            found = False
            for reader in readers:
                messages = reader.read(0 if found else wait / len(readers))
                self.commits.note_poll()
                found = found or bool(messages)
                yield from messages
                yield _PAUSE
            wait = _SHORTEST_POLL if found else min(2 * wait, _LONGEST_POLL)

    def _run_one_by_one(self, items: Iterable[Any]) -> None:
        super()._run_one_by_one(self._note_deliveries(items))

    def _note_deliveries(self, items: Iterable[Any]) -> Iterator[Any]:
        """Yield items, and note that each message was delivered: the next one is read after that."""
        find, begin, stay = self.commits.find, self.targets.begin, self.commits.stay_in_time
        for number, item in enumerate(items):
            if item is _PAUSE:
                yield item
                continue
            position = item.position
            reader = find(position.topic)
            if reader.owns(position):
                begin(position)
                yield item
                reader.note_delivery(position)
                if not number & _EACH_64TH:
                    stay()

    def _finish(self, item: Any, processed: Iterable[tuple[Outcome, list[Report]]]) -> None:
        if item is _PAUSE:
            self.commit(item)
        elif self.commits.owns(item.position):
            self.targets.begin(item.position)
            self.deliver(item, processed)
            self.commits.note_delivery(item.position)

    def _deliver_one(self, outcome: Outcome, raw: Raw) -> None:
        super()._deliver_one(outcome, raw)
        self.targets.finish_record()

    def forward(self, outcome: Forward, raw: Raw) -> Rejected | None:
        """Write a record to a topic that this worker does not read."""
        return self.targets.forward(outcome, raw)


_EACH_64TH = 63
