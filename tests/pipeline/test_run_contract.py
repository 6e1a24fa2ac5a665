"""The contract of a run on files, in several processes, on Kafka and on Spark: counts, order, errors, nothing lost."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

sys.path.append(str(Path(__file__).parent))

from kafka_topics import PROGRAM, Topics, Worker, wait_for

from stellar.pipeline.records import Record
from stellar.pipeline.run import Counts

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from engines.kafka.server import Kafka

_COUNTS = re.compile(r"([\d,]+) (lines read|parsed|out|dropped|rejected|reports)")


@dataclass(frozen=True)
class Result:
    records: list[Record]
    errors: list[Record]
    counts: dict[str, int]


Run = Callable[[Path, list[bytes]], Result]


def read_counts(printed: str) -> dict[str, int]:
    return {name: int(number.replace(",", "")) for number, name in _COUNTS.findall(printed.splitlines()[-1])}


def read_lines(path: Path) -> list[Record]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def run_on_files(config: Path, lines: list[bytes], folder: Path, *more: str) -> Result:
    (folder / "in.log").write_bytes(b"".join(line + b"\n" for line in lines))
    out, errors = folder / "out.jsonl", folder / "errors.jsonl"
    targets = ["--output", str(out), "--errors", str(errors)]
    options = ["run", "--config", str(config), "--sensor", "s", *targets, *more, str(folder / "in.log")]
    done = subprocess.run([sys.executable, "-c", PROGRAM, *options], capture_output=True, text=True, check=True)
    return Result(read_lines(out), read_lines(errors), read_counts(done.stderr))


def run_on_topics(config: Path, lines: list[bytes], folder: Path, hosts: str, *options: str) -> Result:
    topics = Topics(hosts)
    source, out, errors = (topics.create(name) for name in ("in", "out", "errors"))
    parser = json.loads((config / "parsers" / "s.json").read_text())
    (config / "parsers" / "s.json").write_text(json.dumps({**parser, "sensorTopic": source}))
    topics.send(source, lines)
    targets = ["--output", f"topic:{out}", "--errors", f"topic:{errors}"]
    worker = Worker(folder, ["worker", "--kafka", hosts, "--config", str(config), "--sensor", "s", *targets, *options])
    topics.workers.append(worker)
    try:
        topics.wait_until_committed(f"{source}_parser", source)
        printed = worker.stop()
    finally:
        worker.kill()
    return Result(topics.documents(out), topics.documents(errors), read_counts(printed))


def run_on_frames(spark: SparkSession, config: Path, lines: list[bytes], folder: Path) -> Result:
    """Run on a data frame with one partition."""
    from stellar.spark import read_pipeline, transform

    (folder / "in.log").write_bytes(b"".join(line + b"\n" for line in lines))
    transformed = transform(spark.read.text(str(folder / "in.log")), read_pipeline(config, "s"))
    transformed.outcomes.select("kind", "value").write.partitionBy("kind").text(str(folder / "out"))
    return Result(*read_outcomes(folder / "out"), name_counts(transformed.read_counts()))


def run_on_streams(spark: SparkSession, config: Path, lines: list[bytes], folder: Path) -> Result:
    """Run on a stream of two files, of which the second appears before a restart from the checkpoint."""
    from stellar.spark import StreamCounts, read_pipeline, transform

    counts = StreamCounts()
    spark.streams.addListener(counts)
    half = len(lines) // 2
    (folder / "in").mkdir()
    seen = 0
    for number, part in enumerate((lines[:half], lines[half:])):
        seen += len(part)
        (folder / "in" / f"{number}.log").write_bytes(b"".join(line + b"\n" for line in part))
        outcomes = transform(spark.readStream.text(str(folder / "in")), read_pipeline(config, "s")).outcomes
        writer = outcomes.select("kind", "value").writeStream.partitionBy("kind").format("text")
        writer = writer.option("checkpointLocation", str(folder / "checkpoint")).trigger(availableNow=True)
        writer.start(str(folder / "out" / str(number))).awaitTermination()
        wait_for(lambda seen=seen: counts.total.read >= seen, "the counts")
    spark.streams.removeListener(counts)
    found = [read_outcomes(folder / "out" / str(number)) for number in range(2)]
    records, errors = ([document for part in found for document in part[index]] for index in range(2))
    return Result(records, errors, name_counts(counts.total))


def read_outcomes(folder: Path) -> tuple[list[Record], list[Record]]:
    """Return the documents and the errors in files that Spark has written, in the order of partitions."""
    files = (sorted(folder.glob(f"kind={kind}/*.txt")) for kind in ("document", "error"))
    documents, errors = ([record for file in each for record in read_lines(file)] for each in files)
    return documents, errors


def name_counts(counts: Counts) -> dict[str, int]:
    return {"lines read" if name == "read" else name: count for name, count in vars(counts).items()}


ON_ENGINES = ("kafka", "kafka in flight", "spark", "spark stream")


@pytest.fixture(params=["files", "workers", *(pytest.param(name, marks=pytest.mark.engine) for name in ON_ENGINES)])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Run:
    """A function that runs the sensor `s` of a configuration on lines."""
    if request.param in ("files", "workers"):
        more = ["--workers", "3"] if request.param == "workers" else []
        return lambda config, lines: run_on_files(config, lines, tmp_path, *more)
    if request.param.startswith("spark"):
        spark: SparkSession = request.getfixturevalue("spark")
        run = run_on_frames if request.param == "spark" else run_on_streams
        return lambda config, lines: run(spark, config, lines, tmp_path)
    kafka: Kafka = request.getfixturevalue("kafka")
    options = ["--in-flight", "8"] if request.param == "kafka in flight" else []
    return lambda config, lines: run_on_topics(config, lines, tmp_path, kafka.hosts, *options)


@pytest.fixture
def configure(tmp_path: Path) -> Callable[..., Path]:
    def configure(parser: Record, enrichment: Record | None = None, **globals: Any) -> Path:
        files = {"parsers/s.json": parser, "enrichments/s.json": enrichment or {}, "global.json": globals}
        for name, content in files.items():
            path = tmp_path / "config" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(content))
        return tmp_path / "config"

    return configure


def check_balance(counts: dict[str, int]) -> None:
    assert counts["parsed"] == counts["out"] + counts["dropped"] + counts["rejected"]


NUMBERED = {
    "parserClassName": "CSV",
    "filterClassName": "STELLAR",
    "parserConfig": {"columns": ["n", "kind"], "filter.query": "kind != 'dropped'"},
    "fieldTransformations": [
        {"transformation": "STELLAR", "output": ["n", "half"], "config": {"n": "TO_INTEGER(n)", "half": "n / 2"}}
    ],
}


def test_every_line_is_an_outcome_in_the_order_of_the_input(run: Run, configure: Callable[..., Path]) -> None:
    kinds = ["good", "dropped", "good", "good", "bad"]
    lines = [f"{n},{kinds[n % 5]}".encode() if kinds[n % 5] != "bad" else f"{n}".encode() for n in range(1000)]
    result = run(configure(NUMBERED), lines)
    assert [record["n"] for record in result.records] == [n for n in range(1000) if kinds[n % 5] == "good"]
    assert [error["raw_message"] for error in result.errors] == [str(n) for n in range(4, 1000, 5)]
    assert {error["failed_sensor_type"] for error in result.errors} == {"s"}
    assert {error["error_type"] for error in result.errors} == {"parser_error"}
    expected = {"lines read": 1000, "parsed": 1000, "out": 600, "dropped": 200, "rejected": 200, "reports": 0}
    assert result.counts == expected
    check_balance(result.counts)


def test_a_line_with_several_records_counts_each(run: Run, configure: Callable[..., Path]) -> None:
    parser = {"parserClassName": "JSONMap", "parserConfig": {"jsonpQuery": "$"}}
    lines = [json.dumps([{"n": 2 * n}, {"n": 2 * n + 1}]).encode() for n in range(50)] + [b"{broken", b"[]"]
    result = run(configure(parser), lines)
    assert [record["n"] for record in result.records] == list(range(100))
    assert [error["raw_message"] for error in result.errors] == ["{broken"]
    assert result.counts["lines read"] == 52
    assert (result.counts["out"], result.counts["rejected"]) == (100, 1)
    check_balance(result.counts)


def test_failures_of_enrichment_are_reported_and_the_record_goes_on(run: Run, configure: Callable[..., Path]) -> None:
    stellar = {"config": {"fails": {"inverse": "1 / n"}, "works": {"twice": "n * 2"}}}
    rules = [{"rule": "n == 0", "score": 10, "reason": "'zero'"}]
    threat_intel = {"triageConfig": {"riskLevelRules": rules, "aggregator": "MAX"}}
    config = configure(
        {"parserClassName": "JSONMap"}, {"enrichment": {"fieldMap": {"stellar": stellar}}, "threatIntel": threat_intel}
    )
    lines = [json.dumps({"n": n % 2, "is_alert": "true", "timestamp": n}).encode() for n in range(20)]
    result = run(config, lines)
    assert [record["twice"] for record in result.records] == [0, 2] * 10
    assert [record.get("threat.triage.score") for record in result.records] == [10.0, None] * 10
    assert {error["error_type"] for error in result.errors} == {"enrichments_error"}
    assert len(result.errors) == 10
    assert (result.counts["out"], result.counts["reports"]) == (20, 10)
    check_balance(result.counts)


def test_invalid_records_have_error_documents_with_their_fields(run: Run, configure: Callable[..., Path]) -> None:
    validation = {"input": ["ip"], "validation": "IP", "config": {"type": "IPV4"}}
    lines = [b'{"ip":"10.0.0.1"}', b'{"ip":"nowhere"}', '{"ip":"10.0.0.2","t":"\u2028 / ü"}'.encode()]
    result = run(configure({"parserClassName": "JSONMap"}, fieldValidations=[validation]), lines)
    assert [record["ip"] for record in result.records] == ["10.0.0.1", "10.0.0.2"]
    assert result.records[1]["t"] == "\u2028 / ü"
    (error,) = result.errors
    assert (error["error_type"], error["error_fields"]) == ("parser_invalid", "ip")
    check_balance(result.counts)
