"""Pipelines whose configuration is in ZooKeeper."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from kazoo.client import KazooClient

from stellar.language.errors import ConfigError

pytest.importorskip("pyarrow")

from stellar.spark.shipping import read_pipeline

pytestmark = pytest.mark.engine
CALL = {"enrichment": {"fieldMap": {"stellar": {"config": {"e": "MAAS_GET_ENDPOINT('m')"}}}}}
GROK = {"parserClassName": "Grok", "parserConfig": {"grokPath": "/patterns/own", "patternLabel": "LINE"}}


def test_a_configuration_in_zookeeper_is_shipped_with_its_registry_and_patterns(quorum: str, tmp_path: Path) -> None:
    client = KazooClient(quorum)
    client.start()
    for path, content in (("parsers/s", GROK), ("parsers/other", {}), ("enrichments/s", CALL), ("global", {})):
        client.create(f"/metron/topology/{path}", json.dumps(content).encode(), makepath=True)
    (tmp_path / "patterns").mkdir()
    (tmp_path / "patterns" / "own").write_text("LINE %{WORD:w}")
    try:
        shipped = read_pipeline(f"zookeeper:{quorum}/metron", "s", patterns=tmp_path)
        assert sorted(shipped.configurations) == ["enrichments/s", "global", "parsers/s"]
        assert (sorted(shipped.files), shipped.zookeeper) == (["patterns/own"], quorum)
        configs, _ = shipped.load()
        assert [config.sensor for config in configs] == ["s"]
        client.set("/metron/topology/parsers/s", b"{")
        with pytest.raises(ConfigError, match="parsers/s"):
            read_pipeline(f"zookeeper:{quorum}/metron", "s", patterns=tmp_path)
    finally:
        client.stop()
        client.close()
