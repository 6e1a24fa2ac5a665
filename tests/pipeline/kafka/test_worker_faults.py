"""Faults of workers, brokers and topics: nothing is lost, and the order of a partition holds."""

from __future__ import annotations

import itertools
import json
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from kafka_topics import LIMIT, Topics, Worker, wait_for, write_to

from stellar.pipeline.connectors.kafka import client
from stellar.pipeline.connectors.kafka.producer import TopicWriter
from stellar.pipeline.connectors.kafka.settings import KafkaSettings
from stellar.pipeline.records import Record

if TYPE_CHECKING:
    from engines.kafka.server import Kafka

pytestmark = pytest.mark.engine

PARTITIONS = 3


@pytest.fixture
def configure(tmp_path: Path) -> Callable[..., Path]:
    """A function that writes the configuration of the sensor `s`, which reads JSON from a topic."""

    def configure(topic: str, **parser: object) -> Path:
        path = tmp_path / "config" / "parsers" / "s.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"parserClassName": "JSONMap", "sensorTopic": topic, **parser}))
        return tmp_path / "config"

    return configure


def send_numbered(topics: Topics, topic: str, first: int, count: int) -> None:
    """Send messages with consecutive numbers to each partition."""
    for partition in range(PARTITIONS):
        values = (json.dumps({"p": partition, "n": n}).encode() for n in range(first, first + count))
        topics.send(topic, values, partition)


def numbers_by_partition(documents: list[Record]) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for document in documents:
        found.setdefault(document["p"], []).append(document["n"])
    return found


def check_complete(topics: Topics, topic: str, count: int, *, repeats: bool) -> None:
    """Assert that each number of each partition is in the topic, in order, and if repeated then from an earlier one."""
    found = numbers_by_partition(topics.documents(topic))
    assert set(found) == set(range(PARTITIONS))
    for numbers in found.values():
        firsts = list(dict.fromkeys(numbers))
        assert firsts == list(range(count))  # nothing is lost, and what is new comes in order
        assert all(after <= before + 1 for before, after in itertools.pairwise(numbers))
        assert repeats or len(numbers) == count


def test_a_worker_that_is_stopped_loses_and_repeats_nothing(
    topics: Topics, configure: Callable[..., Path], start: Callable[..., Worker]
) -> None:
    source, out = topics.create("in", PARTITIONS), topics.create("out", PARTITIONS)
    options = [
        "--config",
        str(configure(source)),
        "--sensor",
        "s",
        *write_to(out),
    ]
    send_numbered(topics, source, 0, 3000)
    for _ in range(3):
        worker = start(*options)
        topics.wait_for_progress(f"{source}_parser", source)
        worker.stop()
    worker = start(*options)
    topics.wait_until_committed(f"{source}_parser", source)
    worker.stop()
    check_complete(topics, out, 3000, repeats=False)


def test_a_worker_that_is_killed_loses_nothing(
    topics: Topics, configure: Callable[..., Path], start: Callable[..., Worker]
) -> None:
    source, out = topics.create("in", PARTITIONS), topics.create("out", PARTITIONS)
    options = [
        "--config", str(configure(source)), "--sensor", "s", *write_to(out),
        "--kafka-property", "session.timeout.ms=2000", "--kafka-property", "heartbeat.interval.ms=300",
    ]  # fmt: skip
    chance = random.Random(1)
    for part in range(4):
        send_numbered(topics, source, part * 1000, 1000)
        worker = start(*options)
        topics.wait_for_progress(f"{source}_parser", source)
        time.sleep(chance.uniform(0, 0.5))
        worker.kill()
    worker = start(*options)
    topics.wait_until_committed(f"{source}_parser", source)
    worker.stop()
    check_complete(topics, out, 4000, repeats=True)


def test_workers_that_join_and_leave_lose_and_repeat_nothing(
    topics: Topics, configure: Callable[..., Path], start: Callable[..., Worker]
) -> None:
    source, out = topics.create("in", PARTITIONS), topics.create("out", PARTITIONS)
    options = [
        "--config",
        str(configure(source)),
        "--sensor",
        "s",
        *write_to(out),
    ]
    workers = [start(*options)]
    for part in range(4):
        send_numbered(topics, source, part * 2000, 2000)
        workers.append(start(*options))
        topics.wait_for_progress(f"{source}_parser", source)
        if part % 2:
            workers.pop(0).stop()
    topics.wait_until_committed(f"{source}_parser", source)
    for worker in workers:
        worker.stop()
    print(*(worker.printed for worker in topics.workers))
    check_complete(topics, out, 8000, repeats=False)


@pytest.fixture
def broker(engines: None) -> Iterator[Kafka]:
    """A broker that the test may stop."""
    from engines.kafka.server import Kafka

    with Kafka() as kafka:
        yield kafka


def test_a_broker_that_restarts_is_waited_for(
    broker: Kafka, configure: Callable[..., Path], start: Callable[..., Worker]
) -> None:
    topics = Topics(broker.hosts)
    source, out = topics.create("in", PARTITIONS), topics.create("out", PARTITIONS)
    options = [
        "--config",
        str(configure(source)),
        "--sensor",
        "s",
        *write_to(out),
    ]
    worker = start(*options, hosts=broker.hosts)
    topics.workers.append(worker)
    send_numbered(topics, source, 0, 1)
    topics.wait_until_committed(f"{source}_parser", source)
    for part, end in enumerate((broker.daemon.kill, broker.stop)):
        send_numbered(topics, source, 1 + part * 2000, 2000)
        end()
        broker.start()
    topics.wait_until_committed(f"{source}_parser", source)
    worker.stop()
    check_complete(topics, out, 4001, repeats=True)


def failure_of(worker: Worker) -> str:
    """Return the last line of a worker that ends by itself with status 1."""
    assert worker.process.wait(LIMIT) == 1, worker.printed
    (line,) = [line for line in worker.printed.splitlines() if "warning" not in line and "lines read" not in line]
    return line


def test_a_missing_topic_is_an_error_with_the_command_to_create_it(
    topics: Topics, configure: Callable[..., Path], start: Callable[..., Worker]
) -> None:
    source, missing = topics.create("in"), topics.name("missing")
    config = str(configure(source))
    targets = write_to(missing, source)
    expected = f"topic '{missing}' does not exist; create it with stellar-pipeline topic create {missing}"
    assert failure_of(start("--config", config, "--sensor", "s", *targets)) == f"stellar-pipeline: {expected}"
    config, targets = str(configure(missing)), write_to(source)
    assert failure_of(start("--config", config, "--sensor", "s", *targets)) == f"stellar-pipeline: {expected}"


@pytest.mark.parametrize("deleted", ["in", "out"])
def test_a_topic_that_is_deleted_ends_the_worker(
    deleted: str, topics: Topics, configure: Callable[..., Path], start: Callable[..., Worker]
) -> None:
    source, out, errors = (topics.create(name) for name in ("in", "out", "errors"))
    targets = write_to(out, errors)
    topics.send(source, [b'{"n":1}'])
    worker = start(
        "--config", str(configure(source)), "--sensor", "s", *targets,
        "--kafka-property", "topic.metadata.refresh.interval.ms=1000",
        "--kafka-property", "topic.metadata.propagation.max.ms=1000",
    )  # fmt: skip
    topics.wait_until_committed(f"{source}_parser", source)
    name = topics.name(deleted)
    topics.admin.delete_topics([name])[name].result(30)
    if deleted == "out":
        topics.send(source, [b'{"n":2}'])
    assert f"topic '{name}' does not exist; create it with stellar-pipeline topic create" in failure_of(worker)
    topics.workers.remove(worker)
    if deleted == "out":  # the message is read again
        assert topics.lag(f"{source}_parser", source) == 1


@pytest.mark.parametrize(
    ("hosts", "reason"),
    [
        ("nowhere.invalid:9092", "Failed to resolve 'nowhere.invalid:9092'"),
        ("127.0.0.1:1", "Connection refused"),
        ("127.0.0.1", "invalid Kafka broker '127.0.0.1': expected HOST:PORT"),
    ],
)
def test_brokers_that_cannot_be_reached_are_one_error(
    hosts: str, reason: str, configure: Callable[..., Path], start: Callable[..., Worker]
) -> None:
    config = str(configure("in"))
    line = failure_of(
        start("--config", config, "--sensor", "s", "--output", "topic:o", "--errors", "topic:o", hosts=hosts)
    )
    assert reason in line


def test_records_that_a_topic_cannot_store_are_error_documents(
    topics: Topics, configure: Callable[..., Path], start: Callable[..., Worker]
) -> None:
    source, errors = topics.create("in"), topics.create("errors")
    out = topics.create("out", **{"max.message.bytes": "20000"})
    targets = write_to(out, errors)
    values = [json.dumps({"n": n, "pad": random.Random(n).randbytes(3000 * n).hex()}).encode() for n in range(4)]
    topics.send(source, values)
    worker = start("--config", str(configure(source)), "--sensor", "s", *targets)
    topics.wait_until_committed(f"{source}_parser", source)
    printed = worker.stop()
    assert [document["n"] for document in topics.documents(out)] == [0, 1]
    assert [error["stage"] for error in topics.documents(errors)] == ["write", "write"]
    assert all("larger than the topic" in error["message"] for error in topics.documents(errors))
    assert "2 out + 0 dropped + 2 rejected" in printed


def test_records_for_an_unknown_topic_are_error_documents(
    topics: Topics, configure: Callable[..., Path], start: Callable[..., Worker]
) -> None:
    source, out, errors = (topics.create(name) for name in ("in", "out", "errors"))
    config = configure(source, parserConfig={"kafka.topicField": "to"})
    targets = topics.name("unknown"), "no topic /../", out
    topics.send(source, [json.dumps({"n": n, "to": to}).encode() for n, to in enumerate(targets)] + [b'{"n":3}'])
    worker = start(
        "--config",
        str(config),
        "--sensor",
        "s",
        "--stage",
        "parse",
        "--errors",
        f"topic:{errors}",
        "--output",
        f"topic:{out}",
    )
    topics.wait_until_committed(f"{source}_parser", source)
    assert "1 out + 1 dropped + 2 rejected" in worker.stop()
    assert [document["n"] for document in topics.documents(out)] == [2]
    fix = "or correct the record's field with its name"
    assert [error["message"] for error in topics.documents(errors)] == [
        f"topic '{targets[0]}' does not exist; create it with stellar-pipeline topic create {targets[0]}, {fix}",
        f"invalid name of a topic 'no topic /../': expected letters, digits, '.', '_' and '-', {fix}",
    ]


def test_a_topic_that_is_looked_up_while_no_broker_is_available_is_waited_for(
    broker: Kafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = Topics(broker.hosts).create("out")
    monkeypatch.setattr(client, "CONNECT_SECONDS", 1.0)
    writer = TopicWriter(KafkaSettings(broker.hosts), lambda rejected: None)
    was_stopped = []

    def stay() -> None:
        if not broker.is_serving():
            was_stopped.append(True)
            broker.start()

    writer.stay = stay
    broker.stop()
    writer.require_topic(name)
    writer.write(name, b"{}")
    writer.flush()
    writer.close()
    assert was_stopped == [True]


@pytest.mark.parametrize(
    ("properties", "reason"),
    [
        (["auto.offset.reset=error"], "; set auto.offset.reset to earliest or latest"),
        (
            ["session.timeout.ms=100", "heartbeat.interval.ms=50"],
            "; set session.timeout.ms to a value that the brokers",
        ),
    ],
)
def test_properties_with_which_nothing_is_read_end_the_worker(
    topics: Topics, configure: Callable[..., Path], start: Callable[..., Worker], properties: list[str], reason: str
) -> None:
    source = topics.create("in")
    topics.send(source, [b"{}"])
    targets = write_to(source)
    more = [word for each in properties for word in ("--kafka-property", each)]
    assert reason in failure_of(start("--config", str(configure(source)), "--sensor", "s", *targets, *more))


def test_a_group_whose_members_share_partitions_otherwise_ends_the_worker(
    topics: Topics, configure: Callable[..., Path], start: Callable[..., Worker]
) -> None:
    from confluent_kafka import Consumer

    source = topics.create("in")
    other = Consumer({
        "bootstrap.servers": topics.hosts, "group.id": f"{source}_parser", "partition.assignment.strategy": "range",
    })  # fmt: skip
    other.subscribe([source])
    wait_for(lambda: other.poll(0.1) is None and bool(other.assignment()), "the other member")
    targets = write_to(source)
    line = failure_of(start("--config", str(configure(source)), "--sensor", "s", *targets))
    other.close()
    assert line.endswith("members of the consumer group use another assignment strategy; end them first")


def test_a_message_without_a_value_is_an_error_document(
    topics: Topics, configure: Callable[..., Path], start: Callable[..., Worker]
) -> None:
    source, out, errors = (topics.create(name) for name in ("in", "out", "errors"))
    topics.producer.produce(source, None, partition=0)
    topics.send(source, [b'{"n":1}'])
    worker = start("--config", str(configure(source)), "--sensor", "s", *write_to(out, errors))
    topics.wait_until_committed(f"{source}_parser", source)
    worker.stop()
    (error,) = topics.documents(errors)
    assert (error["message"], error["origin"], error["offset"]) == ("message has no value", source, 0)
    assert [document["n"] for document in topics.documents(out)] == [1]
