"""The Squid walkthrough on ZooKeeper, Kafka, HDFS, YARN and OpenSearch: its checks, and what remains after it."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_demo import Sandbox

from engines.daemon import jars

pytestmark = pytest.mark.engine

ROOT = Path(__file__).parents[1]
ENGINES = ("zookeeper", "kafka", "hadoop", "opensearch")


def test_all_checks_pass_and_nothing_remains(engines: None, tmp_path: Path) -> None:
    for name in ENGINES:
        jars(ROOT / "engines" / name)  # Maven would write to the empty home
    sandbox = Sandbox.create(tmp_path)
    with sandbox.begin(script="cluster.py") as process:
        output, errors = process.communicate(timeout=900)
    assert process.returncode == 0, output + errors
    assert "[FAILED]" not in output
    assert "each with is_malicious" in output
    sandbox.assert_clean(output)
