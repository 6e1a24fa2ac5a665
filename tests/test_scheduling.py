"""Distribution of tests to processes."""

from __future__ import annotations

from pathlib import Path

import pytest
import scheduling

HERE = Path(__file__).parent


@pytest.mark.parametrize(
    "path", [*scheduling.SERIAL, *(path for paths in scheduling.SCOPES.values() for path in paths)]
)
def test_a_path_of_the_tables_exists(path):
    file, _, test = path.partition("::")
    assert (HERE / file).exists()
    assert not test or f"def {test}" in (HERE / file).read_text()


@pytest.mark.parametrize(
    ("nodeid", "scope"),
    [
        ("tests/integration/test_yarn.py::test_a[x-y]", "yarn"),
        ("tests/integration/test_hdfs.py::test_a", "engines"),
        ("tests/maas/registries/test_request_queue.py::test_a[memory]", "engines"),
        ("tests/docs/test_command_blocks.py::test_each_command_with_yarn_prints_it", "yarn"),
        ("tests/docs/test_command_blocks.py::test_each_command_prints_it", "docs/test_command_blocks.py"),
        ("tests/maas/transport/test_wire.py::test_a", "maas/transport/test_wire.py"),
    ],
)
def test_files_are_distributed_whole_and_those_of_an_engine_together(nodeid, scope):
    assert scheduling.scope_of(nodeid) == scope
