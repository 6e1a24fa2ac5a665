"""Fixtures of the pipeline's tests: configurations in files, and pipelines built from them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stellar.language.context import NOTHING, Context
from stellar.pipeline import build_pipeline, load_config
from stellar.pipeline.pipeline import Pipeline
from stellar.pipeline.records import Raw, Record, Rejected

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
