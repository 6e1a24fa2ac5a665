"""Topics as targets: an idempotent producer, whose messages are acknowledged before offsets are committed."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

from stellar.pipeline.connectors.kafka.client import (
    CONNECT_SECONDS,
    ConnectionMonitor,
    KafkaFailure,
    KafkaUnreachable,
    UnusableTopic,
    describe_missing,
    list_partitions,
    load_library,
    make_client,
)
from stellar.pipeline.connectors.kafka.consumer import DOCUMENT_ID, DOCUMENT_TIME
from stellar.pipeline.connectors.kafka.settings import KafkaSettings
from stellar.pipeline.records import TopicPosition

log = logging.getLogger(__name__)

# Messages of a topic without a position go to the partition that librdkafka chooses
_ANY_PARTITION = -1
_NO_OFFSET = -1  # of a message that is not stored
_WAIT_SECONDS = 0.5
_UNUSABLE_SECONDS = 10.0
_MOST_TOPICS = 1000
_NO_LIMIT = 1 << 62
_MESSAGES_BETWEEN_POLLS = 100
_FRAME_BYTES = 200  # of a message with headers, and of a batch
_BATCH_BYTES = 1_000_000
_Headers = list[tuple[str, str]]

_DEFAULTS = {
    "linger.ms": 20,
    "compression.type": "lz4",
    # Bounds the memory of a worker; the default is 1 GiB
    "queue.buffering.max.kbytes": 16 * 1024,
    "queue.buffering.max.messages": 50_000,
}
_REQUIRED = {
    "enable.idempotence": "true",
    "delivery.report.only.error": True,
    "message.timeout.ms": 0,  # records wait while no broker is available
}
# Errors for which the record is at fault, not the topic or the cluster
RECORD_ERRORS = frozenset({"MSG_SIZE_TOO_LARGE", "INVALID_RECORD", "INVALID_MSG", "INVALID_MSG_SIZE"})


class MessageTooLarge(ValueError):
    """A message is larger than its topic allows."""


class RejectedMessage(NamedTuple):
    """A message that a broker has rejected.

    position: the partition that it was written to, with the identifier and the time of its document
    """

    value: bytes
    reason: str
    position: TopicPosition


class TopicWriter:
    """Writes messages to topics.

    reject: called with each message that a broker rejects; it raises nothing
    limits: the limits of messages by topic, in bytes, as far as they are known
    spreads: distribute messages over the partitions; otherwise those of one source partition go to one partition, so
        that their order holds

    All methods are called from one thread. `stay` is called about twice a second while messages wait, to remain a
    member of a consumer group; it may raise OSError to end the wait.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        reject: Callable[[RejectedMessage], None],
        properties: dict[str, Any] | None = None,
        *,
        limits: Mapping[str, int] | None = None,
        spreads: bool = False,
    ) -> None:
        self._monitor = ConnectionMonitor(settings.brokers)
        self._limits = dict(limits or {})
        defaults = _DEFAULTS | _limit_sizes(self._limits)
        own = settings.make_properties(properties or {}, _REQUIRED, defaults=defaults)
        own["on_delivery"] = self._note_failure
        self._producer = make_client("Producer", own, self._monitor)
        self._exception = load_library().KafkaException
        self._reject = reject
        self.stay: Callable[[], None] = lambda: None
        self._spreads = spreads
        self._rejected: list[RejectedMessage] = []
        self._failure: KafkaFailure | None = None
        self._since_poll = 0
        self._partitions: dict[str, int] = {}
        self._unusable: dict[str, tuple[float, str]] = {}  # until when, and why

    def check_topic(self, topic: str) -> None:
        """Raise KafkaFailure if a topic does not exist, or Kafka does not respond."""
        self._partitions |= list_partitions(self._producer, self._monitor, topic)

    def require_topic(self, topic: str) -> None:
        """Raise UnusableTopic if a topic does not exist, or may not be used; it is looked up again after some seconds.

        While no broker is available, it is waited for.
        """
        if topic in self._partitions:
            return
        until, reason = self._unusable.get(topic, (0.0, ""))
        if time.monotonic() < until:
            raise UnusableTopic(reason)
        try:
            self._await_topic(topic)
        except UnusableTopic as error:
            if len(self._unusable) >= _MOST_TOPICS:
                self._unusable.clear()
            self._unusable[topic] = (time.monotonic() + _UNUSABLE_SECONDS, str(error))
            raise

    def _await_topic(self, topic: str) -> None:
        """Look up a topic; while no broker is available, it is waited for."""
        while True:
            try:
                self.check_topic(topic)
            except KafkaUnreachable:
                self.stay()
            else:
                return

    def write(self, topic: str, value: bytes, position: TopicPosition | None = None, id: str | None = None) -> None:
        """Add a message; it waits if many are not acknowledged.

        position: that of the source, if that is a topic
        id: the identifier of the document, for a header; with it, the time of the source is in a header, too

        Raises MessageTooLarge, and KafkaFailure if an earlier message cannot be stored.
        """
        if position is None or self._spreads:
            partition = _ANY_PARTITION
        else:
            partition = position.partition % (self._partitions.get(topic) or self._count_partitions(topic))
        if len(value) + _FRAME_BYTES > self._limits.get(topic, _NO_LIMIT):
            raise MessageTooLarge(_describe_size(topic, value))
        while not self._produce(topic, value, partition, position, id):
            self._producer.poll(_WAIT_SECONDS)
            self._handle_reports()
            self.stay()
        self._since_poll += 1
        if self._since_poll >= _MESSAGES_BETWEEN_POLLS:
            self._since_poll = 0
            self._producer.poll(0)
            self._handle_reports()

    def _produce(
        self, topic: str, value: bytes, partition: int, position: TopicPosition | None, id: str | None
    ) -> bool:
        """Add a message to the queue; return False if that is full."""
        try:
            if id is None:
                self._producer.produce(topic, value, None, partition)
            else:
                sent = None if position is None else position.time
                note = partial(self._note_failure, id=id, sent=sent)  # a report lacks the headers
                self._producer.produce(topic, value, None, partition, note, headers=_make_headers(id, sent))
        except BufferError:
            return False
        except self._exception as error:
            raise self._explain(error, topic, value) from error
        return True

    def _count_partitions(self, topic: str) -> int:
        self._await_topic(topic)
        return self._partitions[topic]

    def _explain(self, error: Exception, topic: str, value: bytes) -> Exception:
        if error.args[0].name() == "MSG_SIZE_TOO_LARGE":
            return MessageTooLarge(_describe_size(topic, value))
        return self._monitor.explain(error)

    def flush(self) -> None:
        """Wait until all messages are acknowledged. Raises KafkaFailure if one cannot be stored."""
        while self._producer.flush(_WAIT_SECONDS) or self._rejected:
            self._handle_reports()
            self.stay()
        self._handle_reports()
        self._monitor.note_success()

    def close(self) -> None:
        """Discard the messages that are not acknowledged, and end the connections."""
        self._producer.purge()
        self._producer.flush(CONNECT_SECONDS)

    def _handle_reports(self) -> None:
        """Handle the failures that were noted while the producer waited."""
        if self._failure is not None:
            raise self._failure
        while self._rejected:
            self._reject(self._rejected.pop(0))

    def _note_failure(self, error: Any, message: Any, id: str | None = None, sent: int | None = None) -> None:
        """Note the failure of a message. librdkafka calls this while it is called, and must not be called again."""
        if error is None or error.name() == "_PURGE_QUEUE" or error.name() == "_PURGE_INFLIGHT":
            return
        topic, value = message.topic(), message.value() or b""
        if error.name() in RECORD_ERRORS:
            too_large = error.name() == "MSG_SIZE_TOO_LARGE"
            reason = _describe_size(topic, value) if too_large else error.str()
            position = TopicPosition(topic, message.partition(), _NO_OFFSET, sent, id)
            self._rejected.append(RejectedMessage(value, reason, position))
        elif self._failure is None:
            self._failure = self._describe_failure(error, topic)

    def _describe_failure(self, error: Any, topic: str) -> KafkaFailure:
        self._partitions.pop(topic, None)
        if error.name() in ("UNKNOWN_TOPIC_OR_PART", "_UNKNOWN_TOPIC", "_UNKNOWN_PARTITION"):
            return KafkaFailure(f"{describe_missing(topic)}, and restart the worker")
        return self._monitor.explain(self._exception(error))


def _limit_sizes(limits: Mapping[str, int]) -> dict[str, int]:
    """Return properties by which no batch of small messages is larger than a topic allows."""
    if not limits:
        return {}
    return {
        "message.max.bytes": max(_BATCH_BYTES, *limits.values()),
        "batch.size": min(_BATCH_BYTES, *limits.values()),
    }


def _make_headers(id: str, sent: int | None) -> _Headers:
    """Return the headers of a document.

    The time is not that of the message: a topic deletes messages by their time, which may be long ago.
    """
    return [(DOCUMENT_ID, id)] if sent is None else [(DOCUMENT_ID, id), (DOCUMENT_TIME, str(sent))]


def _describe_size(topic: str, value: bytes) -> str:
    return (
        f"message of {len(value):,} bytes is larger than the topic {json.dumps(topic)} allows; increase its "
        "max.message.bytes, and message.max.bytes of the producer"
    )
