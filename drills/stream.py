"""A stream through Kafka and OpenSearch, while each part of it is killed, paused or away in turn.

    topic source ─▶ workers ─▶ topic documents ─▶ indexing worker ─▶ OpenSearch
                      ▲
                 configuration in ZooKeeper

A message has its partition and its number in it, so that the topic of documents shows what was lost, repeated or
reordered. Workers may repeat messages after they were killed; OpenSearch has each document once, because the first
worker makes identifiers of the positions of messages.
"""

from __future__ import annotations

import itertools
import json
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drills.drill import Finding, drill

if TYPE_CHECKING:
    from engines.kafka.server import Kafka
    from engines.opensearch.server import OpenSearch
    from engines.zookeeper.server import ZooKeeper

SOURCE, DOCUMENTS = "source", "documents"
PARTITIONS = 3
SECONDS_BETWEEN_FAULTS = 5.0
SECONDS_AWAY = 4.0
SECONDS_TO_FINISH = 300.0
MOST_MEGABYTES = 120
_PROGRAM = "import sys; from stellar.pipeline.cli import main; sys.exit(main())"
# So that the partitions of a killed worker move soon
_SESSION = ("--kafka-property", "session.timeout.ms=6000", "--kafka-property", "heartbeat.interval.ms=1000")


class Worker:
    """A process of `stellar-pipeline worker`."""

    def __init__(self, arguments: Sequence[str], log: Path) -> None:
        self._log = log
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _PROGRAM, "worker", *arguments], stdout=file, stderr=file
            )

    def read_megabytes(self) -> float:
        """Return the largest memory of the process so far; 0 if it has ended."""
        try:
            lines = Path(f"/proc/{self._process.pid}/status").read_text(encoding="utf-8").splitlines()
        except OSError:
            return 0.0
        return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:")), 0.0)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """Stop it as an operator does. Raises RuntimeError, with the end of its log, if it fails."""
        self._process.send_signal(signal.SIGTERM)
        if status := self._process.wait(SECONDS_TO_FINISH):
            raise RuntimeError(f"the worker ended with {status}:\n{self._log.read_text(errors='replace')[-2000:]}")


@dataclass
class Stream:
    """The engines and the workers of a stream.

    megabytes: the largest memory of a worker
    """

    zookeeper: ZooKeeper
    kafka: Kafka
    opensearch: OpenSearch
    folder: Path
    workers: list[Worker] = field(default_factory=list)
    megabytes: float = 0.0

    @property
    def common(self) -> tuple[str, ...]:
        return ("--config", f"zookeeper:{self.zookeeper.hosts}/metron", "--kafka", self.kafka.hosts, *_SESSION)

    def add_worker(self) -> None:
        """Start a further worker of the first stage."""
        topics = ("--output", f"topic:{DOCUMENTS}", "--errors", f"topic:{DOCUMENTS}")
        arguments = (*self.common, "--sensor", "s", "--registry", "none", "--idempotent", *topics)
        self.workers.append(Worker(arguments, self.folder / "worker.log"))

    def start_indexer(self) -> Worker:
        """Start the worker that writes documents to OpenSearch."""
        target = ("--output", f"opensearch:{self.opensearch.url}", "--errors", str(self.folder / "errors.jsonl"))
        arguments = (*self.common, "--stage", "index", "--input", DOCUMENTS, *target)
        return Worker(arguments, self.folder / "indexer.log")

    def note_memory(self) -> None:
        self.megabytes = max(self.megabytes, *(worker.read_megabytes() for worker in self.workers))

    # -- Faults

    def kill_worker(self) -> None:
        self.note_memory()
        self.workers.pop(0).kill()
        self.add_worker()

    def join_and_leave(self) -> None:
        self.add_worker()
        time.sleep(SECONDS_AWAY)
        self.note_memory()
        self.workers.pop(0).stop()

    def restart_broker(self) -> None:
        self.kafka.stop()
        time.sleep(SECONDS_AWAY)
        self.kafka.start()

    def pause_broker(self) -> None:
        self.kafka.daemon.pause()
        time.sleep(SECONDS_AWAY)
        self.kafka.daemon.resume()

    def restart_opensearch(self) -> None:
        self.opensearch.daemon.kill()
        time.sleep(SECONDS_AWAY)
        self.opensearch.start()

    def restart_zookeeper(self) -> None:
        self.zookeeper.stop()
        time.sleep(SECONDS_AWAY)
        self.zookeeper.start()

    def list_faults(self) -> list[Callable[[], None]]:
        return [
            self.kill_worker, self.join_and_leave, self.restart_broker, self.kill_worker, self.restart_opensearch,
            self.join_and_leave, self.pause_broker, self.restart_zookeeper,
        ]  # fmt: skip


class Feeder:
    """Sends numbered messages to all partitions of a topic, in a thread, at a steady rate."""

    def __init__(self, kafka: Kafka, records: int, seconds: float) -> None:
        from confluent_kafka import Producer

        self._producer = Producer({
            "bootstrap.servers": kafka.hosts, "enable.idempotence": True, "message.timeout.ms": 0, "log_level": 0,
        })  # fmt: skip
        self._per_partition = records // PARTITIONS
        self._seconds = seconds
        self._thread = threading.Thread(target=self._feed, daemon=True)

    def start(self) -> None:
        self._thread.start()

    @property
    def is_running(self) -> bool:
        return self._thread.is_alive()

    def _feed(self) -> None:
        begin = time.monotonic()
        for number in range(self._per_partition):
            ahead = number / self._per_partition * self._seconds - (time.monotonic() - begin)
            if ahead > 0.05:
                time.sleep(ahead)
            for partition in range(PARTITIONS):
                self._send(partition, number)
        while self._producer.flush(1):
            pass

    def _send(self, partition: int, number: int) -> None:
        value = json.dumps({"p": partition, "n": number, "url": "http://example.com/"}).encode()
        while True:
            try:
                self._producer.produce(SOURCE, value, partition=partition)
            except BufferError:
                self._producer.poll(1)
            else:
                self._producer.poll(0)
                return


# -- What arrives


def read_numbers(kafka: Kafka, end: float, count: int) -> dict[int, list[int]]:
    """Return the numbers in the topic of documents by partition, when each number has arrived, or at the end."""
    from confluent_kafka import Consumer, TopicPartition

    consumer = Consumer({"bootstrap.servers": kafka.hosts, "group.id": "drill", "log_level": 0})
    consumer.assign([TopicPartition(DOCUMENTS, partition, 0) for partition in range(PARTITIONS)])
    found: dict[int, list[int]] = {partition: [] for partition in range(PARTITIONS)}
    missing = {partition: set(range(count)) for partition in range(PARTITIONS)}
    while any(missing.values()) and time.monotonic() < end:
        for message in consumer.consume(1000, 1.0):
            if message.error() is None:
                document = json.loads(message.value())
                found[message.partition()].append(document.get("n", -1))  # an error document has none
                missing[message.partition()].discard(document.get("n"))
    consumer.close()
    return found


def count_indexed(url: str) -> int:
    """Return the number of documents; 0 while the server starts."""
    try:
        with urllib.request.urlopen(f"{url}/_refresh", timeout=60):
            pass
        with urllib.request.urlopen(f"{url}/s_index_*/_count?allow_no_indices=true", timeout=60) as response:
            return int(json.load(response)["count"])
    except urllib.error.HTTPError as error:
        if error.code != HTTPStatus.SERVICE_UNAVAILABLE:
            raise
        return 0


def await_indexed(url: str, count: int, end: float) -> int:
    """Return the number of documents in OpenSearch, when they are so many, or at the end."""
    while (found := count_indexed(url)) < count and time.monotonic() < end:
        time.sleep(1)
    return found


def describe_order(numbers: Sequence[int]) -> tuple[int, int]:
    """Return how many numbers came before a smaller new one, and how many were repeated."""
    highest, seen, misplaced = -1, set(), 0
    for number in numbers:
        if number not in seen and number < highest:
            misplaced += 1
        seen.add(number)
        highest = max(highest, number)
    return misplaced, len(numbers) - len(seen)


# -- The drill


def prepare(stack: ExitStack) -> Stream:
    """Start the engines, create the topics, and push the configuration."""
    from confluent_kafka.admin import AdminClient, NewTopic

    from engines.kafka.server import Kafka
    from engines.opensearch.server import OpenSearch
    from engines.zookeeper.server import ZooKeeper
    from stellar.pipeline.cli.configuration_manager import zk_load_configs

    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    kafka = stack.enter_context(Kafka())
    engines = stack.enter_context(ZooKeeper()), kafka, stack.enter_context(OpenSearch())
    stream = Stream(*engines, folder)
    admin = AdminClient({"bootstrap.servers": kafka.hosts})
    for future in admin.create_topics([NewTopic(name, PARTITIONS, 1) for name in (SOURCE, DOCUMENTS)]).values():
        future.result(60)
    files: dict[str, Any] = {
        "global.json": {},
        "parsers/s.json": {"parserClassName": "JSONMap", "sensorTopic": SOURCE},
        "indexing/s.json": {"elasticsearch": {"index": "s", "batchSize": 500, "enabled": True}},
    }
    for name, content in files.items():
        path = folder / "config" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content), encoding="utf-8")
    if zk_load_configs(["-m", "PUSH", "-i", str(folder / "config"), "-z", stream.zookeeper.hosts]):
        raise RuntimeError("the configuration cannot be pushed")
    return stream


def run_stream(records: int, seconds: float) -> Iterator[Finding]:
    """Send messages for some seconds, with a fault every few seconds, and check what arrived."""
    with ExitStack() as stack:
        stream = prepare(stack)
        for _ in range(2):
            stream.add_worker()
        indexer = stream.start_indexer()
        stack.callback(lambda: [worker.kill() for worker in (*stream.workers, indexer)])
        feeder = Feeder(stream.kafka, records, seconds)
        feeder.start()
        faults = 0
        for fault in itertools.cycle(stream.list_faults()):
            if not feeder.is_running and faults >= len(stream.list_faults()):
                break
            time.sleep(SECONDS_BETWEEN_FAULTS)
            fault()
            faults += 1
        end = time.monotonic() + SECONDS_TO_FINISH
        numbers = read_numbers(stream.kafka, end, records // PARTITIONS)
        indexed = await_indexed(stream.opensearch.url, records // PARTITIONS * PARTITIONS, end)
        stream.note_memory()
        for worker in (*stream.workers, indexer):
            worker.stop()
        yield _judge(records // PARTITIONS, faults, numbers, indexed, stream.megabytes)


def _judge(count: int, faults: int, numbers: dict[int, list[int]], indexed: int, megabytes: float) -> Finding:
    lost = sum(len(set(range(count)).difference(each)) for each in numbers.values())
    errors = sum(each.count(-1) for each in numbers.values())
    orders = [describe_order(each) for each in numbers.values()]
    misplaced, repeated = (sum(each) for each in zip(*orders, strict=True))
    total = count * PARTITIONS
    return Finding(
        "workers, the broker, OpenSearch and ZooKeeper are killed, paused and restarted under a stream",
        f"{total:,} messages, {faults} faults",
        f"0 lost, 0 errors, 0 out of order; each document once in OpenSearch; a worker below {MOST_MEGABYTES} MB",
        f"{lost} lost, {errors} errors, {misplaced} out of order, {repeated:,} repeated after kills; "
        f"{indexed:,} documents in OpenSearch; {megabytes:.0f} MB",
        lost == errors == misplaced == 0 and indexed == total and megabytes < MOST_MEGABYTES,
    )


@drill("stream")
def stream() -> Iterator[Finding]:
    """100,000 messages in a minute."""
    yield from run_stream(100_000, 60)


@drill("soak", by_default=False)
def soak() -> Iterator[Finding]:
    """1,000,000 messages in ten minutes."""
    yield from run_stream(1_000_000, 600)
