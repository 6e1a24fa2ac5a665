"""The adapters that look up values, the cache of their results, and tasks that wait in parallel."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mmdb_writer import MMDBWriter
from netaddr import IPSet

from stellar.functions.enrichments import EnrichmentStore
from stellar.language.context import Context
from stellar.pipeline.pipeline import Pipeline
from stellar.pipeline.records import Raw, Record
from stellar.pipeline.stages import lookups
from stellar.pipeline.stages.enrichment_cache import EnrichmentCache, make_key
from stellar.stores.base import Row, StoreError
from stellar.stores.sqlite import SqliteStore

Make = Callable[..., Pipeline]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(str(tmp_path / "enrichments.db"))
    store.put_many("enrichment", [Row("t", "whois", "cnn.com", {"owner": "Turner", "l": [1], "e": ""})])
    bad = Row("t", "malicious_ip", "6.6.6.0/24", {"source": "feed"}, is_interval=True)
    store.put_many("threatintel", [bad, Row("cf2", "alt", "7.7.7.7", {})])
    yield store
    store.close()


ENRICHMENT = {
    "enrichment": {"fieldMap": {"hbaseEnrichment": ["domain"]}, "fieldToTypeMap": {"domain": ["whois"]}},
    "threatIntel": {
        "fieldMap": {"hbaseThreatIntel": ["ip"]},
        "fieldToTypeMap": {"ip": ["malicious_ip", "alt"]},
        "config": {"typeToColumnFamily": {"alt": "cf2"}},
    },
}


def send(pipeline: Pipeline, **record: Any) -> Record:
    (outcome,) = pipeline(Raw(json.dumps(record).encode()))
    assert isinstance(outcome, dict), outcome
    return {name: value for name, value in outcome.items() if name.startswith(("enrichments", "threatintels", "is_a"))}


def test_indicators_and_networks_are_found_in_the_store_that_the_configuration_names(
    store: SqliteStore, make_pipeline: Make
) -> None:
    pipeline = make_pipeline(enrichment=ENRICHMENT, globals={"enrichment.store": f"sqlite:{store.path}"})
    assert list(pipeline.find_missing_services()) == []
    assert send(pipeline, domain="cnn.com", ip="6.6.6.6") == {
        "enrichments.hbaseEnrichment.domain.whois.owner": "Turner",
        "enrichments.hbaseEnrichment.domain.whois.l": [1],
        "threatintels.hbaseThreatIntel.ip.malicious_ip": "alert",
        "is_alert": "true",
    }
    assert send(pipeline, ip="7.7.7.7") == {"threatintels.hbaseThreatIntel.ip.alt": "alert", "is_alert": "true"}
    assert send(pipeline, domain="x.com", ip="6.6.7.6") == {}
    assert pipeline.reports == []
    pipeline.services[EnrichmentStore].close()  # type: ignore[type-abstract, attr-defined]


def test_the_table_and_column_family_can_be_set(store: SqliteStore, make_pipeline: Make) -> None:
    settings = {"threat.intel.simple.hbase.table": "feeds", "threat.intel.simple.hbase.cf": "f"}
    store.put_many("feeds", [Row("f", "malicious_ip", "1.1.1.1", {})])
    pipeline = make_pipeline(enrichment=ENRICHMENT, globals=settings, context=Context({EnrichmentStore: store}))
    assert "threatintels.hbaseThreatIntel.ip.malicious_ip" in send(pipeline, ip="1.1.1.1")
    assert send(pipeline, ip="6.6.6.6") == {}


class AwayStore:
    """A store whose server is away; of real ones, only a server that is stopped shows this."""

    def get(self, *key: str) -> dict[str, Any] | None:
        raise StoreError("store.example: connection refused")


def test_a_store_that_is_away_gives_an_error_document_for_each_record(make_pipeline: Make) -> None:
    pipeline = make_pipeline(enrichment=ENRICHMENT, context=Context({EnrichmentStore: AwayStore()}))
    for _ in range(2):
        assert send(pipeline, domain="cnn.com", ip="6.6.6.6") == {}
        first, second = pipeline.reports
        pipeline.reports.clear()
        assert first.reason == "ENRICHMENT error with hbaseEnrichment failed: domain: store.example: connection refused"
        assert first.raw == {"enrichments.hbaseEnrichment.domain": "cnn.com", "source.type": "squid"}
        assert (first.stage, second.stage) == ("enrich", "threatIntel")
        assert second.reason.startswith("THREAT_INTEL error with hbaseThreatIntel failed: ip: store.example")


def test_a_reload_of_the_table_is_noticed(
    store: SqliteStore, make_pipeline: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookups, "_POLL_SECONDS", 0.0)
    pipeline = make_pipeline(enrichment=ENRICHMENT, context=Context({EnrichmentStore: store}))
    for _ in range(2):
        assert send(pipeline, ip="9.9.9.9") == {}
    other = SqliteStore(store.path)
    other.replace("threatintel", [Row("t", "malicious_ip", "9.9.9.9", {})])
    assert "threatintels.hbaseThreatIntel.ip.malicious_ip" in send(pipeline, ip="9.9.9.9")
    assert send(pipeline, ip="6.6.6.6") == {}
    other.close()


class CountingStore:
    """A store that counts look-ups; the table has no generation."""

    def __init__(self, store: SqliteStore) -> None:
        self.store = store
        self.calls: list[str] = []

    def get(self, table: str, family: str, kind: str, indicator: str) -> dict[str, Any] | None:
        self.calls.append(f"{kind} {indicator}")
        return self.store.find(table, family, kind, indicator)


def test_results_are_cached_also_if_nothing_is_found(store: SqliteStore, make_pipeline: Make) -> None:
    counting = CountingStore(store)
    pipeline = make_pipeline(enrichment=ENRICHMENT, context=Context({EnrichmentStore: counting}))
    first = [send(pipeline, domain=domain) for domain in ("cnn.com", "x.com")]
    first[0]["enrichments.hbaseEnrichment.domain.whois.l"].append(2)  # a later stage may change its record
    assert [send(pipeline, domain=domain) for domain in ("cnn.com", "x.com")] == [
        {"enrichments.hbaseEnrichment.domain.whois.owner": "Turner", "enrichments.hbaseEnrichment.domain.whois.l": [1]},
        {},
    ]
    assert counting.calls == ["whois cnn.com", "whois x.com"]


@pytest.mark.parametrize(
    ("group", "calls"),
    [
        (["w := ENRICHMENT_GET('whois', domain, 'enrichment', 't')"], 1),
        (["w := ENRICHMENT_GET('whois', domain, 'enrichment', 't')", "x := LENGTH(_)"], 2),
        (["w := ENRICHMENT_GET('whois', domain, 'enrichment', 't')", "y := YEAR()"], 2),
    ],
)
def test_a_group_is_cached_if_its_result_depends_on_its_fields_only(
    group: list[str], calls: int, store: SqliteStore, make_pipeline: Make
) -> None:
    counting = CountingStore(store)
    config = {"enrichment": {"fieldMap": {"stellar": {"config": group}}}}
    pipeline = make_pipeline(enrichment=config, context=Context({EnrichmentStore: counting}))
    for other in (1, 2):
        (outcome,) = pipeline(Raw(json.dumps({"domain": "cnn.com", "other": other}).encode()))
        assert outcome["w.owner"] == "Turner"  # type: ignore[index]
    assert len(counting.calls) == calls


def test_a_failure_that_a_function_reports_is_not_cached(make_pipeline: Make) -> None:
    config = {"enrichment": {"fieldMap": {"stellar": {"config": ["w := ENRICHMENT_EXISTS('a', domain, 'b', 'c')"]}}}}
    pipeline = make_pipeline(enrichment=config, context=Context({EnrichmentStore: AwayStore()}))
    for _ in range(3):
        list(pipeline(Raw(b'{"domain": "cnn.com"}')))
    assert len(pipeline.reports) == 3


class MeetingStore:
    """A store in the network, whose look-ups return when all of them have started."""

    waits = True

    def __init__(self, look_ups: int) -> None:
        self.barrier = threading.Barrier(look_ups)

    def get(self, table: str, family: str, kind: str, indicator: str) -> dict[str, Any] | None:
        self.barrier.wait(60)
        return {"of": indicator}


def test_look_ups_that_wait_run_at_the_same_time(make_pipeline: Make) -> None:
    config = {
        "enrichment": {
            "fieldMap": {"hbaseEnrichment": ["a", "b", "c"]},
            "fieldToTypeMap": {"a": ["k"], "b": ["k"], "c": ["k"]},
        }
    }
    pipeline = make_pipeline(enrichment=config, context=Context({EnrichmentStore: MeetingStore(3)}))
    found = send(pipeline, a="1", b="2", c="3")
    assert list(found.values()) == ["1", "2", "3"]
    assert pipeline.blocks


def test_the_location_of_an_address_is_found_in_the_database(tmp_path: Path, make_pipeline: Make) -> None:
    writer = MMDBWriter()
    record = {
        "city": {"geoname_id": 5, "names": {"en": "Sydney"}},
        "country": {"iso_code": "AU"},
        "postal": {"code": "2000"},
        "location": {"latitude": -33.5, "longitude": 151.25, "metro_code": 7},
    }
    writer.insert_network(IPSet(["1.1.1.0/24"]), record)
    writer.insert_network(IPSet(["1.1.2.0/24"]), {"country": {"iso_code": "AU"}})
    writer.to_db_file(str(tmp_path / "geo.mmdb"))
    config = {"enrichment": {"fieldMap": {"geo": ["ip"]}}}
    pipeline = make_pipeline(enrichment=config, globals={"geo.hdfs.file": str(tmp_path / "geo.mmdb")})
    assert list(pipeline.find_missing_services()) == []
    prefix = "enrichments.geo.ip."
    for _ in range(2):
        assert send(pipeline, ip="1.1.1.1") == {
            f"{prefix}locID": "5",
            f"{prefix}country": "AU",
            f"{prefix}city": "Sydney",
            f"{prefix}postalCode": "2000",
            f"{prefix}dmaCode": "7",
            f"{prefix}latitude": "-33.5",
            f"{prefix}longitude": "151.25",
            f"{prefix}location_point": "-33.5,151.25",
        }
    assert send(pipeline, ip="1.1.2.1") == {f"{prefix}country": "AU"}
    for address in ("9.9.9.9", "10.0.0.1", "x", "", 5, None):
        assert send(pipeline, ip=address) == {}


@pytest.mark.parametrize("as_string", [False, True])
def test_known_hosts_are_described(as_string: bool, make_pipeline: Make) -> None:
    hosts: Any = [{"ip": "10.0.0.1", "type": "printer", "n": 5}]
    settings = {"enrichment.host.known_hosts": json.dumps(hosts) if as_string else hosts}
    pipeline = make_pipeline(enrichment={"enrichment": {"fieldMap": {"host": ["ip", "other"]}}}, globals=settings)
    prefix = "enrichments.host.ip.known_info."
    assert send(pipeline, ip="10.0.0.1", other="x") == {f"{prefix}type": "printer", f"{prefix}n": 5}


def test_a_field_without_types_is_a_warning(make_pipeline: Make, caplog: pytest.LogCaptureFixture) -> None:
    pipeline = make_pipeline(enrichment={"enrichment": {"fieldMap": {"hbaseEnrichment": ["ip"]}}})
    assert "no type in fieldToTypeMap for the field ip, so nothing is looked up" in caplog.text
    assert send(pipeline, ip="1.1.1.1") == {}


# -- The cache --------------------------------------------------------------------------------------------------------


def test_the_cache_is_bounded_and_removes_the_oldest_result() -> None:
    cache = EnrichmentCache(size=3)
    for number in (1, 2, 3, 1, 4):
        cache.put(number, {"n": number})
    assert len(cache) == 3
    assert [cache.get(number) for number in (1, 2, 3, 4)] == [{"n": 1}, None, {"n": 3}, {"n": 4}]


def test_a_result_expires() -> None:
    cache = EnrichmentCache(seconds=0.0)
    cache.put("a", {"n": 1})
    assert cache.get("a") is None


def test_a_result_with_other_values_than_those_of_json_is_not_cached() -> None:
    cache = EnrichmentCache()
    cache.put("a", {"n": {1, 2}})
    cache.put("b", {"n": [{"x": object()}]})
    assert len(cache) == 0


@pytest.mark.parametrize(
    ("one", "other"), [(1, 1.0), (1, True), (0.0, -0.0), ("1", 1), ([1], [1.0]), ([1, 2], [2, 1]), ("None", None)]
)
def test_keys_differ_for_different_values(one: object, other: object) -> None:
    assert make_key([one]) == make_key([one])
    assert make_key([one]) != make_key([other])


@pytest.mark.parametrize("value", [object(), {1, 2}, [object()], ["x" * 20_000]])
def test_other_values_are_no_keys(value: object) -> None:
    assert make_key([value]) is None
