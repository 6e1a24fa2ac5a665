"""JSON for topics, and properties of clients, without a broker."""

from __future__ import annotations

import json
import logging

import pytest

from stellar.pipeline.connectors.kafka.settings import check_brokers, make_settings, translate
from stellar.pipeline.connectors.kafka.values import to_topic_bytes
from stellar.pipeline.worker.spout import translate_spout


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("http://a/b", b'"http:\\/\\/a\\/b"'),
        ('a\\/"', b'"a\\\\\\/\\""'),
        ("\x1f\x7f\x9f\u2028\u20ac", b'"\\u001F\\u007F\\u009F\\u2028\\u20AC"'),
        ("\\u001f", b'"\\\\u001f"'),
        ("ü \u2100 😀", '"ü \u2100 😀"'.encode()),
        ("\n\t\b", b'"\\n\\t\\b"'),
        (float("nan"), b"null"),
        ([1, "a/b"], b'[1,"a\\/b"]'),
    ],
)
def test_values_are_escaped_as_metron_does(value: object, expected: bytes) -> None:
    encoded = to_topic_bytes({"v": value})
    assert encoded == b'{"v":' + expected + b"}"
    assert json.loads(encoded)["v"] == (None if value != value else value)


def test_names_of_fields_are_escaped_too() -> None:
    assert to_topic_bytes({"a/b": 1}) == b'{"a\\/b":1}'


def test_java_properties_are_translated(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        properties = translate({
            "key.deserializer": "x", "max.poll.records": 5, "security.protocol": "plaintextsasl",
            "enable.auto.commit": True, "acks": 1, "client.id": "me", "socket.keepalive.enable": True, "none": None,
        })  # fmt: skip
    assert properties == {
        "security.protocol": "SASL_PLAINTEXT",
        "client.id": "me",
        "socket.keepalive.enable": "true",
    }
    assert [message.split()[2] for message in caplog.messages] == ["enable.auto.commit", "acks"]


@pytest.mark.parametrize("hosts", ["", "node1", "node1:", ":9092", "node1:0", "node1:65536", "a:1,,b:2", "a:x"])
def test_invalid_brokers_are_rejected(hosts: str) -> None:
    with pytest.raises(ValueError, match="invalid Kafka broker"):
        check_brokers(hosts)


def test_later_properties_take_precedence() -> None:
    settings = make_settings(None, [{"bootstrap.servers": "a:1", "client.id": "x"}, {"client.id": "y"}], "ssl")
    assert settings.make_properties({"client.id": "z"}) == {
        "bootstrap.servers": "a:1",
        "client.id": "z",
        "security.protocol": "SSL",
    }
    assert make_settings("b:2", [{"bootstrap.servers": "a:1"}]).brokers == "b:2"
    with pytest.raises(ValueError, match="no Kafka brokers configured"):
        make_settings(None)


def test_properties_of_the_user_take_precedence_over_defaults() -> None:
    settings = make_settings("a:1", [{"linger.ms": 5, "bootstrap.servers": "b:2", "group.id": "x"}])
    assert settings.make_properties({"group.id": "y"}, defaults={"linger.ms": 20, "batch.size": 9}) == {
        "bootstrap.servers": "a:1",
        "linger.ms": 5,
        "batch.size": 9,
        "group.id": "y",
    }


def test_options_of_the_spout_are_properties_of_the_consumer() -> None:
    options = {"spout.firstPollOffsetStrategy": "UNCOMMITTED_LATEST", "spout.maxRetries": 3, "session.timeout.ms": 9}
    assert translate_spout(options) == {"auto.offset.reset": "latest", "session.timeout.ms": 9}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"spout.firstPollOffset": "LATEST"}, "unknown option 'spout.firstPollOffset'; did you mean"),
        ({"spout.firstPollOffsetStrategy": "FIRST"}, "unknown spout.firstPollOffsetStrategy 'FIRST'"),
        ({"ssl.truststore.location": "x"}, "ssl.truststore.location is a property of Kafka's Java client; set"),
    ],
)
def test_options_of_the_spout_that_are_unknown_are_errors(options: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        translate_spout(options)
