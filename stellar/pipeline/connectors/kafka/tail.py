"""Messages of a topic for a person: without a consumer group, and without an effect on those that workers read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from stellar.pipeline.connectors.kafka.client import (
    ConnectionMonitor,
    list_partitions,
    load_library,
    make_client,
)
from stellar.pipeline.connectors.kafka.settings import KafkaSettings

_GROUP = "stellar-pipeline-topic"  # librdkafka requires one; nothing is committed
_POLL_SECONDS = 0.5


def tail_topic(settings: KafkaSettings, topic: str, *, from_beginning: bool, until_end: bool) -> Iterator[Any]:
    """Yield the messages of a topic: new ones, or all.

    until_end: end when all partitions were read to their ends, instead of waiting for more

    Raises KafkaFailure.
    """
    monitor = ConnectionMonitor(settings.brokers)
    own = settings.make_properties({
        "group.id": _GROUP, "enable.auto.commit": "false", "enable.partition.eof": str(until_end).lower(),
    })  # fmt: skip
    consumer = make_client("Consumer", own, monitor)
    try:
        unread = _assign(consumer, monitor, topic, from_beginning=from_beginning)
        while unread:
            message = consumer.poll(_POLL_SECONDS)
            if message is None:
                continue
            if (error := message.error()) is None:
                yield message
            elif error.name() == "_PARTITION_EOF":
                unread.discard(message.partition())
            else:
                raise monitor.explain(load_library().KafkaException(error))
    finally:
        consumer.close()


def _assign(consumer: Any, monitor: ConnectionMonitor, topic: str, *, from_beginning: bool) -> set[int]:
    """Start reading all partitions, and return their numbers."""
    library = load_library()
    count = list_partitions(consumer, monitor, topic)[topic]
    start = library.OFFSET_BEGINNING if from_beginning else library.OFFSET_END
    consumer.assign([library.TopicPartition(topic, number, start) for number in range(count)])
    return set(range(count))
