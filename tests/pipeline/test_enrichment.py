"""The stages for enrichment and triage, by their results for a record."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import pytest

from stellar.language.errors import ConfigError
from stellar.pipeline.pipeline import Pipeline
from stellar.pipeline.records import Raw, Record

from .conftest import own_fields

Send = Callable[..., Record]
Make = Callable[..., Pipeline]

TIMINGS = {f"parallelenricher.{part}.{end}.ts" for part in ("splitter", "enrich") for end in ("begin", "end")}
ADAPTER_TIMINGS = {"adapter.stellaradapter.begin.ts", "adapter.stellaradapter.end.ts"}


def enriching(config: Any, stage: str = "enrichment", **more: Any) -> Record:
    return {stage: {"fieldMap": {"stellar": {"config": config}}, **more}}


@pytest.mark.parametrize(
    ("config", "record", "result"),
    [
        ({"y": "x + 1", "z": "y + 1"}, {"x": 1}, {"x": 1, "y": 2, "z": 3}),
        (["y := x + 1", " z:=y + 1"], {"x": 1}, {"x": 1, "y": 2, "z": 3}),
        ({"one": {"y": "x + 1"}, "two": ["z := x + 2"]}, {"x": 1}, {"x": 1, "y": 2, "z": 3}),
        # Groups are independent
        ({"one": {"y": "x"}, "two": {"z": "exists(y)"}}, {"x": 1}, {"x": 1, "y": 1, "z": False}),
        # With and without groups
        ({"one": {"y": "x"}, "z": "x + 1"}, {"x": 1}, {"x": 1, "y": 1, "z": 2}),
        # A map is unfolded, one level, and only at the end of its group
        ({"m": "{'a': 1, 'b': {'c': 2}}", "n": "MAP_GET('a', m)"}, {}, {"m.a": 1, "m.b": {"c": 2}, "n": 1}),
        # Null adds no field, and removes none
        ({"x": "null", "y": "null"}, {"x": 1}, {"x": 1}),
        # Null and empty fields are removed, those of the record too
        ({"y": "1"}, {"n": None, "e": "", "blank": " ", "zero": 0}, {"y": 1, "blank": " ", "zero": 0}),
        # Lists are unchanged
        ({"y": "['a', 'b']"}, {}, {"y": ["a", "b"]}),
        ({"one": {"y": "LENGTH(x)"}}, {"x": "abc"}, {"x": "abc", "y": 3}),
    ],
)
@pytest.mark.parametrize("stage", ["enrichment", "threatIntel"])
def test_expressions_enrich_a_record(stage: str, config: Any, record: Record, result: Record, send: Send) -> None:
    found = send(record, enrichment=enriching(config, stage))
    assert own_fields(found) == result
    assert found.keys() >= TIMINGS | ADAPTER_TIMINGS


def test_a_record_without_enrichments_is_unchanged(send: Send) -> None:
    found = send({"n": None, "e": ""}, enrichment={"enrichment": {"fieldMap": {"stellar": {"config": {}}}}})
    assert own_fields(found) == {"n": None, "e": ""}
    assert found.keys() >= TIMINGS
    assert found.keys() & ADAPTER_TIMINGS == {"adapter.stellaradapter.begin.ts"}
    assert all(found[name].isdigit() for name in TIMINGS)


def test_settings_are_variables_and_fields_take_precedence(send: Send) -> None:
    config = {
        "enrichment": {
            "fieldMap": {"stellar": {"config": {"y": "mine", "z": "shared", "w": "field"}}},
            "config": {"mine": 1, "shared": 2},
        },
        "configuration": {"mine": 8, "shared": 9, "field": 9},
    }
    assert own_fields(send({"field": 3}, enrichment=config)) == {"field": 3, "y": 1, "z": 2, "w": 3}


def test_a_failing_group_is_reported_and_the_record_continues(make_pipeline: Make) -> None:
    config = {"bad": ["a := 1", "b := 1 / x"], "good": {"c": "2"}}
    pipeline = make_pipeline(enrichment=enriching(config))
    (outcome,) = pipeline(Raw(b'{"x": 0, "other": "o"}'))
    assert isinstance(outcome, dict)
    assert own_fields(outcome) == {"x": 0, "other": "o", "c": 2}
    (report,) = pipeline.reports
    assert report.stage == "enrich"
    assert report.reason.startswith("ENRICHMENT error with stellar failed: b := 1 / x: division by zero")
    assert "1 | 1 / x" in report.reason
    assert report.raw == {"bad": {"x": 0}, "source.type": "squid"}


def test_a_group_that_reads_all_fields_is_reported_with_them(make_pipeline: Make) -> None:
    pipeline = make_pipeline(enrichment=enriching({"a": "1 / MAP_GET('x', _)"}, "threatIntel"))
    list(pipeline(Raw(b'{"x": 0, "other": "o"}')))
    (report,) = pipeline.reports
    assert report.reason.startswith("THREAT_INTEL error with stellar failed: ")
    assert isinstance(report.raw, dict)
    assert report.raw[""]["other"] == "o"


@pytest.mark.parametrize(
    ("config", "path", "message"),
    [
        ({"y": ["x"]}, ".config.y[0]", 'expected an assignment, such as "field := x"'),
        ([["y := x"]], ".config[0]", "expected an expression as a string"),
        ({"y": None}, ".config.y", "expected an expression as a string"),
        ({"group": {"y": {"deep": "1"}}}, ".config.group.y", "expected an expression as a string"),
    ],
)
def test_an_invalid_expression_is_rejected(config: Any, path: str, message: str, make_pipeline: Make) -> None:
    with pytest.raises(ConfigError) as refused:
        make_pipeline(enrichment=enriching(config))
    assert (refused.value.path, refused.value.message) == (f"enrichment.fieldMap.stellar{path}", message)


def test_the_adapter_stellar_has_a_type_of_its_own(make_pipeline: Make) -> None:
    with pytest.raises(ConfigError, match="expected the type STELLAR for the adapter stellar, got 'LIST'"):
        make_pipeline(enrichment={"enrichment": {"fieldMap": {"stellar": {"type": "LIST", "config": {}}}}})


def triaging(*rules: Record, aggregator: str = "MAX", **more: Any) -> Record:
    return {"threatIntel": {"triageConfig": {"riskLevelRules": list(rules), "aggregator": aggregator}, **more}}


RULE = {"rule": "x > 1", "score": 100}
SCORED = {
    "threat.triage.score": 100.0,
    "threat.triage.level": 100,
    "threat.triage.rules.0.name": None,
    "threat.triage.rules.0.comment": None,
    "threat.triage.rules.0.score": "100",
    "threat.triage.rules.0.reason": None,
}


def test_an_alert_that_matches_a_rule_is_scored(send: Send) -> None:
    found = send({"x": 2, "is_alert": True}, enrichment=triaging(RULE))
    assert own_fields(found) == {"x": 2, "is_alert": "true", **SCORED}


@pytest.mark.parametrize("value", [True, "true", "TRUE", "yes", "on", "1", "y", 1, ["true"], [True, False]])
def test_each_spelling_of_true_is_an_alert(value: Any, send: Send) -> None:
    found = send({"x": 2, "is_alert": value}, enrichment=triaging(RULE))
    assert found["is_alert"] == "true"
    assert found["threat.triage.score"] == 100.0


@pytest.mark.parametrize("value", [False, "false", "No", "off", "0", "n", 0])
def test_each_spelling_of_false_is_removed_and_not_scored(value: Any, send: Send) -> None:
    assert own_fields(send({"x": 2, "is_alert": value}, enrichment=triaging(RULE))) == {"x": 2}


@pytest.mark.parametrize("value", ["malicious", 2, 1.0, " true", [], ["malicious"]])
def test_other_values_of_is_alert_are_reported(value: Any, make_pipeline: Make) -> None:
    pipeline = make_pipeline(enrichment=triaging(RULE))
    (outcome,) = pipeline(Raw(json.dumps({"x": 2, "is_alert": value}).encode()))
    assert own_fields(outcome) == {"x": 2, "is_alert": value}
    assert "which is not a boolean" in pipeline.reports[0].reason


def test_an_alert_without_a_matching_rule_gets_no_score(send: Send) -> None:
    assert own_fields(send({"x": 1, "is_alert": True}, enrichment=triaging(RULE))) == {"x": 1, "is_alert": "true"}


def test_only_alerts_are_scored(send: Send) -> None:
    assert own_fields(send({"x": 2}, enrichment=triaging(RULE))) == {"x": 2}


@pytest.mark.parametrize(
    ("field", "alert"), [("threatintels.x", True), ("threatintels.x.ts", False), ("x.threatintels", False)]
)
def test_fields_of_threat_intelligence_make_an_alert(field: str, alert: bool, send: Send) -> None:
    found = send({field: "alert", "x": 2}, enrichment=triaging(RULE))
    assert (found.get("is_alert") == "true") == ("threat.triage.score" in found) == alert


def test_rules_in_map_form_give_the_same_score(send: Send) -> None:
    config = {
        "index": "squid",
        "batchSize": 1,
        "enrichment": {"fieldMap": {}},
        "threatintel": {"fieldMap": {}, "triageConfig": {"riskLevelRules": {"x > 1": 100}, "aggregator": "MAX"}},
    }
    found = send({"x": 2, "is_alert": "true"}, enrichment=config)
    assert own_fields(found) == {"x": 2, "is_alert": "true", **SCORED}


def test_a_rule_adds_its_name_score_and_reason(send: Send) -> None:
    rules = (
        {"name": "n", "comment": "c", "rule": "", "score": "x * 10", "reason": "JOIN(['x is', x], ' ')"},
        {"rule": "false", "score": 1},
        {"rule": "true", "score": 2.5, "reason": "missing"},
    )
    found = send({"x": 2, "is_alert": True}, enrichment=triaging(*rules, aggregator="SUM"))
    assert own_fields(found) == {
        "x": 2,
        "is_alert": "true",
        "threat.triage.score": 22.5,
        "threat.triage.level": 22.5,
        "threat.triage.rules.0.name": "n",
        "threat.triage.rules.0.comment": "c",
        "threat.triage.rules.0.score": "x * 10",
        "threat.triage.rules.0.reason": "x is 2",
        "threat.triage.rules.1.name": None,
        "threat.triage.rules.1.comment": None,
        "threat.triage.rules.1.score": "2.5",
        "threat.triage.rules.1.reason": None,
    }


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        ({"rule": "1 / zero > 1", "score": 1}, "condition: division by zero"),
        ({"name": "odd", "rule": "1 / zero > 1", "score": 1}, "condition '1 / zero > 1': division by zero"),
        ({"rule": "'true'", "score": 1}, "condition: the rule does not return a boolean value"),
        ({"name": "odd", "rule": "true", "score": "'abc'"}, "score \"'abc'\": expected a number, got abc"),
        ({"rule": "true", "score": "missing"}, "score 'missing': expected a number, got null"),
        ({"rule": "true", "score": "1 / zero"}, "score '1 / zero': division by zero"),
    ],
)
def test_a_failing_rule_is_reported_and_skipped(rule: Record, reason: str, make_pipeline: Make) -> None:
    pipeline = make_pipeline(enrichment=triaging(rule, RULE))
    (outcome,) = pipeline(Raw(b'{"x": 2, "zero": 0, "is_alert": true}'))
    assert own_fields(outcome) == {"x": 2, "zero": 0, "is_alert": "true", **SCORED}
    (report,) = pipeline.reports
    assert report.stage == "triage"
    assert report.reason.startswith(f"rule {rule.get('name', rule['rule'])!r} failed in its {reason}")


def test_a_failing_reason_is_reported_and_the_score_counts(make_pipeline: Make) -> None:
    pipeline = make_pipeline(enrichment=triaging({**RULE, "reason": "1 / zero"}))
    (outcome,) = pipeline(Raw(b'{"x": 2, "zero": 0, "is_alert": true}'))
    assert own_fields(outcome) == {"x": 2, "zero": 0, "is_alert": "true", **SCORED}
    (report,) = pipeline.reports
    assert report.reason.startswith(f"rule {RULE['rule']!r} failed in its reason '1 / zero': division by zero")


def test_a_condition_that_is_null_does_not_match(send: Send) -> None:
    assert "threat.triage.score" not in send({"is_alert": True}, enrichment=triaging({"rule": "flag", "score": 1}))


def test_settings_are_variables_of_rules(send: Send) -> None:
    config = {
        **triaging({"rule": "x > least", "score": "worth"}, config={"least": 1, "worth": 7}),
        "configuration": {"worth": 8},
    }
    assert send({"x": 2, "is_alert": True}, enrichment=config)["threat.triage.score"] == 8.0


def test_the_older_level_can_be_left_out_and_the_score_named(send: Send) -> None:
    settings = {"threat.triage.legacy.level": False, "threat.triage.score.field": "risk"}
    found = send({"x": 2, "is_alert": True}, enrichment=triaging(RULE), globals=settings)
    assert found["risk"] == 100.0
    assert not {"threat.triage.level", "threat.triage.score"} & found.keys()


def test_a_negative_score_trumps_all_others(send: Send) -> None:
    found = send({"x": 2, "is_alert": True}, enrichment=triaging(RULE, {"rule": "true", "score": -1}))
    assert found["threat.triage.score"] == -math.inf
