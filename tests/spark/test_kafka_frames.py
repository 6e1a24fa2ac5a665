"""Pipelines on data frames of Spark's source for Kafka: batches, and streams with checkpoints."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

sys.path.append(str(Path(__file__).parents[1] / "pipeline"))

from kafka_topics import Topics

pytest.importorskip("pyspark")

from stellar.pipeline.worker.document_ids import make_document_id
from stellar.spark import Transformed, read_pipeline, transform

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from engines.kafka.server import Kafka

pytestmark = pytest.mark.engine
Configure = Callable[[dict[str, Any]], Path]


@pytest.fixture
def topics(kafka: Kafka) -> Topics:
    return Topics(kafka.hosts)


def make_config(configure: Configure, **topics: str) -> Path:
    """Return a configuration with a sensor for each topic, whose records have the key of their message."""
    parser = {"parserClassName": "JSONMap", "readMetadata": True, "mergeMetadata": True}
    return configure({f"parsers/{name}.json": {**parser, "sensorTopic": topic} for name, topic in topics.items()})


def subscribe(reader: Any, topics: Topics, *names: str) -> Any:
    options = {"kafka.bootstrap.servers": topics.hosts, "subscribe": ",".join(names), "startingOffsets": "earliest"}
    return reader.format("kafka").options(**options)


def read_topic(spark: SparkSession, config: Path, topics: Topics, *names: str) -> Transformed:
    return transform(subscribe(spark.read, topics, *names).load(), read_pipeline(config, "a,b"))


def test_messages_are_processed_by_the_sensor_of_their_topic(
    spark: SparkSession, topics: Topics, configure: Configure
) -> None:
    first, second, other = (topics.create(name) for name in ("first", "second", "other"))
    topics.send(first, [b'{"n":1}', b"{"], key=b'{"customer":"x"}')
    topics.send(second, [b'{"n":2}'])
    topics.send(second, [None])  # type: ignore[list-item]  # a tombstone
    topics.send(other, [b'{"n":3}'])
    transformed = read_topic(spark, make_config(configure, a=first, b=second), topics, first, second, other)
    documents = sorted(((row.sensor, json.loads(row.value)) for row in transformed.documents.collect()), key=str)
    assert [(sensor, document["n"]) for sensor, document in documents] == [("a", 1), ("b", 2)]
    assert documents[0][1]["metron.metadata.customer"] == "x"
    assert documents[0][1]["metron.metadata.topic"] == first
    errors = sorted((json.loads(row.value) for row in transformed.errors.collect()), key=lambda error: error["origin"])
    assert {(error["origin"], error["offset"]) for error in errors} == {(first, 1), (second, 1), (other, 0)}
    assert any("no sensor of this run reads the topic" in error["message"] for error in errors)
    counts = transformed.read_counts()
    assert (counts.read, counts.out, counts.rejected) == (5, 2, 3)


def test_identifiers_are_made_of_positions(spark: SparkSession, topics: Topics, configure: Configure) -> None:
    source = topics.create("in")
    topics.send(source, [b'[{"n":1},{"n":2}]', b"{", b'[{"n":3,"guid":"own"}]'])
    config = configure({"parsers/a.json": {
        "parserClassName": "JSONMap", "sensorTopic": source, "parserConfig": {"jsonpQuery": "$"},
    }})  # fmt: skip
    frame = subscribe(spark.read, topics, source).load()
    runs = [
        [json.loads(row.value)["guid"] for row in transform(frame, pipeline).outcomes.collect()]
        for pipeline in (read_pipeline(config, "a", idempotent=True, in_flight=count) for count in (1, 1, 4))
    ]
    assert runs[0] == runs[1] == runs[2]
    assert len(set(runs[0])) == 4
    assert runs[0][-1] == "own"
    by_uuid = read_pipeline(config, "a", idempotent=True, kafka=topics.hosts)
    assert by_uuid.topic_ids is not None
    uuid = by_uuid.topic_ids[source]
    assert uuid != source
    guids = [json.loads(row.value)["guid"] for row in transform(frame, by_uuid).outcomes.collect()]
    assert guids[:2] == [make_document_id(uuid, 0, 0, number) for number in range(2)]
    other = topics.create("other")
    topics.send(other, [b"{}"])
    with pytest.raises(Exception, match="no UUID of the topic"):
        transform(subscribe(spark.read, topics, source, other).load(), by_uuid).outcomes.collect()
    with pytest.raises(ValueError, match="kafka has no effect without idempotent"):
        read_pipeline(config, "a", kafka=topics.hosts)
    with pytest.raises(ValueError, match="no positions in the data frame, which idempotent needs"):
        transform(frame.select("value"), read_pipeline(config, "a", idempotent=True))


def test_a_stream_continues_from_its_checkpoint_and_writes_to_topics(
    spark: SparkSession, topics: Topics, configure: Configure, tmp_path: Path
) -> None:
    source, out, errors = topics.create("in", 3), topics.create("out"), topics.create("errors")
    config = make_config(configure, a=source, b="unused")

    def run() -> None:
        frame = subscribe(spark.readStream, topics, source).load()
        outcomes = transform(frame, read_pipeline(config, "a,b")).outcomes
        rows = outcomes.selectExpr("value", f"IF(kind = 'document', '{out}', '{errors}') AS topic")
        writer = rows.writeStream.format("kafka").option("kafka.bootstrap.servers", topics.hosts)
        writer = writer.option("checkpointLocation", str(tmp_path / "checkpoint")).trigger(availableNow=True)
        writer.start().awaitTermination()

    for start in (0, 300):
        for n in range(start, start + 300):
            topics.send(source, [b"{" if n % 10 == 9 else b'{"n":%d}' % n], partition=n % 3)
        run()
    run()  # there is nothing new
    written = [document["n"] for document in topics.documents(out)]
    for partition in range(3):
        numbers = [n for n in range(600) if n % 3 == partition and n % 10 != 9]
        assert sorted(n for n in written if n % 3 == partition) == numbers
    assert len(written) == 540
    assert sorted(error["offset"] for error in topics.documents(errors)) == sorted(n // 3 for n in range(9, 600, 10))
