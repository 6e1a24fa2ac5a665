"""A worker between two topics of Kafka, compared with a run over a file of the same lines.

Of the worker, the processor time counts from its first committed documents to the last one; of the run, that of the
process without start-up. The broker's time does not count.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from benchmarks.measure import ROOT, environment, script
from benchmarks.peers import Compile
from benchmarks.pipeline import CONFIG, make_lines
from benchmarks.report import Finding, GroupResult, Limit, Quantity, Table, ratio
from benchmarks.workers import measure_run

if TYPE_CHECKING:
    from engines.kafka.server import Kafka

CPU = Limit("processor time of a worker between topics, to a run over a file", must=2.0, aim=1.25)

REPEATS = 100  # of the lines of a log
SOURCE, TARGET = "squid", "documents"
LIMIT = 300.0  # seconds


def topics(peers: dict[str, Compile | None], rounds: int) -> GroupResult:
    """Measure runs over a file and workers between topics."""
    if why := _find_missing(peers):
        return GroupResult([f"no figures of topics: {why}\n"], [])
    from engines.kafka.server import Kafka

    lines = make_lines() * REPEATS
    with TemporaryDirectory() as directory, Kafka() as kafka:
        folder = Path(directory)
        (folder / "empty.log").write_bytes(b"")
        (folder / "access.log").write_bytes(b"\n".join(lines) + b"\n")
        of_run = measure_run(folder, 1, rounds).cpu * 1e3 / len(lines)
        of_worker = min(_measure_worker(kafka, folder, lines, round_) for round_ in range(rounds))
    table = Table(
        f"{len(lines):,} lines of a proxy log: processor time of a line, without start-up",
        ("", "processor time", "to the run"),
        [
            ("run over a file", Quantity(of_run, "µs"), ratio(1)),
            ("worker between topics", Quantity(of_worker, "µs"), ratio(of_worker / of_run)),
        ],
    )
    return GroupResult([table], [Finding(CPU, of_worker / of_run)])


def _find_missing(peers: dict[str, Compile | None]) -> str | None:
    if peers["stellar"] is None:
        return "stellar is not installed"
    try:
        import confluent_kafka  # noqa: F401
    except ImportError:
        return "pip install 'stellar-maas[kafka]'"
    return (
        None if shutil.which("java") and shutil.which("mvn") else "run scripts/engines, which installs Java and Maven"
    )


def _measure_worker(kafka: Kafka, folder: Path, lines: list[bytes], round_: int) -> float:
    """Return the microseconds of processor time of a worker for each line."""
    source, target = (f"{name}-{round_}" for name in (SOURCE, TARGET))
    _create(kafka, source, target)
    _send(kafka, source, lines)
    with _run_worker(kafka, folder, source, target) as process, _open_end(kafka, target) as find_end:
        _await(lambda: find_end() > 0)
        first, begin = find_end(), _read_processor_seconds(process.pid)
        _await(lambda: find_end() >= len(lines))
        seconds = _read_processor_seconds(process.pid) - begin
    return seconds * 1e6 / (len(lines) - first)


def _create(kafka: Kafka, *names: str) -> None:
    from confluent_kafka.admin import AdminClient, NewTopic

    admin = AdminClient({"bootstrap.servers": kafka.hosts})
    for future in admin.create_topics([NewTopic(name, 1, 1) for name in names]).values():
        future.result(60)


def _send(kafka: Kafka, topic: str, lines: list[bytes]) -> None:
    from confluent_kafka import Producer

    producer = Producer({"bootstrap.servers": kafka.hosts, "linger.ms": 50})
    for line in lines:
        while True:
            try:
                producer.produce(topic, line)
                break
            except BufferError:
                producer.poll(1)
    producer.flush()


@contextmanager
def _run_worker(kafka: Kafka, folder: Path, source: str, target: str) -> Iterator[subprocess.Popen[bytes]]:
    options = ["--config", str(CONFIG), "--sensor", "squid", "--input", source, "--kafka", kafka.hosts]
    targets = ["--output", f"topic:{target}", "--errors", str(folder / "errors.jsonl")]
    command = [sys.executable, *script("stellar.pipeline.cli", "worker", *options, *targets)]
    with (
        (folder / "worker.log").open("wb") as log,
        subprocess.Popen(command, cwd=ROOT, env=environment(str(folder / "bytecode")), stderr=log) as process,
    ):
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)


@contextmanager
def _open_end(kafka: Kafka, topic: str) -> Iterator[Any]:
    """Yield a function that returns the number of messages in a topic."""
    from confluent_kafka import Consumer, TopicPartition

    consumer = Consumer({"bootstrap.servers": kafka.hosts, "group.id": "benchmark"})
    try:
        yield lambda: consumer.get_watermark_offsets(TopicPartition(topic, 0), 30)[1]
    finally:
        consumer.close()


def _await(condition: Any) -> None:
    end = time.monotonic() + LIMIT
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"the worker has not processed all lines within {LIMIT:g} s")
        time.sleep(0.05)


def _read_processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
