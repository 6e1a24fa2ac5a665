"""The broker of the tests: it keeps its data when it restarts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

pytestmark = pytest.mark.engine

if TYPE_CHECKING:
    from engines.kafka.server import Kafka


def test_a_message_survives_a_restart(engines: None) -> None:
    from confluent_kafka import Consumer, Producer, TopicPartition
    from confluent_kafka.admin import AdminClient, NewTopic

    from engines.kafka.server import Kafka

    with Kafka() as kafka:
        admin = AdminClient({"bootstrap.servers": kafka.hosts})
        admin.create_topics([NewTopic("kept", 1)])["kept"].result(30)
        producer = Producer({"bootstrap.servers": kafka.hosts})
        producer.produce("kept", b"a message")
        assert producer.flush(30) == 0
        kafka.daemon.kill()
        assert not kafka.is_serving()
        kafka.start()
        consumer = Consumer({"bootstrap.servers": kafka.hosts, "group.id": "g", "auto.offset.reset": "earliest"})
        consumer.assign([TopicPartition("kept", 0, 0)])
        (message,) = consumer.consume(1, 30)
        consumer.close()
        assert (message.error(), message.value()) == (None, b"a message")


def test_a_topic_that_is_missing_is_not_created_by_clients(kafka: Kafka) -> None:
    from confluent_kafka.admin import AdminClient

    AdminClient({"bootstrap.servers": kafka.hosts}).list_topics("never-created", 30)
    assert "never-created" not in AdminClient({"bootstrap.servers": kafka.hosts}).list_topics(timeout=30).topics
