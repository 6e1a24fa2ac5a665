"""Index templates: the types of fields in the indices that are created afterwards, and data streams."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from search_servers import Search, line

from stellar.pipeline.cli import main

pytestmark = pytest.mark.engine

_ALERT = {
    "ip_src_addr": "10.0.0.1",
    "guid": "g",
    "enrichments.geo.ip_src_addr.location_point": "37.7,-122.4",
    "enrichments.geo.ip_src_addr.city": "San Francisco",
    "threat.triage.score": 5,
    "threat.triage.rules.0.score": "5",
    "metron_alert": [{"a": 1, "b": 2}],
    "adapter.geoadapter.end.ts": "1571163620277",
}


@pytest.mark.parametrize("converter", ["DEDOT", "NOOP"])
def test_a_template_gives_fields_their_types(
    search: Search, config: Callable[..., Path], run: Callable[..., int], converter: str
) -> None:
    directory = config(search, fieldNameConverter=converter)
    assert main(["template", search.target, "--config", str(directory)]) == 0
    status = run(directory, [line(**_ALERT)], "--output", search.target, "--errors", search.target)
    assert status == 0
    assert search.documents("error") == []

    def find(field: str, first: object, last: object) -> int:
        name = field.replace(".", ":") if converter == "DEDOT" else field
        query = {"query": {"range": {name: {"gte": first, "lte": last}}}}
        found = search.request("POST", f"{search.name('squid')}_index_*/_search", query)
        return len(found["hits"]["hits"])

    search.request("POST", "_refresh")
    assert find("ip_src_addr", "10.0.0.0", "10.0.0.9") == 1
    assert find("threat.triage.score", 4.5, 10) == find("threat.triage.rules.0.score", 4.5, 10) == 1
    assert find("adapter.geoadapter.end.ts", 1571163620277, 1571163620277) == 1
    names = [f"enrichments.geo.ip_src_addr.{each}" for each in ("location_point", "city")]
    if converter == "DEDOT":
        names = [name.replace(".", ":") for name in names]
    kinds = search.request("GET", f"{search.name('squid')}_index_*/_mapping/field/{','.join(names)}")
    found = json.dumps(kinds)
    assert '"type": "geo_point"' in found
    assert '"type": "keyword"' in found
    nested = {"query": {"nested": {"path": "metron_alert", "query": {"match": {"metron_alert.a": 1}}}}}
    hits = search.request("POST", f"{search.name('squid')}_index_*/_search", nested)["hits"]["hits"]
    assert len(hits) == 1


def test_a_template_can_be_printed(
    search: Search, config: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["template", search.target, "--config", str(config(search)), "--sensor", "squid", "--print"]) == 0
    request, _, body = capsys.readouterr().out.partition("\n")
    assert request.endswith(f"_template/stellar-{search.name('squid')}")
    kinds = ("template",) if search.has_types else ("index_patterns",)
    assert all(kind in json.loads(body) for kind in kinds)
    assert "stellar" not in json.dumps(search.request("GET", f"_template/stellar-{search.name('squid')}"))


def test_an_unknown_sensor_is_an_error(
    opensearch_only: Search, config: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    directory = str(config(opensearch_only))
    assert main(["template", opensearch_only.target, "--config", directory, "--sensor", "sqid"]) == 2
    assert "unknown sensor 'sqid'; did you mean squid?" in capsys.readouterr().err
    assert main(["template", "out.jsonl", "--config", directory]) == 2
    assert "expected a search server, such as opensearch:http://node1:9200" in capsys.readouterr().err


def test_documents_of_a_data_stream_have_its_timestamp(
    opensearch_only: Search, config: Callable[..., Path], run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    search = opensearch_only
    directory = config(search, dataStream=True, setDocumentId=True)
    stream = search.name("squid")
    assert run(directory, [line()], "--output", search.target) == 1
    assert "create an index template for it with stellar-pipeline template" in capsys.readouterr().err

    assert main(["template", search.target, "--config", str(directory)]) == 0
    for _ in range(2):
        assert run(directory, [line(guid="same"), line(guid="other", timestamp=5)], "--output", search.target) == 0
    search.request("POST", "_refresh")
    found = search.request("GET", f"{stream}/_search")["hits"]["hits"]
    assert {hit["_id"]: hit["_source"]["@timestamp"] for hit in found} == {"same": 1571163620277, "other": 5}
    assert len(found) == 2


def test_a_data_stream_on_a_server_without_any_is_an_error(
    elasticsearch: object, config: Callable[..., Path], run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    search = Search("elasticsearch", elasticsearch)
    assert run(config(search, dataStream=True), [line()], "--output", search.target) == 1
    assert "Elasticsearch 5.6 has no data streams; remove dataStream of the writer" in capsys.readouterr().err
