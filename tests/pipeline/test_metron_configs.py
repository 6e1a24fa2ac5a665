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

import stellar
from stellar.functions import LIBRARY
from stellar.functions.enrichments import EnrichmentStore
from stellar.language.context import NOTHING
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
from stellar.pipeline.profiler.loading import load_definitions
from stellar.pipeline.records import Raw, Record
from stellar.pipeline.run import run_pipeline
from stellar.profiles.local import LocalProfiler
from stellar.profiles.periods import find_period
from stellar.profiles.store import ProfileStore
from stellar.stores.base import Row
from stellar.stores.sqlite import SqliteStore
from stellar.util import clock

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


# One of the use-cases calls functions of profiles; it is tested with its profiles, below
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


def write_settings(directory: Path, network: str, malicious: str, **more: Any) -> SqliteStore:
    """Write a global configuration with a GeoIP database, a store and known hosts; return the store."""
    writer = MMDBWriter()
    location = {"country": {"iso_code": "US"}, "location": {"latitude": 37.4, "longitude": -122.1}}
    writer.insert_network(IPSet([network]), location)
    writer.to_db_file(str(directory / "geo.mmdb"))
    store = SqliteStore(str(directory / "enrichments.db"))
    store.put_many("threatintel", [Row("t", "malicious_ip", malicious, {"source": "feed"})])
    settings = {
        "geo.hdfs.file": str(directory / "geo.mmdb"),
        "enrichment.store": f"sqlite:{directory}/enrichments.db",
        "enrichment.host.known_hosts": [{"ip": "8.8.8.8", "type": "printer"}, {"ip": "h", "type": "printer"}],
        **more,
    }
    (directory / "global.json").write_text(json.dumps(settings), encoding="utf-8")
    return store


@pytest.mark.parametrize("name", ENRICHMENTS)
def test_every_enrichment_enriches_records_of_its_sensor(name: str, directory: Path) -> None:
    (directory / "enrichments").mkdir()
    shutil.copy(CONFIGS / name, directory / "enrichments" / "x.json")
    (directory / "parsers" / "x.json").write_text('{"parserClassName": "JSONMap"}', encoding="utf-8")
    store = write_settings(directory, "8.8.8.0/24", "6.6.6.6")
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


# The sensors whose enrichment Metron ships: the category of their raw messages, and the parser, or the file of one
SENSORS = {
    "asa": ("asa", "org.apache.metron.parsers.asa.BasicAsaParser"),
    "bro": ("bro", "org.apache.metron.parsers.bro.BasicBroParser"),
    "snort": ("snort", "org.apache.metron.parsers.snort.BasicSnortParser"),
    "websphere": ("websphere", "metron-parsers/parsers/websphere.json"),
    "yaf": ("grok_yaf", "metron-parsers/parsers/yaf.json"),
}


def messages_of(category: str) -> list[Raw]:
    with (DATA / "parsers.jsonl").open(encoding="utf-8") as lines:
        cases = [json.loads(line) for line in lines if f'"cat": "{category}"' in line or f'"cat":"{category}"' in line]
    return [Raw(case["raw"].encode("utf-8", "surrogatepass")) for case in cases if "raw" in case]


@pytest.mark.parametrize("sensor", SENSORS)
def test_a_shipped_sensor_runs_on_its_raw_messages(sensor: str, directory: Path) -> None:
    category, parser = SENSORS[sensor]
    if parser.endswith(".json"):
        shutil.copy(CONFIGS / parser, directory / "parsers" / f"{sensor}.json")
    else:
        (directory / "parsers" / f"{sensor}.json").write_text(json.dumps({"parserClassName": parser}))
    (directory / "enrichments").mkdir()
    shutil.copy(CONFIGS / "metron-enrichment-common" / "enrichments" / f"{sensor}.json", directory / "enrichments")
    write_settings(directory, "8.8.8.0/24", "6.6.6.6").close()
    pipeline = build_pipeline(load_config(directory, sensor))
    messages, records, errors = messages_of(category), list[Record](), list[Record]()
    counts = run_pipeline(pipeline, messages, records.append, errors.append)
    assert counts.read == len(messages) >= 70
    assert counts.parsed == counts.out + counts.dropped + counts.rejected
    assert len(records) == counts.out >= 20
    assert all("adapter.geoadapter.begin.ts" in record for record in records)
    # Some messages of snort have an invalid address, with which its rule fails
    failed_rules = [error["message"] for error in errors if error["error_type"] == "threatintel_error"]
    assert all("IN_SUBNET" in message for message in failed_rules)
    assert len(failed_rules) < counts.out / 10
    assert {error["error_type"] for error in errors} <= {"parser_error", "parser_invalid", "threatintel_error"}
    if EnrichmentStore in pipeline.services:
        pipeline.services[EnrichmentStore].close()  # type: ignore[type-abstract, attr-defined]


PROFILERS = sorted(name for name, kind in KINDS.items() if kind == "profiler" and name not in INVALID)
MESSAGE = {
    "ip_src_addr": "10.0.0.1",
    "source.type": "snort",
    "protocol": "HTTP",
    "length": 12,
    "user": "ann",
    "hash": "u09tvw0",
    "geo_distance": 3,
}


@pytest.mark.parametrize("name", PROFILERS)
def test_every_profiler_measures_messages(name: str) -> None:
    definition = load_definitions(CONFIGS / name, LIBRARY)
    failures: list[Exception] = []
    profiler = LocalProfiler(definition, 60_000, NOTHING, failures.append)
    for _ in range(3):
        profiler.apply(MESSAGE)
    measured = profiler.flush()
    assert failures == []
    assert {each.profile for each in measured} == {profile.name for profile in definition.profiles}
    assert all(each.value is not None for each in measured)


def test_the_geographic_use_case_runs_with_its_profiles(directory: Path) -> None:
    documents = CONFIGS / "use-cases" / "geographic_login_outliers"
    (directory / "enrichments").mkdir()
    for document, target in (
        ("doc-01", "parsers/auth.json"),
        ("doc-02", "profiler.json"),
        ("doc-03", "enrichments/auth.json"),
    ):
        shutil.copy(documents / f"{document}.json", directory / target)
    profiles = {"profiler.store": f"sqlite:{directory}/profiles.db", "profiler.client.period.duration": 1}
    write_settings(directory, "173.90.0.0/16", "6.6.6.6", **profiles).close()
    store = SqliteStore(str(directory / "profiles.db"))
    with clock.fix_time(1_780_315_200_000):
        values = ProfileStore(store)
        period = find_period(clock.now() - 60_000, 60_000)
        place = stellar.evaluate("MULTISET_ADD(MULTISET_INIT(), GEOHASH_FROM_LATLONG(48.85, 2.35))", {})
        values.put("locations_by_user", "user1", period, place)
        distances = stellar.evaluate("STATS_ADD(STATS_INIT(), [1, 2, 3, 2, 1])", {})
        values.put("geo_distribution_from_centroid", "global", period, distances)
        pipeline = build_pipeline(load_config(directory, "auth"))
        assert list(pipeline.find_missing_services()) == []
        records, errors = list[Record](), list[Record]()
        lines = [b"user1,173.90.1.1,1780315200000", b"user2,173.90.1.1,1780315200000"]
        run_pipeline(pipeline, map(Raw, lines), records.append, errors.append)
    store.close()
    assert errors == []
    far, first = records
    assert (far["geo_outlier"], far["is_alert"], far["threat.triage.score"]) == (True, "true", 10.0)
    assert 8_000 < far["geo_distance"] < 10_000
    assert "user user1 has a distance" in far["threat.triage.rules.0.reason"]
    assert "threat.triage.score" not in first
