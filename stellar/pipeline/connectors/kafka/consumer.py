"""Topics as sources: a member of a consumer group, which commits what was delivered.

A partition is read by one member at a time. When it moves to another member, what was delivered so far is acknowledged
by its targets and committed first. Messages that were read but not delivered by then are not delivered any more: the
next member reads them again. So nothing is lost, and the order of a partition holds. `TopicPosition.assignment` tells
such messages from those of a later assignment of the same partition.
"""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Any, Protocol

from stellar.pipeline.connectors.kafka.client import (
    CONNECTION_ERRORS,
    ConnectionMonitor,
    KafkaFailure,
    KafkaUnreachable,
    describe_missing,
    list_partitions,
    load_library,
    make_client,
)
from stellar.pipeline.connectors.kafka.settings import KafkaSettings
from stellar.pipeline.records import Raw, TopicPosition

log = logging.getLogger(__name__)

MESSAGES_AT_ONCE = 500
_SECONDS_BETWEEN_LOOKS = 30.0  # for new topics that match a pattern
# Headers by which a later stage stores the same document again when messages are read again
DOCUMENT_ID, DOCUMENT_TIME = "document-id", "document-time"

_DEFAULTS = {
    "auto.offset.reset": "earliest",
    "partition.assignment.strategy": "cooperative-sticky",
    # Bounds the memory of a worker; the defaults are 64 MiB and 100,000 messages
    "queued.max.messages.kbytes": 8 * 1024,
    "queued.min.messages": 5_000,
    "fetch.message.max.bytes": 1024 * 1024,
    "topic.metadata.refresh.interval.ms": 30_000,
}
# Errors after which librdkafka tries again, but which only the operator can end
_LASTING_ERRORS = frozenset({
    "TOPIC_AUTHORIZATION_FAILED", "GROUP_AUTHORIZATION_FAILED", "INCONSISTENT_GROUP_PROTOCOL", "INVALID_GROUP_ID",
    "INVALID_SESSION_TIMEOUT", "_AUTO_OFFSET_RESET",
})  # fmt: skip
_STATISTICS_MS = 2000
_CONNECTED = re.compile(r'"state": *"UP"')
_REQUIRED = {"enable.auto.commit": "false", "enable.auto.offset.store": "false"}

Partition = tuple[str, int]
# Without a call of Python code for each message
_make_position: Callable[[tuple[Any, ...]], TopicPosition] = partial(tuple.__new__, TopicPosition)
_make_raw: Callable[[tuple[Any, ...]], Raw] = partial(tuple.__new__, Raw)


class Topics(Protocol):
    """The topics to read: one, or those that match a pattern."""

    @property
    def text(self) -> str:
        """The name or the pattern, for messages."""

    @property
    def pattern(self) -> Any:
        """None for one topic."""

    def matches(self, topic: str) -> bool:
        """Return True if a topic is read."""


class TopicReader:
    """Reads the messages of topics as a member of a consumer group.

    topics: the names of the topics that are read now
    acknowledge: called before offsets are committed because a partition moves to another member; it returns when all
        documents so far are stored, or raises OSError
    reads_times: True to read the times of messages, also of those that have none in a header
    measures_lags: True to measure how many messages of each partition are not committed yet

    All methods are called from one thread.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        group: str,
        topic: Topics,
        acknowledge: Callable[[], None],
        properties: dict[str, Any] | None = None,
        *,
        reads_times: bool = False,
        measures_lags: bool = False,
    ) -> None:
        self.group = group
        self._reads_times = reads_times
        self.topics: frozenset[str] = frozenset()
        self._topic = topic
        self._next_look = 0.0
        self._acknowledge = acknowledge
        self._monitor = ConnectionMonitor(settings.brokers)
        own = settings.make_properties({"group.id": group}, properties or {}, _REQUIRED, defaults=_DEFAULTS)
        self._statistics = "{}"
        if measures_lags:
            own = {"statistics.interval.ms": _STATISTICS_MS, **own, "stats_cb": self._note_statistics}
        self._consumer = make_client("Consumer", own, self._monitor)
        self._library = load_library()
        self._assignments: dict[Partition, int] = {}
        self._assigned = 0
        self._delivered: dict[Partition, int] = {}  # the offsets to commit
        self._is_rebalancing = False
        self._paused: list[Any] = []
        self._early: list[Raw] = []
        self._failure: KafkaFailure | None = None
        try:
            self._subscribe()
        except BaseException:
            self._consumer.close()
            raise

    def _subscribe(self) -> None:
        """Subscribe to the topic, or to those that match the pattern now. Raises KafkaFailure if there are none."""
        if self._topic.pattern is None:
            topics = frozenset(list_partitions(self._consumer, self._monitor, self._topic.text))
        else:
            topics = frozenset(filter(self._topic.matches, list_partitions(self._consumer, self._monitor)))
            if not topics:
                raise KafkaFailure(f"no topic matches {self._topic.text}; create one, or correct sensorTopic")
        self._next_look = time.monotonic() + _SECONDS_BETWEEN_LOOKS
        if topics != self.topics:
            self.topics = topics
            self._consumer.subscribe(sorted(topics), on_assign=self._assign, on_revoke=self._revoke, on_lost=self._lose)

    @property
    def has_uncommitted(self) -> bool:
        """True if offsets of delivered messages are not committed yet."""
        return bool(self._delivered)

    @property
    def problem(self) -> str | None:
        """The reason why nothing can be read; None if there is none."""
        return self._monitor.problem

    def read_lags(self) -> dict[Partition, int]:
        """Return how many messages of each assigned partition are not committed yet, where that is known.

        May be called from any thread.
        """
        return parse_lags(self._statistics, set(self._assignments))

    def _note_statistics(self, statistics: str) -> None:
        self._statistics = statistics  # parsed when they are needed: librdkafka calls this while it is called
        if self._monitor.problem is not None and _CONNECTED.search(statistics):
            self._monitor.note_success()  # without messages nothing else shows it

    def read(self, seconds: float) -> list[Raw]:
        """Return the next messages; none if there are none within some time.

        Raises KafkaFailure if a topic cannot be read any further.
        """
        if self._topic.pattern is not None and time.monotonic() > self._next_look:
            self._look_for_topics()
        early, self._early = self._early, []
        self._resume()
        first = None if early else self._consumer.poll(seconds)
        if self._failure is not None:
            raise self._failure
        if first is None:
            return early
        messages = [first, *self._consumer.consume(MESSAGES_AT_ONCE - 1, 0)]
        return [raw for raw in map(self._convert, messages) if raw is not None]

    def _look_for_topics(self) -> None:
        try:
            self._subscribe()
        except KafkaUnreachable as error:  # reported by the monitor; meanwhile the topics stay as they are
            log.debug("cannot list topics: %s", error)
            self._next_look = time.monotonic() + _SECONDS_BETWEEN_LOOKS

    def _convert(self, message: Any) -> Raw | None:
        if (error := message.error()) is not None:
            self._handle(error, message.topic())
            return None
        topic, partition = message.topic(), message.partition()
        headers = message.headers()
        id, sent = (None, None) if headers is None else _read_headers(headers)
        if sent is None and self._reads_times:
            kind, stamp = message.timestamp()
            sent = stamp if kind else None
        assignment = self._assignments.get((topic, partition), 0)
        position = _make_position((topic, partition, message.offset(), sent, id, assignment))
        value = message.value()
        if value is None:
            return Raw(b"", topic, None, message.key(), topic, ValueError("message has no value"), position)
        return _make_raw((value, topic, None, message.key(), topic, None, position))

    def _handle(self, error: Any, topic: str | None) -> None:
        """Handle an event that is not a message. Raises KafkaFailure for one that does not pass by itself."""
        if error.name() == "UNKNOWN_TOPIC_OR_PART":
            raise KafkaFailure(f"{describe_missing(topic or ', '.join(self.topics))}, and restart the worker")
        if error.fatal() or error.name() in _LASTING_ERRORS:
            raise self._monitor.explain(self._library.KafkaException(error))
        if error.name() == "_MAX_POLL_EXCEEDED":
            log.warning(
                "the group %s excluded this worker, as records took longer than max.poll.interval.ms", self.group
            )
        elif error.name() != "_PARTITION_EOF":
            self._monitor.note_error(error)
            if error.name() not in CONNECTION_ERRORS:  # the monitor reports those
                log.warning("group %s: %s", self.group, error.str())

    def owns(self, position: TopicPosition) -> bool:
        """Return True if the partition of a message is still assigned as it was when the message was read."""
        return self._assignments.get(position[:2]) == position.assignment

    def note_delivery(self, position: TopicPosition) -> None:
        """Note that the outcomes of a message were passed to their targets; messages come in their order."""
        self._delivered[position[:2]] = position.offset + 1

    def commit(self) -> None:
        """Commit the offsets of delivered messages, whose documents are stored. Later, if Kafka does not respond."""
        offsets = [self._library.TopicPartition(*partition, offset) for partition, offset in self._delivered.items()]
        if not offsets:
            return
        try:
            self._consumer.commit(offsets=offsets, asynchronous=False)
        except self._library.KafkaException as error:
            # The next commit includes these offsets; without one, the messages are read again
            log.warning("cannot commit the offsets of %s: %s", self.group, self._monitor.explain(error))
            return
        self._monitor.note_success()
        self._delivered.clear()

    def stay(self) -> None:
        """Remain a member of the group while no messages are read, because targets are slow.

        The partitions are paused until the next read.
        """
        if self._is_rebalancing:  # librdkafka must not be called again while it calls this class
            return
        partitions = [each for each in self._consumer.assignment() if each not in self._paused]
        self._consumer.pause(partitions)
        self._paused += partitions
        message = self._consumer.poll(0)  # handles requests of the group
        # A partition that was assigned by this call is not paused yet
        if message is not None and (raw := self._convert(message)) is not None:
            self._early.append(raw)

    def _resume(self) -> None:
        if self._paused:
            self._consumer.resume([each for each in self._paused if (each.topic, each.partition) in self._assignments])
            self._paused = []

    def close(self) -> None:
        """Leave the group. Offsets that are not committed are left to the next member."""
        self._delivered.clear()
        self._consumer.close()

    # -- Rebalances; librdkafka calls these while messages are read

    def _assign(self, _: Any, partitions: Sequence[Any]) -> None:
        for each in partitions:
            self._assigned += 1
            self._assignments[each.topic, each.partition] = self._assigned
        if partitions:
            log.info("%s: reads %s", self.group, _format_partitions(partitions))

    def _revoke(self, _: Any, partitions: Sequence[Any]) -> None:
        """Store and commit what was delivered, and let another member have the rest."""
        self._is_rebalancing = True
        try:
            if self._delivered:
                self._acknowledge()
                self.commit()
        except OSError as failure:  # raised by the next read: an exception here would be lost
            self._failure = failure if isinstance(failure, KafkaFailure) else KafkaFailure(str(failure))
        finally:
            self._is_rebalancing = False
        self._lose(_, partitions)

    def _lose(self, _: Any, partitions: Sequence[Any]) -> None:
        for each in partitions:
            self._assignments.pop((each.topic, each.partition), None)
            self._delivered.pop((each.topic, each.partition), None)


def parse_lags(statistics: str, partitions: Collection[Partition]) -> dict[Partition, int]:
    """Return the lags of partitions in the statistics of librdkafka.

    A group that has committed nothing yet begins at the first message that it reads, or at the first one that exists.
    """
    lags = {}
    for topic, found in json.loads(statistics).get("topics", {}).items():
        for number, each in found["partitions"].items():
            partition = topic, int(number)
            known = [each[name] for name in ("committed_offset", "app_offset", "lo_offset") if each[name] >= 0]
            if partition in partitions and known and each["hi_offset"] >= 0:
                lags[partition] = max(0, each["hi_offset"] - known[0])
    return lags


def _read_headers(headers: Sequence[tuple[str, bytes | None]]) -> tuple[str | None, int | None]:
    """Return the identifier and the time of a document, as far as an earlier stage has set them."""
    found = {name: value for name, value in headers if value}
    id, sent = found.get(DOCUMENT_ID), found.get(DOCUMENT_TIME, b"")
    return None if id is None else id.decode("utf-8", "replace"), int(sent) if sent.isdigit() else None


def _format_partitions(partitions: Sequence[Any]) -> str:
    return ", ".join(f"{each.topic}[{each.partition}]" for each in partitions)
