"""What the tests of the pipeline share: configurations in files, and pipelines built from them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stellar.language.context import NOTHING, Context
from stellar.pipeline.build import build
from stellar.pipeline.config.schema import load
from stellar.pipeline.pipeline import Pipeline
from stellar.pipeline.records import Raw, Record, Rejected

Outcomes = list[Any]


@pytest.fixture(autouse=True)
def no_models_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the tests may have models of their own."""
    monkeypatch.setenv("MAAS_HOME", str(tmp_path / "no-models"))


@pytest.fixture
def write_config(tmp_path: Path) -> Callable[..., Path]:
    """Writes a configuration directory for the sensor `squid`."""

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
    """Builds the pipeline of a configuration."""

    def make(*, context: Context = NOTHING, **configs: Any) -> Pipeline:
        return build(load(write_config(**configs), "squid"), context)

    return make


@pytest.fixture
def send(make_pipeline: Callable[..., Pipeline]) -> Callable[..., Record]:
    """Sends one record, as JSON, through a pipeline; the result is that record at its end."""

    def one(record: Record, **configs: Any) -> Record:
        pipeline = make_pipeline(**configs)
        (outcome,) = pipeline(Raw(json.dumps({"timestamp": 1, "original_string": "o", **record}).encode()))
        assert not isinstance(outcome, Rejected), outcome.reason
        assert isinstance(outcome, dict), outcome
        assert pipeline.reports == []
        return outcome

    return one


def transforming(*transformations: Record, **options: Any) -> Record:
    """The configuration of a JSON parser with these field transformations."""
    return {
        "parserClassName": "JSONMap",
        "parserConfig": {"mapStrategy": "ALLOW", **options},
        "fieldTransformations": list(transformations),
    }


def own_fields(record: Record) -> Record:
    """A record without what every pipeline adds."""
    added = ("timestamp", "original_string", "source.type", "guid", "parallelenricher.", "adapter.")
    return {name: value for name, value in record.items() if not name.startswith(added)}
