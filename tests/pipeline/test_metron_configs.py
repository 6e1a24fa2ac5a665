"""The configurations that Metron ships or documents: they load, and parse the raw messages of their parsers."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mmdb_writer import MMDBWriter
from netaddr import IPSet

from stellar.functions.enrichments import EnrichmentStore
from stellar.language.errors import ConfigError
from stellar.pipeline.build import build_group, build_pipeline
from stellar.pipeline.config.loading import (
    load_config,
    parse_enrichment,
    parse_global,
    parse_indexing,
    parse_parser,
    parse_profiler,
)
from stellar.pipeline.config.locations import SourceLocation, read_text
from stellar.pipeline.config.positions import describe_error
from stellar.pipeline.records import Raw, Record
from stellar.pipeline.run import run_pipeline
from stellar.stores.base import Row
from stellar.stores.sqlite import SqliteStore

DATA = Path(__file__).parents[1] / "conformance" / "data"
CONFIGS = DATA / "metron-configs"
KINDS = dict(re.findall(r"^\| (\S+\.json) \| (\w+) \|", (CONFIGS / "README.md").read_text(encoding="utf-8"), re.M))
PARSE: dict[str, Callable[[str, SourceLocation], object]] = {
    "parser": parse_parser,
    "enrichment": parse_enrichment,
    "indexing": parse_indexing,
    "profiler": parse_profiler,
    "other": parse_global,
}
# Files with placeholders, or strings of several lines, and the position of the first problem
INVALID = {
    "ParserChaining/doc-01.json": "11:18",
    "metron-parsing/doc-02.json": "2:5",
    "metron-parsing/doc-03.json": "2:5",
    "metron-parsing/doc-04.json": "2:5",
    "metron-parsing/doc-05.json": "2:5",
    "metron-parsing/doc-06.json": "2:5",
    "metron-profiler-common/doc-02.json": "3:29",
    "metron-statistics/doc-02.json": "6:71",
    "metron-statistics/doc-04.json": "8:65",
}


def test_the_files_are_complete() -> None:
    assert len(KINDS) == 48
    assert set(INVALID) <= set(KINDS)
    assert {str(path.relative_to(CONFIGS)) for path in CONFIGS.rglob("*.json")} == set(KINDS)


@pytest.mark.parametrize("name", sorted(KINDS.keys() - INVALID.keys()))
def test_every_file_loads(name: str) -> None:
    PARSE[KINDS[name]](read_text(CONFIGS / name), SourceLocation(name))


@pytest.mark.parametrize("name", INVALID)
def test_a_file_that_is_no_json_is_an_error_with_its_position(name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        PARSE[KINDS[name]](read_text(CONFIGS / name), SourceLocation(str(CONFIGS / name)))
    assert describe_error(caught.value).startswith(f"{CONFIGS / name}:{INVALID[name]}: invalid JSON: ")


PARSERS = sorted(name for name, kind in KINDS.items() if kind == "parser" and name not in INVALID)
# The patterns of the documented chain, which its users write themselves
CISCO = r"""
CISCO_ACTION Built|Teardown|Deny|Denied|denied
CISCOTIMESTAMP %{MONTH} +%{MONTHDAY} %{YEAR} %{TIME}
CISCO_PIX %{GREEDYDATA:timestamp}: %PIX-%{NOTSPACE:pix_type}: %{GREEDYDATA:data}
CISCOFW302020_302021 %{CISCO_ACTION:action} (?:dynamic )?ICMP connection for faddr %{IP:ip_dst_addr}/%{INT:icmp_seq_num}
"""


def raw_messages(parser: str) -> Iterator[Raw]:
    with (DATA / "parsers.jsonl").open(encoding="utf-8") as lines:
        for line in lines:
            case = json.loads(line)
            if "raw" in case and isinstance(case["config"], dict) and case["config"].get("parserClassName") == parser:
                yield Raw(case["raw"].encode("utf-8", "surrogatepass"))


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "parsers").mkdir()
    (tmp_path / "tmp").mkdir()
    (tmp_path / "tmp" / "cisco_patterns").write_text(CISCO, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("name", PARSERS)
def test_every_parser_parses_the_messages_of_its_kind(name: str, directory: Path) -> None:
    shutil.copy(CONFIGS / name, directory / "parsers" / "x.json")
    pipeline = build_pipeline(load_config(directory, "x"))
    records: list[Record] = []
    errors: list[Record] = []
    messages = list(raw_messages(json.loads((CONFIGS / name).read_text(encoding="utf-8"))["parserClassName"]))
    counts = run_pipeline(pipeline, messages, records.append, errors.append)
    assert counts.read == len(messages) > 90
    assert counts.parsed == counts.out + counts.dropped + counts.rejected
    internal = re.compile(r"(Type|Attribute|Key|Index|Recursion|Assertion|Name)Error\b")
    assert [each["exception"] for each in errors if internal.match(str(each.get("exception")))] == []
    if "parser_chaining" not in name:
        assert records


def test_the_documented_chain_runs(directory: Path) -> None:
    names = {"doc-01": "pix_syslog_router", "doc-02": "cisco-6-302"}
    for document, sensor in names.items():
        source = CONFIGS / "use-cases" / "parser_chaining" / f"{document}.json"
        shutil.copy(source, directory / "parsers" / f"{sensor}.json")
    group = build_group([load_config(directory, sensor) for sensor in names.values()])
    line = "Mar 29 2004 09:54:18: %PIX-6-302020: Built ICMP connection for faddr 192.0.2.1/24"
    records: list[Record] = []
    errors: list[Any] = []
    run_pipeline(group, [Raw(line.encode())], records.append, errors.append)
    assert errors == []
    (record,) = records
    assert record["source.type"] == "cisco-6-302"
    assert (record["action"], record["ip_dst_addr"], record["pix_type"]) == ("Built", "192.0.2.1", "6-302020")
    assert (record["timestamp"], record["original_string"]) == (1080554058000, line)


# One of the use-cases calls functions of profiles, which are tested with the profiler
ENRICHMENTS = sorted(
    name
    for name, kind in KINDS.items()
    if kind == "enrichment" and name not in INVALID and "geographic_login_outliers" not in name
)
# What each adapter and each assignment of the documented example adds to the record of the test
ADDED = {
    "geo": {"enrichments.geo.ip_src_addr.country": "US"},
    "host": {"enrichments.host.{field}.known_info.type": "printer"},
    "hbaseThreatIntel": {"threatintels.hbaseThreatIntel.ip_dst_addr.malicious_ip": "alert", "is_alert": "true"},
    "stellar": {"foo": 2, "ALL_CAPS": "X", "bar": "X"},
}


@pytest.mark.parametrize("name", ENRICHMENTS)
def test_every_enrichment_enriches_records_of_its_sensor(name: str, directory: Path) -> None:
    (directory / "enrichments").mkdir()
    shutil.copy(CONFIGS / name, directory / "enrichments" / "x.json")
    (directory / "parsers" / "x.json").write_text('{"parserClassName": "JSONMap"}', encoding="utf-8")
    writer = MMDBWriter()
    writer.insert_network(IPSet(["8.8.8.0/24"]), {"country": {"iso_code": "US"}})
    writer.to_db_file(str(directory / "geo.mmdb"))
    store = SqliteStore(str(directory / "enrichments.db"))
    store.put_many("threatintel", [Row("t", "malicious_ip", "6.6.6.6", {"source": "feed"})])
    settings = {
        "geo.hdfs.file": str(directory / "geo.mmdb"),
        "enrichment.store": f"sqlite:{directory}/enrichments.db",
        "enrichment.host.known_hosts": [{"ip": "8.8.8.8", "type": "printer"}, {"ip": "h", "type": "printer"}],
    }
    (directory / "global.json").write_text(json.dumps(settings), encoding="utf-8")
    pipeline = build_pipeline(load_config(directory, "x"))
    assert list(pipeline.find_missing_services()) == []
    line = {"timestamp": 1, "ip_src_addr": "8.8.8.8", "ip_dst_addr": "6.6.6.6", "host": "h"}
    records: list[Record] = []
    errors: list[Record] = []
    run_pipeline(pipeline, [Raw(json.dumps(line).encode())], records.append, errors.append)
    assert errors == []
    config = json.loads((CONFIGS / name).read_text(encoding="utf-8"))
    used = {**config["enrichment"]["fieldMap"], **config.get("threatIntel", {}).get("fieldMap", {})}
    assert used
    for adapter, fields in used.items():
        for field, value in ADDED[adapter].items():
            assert records[0][field.format(field=fields[0] if isinstance(fields, list) else "")] == value
    store.close()
    if EnrichmentStore in pipeline.services:
        pipeline.services[EnrichmentStore].close()  # type: ignore[type-abstract, attr-defined]
