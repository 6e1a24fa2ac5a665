"""Topics of a broker for tests: created, filled, read, and waited for."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from stellar.pipeline.records import Record

LIMIT = 120.0
PROGRAM = "import sys; from stellar.pipeline.cli import main; sys.exit(main())"


def write_to(output: str, errors: str | None = None) -> list[str]:
    """Return the options of a worker that writes to topics; errors go to the same one by default."""
    return ["--output", f"topic:{output}", "--errors", f"topic:{output if errors is None else errors}"]


def wait_for(condition: Callable[[], bool], what: str = "it") -> None:
    end = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.05)


class Topics:
    """Topics with names of their own, so that tests can share a broker."""

    def __init__(self, hosts: str) -> None:
        from confluent_kafka import Producer
        from confluent_kafka.admin import AdminClient

        self.hosts = hosts
        self.admin = AdminClient({"bootstrap.servers": hosts, "log_level": 0})
        self.producer = Producer({"bootstrap.servers": hosts, "log_level": 0})
        self.workers: list[Worker] = []
        self._suffix = uuid.uuid4().hex[:8]

    def name(self, topic: str) -> str:
        return f"{topic}-{self._suffix}"

    def require(self, name: str) -> None:
        """Create a topic with this very name, which other tests use, too, unless it exists."""
        if name not in self.admin.list_topics(timeout=30).topics:
            self._create(name, 1, {})

    def create(self, topic: str, partitions: int = 1, **config: str) -> str:
        """Create a topic, and return its name."""
        return self._create(self.name(topic), partitions, config)

    def _create(self, name: str, partitions: int, config: dict[str, str]) -> str:
        from confluent_kafka.admin import NewTopic

        self.admin.create_topics([NewTopic(name, partitions, 1, config=config)])[name].result(30)
        wait_for(lambda: self._is_led(name), name)
        return name

    def _is_led(self, name: str) -> bool:
        found = self.admin.list_topics(timeout=30).topics.get(name)
        return found is not None and all(each.leader > 0 for each in found.partitions.values())

    def send(self, topic: str, values: Iterable[bytes], partition: int = 0, **options: Any) -> None:
        for value in values:
            while True:
                try:
                    self.producer.produce(topic, value, partition=partition, **options)
                    break
                except BufferError:
                    self.producer.poll(1)
        assert self.producer.flush(60) == 0

    def read(self, topic: str) -> list[Any]:
        """Return all messages of a topic, those of each partition in their order."""
        from confluent_kafka import Consumer, TopicPartition

        consumer = Consumer({
            "bootstrap.servers": self.hosts, "group.id": f"reads-{self._suffix}", "enable.auto.commit": False,
            "auto.offset.reset": "earliest", "log_level": 0,
        })  # fmt: skip
        messages = []
        for partition in self.admin.list_topics(topic, 30).topics[topic].partitions:
            low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), 30)
            consumer.assign([TopicPartition(topic, partition, low)])
            while low < high:
                message = consumer.poll(30)
                assert message is not None
                assert message.error() is None
                messages.append(message)
                low = message.offset() + 1
        consumer.close()
        return messages

    def documents(self, topic: str) -> list[Record]:
        return [json.loads(message.value()) for message in self.read(topic)]

    def lag(self, group: str, topic: str) -> int:
        """Return the messages of a topic that a group has not committed."""
        found: list[int] = []
        wait_for(lambda: self._measure_lag(group, topic, found), f"the lag of {group}")
        return found[-1]

    def _measure_lag(self, group: str, topic: str, found: list[int]) -> bool:
        from confluent_kafka import Consumer, KafkaException, TopicPartition

        for worker in self.workers:
            assert worker.process.poll() in (None, 0, -signal.SIGKILL, -signal.SIGTERM), worker.printed
        consumer = Consumer({"bootstrap.servers": self.hosts, "group.id": group, "log_level": 0})
        try:
            numbers = self.admin.list_topics(topic, 30).topics[topic].partitions
            partitions = [TopicPartition(topic, each) for each in numbers]
            committed = consumer.committed(partitions, 30)
            ends = [consumer.get_watermark_offsets(each, 30)[1] for each in partitions]
        except KafkaException:  # the coordinator is loading
            return False
        finally:
            consumer.close()
        found.append(sum(end - max(each.offset, 0) for each, end in zip(committed, ends, strict=True)))
        return True

    def wait_for_progress(self, group: str, topic: str) -> None:
        """Wait until a group has committed some of its lag, if there is any."""
        before = self.lag(group, topic)
        wait_for(lambda: not before or self.lag(group, topic) < before, f"progress of {group}")

    def wait_until_committed(self, group: str, topic: str) -> None:
        def is_committed() -> bool:
            from confluent_kafka import KafkaError, KafkaException

            try:
                return self.lag(group, topic) == 0
            except KafkaException as error:  # as the topic of offsets is created for the first group
                if error.args[0].code() in (KafkaError.NOT_COORDINATOR, KafkaError.COORDINATOR_LOAD_IN_PROGRESS):
                    return False
                raise

        wait_for(is_committed, f"{group} to commit {topic}")


class Worker:
    """A process of stellar-pipeline worker."""

    def __init__(self, folder: Path, arguments: Sequence[str]) -> None:
        self.log = folder / f"worker-{uuid.uuid4().hex[:8]}.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen([sys.executable, "-c", PROGRAM, *arguments], stderr=log, stdout=log)

    @property
    def printed(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")

    def stop(self) -> str:
        """Stop it as an operator does, and return what it has printed."""
        with suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(LIMIT)
        # It may be stopped before it has started
        assert code == 0 or (code == -signal.SIGTERM and not self.printed), (code, self.printed)
        return self.printed

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(LIMIT)
