"""Checks of configurations before they are stored, in a snapshot instead of ZooKeeper."""

from __future__ import annotations

import json
from typing import Any

import pytest

from stellar.pipeline.stored_check import check_changes
from stellar.stores.configurations import ConfigurationSnapshot, NewConfiguration

PROFILE = {"profile": "p", "foreach": "ip", "update": {"s": "TO_UPPER(ip)"}, "result": "s"}
STORED: dict[str, Any] = {
    "parsers/web": {"parserClassName": "JSONMap", "parserConfig": {"filter.query": "TO_UPPER(a) == 'B'"}}
    | {"filterClassName": "STELLAR"},
    "enrichments/web": {"enrichment": {"fieldMap": {"stellar": {"config": {"a": "TO_UPPER(b)"}}}}},
    "indexing/web": {"hdfs": {"outputPathFunction": "TO_UPPER(a)"}},
    "profiler": {"profiles": [PROFILE]},
}


@pytest.mark.parametrize("path", STORED)
def test_a_global_configuration_that_breaks_a_stored_one_is_an_error(path: str) -> None:
    before = ConfigurationSnapshot("zk", {path: json.dumps(STORED[path]).encode()})
    settings = json.dumps({"stellar.function.resolver.excludes": "TO_UPPER"}).encode()
    check = check_changes(before, [NewConfiguration("GLOBAL", None, settings, "zk/global")], None)
    assert {error.file for error in check.failing} == {f"zk/{path}"}
    assert "unknown function TO_UPPER" in str(check.failing[0])
