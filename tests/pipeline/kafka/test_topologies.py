"""Metron's topologies as workers: their topics, and configurations in ZooKeeper, which they follow."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from kafka_topics import LIMIT, Topics, Worker, wait_for, write_to
from kazoo.client import KazooClient

from stellar.pipeline.cli.configuration_manager import zk_load_configs
from stellar.pipeline.records import Record
from stellar.pipeline.worker.brokers import find_brokers

pytestmark = pytest.mark.engine

SQUID = Path(__file__).parents[3] / "examples" / "squid" / "config"
LINES = [
    b"1571163620.277    192 127.0.0.1 TCP_MISS/301 366 GET http://yahoo.com/ - DIRECT/72.30.35.10 text/html",
    b"1571163632.536    106 127.0.0.1 TCP_MISS/301 539 GET http://cnn.com/ - DIRECT/151.101.1.67 -",
    b"garbage",
]

Start = Callable[..., subprocess.Popen[bytes]]


def stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    assert process.wait(LIMIT) == 0


def documents_of(folder: Path) -> list[Record]:
    return [json.loads(line) for file in sorted(folder.rglob("*.jsonl")) for line in file.read_bytes().splitlines()]


def test_the_walkthrough_runs_through_three_topologies(
    topics: Topics, quorum: str, tmp_path: Path, start_topology: Start
) -> None:
    config = tmp_path / "config"
    shutil.copytree(SQUID, config)
    source = topics.create("squid")
    parser = json.loads((config / "parsers" / "squid.json").read_text())
    (config / "parsers" / "squid.json").write_text(json.dumps({**parser, "sensorTopic": source}))
    assert zk_load_configs(["-m", "PUSH", "-i", str(config), "-z", quorum]) == 0
    for name in ("enrichments", "indexing"):
        topics.require(name)
    common = ["-z", quorum, "-k", topics.hosts]
    patterns = ["--patterns", str(config)]
    running = [
        start_topology("start_parser_topology", *common, *patterns, "-s", "squid", "-nw", "1", "-na", "1"),
        start_topology("start_enrichment_topology", *common, *patterns),
        start_topology("start_hdfs_topology", *common, "-o", f"{tmp_path}/indexed/"),
    ]
    topics.send(source, LINES)
    wait_for(lambda: sum("url" in each for each in documents_of(tmp_path / "indexed")) == 2, "documents")
    wait_for(lambda: any(each["source.type"] == "error" for each in documents_of(tmp_path / "indexed")), "an error")
    for process in running:
        stop(process)
    value = next(message.value() for message in topics.read("enrichments") if b"yahoo" in message.value())
    assert b'"url":"http:\\/\\/yahoo.com\\/"' in value
    found = [each for each in documents_of(tmp_path / "indexed") if "url" in each]
    assert [each["domain_without_subdomains"] for each in found] == ["yahoo.com", "cnn.com"]
    assert all("parallelenricher.enrich.end.ts" in each for each in found)
    assert all(each["guid"] in topics_of_parsed(topics) for each in found)
    errors = [each for each in documents_of(tmp_path / "indexed") if each["source.type"] == "error"]
    assert {each["raw_message"] for each in errors if each["error_type"] == "parser_error"} == {"garbage"}


def topics_of_parsed(topics: Topics) -> set[str]:
    """Return the guids of the messages in `enrichments`."""
    return {document["guid"] for document in topics.documents("enrichments")}


def test_a_worker_follows_its_configuration_in_zookeeper(
    topics: Topics, quorum: str, tmp_path: Path, start: Callable[..., Worker]
) -> None:
    source, out = topics.create("in"), topics.create("out")

    def push(value: str, topic: str = source) -> None:
        step = {"transformation": "STELLAR", "output": ["v"], "config": {"v": value}}
        parser = {"parserClassName": "JSONMap", "sensorTopic": topic, "fieldTransformations": [step]}
        (tmp_path / "c" / "parsers").mkdir(parents=True, exist_ok=True)
        (tmp_path / "c" / "parsers" / "s.json").write_text(json.dumps(parser))
        assert zk_load_configs(["-m", "PUSH", "-i", str(tmp_path / "c"), "-z", quorum]) == 0

    push("'first'")
    location = ["--config", f"zookeeper:{quorum}/metron", "--sensor", "s"]
    worker = start(*location, *write_to(out))

    def send_and_read() -> str:
        topics.send(source, [b"{}"])
        topics.wait_until_committed(f"{source}_parser", source)
        value: str = topics.documents(out)[-1]["v"]
        return value

    assert send_and_read() == "first"
    push("'second'")
    wait_for(lambda: send_and_read() == "second", "the new configuration")
    push("'third'", "another.topic")
    wait_for(lambda: "take effect when the worker is restarted" in worker.printed, "the rejection")
    assert send_and_read() == "second"
    push("'fourth'")
    wait_for(lambda: send_and_read() == "fourth", "the corrected configuration")
    assert "lines read" in worker.stop()


def test_brokers_are_found_in_zookeeper(quorum: str, topics: Topics) -> None:
    with pytest.raises(ValueError, match=r"no broker is registered in ZooKeeper at .*; pass the brokers with --kafka"):
        find_brokers(quorum)
    client = KazooClient(quorum)
    client.start()
    host, _, port = topics.hosts.partition(":")
    broker = {"endpoints": [f"PLAINTEXT://{topics.hosts}"], "host": host, "port": int(port)}
    client.create("/brokers/ids/1", json.dumps(broker).encode(), makepath=True)
    client.create("/brokers/ids/2", json.dumps({"host": "node2", "port": 9092}).encode())
    assert find_brokers(quorum) == f"{topics.hosts},node2:9092"
    client.set("/brokers/ids/1", b"[]")
    with pytest.raises(ValueError, match="cannot read the broker '/brokers/ids/1'"):
        find_brokers(quorum)
    client.stop()
    client.close()


def configure(folder: Path, sensors: dict[str, Record]) -> list[str]:
    for sensor, parser in sensors.items():
        path = folder / "config" / "parsers" / f"{sensor}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"parserClassName": "JSONMap", **parser}))
    return ["--config", str(folder / "config"), "--sensor", ",".join(sensors)]


def test_sensors_of_one_worker_have_topics_groups_and_error_topics_of_their_own(
    topics: Topics, tmp_path: Path, start: Callable[..., Worker]
) -> None:
    out, errors, other = (topics.create(name) for name in ("out", "errors", "other-errors"))
    sources = {name: topics.create(name) for name in ("a", "b")}
    options = configure(
        tmp_path,
        {
            "a": {"sensorTopic": sources["a"], "errorTopic": errors, "outputTopic": out},
            "b": {"sensorTopic": sources["b"], "errorTopic": other, "outputTopic": out},
        },
    )
    for name, topic in sources.items():
        topics.send(topic, [json.dumps({"of": name}).encode(), b"bad"])
    worker = start(*options, "--stage", "parse")
    for topic in sources.values():
        topics.wait_until_committed(f"{topic}_parser", topic)
    worker.stop()
    assert sorted(each["source.type"] for each in topics.documents(out)) == ["a", "b"]
    assert [each["failed_sensor_type"] for each in topics.documents(errors)] == ["a"]
    assert [each["failed_sensor_type"] for each in topics.documents(other)] == ["b"]


@pytest.mark.parametrize("stage", ["all", "parse"])
def test_the_topic_of_a_sensor_can_be_another_one(
    stage: str, topics: Topics, tmp_path: Path, start: Callable[..., Worker]
) -> None:
    source, out = topics.create("other"), topics.create("out")
    topics.send(source, [b'{"n": 1}'])
    options = configure(tmp_path, {"s": {}})
    (tmp_path / "config" / "profiler.json").write_text('{"profiles": []}')
    worker = start(*options, "--stage", stage, "--input", source, *write_to(out))
    topics.wait_until_committed("s_parser", source)
    worker.stop()
    assert [each["n"] for each in topics.documents(out)] == [1]
    assert ("profiler.json: a worker applies no profiles" in worker.printed) == (stage == "all")


def test_a_pattern_reads_all_topics_that_match(topics: Topics, tmp_path: Path, start: Callable[..., Worker]) -> None:
    out = topics.create("out")
    sources = [topics.create(f"log-{name}") for name in ("a", "b")]
    pattern = f"/log-[ab]-{topics.name('')[1:]}/"
    options = configure(tmp_path, {"s": {"sensorTopic": pattern, "readMetadata": True, "mergeMetadata": True}})
    for topic in sources:
        topics.send(topic, [b"{}"])
    worker = start(*options, *write_to(out))
    for topic in sources:
        topics.wait_until_committed(f"{pattern}_parser", topic)
    worker.stop()
    assert sorted(each["metron.metadata.topic"] for each in topics.documents(out)) == sorted(sources)


def test_a_process_that_is_killed_is_started_again(
    topics: Topics, tmp_path: Path, start: Callable[..., Worker]
) -> None:
    source, out = topics.create("in", 2), topics.create("out", 2)
    options = configure(tmp_path, {"s": {"sensorTopic": source}})
    session = ["--kafka-property", "session.timeout.ms=2000", "--kafka-property", "heartbeat.interval.ms=300"]
    worker = start(*options, *session, "--processes", "2", *write_to(out))
    for partition in range(2):
        topics.send(source, [b'{"n":1}'], partition)
    topics.wait_until_committed(f"{source}_parser", source)
    children = Path(f"/proc/{worker.process.pid}/task/{worker.process.pid}/children")
    first = children.read_text().split()
    assert len(first) == 2
    os.kill(int(first[0]), signal.SIGKILL)
    for partition in range(2):
        topics.send(source, [b'{"n":2}'], partition)
    topics.wait_until_committed(f"{source}_parser", source)
    wait_for(lambda: len(children.read_text().split()) == 2 and first[0] not in children.read_text().split(), "a child")
    printed = worker.stop()
    assert f"process {first[0]} was ended by signal 9; it is started again" in printed
    assert sorted({each["n"] for each in topics.documents(out)}) == [1, 2]
    assert len(topics.documents(out)) >= 4


@pytest.mark.parametrize(
    ("options", "status", "message"),
    [
        (["--stage", "enrich", "--sensor", "s"], 2, "--sensor has no effect with --stage enrich"),
        (["--stage", "index"], 2, "--stage index needs the target of documents; pass --output TARGET"),
        ([], 2, "no sensor selected; pass --sensor NAME"),
        (["--sensor", "s", "--output", "out.parquet"], 1, "a Parquet file cannot be continued"),
        (["--sensor", "nobody"], 1, "unknown sensor 'nobody'"),
        (["--sensor", "s,t", "--input", "x"], 2, "--input is the topic of one sensor"),
    ],
)
def test_options_without_effect_are_errors(
    topics: Topics, tmp_path: Path, start: Callable[..., Worker], options: list[str], status: int, message: str
) -> None:
    source = topics.create("in")
    config = configure(tmp_path, {"s": {"sensorTopic": source}, "t": {}})[:2]
    worker = start(*config, *options, "--errors", f"topic:{source}")
    assert worker.process.wait(LIMIT) == status
    assert message in worker.printed
