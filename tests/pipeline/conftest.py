"""Fixtures of the pipeline's tests: configurations in files, pipelines built from them, and workers on topics."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

sys.path.append(str(Path(__file__).parent))

from kafka_topics import Topics, Worker

from stellar.language.context import NOTHING, Context
from stellar.pipeline import build_pipeline, load_config
from stellar.pipeline.pipeline import Pipeline
from stellar.pipeline.records import Raw, Record, Rejected

if TYPE_CHECKING:
    from engines.kafka.server import Kafka

Outcomes = list[Any]


@pytest.fixture(autouse=True)
def no_default_registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide a registry that the user who runs the tests may have."""
    monkeypatch.setenv("MAAS_HOME", str(tmp_path / "no-models"))


@pytest.fixture
def write_config(tmp_path: Path) -> Callable[..., Path]:
    """A function that writes a configuration directory for the sensor `squid`."""

    def write(parser: Any = None, enrichment: Any = None, globals: Any = None) -> Path:
        for name, content in (
            ("parsers/squid.json", {"parserClassName": "JSONMap"} if parser is None else parser),
            ("enrichments/squid.json", enrichment),
            ("global.json", globals),
        ):
            if content is not None:
                path = tmp_path / "config" / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        return tmp_path / "config"

    return write


@pytest.fixture
def make_pipeline(write_config: Callable[..., Path]) -> Callable[..., Pipeline]:
    """A function that builds the pipeline of a configuration."""

    def make(*, context: Context = NOTHING, **configs: Any) -> Pipeline:
        return build_pipeline(load_config(write_config(**configs), "squid"), context)

    return make


@pytest.fixture
def send(make_pipeline: Callable[..., Pipeline]) -> Callable[..., Record]:
    """A function that processes one record, given as JSON, and returns the finished record."""

    def one(record: Record, **configs: Any) -> Record:
        pipeline = make_pipeline(**configs)
        (outcome,) = pipeline(Raw(json.dumps({"timestamp": 1, "original_string": "o", **record}).encode()))
        assert not isinstance(outcome, Rejected), outcome.reason
        assert isinstance(outcome, dict), outcome
        assert pipeline.reports == []
        return outcome

    return one


def transforming(*transformations: Record, **options: Any) -> Record:
    """Return the configuration of a JSON parser with field transformations."""
    return {
        "parserClassName": "JSONMap",
        "parserConfig": {"mapStrategy": "ALLOW", **options},
        "fieldTransformations": list(transformations),
    }


def own_fields(record: Record) -> Record:
    """Return a record without the fields that every pipeline adds."""
    added = ("timestamp", "original_string", "source.type", "guid", "parallelenricher.", "adapter.")
    return {name: value for name, value in record.items() if not name.startswith(added)}


@pytest.fixture
def topics(kafka: Kafka) -> Topics:
    return Topics(kafka.hosts)


@pytest.fixture
def start(topics: Topics, tmp_path: Path) -> Iterator[Callable[..., Worker]]:
    """A function that starts `stellar-pipeline worker` with options."""

    def start(*options: str, hosts: str | None = None) -> Worker:
        topics.workers.append(Worker(tmp_path, ["worker", "--kafka", hosts or topics.hosts, *options]))
        return topics.workers[-1]

    yield start
    for worker in topics.workers:
        worker.kill()


@pytest.fixture
def start_topology(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """A function that starts one of Metron's commands."""
    processes = []

    def start(command: str, *arguments: str) -> subprocess.Popen[bytes]:
        program = f"import sys; from stellar.pipeline.cli.topologies import {command}; sys.exit({command}())"
        with (tmp_path / f"{command}.log").open("wb") as log:
            processes.append(subprocess.Popen([sys.executable, "-c", program, *arguments], stderr=log))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.wait()
