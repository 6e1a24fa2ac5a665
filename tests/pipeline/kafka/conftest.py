"""Fixtures of the tests of workers: topics, and workers that end with the test."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

sys.path.append(str(Path(__file__).parents[1]))

from kafka_topics import Topics, Worker

if TYPE_CHECKING:
    from engines.kafka.server import Kafka


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
