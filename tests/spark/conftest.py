"""Fixtures of the tests of Spark."""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).parent))  # for the modules beside this one


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Ignore the sockets of results, which pyspark leaves to the garbage collector."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"))


@pytest.fixture(autouse=True)
def collect_sockets() -> Iterator[None]:
    """Remove them before a test that is not of Spark would see them."""
    yield
    gc.collect()


@pytest.fixture
def configure(tmp_path: Path) -> Callable[[dict[str, Any]], Path]:
    """A function that writes the files of a configuration, and returns their directory."""

    def configure(files: dict[str, Any]) -> Path:
        for name, content in files.items():
            path = tmp_path / "config" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content if isinstance(content, str) else json.dumps(content))
        return tmp_path / "config"

    return configure
