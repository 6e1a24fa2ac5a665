"""stellar-pipeline topic, and the topics of a worker of each phase."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from kafka_topics import Topics

from stellar.pipeline.cli import main
from stellar.pipeline.connectors.kafka import topics as topic_administration

pytestmark = pytest.mark.engine


def test_lines_that_are_sent_are_printed_by_tail(
    topics: Topics, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    name = topics.name("squid")
    kafka = ["--kafka", topics.hosts]
    assert main(["topic", "create", name, "--partitions", "1", "--property", "retention.ms=3600000", *kafka]) == 0
    (tmp_path / "access.log").write_bytes("one\ntwo ü\n\nthree".encode())
    assert main(["topic", "send", name, str(tmp_path / "access.log"), *kafka]) == 0
    assert capfdbinary.readouterr().err.decode() == f"stellar-pipeline: 4 messages sent to {name}\n"
    assert main(["topic", "tail", name, "--from-beginning", "--until-end", *kafka]) == 0
    assert capfdbinary.readouterr().out == "one\ntwo ü\n\nthree\n".encode()
    assert main(["topic", "tail", name, "--from-beginning", "--count", "1", "--details", *kafka]) == 0
    details = json.loads(capfdbinary.readouterr().out)
    assert details.pop("time") > 1_700_000_000_000
    assert details == {"partition": 0, "offset": 0, "key": None, "value": "one"}
    assert main(["topic", "list", *kafka]) == 0
    assert f"{name}\t1\n" in capfdbinary.readouterr().out.decode()


def test_lines_come_from_standard_input(
    topics: Topics, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    name = topics.create("in", 3)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"a\nb\n")))
    assert main(["topic", "send", name, "--kafka", topics.hosts]) == 0
    assert sorted(message.value() for message in topics.read(name)) == [b"a", b"b"]


def test_lines_that_are_too_large_are_reported(
    topics: Topics, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    name = topics.create("small", **{"max.message.bytes": "1000"})
    log = tmp_path / "in.log"
    log.write_bytes(b"short\n" + b"x" * 2000 + b"\nshort too\n")
    assert main(["topic", "send", name, str(log), "--kafka", topics.hosts]) == 1
    printed = capfd.readouterr().err
    assert f"not sent: {log}:2: message of 2,000 bytes is larger than the topic" in printed
    assert "2 messages sent" in printed
    assert [message.value() for message in topics.read(name)] == [b"short", b"short too"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["send", "{missing}"],
            "topic '{missing}' does not exist; create it with stellar-pipeline topic create {missing}",
        ),
        (
            ["tail", "{missing}"],
            "topic '{missing}' does not exist; create it with stellar-pipeline topic create {missing}",
        ),
        (["create", "{existing}"], "topic '{existing}' exists already"),
        (["create", "no good"], "invalid name of a topic 'no good'"),
        (["create", "{missing}", "--property", "no.such=1"], "no.such"),
        (["create", "{missing}", "--replicas", "3"], "only 1 broker(s) are registered"),
        (["create", "{missing}", "--kafka-property", "no.such=1"], 'No such configuration property: "no.such"'),
    ],
)
def test_failures_are_one_message(
    topics: Topics, arguments: list[str], message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    names = {"missing": topics.name("missing"), "existing": topics.create("existing")}
    action, *rest = (text.format(**names) for text in arguments)
    assert main(["topic", action, *rest, "--kafka", topics.hosts]) == 1
    (line,) = capfd.readouterr().err.splitlines()
    assert message.format(**names) in line


@pytest.mark.parametrize("action", ["create", "send"])
def test_brokers_that_cannot_be_reached_are_one_message(
    action: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(topic_administration, "CONNECT_SECONDS", 1.0)
    monkeypatch.setattr(topic_administration, "_CHANGE_TIMES", {"request_timeout": 1.0})
    (tmp_path / "in.log").write_text("a line\n")
    files = [str(tmp_path / "in.log")] if action == "send" else []
    assert main(["topic", action, "any", *files, "--kafka", "127.0.0.1:1"]) == 1
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("stellar-pipeline: cannot connect to Kafka at 127.0.0.1:1: ")
    assert line.endswith("check the hosts and ports")


def test_brokers_are_required(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["topic", "list"]) == 1
    assert capfd.readouterr().err == "stellar-pipeline: no Kafka brokers configured; pass --kafka HOST:PORT,...\n"
