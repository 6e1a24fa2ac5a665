"""Runs that write to OpenSearch and to Elasticsearch: documents in Metron's form, and none is lost."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from search_servers import Search, line

pytestmark = pytest.mark.engine

_SQUID = {
    "parserClassName": "org.apache.metron.parsers.GrokParser",
    "parserConfig": {"grokPath": "/patterns/squid", "patternLabel": "SQUID", "timestampField": "timestamp"},
    "fieldTransformations": [
        {
            "transformation": "STELLAR",
            "output": ["full_hostname", "domain_without_subdomains", "is_malicious", "is_alert"],
            "config": {
                "full_hostname": "URL_TO_HOST(url)",
                "domain_without_subdomains": "DOMAIN_REMOVE_SUBDOMAINS(full_hostname)",
                "is_malicious": "if domain_without_subdomains == 'cnn.com' then 'malicious' else 'legit'",
                "is_alert": "if is_malicious == 'malicious' then 'true' else null",
            },
        }
    ],
}
_PATTERN = (
    "SQUID %{NUMBER:timestamp}[^0-9]*%{INT:elapsed} %{IP:ip_src_addr} %{WORD:action}/%{NUMBER:code} %{NUMBER:bytes} "
    "%{WORD:method} %{NOTSPACE:url}[^0-9]*(%{IP:ip_dst_addr})?"
)
_RULES = {
    "enrichment": {"fieldMap": {}},
    "threatIntel": {
        "fieldMap": {},
        "triageConfig": {
            "riskLevelRules": [{"rule": "is_malicious == 'malicious'", "score": 100}],
            "aggregator": "MAX",
        },
    },
}
_YAHOO = "1571163620.277    192 127.0.0.1 TCP_MISS/301 366 GET http://yahoo.com/ - DIRECT/72.30.35.10 text/html"
_CNN = "1571163632.536    106 127.0.0.1 TCP_MISS/301 539 GET http://cnn.com/ - DIRECT/151.101.1.67 -"


def test_the_documents_of_the_walkthrough_are_those_of_metron(
    search: Search, config: Callable[..., Path], run: Callable[..., int]
) -> None:
    directory = config(search, parser=_SQUID, batchSize=5)
    for name, content in (("patterns/squid", _PATTERN), ("enrichments/squid.json", json.dumps(_RULES))):
        (directory / name).parent.mkdir()
        (directory / name).write_text(content, encoding="utf-8")

    assert run(directory, [_YAHOO, _CNN, "garbage"], "--output", search.target, "--errors", search.target) == 0

    hits = search.hits("squid")
    yahoo, cnn = sorted((hit["_source"] for hit in hits), key=lambda document: document["timestamp"])
    assert {hit.get("_type") for hit in hits} == ({"squid_doc"} if search.has_types else {None})
    times = {f"parallelenricher:{each}:ts" for each in ("splitter:begin", "splitter:end", "enrich:begin", "enrich:end")}
    assert all(isinstance(document.pop(name), str) for document in (yahoo, cnn) for name in times)
    assert yahoo.pop("guid") != cnn.pop("guid")
    assert yahoo == {
        "action": "TCP_MISS", "bytes": 366, "code": 301, "domain_without_subdomains": "yahoo.com", "elapsed": 192,
        "full_hostname": "yahoo.com", "ip_dst_addr": "72.30.35.10", "ip_src_addr": "127.0.0.1",
        "is_malicious": "legit", "method": "GET", "original_string": _YAHOO, "source:type": "squid",
        "timestamp": 1571163620277, "url": "http://yahoo.com/",
    }  # fmt: skip
    assert cnn == {
        "action": "TCP_MISS", "bytes": 539, "code": 301, "domain_without_subdomains": "cnn.com", "elapsed": 106,
        "full_hostname": "cnn.com", "ip_dst_addr": "151.101.1.67", "ip_src_addr": "127.0.0.1", "is_alert": "true",
        "is_malicious": "malicious", "method": "GET", "original_string": _CNN, "source:type": "squid",
        "timestamp": 1571163632536, "url": "http://cnn.com/",
        "threat:triage:score": 100.0, "threat:triage:level": 100, "threat:triage:rules:0:score": "100",
        "threat:triage:rules:0:name": None, "threat:triage:rules:0:comment": None,
        "threat:triage:rules:0:reason": None,
    }  # fmt: skip
    (error,) = search.documents("error")
    assert (error["raw_message"], error["source:type"], error["failed_sensor_type"]) == ("garbage", "error", "squid")


def test_the_index_has_the_hour_in_its_name(
    search: Search, config: Callable[..., Path], run: Callable[..., int]
) -> None:
    assert run(config(search, {"es.date.format": "yyyy.MM"}), [line()], "--output", search.target) == 0
    (hit,) = search.hits("squid")
    year, month = hit["_index"].removeprefix(f"{search.name('squid')}_index_").split(".")
    assert (len(year), len(month)) == (4, 2)


def test_a_document_that_does_not_fit_its_mapping_is_an_error_document(
    search: Search, config: Callable[..., Path], run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    search.map("squid", port="integer")
    lines = [line(port=number) for number in (1, "none", 3)]

    assert run(config(search), lines, "--output", search.target, "--errors", search.target) == 0

    assert sorted(document["port"] for document in search.documents("squid")) == [1, 3]
    (error,) = search.documents("error")
    assert (error["error_type"], error["failed_sensor_type"]) == ("indexing_error", "squid")
    assert "failed to parse" in error["message"]
    rejected = json.loads(error["raw_message"])
    assert (rejected["port"], rejected["source.type"]) == ("none", "squid")
    assert "3 parsed = 2 out + 0 dropped + 1 rejected" in capsys.readouterr().err


def test_several_processes_write_the_same_documents(
    search: Search, config: Callable[..., Path], run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    search.map("squid", number="integer")
    lines = [line(number=number if number % 100 else "none") for number in range(1000)]

    status = run(config(search), lines, "--output", search.target, "--errors", search.target, "--workers", "2")

    assert status == 0
    assert sorted(each["number"] for each in search.documents("squid")) == [n for n in range(1000) if n % 100]
    assert len(search.documents("error")) == 10
    assert "1,000 parsed = 990 out + 0 dropped + 10 rejected" in capsys.readouterr().err


def test_a_server_that_is_away_at_the_start_is_an_error(
    config: Callable[..., Path], run: Callable[..., int], capsys: pytest.CaptureFixture[str], search: Search
) -> None:
    assert run(config(search), [line()], "--output", f"{search.kind}:http://127.0.0.1:1") == 1
    printed = capsys.readouterr().err
    assert "cannot connect to" in printed
    assert "Connection refused; check the hosts and ports" in printed


def test_an_index_that_is_not_created_ends_the_run(
    search: Search, config: Callable[..., Path], run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    setting = {"transient": {"action.auto_create_index": f"-{search.name('squid')}*,+*"}}
    search.request("PUT", "_cluster/settings", setting)
    try:
        assert run(config(search), [line()], "--output", search.target) == 1
    finally:
        search.request("PUT", "_cluster/settings", {"transient": {"action.auto_create_index": "true"}})
    assert "create it, or allow it in action.auto_create_index" in capsys.readouterr().err


def test_a_port_of_another_server_is_an_error(
    config: Callable[..., Path], run: Callable[..., int], capsys: pytest.CaptureFixture[str], search: Search
) -> None:
    import threading
    from http.server import BaseHTTPRequestHandler, HTTPServer

    class Other(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>")

        def log_message(self, *_: Any) -> None:
            """Print nothing."""

    with HTTPServer(("127.0.0.1", 0), Other) as server:
        threading.Thread(target=server.serve_forever).start()
        try:
            url = f"http://127.0.0.1:{server.server_port}"
            assert run(config(search), [line()], "--output", f"{search.kind}:{url}") == 1
        finally:
            server.shutdown()
    assert f"{url} is not" in (printed := capsys.readouterr().err)
    assert "check the host and the port" in printed
