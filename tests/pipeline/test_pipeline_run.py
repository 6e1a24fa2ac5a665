"""Whole pipelines: the example, envelopes, error documents, and counts."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from importlib.metadata import EntryPoint
from ipaddress import ip_address
from pathlib import Path
from types import MappingProxyType
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stellar.language.context import Context, GlobalSettings
from stellar.maas import MemoryRegistry, Model, ModelClient, ModelUnavailable, Registry, ServiceInstance
from stellar.maas.schema import Endpoint
from stellar.pipeline import build_pipeline
from stellar.pipeline.config.loading import SensorConfig, load_config
from stellar.pipeline.config.schema import EnrichmentConfig, GlobalConfig, ParserConfig
from stellar.pipeline.pipeline import Pipeline
from stellar.pipeline.records import Invalid, Raw, Record, Rejected, Report, make_error_document, to_json, to_json_bytes
from stellar.pipeline.run import run_pipeline
from stellar.sketches.summaries import WindowSummary

from .conftest import own_fields, transforming

Make = Callable[..., Pipeline]
EXAMPLE = Path(__file__).parents[2] / "examples" / "squid" / "config"

YAHOO = "1571163620.277    192 127.0.0.1 TCP_MISS/301 366 GET http://yahoo.com/ - DIRECT/72.30.35.10 text/html"
CNN = "1571163632.536    106 127.0.0.1 TCP_MISS/301 539 GET http://cnn.com/ - DIRECT/151.101.1.67 -"
CONNECT = "1571163640.001     12 127.0.0.1 TCP_MISS/200 39 CONNECT cnn.com:443 - HIER_NONE/- -"
GOOGLE = "1571163641.001     12 127.0.0.1 TCP_MISS/200 39 GET http://www.google.co.uk/x - DIRECT/8.8.8.8 -"


class Answering:
    """A model client that classifies all domains but yahoo.com as malicious."""

    def apply(self, endpoint: Any, function: Any = None, arguments: Any = None) -> dict[str, Any]:
        return {"is_malicious": "legit" if arguments["host"] == "yahoo.com" else "malicious"}


class Dead:
    """A model client whose calls fail."""

    def apply(self, endpoint: Any, function: Any = None, arguments: Any = None) -> dict[str, Any]:
        raise ModelUnavailable("connection refused at http://127.0.0.1:1")


def models(client: Any) -> Context:
    registry = MemoryRegistry()
    registry.register(ServiceInstance.of(Model("dga", "1.0"), "one", Endpoint(url="http://127.0.0.1:1")))
    return Context({Registry: registry, ModelClient: client})


def squid(context: Context) -> Pipeline:
    return build_pipeline(load_config(EXAMPLE, "squid"), context)


def one(pipeline: Pipeline, line: str) -> Record:
    (outcome,) = pipeline(Raw(line.encode()))
    assert not isinstance(outcome, Rejected), outcome.reason
    assert isinstance(outcome, dict)
    return outcome


def without_timings(record: Record) -> Record:
    guid = record["guid"]
    assert isinstance(guid, str)
    assert len(guid) == 36
    timings = {name: value for name, value in record.items() if name.startswith("parallelenricher.")}
    assert len(timings) == 4
    assert all(value.isdigit() for value in timings.values())
    return {name: value for name, value in record.items() if name != "guid" and name not in timings}


YAHOO_RECORD = {
    "action": "TCP_MISS",
    "bytes": 366,
    "code": 301,
    "domain_without_subdomains": "yahoo.com",
    "elapsed": 192,
    "full_hostname": "yahoo.com",
    "ip_dst_addr": "72.30.35.10",
    "ip_src_addr": "127.0.0.1",
    "is_malicious": "legit",
    "method": "GET",
    "original_string": YAHOO,
    "source.type": "squid",
    "timestamp": 1571163620277,
    "url": "http://yahoo.com/",
}
CNN_RECORD = {
    "action": "TCP_MISS",
    "bytes": 539,
    "code": 301,
    "domain_without_subdomains": "cnn.com",
    "elapsed": 106,
    "full_hostname": "cnn.com",
    "ip_dst_addr": "151.101.1.67",
    "ip_src_addr": "127.0.0.1",
    "is_alert": "true",
    "is_malicious": "malicious",
    "method": "GET",
    "original_string": CNN,
    "source.type": "squid",
    "timestamp": 1571163632536,
    "url": "http://cnn.com/",
}
SCORED = {
    "threat.triage.score": 100.0,
    "threat.triage.level": 100,
    "threat.triage.rules.0.name": "a domain that looks generated",
    "threat.triage.rules.0.comment": None,
    "threat.triage.rules.0.score": "100",
    "threat.triage.rules.0.reason": None,
}


def test_a_known_domain_raises_no_alert() -> None:
    assert without_timings(one(squid(models(Answering())), YAHOO)) == YAHOO_RECORD


def test_a_malicious_domain_raises_an_alert_with_a_score() -> None:
    assert without_timings(one(squid(models(Answering())), CNN)) == {**CNN_RECORD, **SCORED}


def test_the_model_gets_the_host_of_a_tunnel() -> None:
    record = without_timings(one(squid(models(Answering())), CONNECT))
    assert record["url"] == "cnn.com:443"
    assert record["ip_dst_addr"] is None
    assert record["full_hostname"] == record["domain_without_subdomains"] == "cnn.com"
    assert record["is_alert"] == "true"


def test_the_registered_domain_is_found_below_a_suffix_of_two_labels() -> None:
    assert one(squid(models(Answering())), GOOGLE)["domain_without_subdomains"] == "google.co.uk"


def test_without_a_model_the_record_continues_without_a_result() -> None:
    registry = MemoryRegistry()
    pipeline = squid(Context({Registry: registry, ModelClient: ModelClient(registry)}))
    assert "is_malicious" not in one(pipeline, CNN)
    assert "is_alert" not in one(pipeline, CNN)
    assert [(report.stage, report.metadata["model_failure"]) for report in pipeline.reports] == [
        ("model", "no such model")
    ] * 2


def test_a_dead_model_is_null_and_reported() -> None:
    pipeline = squid(models(Dead()))
    record = one(pipeline, CNN)
    assert not {"is_malicious", "is_alert"} & record.keys()
    (report,) = pipeline.reports
    assert report.stage == "model"
    assert report.reason == ("call to model dga 1.0 failed, result is null: connection refused at http://127.0.0.1:1")


def envelope(prefix: str | None = "", **more: Any) -> Record:
    settings = {"messageField": "data", **({} if prefix is None else {"metadataPrefix": prefix})}
    return {
        "parserClassName": "CSV",
        "parserConfig": {"columns": ["a", "b"]},
        "rawMessageStrategy": "ENVELOPE",
        "rawMessageStrategyConfig": settings,
        **more,
    }


WRAPPED = {
    "data": "x,1",
    "a": "outer",
    "c": "outer",
    "timestamp": 1,
    "original_string": "ENV",
    "guid": "G",
    "source.type": "router",
}


def test_an_envelope_adds_missing_fields(make_pipeline: Make) -> None:
    record = one(make_pipeline(parser=envelope()), json.dumps(WRAPPED))
    assert (record["a"], record["b"], record["c"]) == ("x", "1", "outer")
    assert record["original_string"] == "ENV"
    assert record["guid"] == "G"
    assert record["source.type"] == "squid"
    assert record["timestamp"] > 1


def test_metadata_has_a_prefix(make_pipeline: Make) -> None:
    record = one(make_pipeline(parser=envelope(None)), json.dumps(WRAPPED))
    assert record["metron.metadata.c"] == "outer"
    assert record["original_string"] == "ENV"
    assert "c" not in record


def test_metadata_that_is_not_read_is_ignored(make_pipeline: Make) -> None:
    record = one(make_pipeline(parser=envelope("", readMetadata=False)), json.dumps(WRAPPED))
    assert "c" not in record
    assert record["original_string"] == "x,1"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{}", "envelope has no field 'data'"),
        ("[]", "Expected a JSON Map as the envelope."),
        ("x", "envelope is not valid JSON: Expecting value: line 1 column 1 (char 0)"),
    ],
)
def test_an_invalid_envelope_is_rejected(text: str, reason: str, make_pipeline: Make) -> None:
    (outcome,) = make_pipeline(parser=envelope())(Raw(text.encode()))
    assert isinstance(outcome, Rejected)
    assert (outcome.stage, outcome.reason) == ("parse", reason)


def test_messages_are_decoded_by_their_charset(make_pipeline: Make) -> None:
    parser = {"parserClassName": "CSV", "parserConfig": {"columns": ["a"], "readCharset": "ISO-8859-1"}}
    (outcome,) = make_pipeline(parser=parser)(Raw("é".encode("latin-1")))
    assert outcome["a"] == "é"  # type: ignore[index]


def test_undecodable_bytes_are_replaced(make_pipeline: Make) -> None:
    parser = {"parserClassName": "CSV", "parserConfig": {"columns": ["a"]}}
    (outcome,) = make_pipeline(parser=parser)(Raw(b"\xff"))
    assert outcome["a"] == "�"  # type: ignore[index]


def test_the_configuration_can_exclude_functions(make_pipeline: Make) -> None:
    from stellar.language.errors import ConfigError

    parser = transforming({"transformation": "STELLAR", "config": {"y": "TO_UPPER(x)"}})
    with pytest.raises(ConfigError, match="unknown function TO_UPPER"):
        make_pipeline(parser=parser, globals={"stellar.function.resolver.excludes": ["TO_.*"]})
    pipeline = make_pipeline(parser=parser, globals={"stellar.function.resolver.includes": "TO_UPPER,TO_LOWER"})
    assert one(pipeline, '{"x": "a"}')["y"] == "A"
    pipeline = make_pipeline(parser=parser, globals={"stellar.function.resolver.includes": "TRIM : TO_UPPER :"})
    assert one(pipeline, '{"x": "a"}')["y"] == "A"


def test_shell_functions_are_available_only_if_configured(make_pipeline: Make) -> None:
    from stellar.language.errors import ConfigError

    parser = transforming({"transformation": "STELLAR", "config": {"y": "SYSTEM_PROPERTY_GET(x)"}})
    with pytest.raises(ConfigError, match="unknown function SYSTEM_PROPERTY_GET"):
        make_pipeline(parser=parser)
    asks = {"stellar.function.library": "stellar.functions:SHELL_LIBRARY"}
    assert one(make_pipeline(parser=parser, globals=asks), '{"x": "user.language"}')["y"] == "en"
    with pytest.raises(ConfigError, match="unknown function SYSTEM_PROPERTY_GET"):
        make_pipeline(parser=parser, globals={**asks, "stellar.function.resolver.excludes": "SYSTEM_.*"})


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("no.such.module:LIBRARY", "no library of Stellar functions at no.such.module:LIBRARY"),
        ("stellar.functions:NOTHING", "no library of Stellar functions at stellar.functions:NOTHING"),
        ("stellar.functions:FAMILIES", "invalid library stellar.functions:FAMILIES: expected a Library, got a dict"),
        ("", "Empty module name"),
        (".x:y", "specify a library as module:attribute, such as stellar.functions:SHELL_LIBRARY"),
        (5, "specify a library as module:attribute, such as stellar.functions:SHELL_LIBRARY"),
    ],
)
def test_an_invalid_library_is_rejected(name: Any, complaint: str, make_pipeline: Make) -> None:
    from stellar.language.errors import ConfigError

    with pytest.raises(ConfigError, match=r'global\.json: \["stellar\.function\.library"\]') as refused:
        make_pipeline(globals={"stellar.function.library": name})
    assert complaint in refused.value.message


def test_functions_see_the_global_configuration(make_pipeline: Make, tmp_path: Path) -> None:
    path = tmp_path / "object.json"
    path.write_text('{"a": 1}')
    parser = transforming({"transformation": "STELLAR", "config": {"y": f"OBJECT_GET('{path}')"}})
    line = "{}"
    assert one(make_pipeline(parser=parser), line)["y"] == {"a": 1}
    (rejected,) = make_pipeline(parser=parser, globals={"object.cache.max.file.size": 3})(Raw(line.encode()))
    assert isinstance(rejected, Rejected)
    assert "has more than 3 bytes, the limit that object.cache.max.file.size in the" in str(rejected.reason)
    own = Context({GlobalSettings: GlobalSettings({"object.cache.max.file.size": 3})})
    (rejected,) = make_pipeline(parser=parser, context=own)(Raw(line.encode()))
    assert isinstance(rejected, Rejected)


def test_a_custom_parser_is_found_by_its_path(make_pipeline: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys
    import types

    class Words:
        def __init__(self, settings: Any) -> None:
            self.name = settings.text("name")

        def __call__(self, text: str) -> list[Record]:
            return [{self.name: word} for word in text.split()]

        def complaint(self, record: Record) -> str | None:
            return "no x, please" if record[self.name] == "x" else None

    module = types.ModuleType("words_of_my_own")
    module.Words = Words  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "words_of_my_own", module)
    parser = {"parserClassName": "words_of_my_own.Words", "parserConfig": {"name": "w"}}
    first, refused = make_pipeline(parser=parser)(Raw(b"a x"))
    assert isinstance(first, dict)
    assert own_fields(first) == {"w": "a"}
    assert first["original_string"] == "a x"
    assert isinstance(refused, Rejected)
    assert refused.reason == "no x, please"


def test_a_parser_of_another_distribution_is_found_by_its_short_name(
    make_pipeline: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    point = EntryPoint("Other", "stellar.pipeline.parsers.csv:CsvParser", "stellar.parsers")
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: [point])
    parser = {"parserClassName": "Other", "parserConfig": {"columns": ["a"]}}
    assert own_fields(one(make_pipeline(parser=parser), "x")) == {"a": "x"}


def test_an_unreadable_message_gives_an_error_document() -> None:
    pipeline = squid(models(Answering()))
    raw = Raw(b"garbage", "access.log", 17)
    (outcome,) = pipeline(raw)
    assert isinstance(outcome, Rejected)
    document = make_error_document(outcome, "squid", raw)
    message = (
        "Grok statement produced a null message. Original message was: garbage and the parsed message was: {} . "
        "Check the pattern at: /patterns/squid"
    )
    changing = {"guid", "timestamp", "hostname", "stack"}
    assert document.keys() >= changing
    assert {name: value for name, value in document.items() if name not in changing} == {
        "source.type": "error",
        "error_type": "parser_error",
        "failed_sensor_type": "squid",
        "stage": "parse",
        "message": message,
        "origin": "access.log",
        "line": 17,
        "exception": f"stellar.java.grok.NoMatch: {message}",
        "raw_message": "garbage",
        "error_hash": "795b6904e54f82411df4b0e27a373a55eea3f9d66dac5a9bce1dd92f7b401da5",
    }
    assert document["stack"].startswith("Traceback (most recent call last):\n")


def test_an_invalid_record_gives_an_error_document(make_pipeline: Make) -> None:
    validations = [{"input": ["a", "b"], "validation": "NOT_EMPTY"}]
    pipeline = make_pipeline(globals={"fieldValidations": validations})
    raw = Raw(b'{"a": "x"}', "access.log", 1)
    (outcome,) = pipeline(raw)
    assert isinstance(outcome, Rejected)
    document = make_error_document(outcome, "squid", raw)
    assert document["error_type"] == "parser_invalid"
    assert document["error_fields"] == "a,b"
    assert document["message"] == "invalid record: failed NOT_EMPTY(a, b)"
    assert document["error_hash"] == hashlib.sha256(b"a-x|b-null").hexdigest()
    assert json.loads(document["raw_message"])["a"] == "x"
    assert not {"exception", "stack"} & document.keys()


@pytest.mark.parametrize(
    ("stage", "kind"),
    [
        ("parse", "parser_error"),
        ("transform", "parser_error"),
        ("validate", "parser_error"),
        ("enrich", "enrichments_error"),
        ("threatIntel", "threatintel_error"),
        ("triage", "threatintel_error"),
        ("write", "indexing_error"),
        ("model", "error"),
    ],
)
def test_the_type_of_an_error_depends_on_its_stage(stage: str, kind: str) -> None:
    assert make_error_document(Report(b"x", stage, ValueError("no")), "squid")["error_type"] == kind


def test_metadata_is_in_the_error_document(make_pipeline: Make) -> None:
    parser = envelope("")
    (outcome,) = make_pipeline(parser=parser)(Raw(json.dumps({**WRAPPED, "data": '"'}).encode()))
    assert isinstance(outcome, Rejected)
    document = make_error_document(outcome, "squid")
    assert document["c"] == "outer"
    assert document["source.type"] == "error"


@pytest.mark.parametrize(
    ("record", "text"),
    [
        ({"a.b": None, "s": "é\n"}, '{"a.b":null,"s":"é\\n"}'),
        ({"x": float("-inf"), "n": [float("nan")]}, '{"x":null,"n":[null]}'),
        ({"s": {1}, "b": b"ab", "t": (1, 2)}, '{"s":[1],"b":"ab","t":[1,2]}'),
        ({"m": {1: {2.5: "x"}}}, '{"m":{"1":{"2.5":"x"}}}'),
        ({"m": {(1, 2): 3}}, '{"m":{"[1, 2]":3}}'),
        ({"n": 2**70}, '{"n":1180591620717411303424}'),
    ],
)
def test_a_record_is_a_line_of_json(record: Record, text: str) -> None:
    assert to_json(record) == text


def test_a_lone_surrogate_is_written_as_its_escape() -> None:
    assert to_json_bytes({"s": "\ud800"}) == b'{"s":"\\ud800"}'
    assert json.loads(to_json_bytes({"s": "\ud800"})) == {"s": "\ud800"}


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (Decimal(7), "7"),
        (Decimal("7.5"), "7.5"),
        (Decimal("NaN"), "null"),
        (UUID(int=1), '"00000000-0000-0000-0000-000000000001"'),
        (ip_address("::1"), '"::1"'),
        ([{b"ab"}, math.nan], '[["ab"],null]'),
        ({"m": math.inf, "d": Decimal(1)}, '{"m":null,"d":1}'),
        (MappingProxyType({"a": [Decimal(2)]}), '{"a":[2]}'),
        (MappingProxyType({"a": math.nan}), '{"a":null}'),
        (WindowSummary(1), '{"$stats":"AQMQAAAAAQAAAAAAAAAAAAAAAAAAAHdtsYo="}'),
    ],
)
def test_a_value_of_python_has_its_json_form(value: object, shown: str) -> None:
    assert to_json({"a": value}) == f'{{"a":{shown}}}'


@pytest.mark.parametrize(
    ("value", "described"),
    [
        (lambda: 1, "a lambda"),
        (datetime(2026, 1, 1, tzinfo=UTC).date(), "an object of type date (convert it, as by value.isoformat())"),
        (1j, "an object of type complex (convert it, as by abs(value))"),
        ({"deep": [{Fraction(1, 2)}]}, "an object of type Fraction (convert it, as by float(value))"),
    ],
)
def test_a_value_without_a_json_form_becomes_an_error_document(value: object, described: str) -> None:
    pipeline = squid(models(Answering()))
    written: list[str] = []
    errors: list[Record] = []
    counts = run_pipeline(
        replace(pipeline, stages=(("enrich", lambda record: {**record, "odd": value}),)),
        [Raw(YAHOO.encode())],
        lambda record: written.append(to_json(record)),
        errors.append,
    )
    assert (counts.out, counts.rejected, written) == (0, 1, [])
    problem = f"cannot write the field odd: no JSON form for {described}"
    assert errors[0]["message"] == problem


def test_a_recursive_record_is_rejected_when_it_is_written() -> None:
    record: Record = {}
    record["self"] = record
    with pytest.raises(ValueError, match="nested too deep"):
        to_json(record)


CHAOTIC = SensorConfig(
    "chaos",
    ParserConfig.model_validate(
        {
            "parserClassName": "JSONMap",
            "filterClassName": "STELLAR",
            "parserConfig": {"filter.query": "keep != false"},
            "fieldTransformations": [{"transformation": "STELLAR", "config": {"ratio": "10 / divisor"}}],
        }
    ),
    EnrichmentConfig.model_validate(
        {
            "enrichment": {"fieldMap": {"stellar": {"config": {"length": "LENGTH(name)", "m": "{'n': name}"}}}},
            "threatIntel": {
                "fieldMap": {"stellar": {"config": ["worth := 1 / risk"]}},
                "triageConfig": {
                    "riskLevelRules": [{"rule": "risk", "score": "risk"}, {"rule": "risk > 1", "score": 5}]
                },
            },
        }
    ),
    GlobalConfig.model_validate({"fieldValidations": [{"input": "ip", "validation": "IP"}]}),
)
CHAOS = build_pipeline(CHAOTIC)
VALUES = st.none() | st.booleans() | st.integers(-2, 2) | st.text(max_size=3) | st.floats() | st.lists(st.integers())
RECORDS = st.dictionaries(
    st.sampled_from(["keep", "divisor", "name", "risk", "ip", "is_alert", "timestamp", "guid", "threatintels.x", "_"]),
    VALUES,
)
MESSAGES = st.one_of(
    st.binary(max_size=20),
    RECORDS.map(lambda record: json.dumps(record).encode()),
    st.lists(RECORDS | st.integers(), max_size=4).map(lambda records: json.dumps(records).encode()),
)


@settings(deadline=None, max_examples=200)
@given(st.lists(MESSAGES, max_size=8))
def test_every_message_is_counted(messages: list[bytes]) -> None:
    pipeline = CHAOS
    records: list[Record] = []
    errors: list[Record] = []
    counts = run_pipeline(pipeline, [Raw(message) for message in messages], records.append, errors.append)
    assert counts.read == len(messages)
    assert counts.parsed == counts.out + counts.dropped + counts.rejected
    assert counts.out == len(records)
    assert counts.rejected + counts.reports == len(errors)
    assert pipeline.reports == []
    for document in [*records, *errors]:
        assert document["guid"] is not None
        json.loads(to_json_bytes(document))


@settings(deadline=None)
@given(st.lists(st.sampled_from([YAHOO, CNN, "garbage", "", "\x00", "9" * 50]), max_size=30))
def test_every_line_of_a_log_is_a_record_or_an_error(log: list[str]) -> None:
    records: list[Record] = []
    errors: list[Record] = []
    source = [Raw(line.encode(), "access.log", number) for number, line in enumerate(log, 1)]
    counts = run_pipeline(SQUID, source, records.append, errors.append)
    good = [line for line in log if line in (YAHOO, CNN)]
    assert [record["original_string"] for record in records] == good
    assert [log[error["line"] - 1] for error in errors] == [line for line in log if line not in (YAHOO, CNN)]
    assert counts.parsed == counts.read == len(log)


SQUID = squid(models(Answering()))


def test_an_invalid_record_without_a_json_form_is_reported_with_its_raw_message() -> None:
    record: Record = {}
    record["self"] = record
    document = make_error_document(Rejected(record, "validate", Invalid("no", ["self"])), "squid", Raw(b"raw"))
    assert document["raw_message"] == "raw"
    assert document["error_hash"] == hashlib.sha256(b"raw").hexdigest()


def test_a_record_without_a_json_form_is_rejected_and_counted(make_pipeline: Make) -> None:
    def refuse(record: Record) -> None:
        raise ValueError("no JSON form")

    errors: list[Record] = []
    counts = run_pipeline(make_pipeline(), [Raw(b"{}", "x", 1)], refuse, errors.append)
    assert (counts.parsed, counts.out, counts.rejected) == (1, 0, 1)
    assert errors[0]["error_type"] == "indexing_error"


def test_the_counts_are_formatted_in_a_sentence(make_pipeline: Make) -> None:
    pipeline = make_pipeline(parser={"parserClassName": "JSONMap", "parserConfig": {"jsonpQuery": "$"}})
    counts = run_pipeline(pipeline, [Raw(b"[{}, {}]"), Raw(b"x")], lambda _: None, lambda _: None)
    assert str(counts) == "2 lines read, 3 parsed = 2 out + 0 dropped + 1 rejected; 0 reports"
