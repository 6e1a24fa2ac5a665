"""Messages of Kafka topics, read and written by hand.

The properties of a call are defaults, the global configuration, and the map of the call, in this order. They have the
names of Kafka's Java client, or of librdkafka. `stellar.kafka.max.wait.millis` is the time to wait for messages;
`stellar.kafka.message.view` is `simple` for values, or `rich` for maps with `value`, `topic`, `partition`, `offset`,
`timestamp` and `key`. The functions need the extra `kafka`, but KAFKA_PROPS does not.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from stellar.language.context import Context, GlobalSettings, report_or_log
from stellar.language.conversions import to_integer, to_optional_string, to_string
from stellar.language.library import stellar
from stellar.language.runtime import describe
from stellar.pipeline.connectors.kafka.client import (
    CONNECT_SECONDS,
    ConnectionMonitor,
    KafkaFailure,
    await_coordinator,
    check_topic_name,
    list_partitions,
    load_library,
    make_client,
)
from stellar.pipeline.connectors.kafka.settings import BROKERS, check_brokers, translate
from stellar.util.abbreviate import quote

log = logging.getLogger(__name__)

Properties = dict[str, Any]

MAX_WAIT, POLL_TIMEOUT, VIEW = (
    "stellar.kafka.max.wait.millis",
    "stellar.kafka.poll.timeout",
    "stellar.kafka.message.view",
)
SIMPLE, RICH = "simple", "rich"
_STRINGS = "org.apache.kafka.common.serialization.String"
_DEFAULTS: Properties = {
    BROKERS: "localhost:9092",
    "group.id": "kafka-functions-stellar",
    "auto.offset.reset": "latest",
    "max.poll.records": 1,
    "key.deserializer": f"{_STRINGS}Deserializer",
    "value.deserializer": f"{_STRINGS}Deserializer",
    "key.serializer": f"{_STRINGS}Serializer",
    "value.serializer": f"{_STRINGS}Serializer",
    MAX_WAIT: 5000,
    POLL_TIMEOUT: 500,
    VIEW: SIMPLE,
}
# Properties of Kafka among the keys of the global configuration
_KAFKA_PREFIXES = (
    BROKERS, "group.", "auto.offset.", "security.", "sasl.", "ssl.", "client.", "socket.", "fetch.", "metadata.",
    "broker.", "isolation.", "session.", "heartbeat.", "request.", "compression.", "linger.", "batch.", "message.",
)  # fmt: skip
# Set here, because these functions commit by hand and wait for each message
_OWN = frozenset({"enable.auto.commit", "enable.auto.offset.store", "acks", "request.required.acks"})


def _check_package(_: Context) -> None:
    try:
        load_library()
    except ValueError as error:
        raise LookupError(str(error)) from error


@stellar("KAFKA_GET", check=_check_package)
def get(context: Context, topic: object, count: object = 1, config: Mapping[str, Any] | None = None) -> list[Any]:
    """Read the next messages of a topic for the consumer group of the properties.

    Reading continues where the last call ended; the first time at the end, or at `auto.offset.reset`.

    topic: The name of the topic
    count: The number of messages; 1 by default
    config: Properties that take precedence over those of the global configuration
    returns: The messages, fewer if there are not as many within the time to wait

        KAFKA_GET(null)  // error: KAFKA_GET expected the name of a topic, got null
        KAFKA_GET('alerts', -1)  // error: KAFKA_GET expected an integer of 0 or more as count
        KAFKA_GET('alerts', 'all')  // error: KAFKA_GET expected an integer of 0 or more as count
    """
    name = _require_topic("KAFKA_GET", topic)
    return _read(context, "KAFKA_GET", name, count, config, at_end=False, select=lambda message: True)


@stellar("KAFKA_TAIL", check=_check_package)
def tail(context: Context, topic: object, count: object = 1, config: Mapping[str, Any] | None = None) -> list[Any]:
    """Read the messages that arrive in a topic from now on.

    topic: The name of the topic
    count: The number of messages; 1 by default
    config: Properties that take precedence over those of the global configuration
    returns: The messages, fewer if not as many arrive within the time to wait

        KAFKA_TAIL(null)  // error: KAFKA_TAIL expected the name of a topic, got null
        KAFKA_TAIL('alerts', -1)  // error: KAFKA_TAIL expected an integer of 0 or more as count
        KAFKA_TAIL('alerts', 'all')  // error: KAFKA_TAIL expected an integer of 0 or more as count
    """
    name = _require_topic("KAFKA_TAIL", topic)
    return _read(context, "KAFKA_TAIL", name, count, config, at_end=True, select=lambda message: True)


@stellar("KAFKA_FIND", check=_check_package)
def find(
    context: Context,
    topic: object,
    filter_: Callable[..., Any] | None,
    count: object = 1,
    config: Mapping[str, Any] | None = None,
) -> list[Any]:
    """Find messages among those that arrive in a topic from now on.

    topic: The name of the topic
    filter: Lambda of one parameter, the fields of a message. Messages that are not JSON objects, and those for which
        it returns neither true nor false, are skipped with a warning
    count: The largest number of messages; 1 by default
    config: Properties that take precedence over those of the global configuration
    returns: The messages for which the lambda returns true

        KAFKA_FIND('alerts', null)  // error: KAFKA_FIND expected a lambda as filter, got null
        KAFKA_FIND(null, m -> m.score > 9)  // error: KAFKA_FIND expected the name of a topic, got null
        KAFKA_FIND('alerts', m -> m.score > 9, -1)  // error: KAFKA_FIND expected an integer of 0 or more as count
    """
    name = _require_topic("KAFKA_FIND", topic)
    if filter_ is None:
        raise ValueError("KAFKA_FIND expected a lambda as filter, got null")

    def select(message: Any) -> bool:
        return _satisfies(filter_, message)

    return _read(context, "KAFKA_FIND", name, count, config, at_end=True, select=select)


@stellar("KAFKA_SEEK", check=_check_package)
def seek(
    context: Context, topic: object, partition: object, offset: object, config: Mapping[str, Any] | None = None
) -> Any:
    """Read the message at an offset.

    topic: The name of the topic
    partition: The number of the partition
    offset: The offset of the message in the partition
    config: Properties that take precedence over those of the global configuration
    returns: The message; null if there is none at this offset within the time to wait

        KAFKA_SEEK(null, 0, 5)  // error: KAFKA_SEEK expected the name of a topic, got null
        KAFKA_SEEK('alerts', -1, 5)  // error: KAFKA_SEEK expected an integer of 0 or more as partition
        KAFKA_SEEK('alerts', 0, 'end')  // error: KAFKA_SEEK expected an integer of 0 or more as offset
    """
    function = "KAFKA_SEEK"
    name = _require_topic(function, topic)
    number, start = _require_integer(function, "partition", partition), _require_integer(function, "offset", offset)
    properties = _merge(context, config)
    with _open_consumer(function, properties, config) as (consumer, monitor):
        if number not in range(list_partitions(consumer, monitor, name)[name]):
            raise ValueError(f"{function}: topic {quote(name)} has no partition {number}")
        consumer.assign([load_library().TopicPartition(name, number, start)])
        for message in _poll(function, consumer, monitor, properties):
            return _view(properties, message) if message.offset() == start else None
    return None


@stellar("KAFKA_PUT", check=_check_package)
def put(context: Context, topic: object, messages: Any, config: Mapping[str, Any] | None = None) -> Any:
    """Send messages to a topic, one after the other.

    topic: The name of the topic
    messages: A message, or a list of messages
    config: Properties that take precedence over those of the global configuration
    returns: The number of messages; for the view `rich` a map with topic, partition, offset and timestamp for each.
        In the simple view a message that is not stored within the time to wait counts, and is reported

        KAFKA_PUT(null, ['a'])  // error: KAFKA_PUT expected the name of a topic, got null
        KAFKA_PUT('', ['a'])  // error: KAFKA_PUT expected the name of a topic, got the string ''
        KAFKA_PUT('alerts')  // resolution error
    """
    function = "KAFKA_PUT"
    name = _require_topic(function, topic)
    texts = [to_string(each) for each in (messages if isinstance(messages, list | tuple) else [messages])]
    properties = _merge(context, config)
    monitor = ConnectionMonitor(str(properties[BROKERS]))
    with _failures_of(function):
        wait = _read_milliseconds(function, properties, MAX_WAIT)
        own = _select(properties, config) | {"acks": "all", "message.timeout.ms": max(1, int(wait * 1000))}
        producer = make_client("Producer", own, monitor)
        list_partitions(producer, monitor, name)
        sent = [_send(producer, monitor, name, text) for text in texts]
        failures = [each for each in sent if isinstance(each, KafkaFailure)]
        if failures and _is_rich(properties):
            raise failures[0]
    for failure in failures:
        report_or_log(context, function, ValueError(f"{function}: message was not stored in {name}: {failure}"), log)
    return sent if _is_rich(properties) else len(texts)


@stellar("KAFKA_PROPS")
def props(context: Context, config: Mapping[str, Any] | None = None) -> Properties:
    """Return the properties of calls: defaults, with the global configuration and a map over them.

    config: Properties that take precedence over those of the global configuration
    returns: The properties by name

        MAP_GET('group.id', KAFKA_PROPS())  // 'kafka-functions-stellar'
        MAP_GET('group.id', KAFKA_PROPS({'group.id': 'mine'}))  // 'mine'
        MAP_GET('stellar.kafka.message.view', KAFKA_PROPS({}))  // 'simple'
    """
    return _merge(context, config)


def _merge(context: Context, config: Mapping[str, Any] | None) -> Properties:
    return {**_DEFAULTS, **(context.get(GlobalSettings) or {}), **(config or {})}


def _select(properties: Properties, config: Mapping[str, Any] | None) -> Properties:
    """Return the properties for librdkafka: those of the call, and those of Kafka in the global configuration."""
    chosen = {
        name: value
        for name, value in properties.items()
        if name in (config or {}) or name in _DEFAULTS or name.startswith(_KAFKA_PREFIXES)
    }
    own = translate({name: value for name, value in chosen.items() if not name.startswith("stellar.")}, reserved=_OWN)
    return {**own, BROKERS: check_brokers(str(own[BROKERS]))}


def _read(
    context: Context,
    function: str,
    topic: str,
    count: object,
    config: Mapping[str, Any] | None,
    *,
    at_end: bool,
    select: Callable[[Any], bool],
) -> list[Any]:
    """Return messages of a topic, and commit what was read for the group, also what was not selected."""
    most = _require_integer(function, "count", count)
    properties = _merge(context, config)
    found: list[Any] = []
    with _open_consumer(function, properties, config) as (consumer, monitor):
        positions = _assign(consumer, monitor, topic, properties, at_end=at_end)
        for message in _poll(function, consumer, monitor, properties) if most > 0 else ():
            positions[message.partition()] = message.offset() + 1
            if select(message):
                found.append(_view(properties, message))
                if len(found) >= most:
                    break
        _commit(consumer, monitor, topic, positions)
    return found


def _assign(
    consumer: Any, monitor: ConnectionMonitor, topic: str, properties: Properties, *, at_end: bool
) -> dict[int, int]:
    """Start reading all partitions, and return the offsets of their next messages."""
    library = load_library()
    partitions = [
        library.TopicPartition(topic, each) for each in range(list_partitions(consumer, monitor, topic)[topic])
    ]
    with _explained(monitor):
        committed = await_coordinator(lambda: consumer.committed(partitions, CONNECT_SECONDS))
        positions = {}
        for each, earlier in zip(partitions, committed, strict=True):
            low, high = consumer.get_watermark_offsets(each, CONNECT_SECONDS)
            new = low if properties["auto.offset.reset"] == "earliest" else high
            is_valid = low <= earlier.offset <= high
            each.offset = positions[each.partition] = high if at_end else earlier.offset if is_valid else new
        consumer.assign(partitions)
    return positions


def _poll(function: str, consumer: Any, monitor: ConnectionMonitor, properties: Properties) -> Iterator[Any]:
    """Yield messages until the time to wait is over."""
    end = time.monotonic() + _read_milliseconds(function, properties, MAX_WAIT)
    while (rest := end - time.monotonic()) > 0:
        message = consumer.poll(rest)
        if message is None:
            continue
        if (error := message.error()) is None:
            yield message
        elif error.name() == "_AUTO_OFFSET_RESET":  # KAFKA_SEEK: the offset does not exist
            return
        else:
            raise monitor.explain(load_library().KafkaException(error))


def _commit(consumer: Any, monitor: ConnectionMonitor, topic: str, positions: Mapping[int, int]) -> None:
    library = load_library()
    offsets = [library.TopicPartition(topic, partition, offset) for partition, offset in positions.items()]
    with _explained(monitor):
        await_coordinator(lambda: consumer.commit(offsets=offsets, asynchronous=False))


def _send(producer: Any, monitor: ConnectionMonitor, topic: str, text: str) -> Properties | KafkaFailure:
    """Send a message and wait; return where it is stored, or why it is not."""
    reports: list[tuple[Any, Any]] = []
    try:
        producer.produce(
            topic, text.encode("utf-8", "backslashreplace"), on_delivery=lambda *report: reports.append(report)
        )
        producer.flush()
    except load_library().KafkaException as failure:
        return monitor.explain(failure)
    ((error, message),) = reports
    if error is not None:
        return monitor.explain(load_library().KafkaException(error))
    return {
        "topic": message.topic(),
        "partition": message.partition(),
        "offset": message.offset(),
        "timestamp": message.timestamp()[1],
    }


def _view(properties: Properties, message: Any) -> Any:
    value, key = message.value(), message.key()
    text = None if value is None else value.decode("utf-8", "replace")
    if not _is_rich(properties):
        return text
    return {
        "value": text,
        "topic": message.topic(),
        "partition": message.partition(),
        "offset": message.offset(),
        "timestamp": message.timestamp()[1],
        "key": None if key is None else key.decode("utf-8", "replace"),
    }


def _is_rich(properties: Properties) -> bool:
    view = properties[VIEW]
    if view not in (SIMPLE, RICH):
        log.warning("unknown value of %s: %s; expected simple or rich", VIEW, quote(view))
    return bool(view == RICH)


def _satisfies(condition: Callable[..., Any], message: Any) -> bool:
    location = f"KAFKA_FIND: message {message.offset()} of {message.topic()}[{message.partition()}]"
    try:
        fields = json.loads(message.value() or b"")
    except (ValueError, RecursionError) as error:
        log.warning("%s is skipped: it is not valid JSON: %s", location, error)
        return False
    if not isinstance(fields, dict):
        log.warning("%s is skipped: it is not a JSON object", location)
        return False
    result = condition(fields)
    if not isinstance(result, bool):
        log.warning("%s is skipped: the filter returned %s, neither true nor false", location, describe(result))
    return result is True


@contextmanager
def _open_consumer(
    function: str, properties: Properties, config: Mapping[str, Any] | None
) -> Iterator[tuple[Any, ConnectionMonitor]]:
    monitor = ConnectionMonitor(str(properties[BROKERS]))
    with _failures_of(function):
        own = _select(properties, config)
        own |= {"enable.auto.commit": "false"} | ({"auto.offset.reset": "error"} if function == "KAFKA_SEEK" else {})
        consumer = make_client("Consumer", own, monitor)
        try:
            yield consumer, monitor
        finally:
            consumer.close()


@contextmanager
def _failures_of(function: str) -> Iterator[None]:
    """Raise ValueError for failures of Kafka."""
    try:
        yield
    except KafkaFailure as error:
        raise ValueError(f"{function} failed: {error}") from error


@contextmanager
def _explained(monitor: ConnectionMonitor) -> Iterator[None]:
    """Raise KafkaFailure for exceptions of the library."""
    try:
        yield
    except load_library().KafkaException as error:
        raise monitor.explain(error) from error


def _require_topic(function: str, topic: object) -> str:
    name = to_optional_string(topic)
    if not name:
        raise ValueError(f"{function} expected the name of a topic, got {describe(topic)}")
    try:
        check_topic_name(name)
    except KafkaFailure as error:
        raise ValueError(f"{function}: {error}") from None
    return name


def _require_integer(function: str, parameter: str, value: object) -> int:
    number = to_integer(value)
    if number is None or number < 0:
        raise ValueError(f"{function} expected an integer of 0 or more as {parameter}, got {describe(value)}")
    return number


def _read_milliseconds(function: str, properties: Properties, name: str) -> float:
    """Return the seconds of a property in milliseconds."""
    return _require_integer(function, name, properties[name]) / 1000
