"""The sub-directories of output directories."""

from __future__ import annotations

import pytest

from stellar.pipeline.connectors.directories import choose_by_type
from stellar.pipeline.records import Record


@pytest.mark.parametrize(
    ("document", "directory"),
    [
        ({"source.type": "squid"}, "squid"),
        ({"source.type": "error"}, "error"),
        ({"source.type": 5}, "5"),
        ({"source.type": None}, "unknown"),
        ({"source.type": ""}, "unknown"),
        ({}, "unknown"),
    ],
)
def test_the_sub_directory_is_the_sensor_if_there_is_one(document: Record, directory: str) -> None:
    assert choose_by_type(document) == directory
