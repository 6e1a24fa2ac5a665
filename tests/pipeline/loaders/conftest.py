"""Fixtures of the tests of loaders: extractors in files, and the command."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stellar.pipeline.config.loading import parse_extractor
from stellar.pipeline.config.locations import SourceLocation
from stellar.pipeline.loaders.cli import main
from stellar.pipeline.loaders.extractors import build_extractor
from stellar.pipeline.loaders.rows import Extracted, ExtractedRow, RejectedRow
from stellar.pipeline.loaders.sources import open_source
from stellar.stores.base import Row
from stellar.stores.sqlite import SqliteStore

Extract = Callable[..., list[Extracted]]


@pytest.fixture
def extract(tmp_path: Path) -> Extract:
    """A function that extracts the rows of a content."""

    def run(extractor: str, content: str | bytes, /, form: str | None = None, **options: Any) -> list[Extracted]:
        configured = {"extractor": extractor, "config": options} | ({} if form is None else {"inputFormat": form})
        location = SourceLocation("extractor.json")
        config = parse_extractor(json.dumps(configured), location)
        path = tmp_path / "input"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        with open_source(str(path)) as source:
            return list(build_extractor(config, location)(source))

    return run


def describe(rows: list[Extracted]) -> list[Any]:
    """Return rows as `(type, indicator, value)`, rejected ones as `line: reason`, and ignored ones as None."""
    return [
        (row.kind, row.indicator, row.value)
        if isinstance(row, ExtractedRow)
        else f"{row.line}: {row.reason}"
        if isinstance(row, RejectedRow)
        else None
        for row in rows
    ]


class Loader:
    """The command in a directory, with a store in a file."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.path = directory / "store.db"

    def write(self, name: str, content: Any) -> str:
        """Write a file, a map as JSON, and return its name."""
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        return str(path)

    def load(self, *arguments: str, table: str = "enrichment") -> int:
        """Run `load` with the extractor `extractor.json`."""
        extractor = str(self.directory / "extractor.json")
        return main(["load", "-e", extractor, "-t", table, "--store", f"sqlite:{self.path}", *arguments])

    def rows(self, table: str = "enrichment") -> dict[tuple[str, str], Any]:
        """Return the values in the store by type and indicator."""
        if not self.path.exists():
            return {}
        store = SqliteStore(str(self.path))
        found: list[Row] = list(store.scan(table))
        store.close()
        return {(row.kind, row.indicator): row.value for row in found}


@pytest.fixture
def loader(tmp_path: Path) -> Loader:
    return Loader(tmp_path)
