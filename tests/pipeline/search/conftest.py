"""Fixtures of the tests of search servers: a server with a configuration that writes to it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).parents[1]))

from search_servers import Search

from stellar.pipeline.cli import main


@pytest.fixture(params=["opensearch", "elasticsearch"])
def search(request: pytest.FixtureRequest) -> Search:
    return Search(request.param, request.getfixturevalue(request.param))


@pytest.fixture
def opensearch_only(opensearch: Any) -> Search:
    return Search("opensearch", opensearch)


@pytest.fixture
def config(tmp_path: Path) -> Callable[..., Path]:
    """A function that writes the configuration of the sensor `squid`, whose indices have names of their own."""

    def write(search: Search, globals: Any = None, parser: Any = None, **writer: Any) -> Path:
        contents = {
            "parsers/squid.json": parser or {"parserClassName": "JSONMap", "parserConfig": {"mapStrategy": "ALLOW"}},
            "indexing/squid.json": {"elasticsearch": {"index": search.name("squid"), **writer}},
            "indexing/error.json": {"elasticsearch": {"index": search.name("error")}},
            "global.json": globals or {},
        }
        for name, content in contents.items():
            path = tmp_path / "config" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(content), encoding="utf-8")
        return tmp_path / "config"

    return write


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., int]:
    """A function that runs the pipeline on lines, and returns the exit status."""

    def run(config: Path, lines: list[str], *options: str) -> int:
        log = tmp_path / "log"
        log.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return main(["run", "--config", str(config), "--sensor", "squid", *options, str(log)])

    return run
