"""Administration of topics: their limits, creation and deletion."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from stellar.pipeline.connectors.kafka.client import (
    CONNECT_SECONDS,
    EXTRA,
    ConnectionMonitor,
    KafkaFailure,
    describe_missing,
    list_partitions,
    load_library,
    make_client,
)
from stellar.pipeline.connectors.kafka.settings import KafkaSettings
from stellar.util.abbreviate import quote
from stellar.util.optional_imports import import_optional

log = logging.getLogger(__name__)

_LIMIT = "max.message.bytes"
# The time that brokers have for a change, and that a request for one has
_CHANGE_TIMES = {"operation_timeout": CONNECT_SECONDS, "request_timeout": 2 * CONNECT_SECONDS}


class TopicAdmin:
    """Creates, describes and deletes topics. Methods raise KafkaFailure."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._monitor = ConnectionMonitor(settings.brokers)
        self._client = make_client("AdminClient", settings.make_properties(), self._monitor)
        self._library = load_library()
        self._ids: dict[str, str] = {}
        self._admin = import_optional("confluent_kafka.admin", EXTRA)

    def list_partitions(self, *topics: str) -> dict[str, int]:
        """Return the number of partitions of topics; of all if none is named."""
        return list_partitions(self._client, self._monitor, *topics)

    def create(self, topic: str, partitions: int, replicas: int, config: Mapping[str, str]) -> None:
        """Create a topic."""
        new = self._admin.NewTopic(topic, partitions, replicas, config=dict(config))
        self._end(self._client.create_topics([new], **_CHANGE_TIMES)[topic], topic)

    def delete(self, topic: str) -> None:
        """Delete a topic with all its messages."""
        self._end(self._client.delete_topics([topic], **_CHANGE_TIMES)[topic], topic)

    def _end(self, request: Any, topic: str) -> Any:
        """Return the result of a request, which has a time-out of its own."""
        try:
            return request.result()
        except self._library.KafkaException as error:
            self._client.poll(0)  # receives the last error of a connection
            raise self._explain(error, topic) from error

    def _explain(self, error: Exception, topic: str) -> KafkaFailure:
        name = error.args[0].name()
        if name == "TOPIC_ALREADY_EXISTS":
            return KafkaFailure(f"topic {quote(topic)} exists already")
        if name == "UNKNOWN_TOPIC_OR_PART":
            return KafkaFailure(describe_missing(topic))
        if name == "TOPIC_EXCEPTION":
            return KafkaFailure(f"invalid name of a topic {quote(topic)}: {error.args[0].str()}")
        return self._monitor.explain(error)

    def find_id(self, topic: str) -> str:
        """Return the UUID of a topic, or its name if the brokers give it none; it is looked up once."""
        if topic not in self._ids:
            self._ids[topic] = self._describe_id(topic) or topic
        return self._ids[topic]

    def _describe_id(self, topic: str) -> str | None:
        names = self._library.TopicCollection([topic])
        id = self._end(self._client.describe_topics(names, request_timeout=CONNECT_SECONDS)[topic], topic).topic_id
        bits = None if id is None else (id.get_most_significant_bits(), id.get_least_significant_bits())
        return None if not bits or bits == (0, 0) else str(id)

    def read_limits(self, topics: Sequence[str]) -> dict[str, int]:
        """Return the limit of messages of each topic, in bytes; without those that the user may not read."""
        kind = self._admin.ConfigResource.Type.TOPIC
        resources = {self._admin.ConfigResource(kind, topic): topic for topic in topics}
        if not resources:
            return {}
        limits = {}
        requests = self._client.describe_configs(list(resources), request_timeout=CONNECT_SECONDS)
        for resource, request in requests.items():
            try:
                limits[resource.name] = int(self._end(request, resource.name)[_LIMIT].value)
            except KafkaFailure as error:
                if error.code != self._library.KafkaError.TOPIC_AUTHORIZATION_FAILED:
                    raise
                log.warning(
                    "the user may not read the limit of messages of topic %s, and larger messages are rejected with "
                    "those sent beside them; grant DescribeConfigs on the topic",
                    quote(resource.name),
                )
        return limits
