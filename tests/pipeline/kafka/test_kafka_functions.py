"""The functions KAFKA_* on a broker."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest
from kafka_topics import Topics

import stellar
from stellar.functions import SHELL_LIBRARY
from stellar.language.context import Context, GlobalSettings

pytestmark = pytest.mark.engine

Evaluate = Callable[..., Any]


@pytest.fixture
def evaluate(topics: Topics) -> Evaluate:
    """A function that evaluates an expression, with the broker and a short time to wait in the global configuration."""

    def evaluate(text: str, wait: int = 60_000, **variables: Any) -> Any:
        settings = GlobalSettings({
            "bootstrap.servers": topics.hosts, "group.id": topics.name("shell"), "es.clustername": "metron",
            "stellar.kafka.max.wait.millis": wait,
        })  # fmt: skip
        expression = stellar.compile(text, library=SHELL_LIBRARY)
        return expression(variables, Context({GlobalSettings: settings}))

    return evaluate


def send_until_done(topics: Topics, topic: str, values: list[bytes], work: Callable[[], Any]) -> Any:
    """Return the result of a function that waits for messages, which are sent until it has them."""
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(work()))
    thread.start()
    while thread.is_alive():
        topics.send(topic, values)
        thread.join(0.2)
    return results[0]


def test_messages_are_read_from_where_the_last_call_ended(topics: Topics, evaluate: Evaluate) -> None:
    topic = topics.create("t")
    early = {"auto.offset.reset": "earliest"}
    assert evaluate("KAFKA_PUT(t, ['one', 'two', 'three'])", t=topic) == 3
    assert evaluate("KAFKA_GET(t, 1, c)", t=topic, c=early) == ["one"]
    assert evaluate("KAFKA_GET(t, 2)", t=topic) == ["two", "three"]
    assert evaluate("KAFKA_GET(t, 2)", wait=300, t=topic) == []
    assert evaluate("KAFKA_PUT(t, 'four')", t=topic) == 1
    assert evaluate("KAFKA_GET(t)", t=topic) == ["four"]
    assert evaluate("KAFKA_GET(t, 0)", t=topic) == []


def test_the_first_call_reads_from_the_end(topics: Topics, evaluate: Evaluate) -> None:
    topic = topics.create("t", 2)
    topics.send(topic, [b"before"])
    assert evaluate("KAFKA_GET(t)", wait=300, t=topic) == []
    topics.send(topic, [b"between"])
    assert evaluate("KAFKA_GET(t)", t=topic) == ["between"]


def test_the_rich_view_has_positions(topics: Topics, evaluate: Evaluate) -> None:
    topic = topics.create("t")
    rich = {"stellar.kafka.message.view": "rich"}
    first, second = evaluate("KAFKA_PUT(t, ['one', 'two'], c)", t=topic, c=rich)
    assert (first["topic"], first["partition"], first["offset"], second["offset"]) == (topic, 0, 0, 1)
    found = evaluate("KAFKA_SEEK(t, 0, 1, c)", t=topic, c=rich)
    assert found == {**second, "value": "two", "key": None}
    assert evaluate("KAFKA_SEEK(t, 0, 0)", t=topic) == "one"
    assert evaluate("KAFKA_SEEK(t, 0, 2)", wait=300, t=topic) is None


def test_tail_reads_only_what_arrives(topics: Topics, evaluate: Evaluate) -> None:
    topic = topics.create("t")
    topics.send(topic, [b"before"])
    found = send_until_done(topics, topic, [b"after"], lambda: evaluate("KAFKA_TAIL(t, 2)", t=topic))
    assert found == ["after", "after"]


def test_find_selects_by_a_lambda(topics: Topics, evaluate: Evaluate, caplog: pytest.LogCaptureFixture) -> None:
    topic = topics.create("t")
    values = [b"no JSON", b"[1]", b'{"n":null}', b'{"n":1}', b'{"n":7}']
    with caplog.at_level(logging.WARNING):
        find = "KAFKA_FIND(t, m -> if MAP_GET('n', m) == 7 then true else MAP_GET('n', m), 2)"
        found = send_until_done(topics, topic, values, lambda: evaluate(find, t=topic))
    assert [json.loads(each) for each in found] == [{"n": 7}, {"n": 7}]
    warned = " ".join(caplog.messages)
    assert "it is not valid JSON" in warned
    assert "it is not a JSON object" in warned
    assert "the filter returned null, neither true nor false" in warned


def test_properties_need_no_broker(evaluate: Evaluate) -> None:
    properties = evaluate("KAFKA_PROPS({'group.id': 'mine'})")
    assert properties["group.id"] == "mine"
    assert properties["es.clustername"] == "metron"
    assert properties["max.poll.records"] == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("KAFKA_GET('no-such-topic')", "KAFKA_GET failed: topic 'no-such-topic' does not exist"),
        ("KAFKA_PUT('no-such-topic', 'a')", "KAFKA_PUT failed: topic 'no-such-topic' does not exist"),
        ("KAFKA_SEEK(t, 5, 0)", "has no partition 5"),
        ("KAFKA_GET(t, 'x')", "KAFKA_GET expected an integer of 0 or more as count, got the string 'x'"),
        ("KAFKA_GET(null)", "KAFKA_GET expected the name of a topic, got null"),
        ("KAFKA_FIND(t, null)", "KAFKA_FIND expected a lambda as filter, got null"),
        ("KAFKA_GET(t, 1, {'bootstrap.servers': 'nowhere'})", "invalid Kafka broker 'nowhere': expected HOST:PORT"),
        ("KAFKA_GET(t, 1, {'sasl.jaas.config': 'x'})", "sasl.jaas.config is a property of Kafka's Java client; set"),
    ],
)
def test_failures_are_errors_with_their_reason(topics: Topics, evaluate: Evaluate, text: str, message: str) -> None:
    topic = topics.create("t")
    with pytest.raises(stellar.EvaluationError) as failed:
        evaluate(text, t=topic)
    assert message in str(failed.value)


def test_a_message_that_is_too_large_counts_and_is_reported(
    topics: Topics, evaluate: Evaluate, caplog: pytest.LogCaptureFixture
) -> None:
    topic = topics.create("t", **{"max.message.bytes": "1000"})
    with caplog.at_level(logging.WARNING):
        assert evaluate("KAFKA_PUT(t, ['small', m])", t=topic, m="x" * 5000, wait=5000) == 2
    assert f"KAFKA_PUT: message was not stored in {topic}" in caplog.text
    with pytest.raises(stellar.EvaluationError, match="KAFKA_PUT failed"):
        evaluate("KAFKA_PUT(t, m, c)", t=topic, m="x" * 5000, c={"stellar.kafka.message.view": "rich"})
    assert [message.value() for message in topics.read(topic)] == [b"small"]
