"""Workers that write to search servers: topologies as Metron's, and no document is lost or stored twice."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from kafka_topics import LIMIT, Topics, Worker, wait_for
from search_servers import Search

from stellar.net.hadoop.webhdfs import WebHdfs
from stellar.pipeline.cli.configuration_manager import zk_load_configs
from stellar.pipeline.records import Record

if TYPE_CHECKING:
    from engines.hadoop.hdfs import Hdfs

pytestmark = pytest.mark.engine

Start = Callable[..., Worker]


def configure(config: Callable[..., Path], search: Search, source: str, **writer: object) -> list[str]:
    parser = {"parserClassName": "JSONMap", "parserConfig": {"mapStrategy": "ALLOW"}, "sensorTopic": source}
    return ["--config", str(config(search, parser=parser, **writer)), "--sensor", "squid"]


def messages(count: int, start: int = 0) -> list[bytes]:
    return [json.dumps({"timestamp": 1, "n": number}).encode() for number in range(start, start + count)]


def test_three_topologies_index_documents_and_errors(
    search: Search,
    topics: Topics,
    quorum: str,
    config: Callable[..., Path],
    start_topology: Callable[..., subprocess.Popen[bytes]],
) -> None:
    source = topics.create("squid")
    for name in ("enrichments", "indexing"):
        topics.require(name)
    parser = {"parserClassName": "JSONMap", "parserConfig": {"mapStrategy": "ALLOW"}, "sensorTopic": source}
    directory = config(search, {"es.ip": [search.server.url.removeprefix("http://")]}, parser)
    assert zk_load_configs(["-m", "PUSH", "-i", str(directory), "-z", quorum]) == 0
    common = ["-z", quorum, "-k", topics.hosts]
    target = [] if search.kind == "elasticsearch" else ["-o", "opensearch:"]
    running = [
        start_topology("start_parser_topology", *common, "-s", "squid"),
        start_topology("start_enrichment_topology", *common),
        start_topology("start_elasticsearch_topology", *common, *target),
    ]
    topics.send(source, [*(json.dumps({"n": number, "of": source}).encode() for number in range(3)), b"garbage"])

    # The topics between have messages of other tests, too
    def documents() -> list[Record]:
        return [each for each in search.documents("squid") if each.get("of") == source]

    wait_for(lambda: len(documents()) == 3, "documents")
    wait_for(lambda: any(each["origin"] == source for each in search.documents("error")), "an error document")
    for process in running:
        process.send_signal(signal.SIGTERM)
        assert process.wait(LIMIT) == 0
    assert sorted(each["n"] for each in documents()) == [0, 1, 2]
    assert {each["source:type"] for each in documents()} == {"squid"}


def test_messages_that_are_read_again_make_the_same_documents(
    search: Search, topics: Topics, config: Callable[..., Path], start: Start
) -> None:
    source = topics.create("squid")
    options = [*configure(config, search, source), "--output", search.target, "--errors", search.target]
    topics.send(source, [*messages(50), b"garbage"])
    for group in (topics.name("first"), topics.name("second")):
        worker = start(*options, "--idempotent", "--group", group)
        topics.wait_until_committed(group, source)
        assert "51 parsed = 50 out + 0 dropped + 1 rejected" in worker.stop()
    hits = search.hits("squid")
    assert sorted(hit["_source"]["n"] for hit in hits) == list(range(50))
    assert all(hit["_id"] == hit["_source"]["guid"] for hit in hits)
    assert len(search.hits("error")) == 1


def test_identifiers_and_times_of_the_first_stage_reach_the_index(
    search: Search, topics: Topics, config: Callable[..., Path], start: Start
) -> None:
    source, between = topics.create("squid"), topics.create("indexing")
    common = configure(config, search, source)
    topics.send(source, messages(5), timestamp=1571163620277)
    worker = start(*common, "--idempotent", "--output", f"topic:{between}", "--errors", f"topic:{between}")
    topics.wait_until_committed(f"{source}_parser", source)
    worker.stop()
    ids = [dict(message.headers())["document-id"].decode() for message in topics.read(between)]
    for group in (topics.name("first"), topics.name("second")):
        index = ["--stage", "index", "--input", between, "--group", group, "--output", search.target]
        worker = start(*common[:2], *index, "--errors", f"topic:{between}")
        topics.wait_until_committed(group, between)
        worker.stop()
    assert sorted(hit["_id"] for hit in search.hits("squid")) == sorted(ids)
    assert {hit["_index"] for hit in search.hits("squid")} == {f"{search.name('squid')}_index_2019.10.15.18"}


def test_a_document_that_is_rejected_goes_to_the_error_topic(
    search: Search, topics: Topics, config: Callable[..., Path], start: Start
) -> None:
    search.map("squid", n="integer")
    source, errors = topics.create("squid"), topics.create("errors")
    worker = start(*configure(config, search, source), "--output", search.target, "--errors", f"topic:{errors}")
    topics.send(source, [*messages(2), b'{"timestamp": 1, "n": "none"}'])
    topics.wait_until_committed(f"{source}_parser", source)
    assert "3 parsed = 2 out + 0 dropped + 1 rejected" in worker.stop()
    (error,) = topics.documents(errors)
    assert (error["stage"], json.loads(error["raw_message"])["n"]) == ("write", "none")
    assert search.count("squid") == 2


def test_documents_wait_for_a_server_that_is_killed(
    topics: Topics, config: Callable[..., Path], start: Start, engines: None
) -> None:
    from engines.opensearch.server import OpenSearch

    with OpenSearch() as server:
        search = Search("opensearch", server)
        source = topics.create("squid")
        options = configure(config, search, source, batchSize=100)
        worker = start(*options, "--output", search.target, "--errors", search.target)
        topics.send(source, messages(1000))
        topics.wait_until_committed(f"{source}_parser", source)
        server.daemon.kill()
        topics.send(source, messages(1000, 1000))
        wait_for(lambda: "documents wait until it is available" in worker.printed, "the warning")
        assert topics.lag(f"{source}_parser", source) > 0
        server.start()
        topics.wait_until_committed(f"{source}_parser", source)
        printed = worker.stop()
        assert "is available again" in printed
        assert "2,000 parsed = 2,000 out" in printed
        assert sorted(each["n"] for each in search.documents("squid")) == list(range(2000))


def test_a_worker_that_is_stopped_while_the_server_is_away_commits_nothing(
    topics: Topics, config: Callable[..., Path], start: Start, engines: None
) -> None:
    from engines.opensearch.server import OpenSearch

    with OpenSearch() as server:
        search = Search("opensearch", server)
        source = topics.create("squid")
        options = [*configure(config, search, source), "--output", search.target, "--errors", search.target]
        worker = start(*options, "--idempotent")
        topics.send(source, messages(10))
        topics.wait_until_committed(f"{source}_parser", source)
        server.daemon.kill()
        topics.send(source, messages(10, 10))
        wait_for(lambda: "documents wait until it is available" in worker.printed, "the warning")
        worker.process.send_signal(signal.SIGTERM)
        assert worker.process.wait(LIMIT) == 1
        assert "stopped while a target was not available for 20 s; messages whose documents" in worker.printed
        topics.workers.remove(worker)
        assert topics.lag(f"{source}_parser", source) == 10
        server.start()
        start(*options, "--idempotent")
        topics.wait_until_committed(f"{source}_parser", source)
        assert sorted(each["n"] for each in search.documents("squid")) == list(range(20))


def test_a_changed_index_takes_effect_without_a_restart(
    opensearch_only: Search, topics: Topics, quorum: str, config: Callable[..., Path], start: Start
) -> None:
    search, source = opensearch_only, topics.create("squid")
    parser = {"parserClassName": "JSONMap", "parserConfig": {"mapStrategy": "ALLOW"}, "sensorTopic": source}

    def push(**writer: object) -> None:
        directory = config(search, parser=parser, **writer)
        assert zk_load_configs(["-m", "PUSH", "-i", str(directory), "-z", quorum]) == 0

    push()
    location = ["--config", f"zookeeper:{quorum}/metron", "--sensor", "squid"]
    worker = start(*location, "--output", search.target, "--errors", search.target)
    topics.send(source, messages(1))
    wait_for(lambda: search.count("squid") == 1, "a document")

    push(index="Squid")
    wait_for(lambda: "invalid name of an index" in worker.printed, "the rejection")

    def send_and_count() -> int:
        topics.send(source, messages(1))
        topics.wait_until_committed(f"{source}_parser", source)
        return search.count("other")

    push(index=search.name("other"))
    wait_for(lambda: send_and_count() > 0, "the new index")
    worker.stop()


def test_a_worker_writes_to_hdfs(
    topics: Topics, hdfs: Hdfs, tmp_path: Path, opensearch_only: Search, config: Callable[..., Path], start: Start
) -> None:
    source = topics.create("squid")
    target = f"{hdfs.url.replace('http:', 'webhdfs:')}/{tmp_path.name}"
    worker = start(*configure(config, opensearch_only, source), "--output", target, "--errors", target)
    topics.send(source, messages(20))
    wait_for(lambda: topics.lag(f"{source}_parser", source) == 0, "a file")
    worker.stop()
    assert topics.lag(f"{source}_parser", source) == 0
    with WebHdfs([hdfs.url]) as client:
        (day,) = client.list(f"/{tmp_path.name}/squid")
        folder = f"/{tmp_path.name}/squid/{day.name}"
        contents = [client.read(f"{folder}/{file.name}") for file in client.list(folder)]
    found = [json.loads(line) for content in contents for line in content.splitlines()]
    assert sorted(each["n"] for each in found) == list(range(20))
