"""Metrics and health of workers."""

from __future__ import annotations

import json
import os
import re
import signal
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from kafka_topics import Topics, Worker, wait_for, write_to

from stellar.pipeline.connectors.kafka.consumer import TopicReader, parse_lags
from stellar.pipeline.connectors.kafka.settings import KafkaSettings
from stellar.pipeline.records import Raw
from stellar.pipeline.routing import TopicPattern

if TYPE_CHECKING:
    from engines.kafka.server import Kafka


class MonitoredWorker:
    """A worker with a server of metrics."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        wait_for(lambda: "metrics at " in worker.printed or worker.process.poll() is not None, "the server")
        match = re.search(r"metrics at (http://\S+)/metrics", worker.printed)
        assert match is not None, worker.printed
        self._url = match[1]

    def get(self, path: str = "/metrics") -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"{self._url}{path}", timeout=60) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def read(self, name: str) -> dict[str, float]:
        """Return the values of a metric by their labels."""
        found = re.findall(rf"^{name}{{(.*)}} (.+)$", self.get()[1], re.MULTILINE)
        return {labels: float(value) for labels, value in found}


@pytest.fixture
def options(topics: Topics, tmp_path: Path) -> list[str]:
    """The options of a worker that reads the topic `in`, which has two partitions."""
    source, out = topics.create("in", 2), topics.create("out", 1)
    parser = tmp_path / "config" / "parsers" / "s.json"
    parser.parent.mkdir(parents=True)
    parser.write_text(json.dumps({"parserClassName": "JSONMap", "sensorTopic": source}))
    return [
        "--config", str(tmp_path / "config"), "--sensor", "s", *write_to(out),
        "--metrics", "127.0.0.1:0", "--kafka-property", "statistics.interval.ms=100",
    ]  # fmt: skip


@pytest.mark.engine
def test_a_worker_shows_its_records_and_its_lag(
    topics: Topics, options: list[str], start: Callable[..., Worker], check_metrics: Callable[[bytes], None]
) -> None:
    source = topics.name("in")
    topics.send(source, [json.dumps({"timestamp": n}).encode() for n in range(100)])
    topics.send(source, [b"garbage"], partition=1)
    worker = MonitoredWorker(start(*options))
    lags = {f'topic="{source}",partition="{partition}"': 0 for partition in (0, 1)}
    wait_for(lambda: worker.read("stellar_pipeline_lag_messages") == lags, "all messages to be committed")
    counts = {
        'pipeline="s",outcome="out"': 100,
        'pipeline="s",outcome="dropped"': 0,
        'pipeline="s",outcome="rejected"': 1,
    }
    assert worker.read("stellar_pipeline_records_total") == counts
    assert worker.read("stellar_pipeline_errors_total") == {'sensor="s",stage="parse"': 1}
    assert worker.read("stellar_pipeline_stage_seconds_count")['sensor="s",stage="write"'] == 7
    assert worker.get("/readyz") == worker.get("/healthz") == (200, "ok\n")
    check_metrics(worker.get()[1].encode())
    worker.worker.stop()


@pytest.mark.engine
def test_messages_are_in_the_lag_until_they_are_committed(topics: Topics) -> None:
    source = topics.create("in")
    topics.send(source, [b"{}"] * 7)
    properties = {"statistics.interval.ms": "100"}
    group = topics.name("group")
    reader = TopicReader(
        KafkaSettings(topics.hosts), group, TopicPattern(source), lambda: None, properties, measures_lags=True
    )
    messages: list[Raw] = []

    def has_lag(lag: int) -> bool:
        messages.extend(reader.read(0.1))
        return reader.read_lags() == {(source, 0): lag}

    try:
        wait_for(lambda: has_lag(0) and len(messages) == 7, "all to be read")  # nothing was ever committed
        assert messages[2].position is not None
        reader.note_delivery(messages[2].position)
        reader.commit()
        wait_for(lambda: has_lag(4), "the commit of three")
    finally:
        reader.close()


@pytest.mark.engine
def test_processes_are_shown_at_one_address_and_one_that_dies_is_down_until_it_is_started_again(
    topics: Topics, options: list[str], start: Callable[..., Worker], check_metrics: Callable[[bytes], None]
) -> None:
    session = ["--kafka-property", "session.timeout.ms=2000", "--kafka-property", "heartbeat.interval.ms=300"]
    worker = MonitoredWorker(start(*options, *session, "--processes", "2"))
    wait_for(lambda: worker.get("/readyz")[0] == 200, "both processes")
    topics.send(topics.name("in"), [b'{"timestamp": 1}'] * 50)
    topics.send(topics.name("in"), [b'{"timestamp": 1}'] * 50, partition=1)
    wait_for(lambda: sum(worker.read("stellar_pipeline_messages_total").values()) == 100, "all messages")
    check_metrics(worker.get()[1].encode())
    children = Path(f"/proc/{worker.worker.process.pid}/task/{worker.worker.process.pid}/children").read_text().split()
    os.kill(int(children[0]), signal.SIGKILL)
    wait_for(lambda: worker.get("/readyz") == (503, "process 1: does not respond\n"), "the end of process 1")
    wait_for(lambda: worker.get("/readyz")[0] == 200, "process 1 to be started again")
    assert set(worker.read("stellar_process_up").values()) == {1}
    worker.worker.stop()


@pytest.fixture
def broker(engines: None) -> Iterator[Kafka]:
    """A broker that the test may stop."""
    from engines.kafka.server import Kafka

    with Kafka() as kafka:
        yield kafka


@pytest.mark.engine
def test_a_worker_without_brokers_is_alive_but_not_ready(
    broker: Kafka, tmp_path: Path, start: Callable[..., Worker]
) -> None:
    source = Topics(broker.hosts).create("in")
    parser = tmp_path / "config" / "parsers" / "s.json"
    parser.parent.mkdir(parents=True)
    parser.write_text(json.dumps({"parserClassName": "JSONMap", "sensorTopic": source}))
    targets = ["--output", str(tmp_path / "out.jsonl"), "--errors", str(tmp_path / "errors.jsonl")]
    options = ["--config", str(tmp_path / "config"), "--sensor", "s", *targets, "--metrics", "127.0.0.1:0"]
    worker = MonitoredWorker(start(*options, hosts=broker.hosts))
    wait_for(lambda: worker.get("/readyz") == (200, "ok\n"), "the worker")
    broker.daemon.kill()
    wait_for(lambda: worker.get("/readyz")[0] == 503, "the worker to notice")
    assert "no broker of " in worker.get("/readyz")[1]
    assert worker.get("/healthz") == (200, "ok\n")
    broker.start()
    wait_for(lambda: worker.get("/readyz") == (200, "ok\n"), "the broker to be noticed")


def make_statistics(**offsets: int) -> str:
    partition = {"committed_offset": -1001, "app_offset": -1001, "lo_offset": -1, "hi_offset": -1, **offsets}
    return json.dumps({"topics": {"in": {"partitions": {"0": partition, "-1": partition}}}})


@pytest.mark.parametrize(
    ("offsets", "lag"),
    [
        ({"committed_offset": 7, "app_offset": 9, "lo_offset": 2, "hi_offset": 10}, 3),
        ({"app_offset": 9, "lo_offset": 2, "hi_offset": 10}, 1),
        ({"lo_offset": 2, "hi_offset": 10}, 8),
        ({"committed_offset": 12, "hi_offset": 10}, 0),
        ({"committed_offset": 7}, None),
        ({}, None),
    ],
)
def test_a_lag_begins_at_what_is_committed_or_else_read(offsets: dict[str, int], lag: int | None) -> None:
    expected = {} if lag is None else {("in", 0): lag}
    assert parse_lags(make_statistics(**offsets), {("in", 0)}) == expected
    assert parse_lags(make_statistics(**offsets), {("in", 1)}) == {}
    assert parse_lags("{}", {("in", 0)}) == {}
