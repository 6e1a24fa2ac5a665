"""A stream through Kafka and OpenSearch while each part of the cluster fails."""

from __future__ import annotations

import pytest
from test_drills import run

pytestmark = pytest.mark.engine


def test_nothing_is_lost_reordered_or_indexed_twice(engines: None) -> None:
    drill = run("stream", seconds=900)
    assert drill.returncode == 0, drill.stdout + drill.stderr
    assert "0 lost, 0 errors, 0 out of order" in drill.stdout.splitlines()[-1]
