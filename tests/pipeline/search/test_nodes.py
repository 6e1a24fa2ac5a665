"""The search servers of the tests: they store documents, and keep them when they restart."""

from __future__ import annotations

import json
import urllib.request

import pytest

pytestmark = pytest.mark.engine


@pytest.mark.parametrize("name", ["opensearch", "elasticsearch"])
def test_a_document_survives_a_restart(name: str, engines: None) -> None:
    from engines.elasticsearch.server import Elasticsearch
    from engines.opensearch.server import OpenSearch

    with {"opensearch": OpenSearch, "elasticsearch": Elasticsearch}[name]() as server:
        kind = "_doc" if name == "opensearch" else "kind"
        request = urllib.request.Request(
            f"{server.url}/kept/{kind}/1", b'{"a": 1}', {"Content-Type": "application/json"}, method="PUT"
        )
        urllib.request.urlopen(request).close()
        server.daemon.kill()
        assert not server.is_serving()
        server.start()
        with urllib.request.urlopen(f"{server.url}/kept/{kind}/1") as response:
            assert json.load(response)["_source"] == {"a": 1}
