"""THREAT_TRIAGE_*: rules in configurations and engines, and scores."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import stellar
from stellar.language.context import Context, GlobalSettings
from stellar.language.conversions import to_string
from stellar.util.text_tables import text_table

Evaluate = Callable[..., Any]
DATA = Path(__file__).parents[2] / "conformance" / "data" / "triage.jsonl"
CASES = [case for case in map(json.loads, DATA.read_text(encoding="utf-8").splitlines()) if case["mode"] == "triage"]
SCORED = [case for case in CASES if case["result"]["ok"]]
RULES = [
    {"name": "big", "rule": "value > 10", "score": 10, "reason": "FORMAT('%d', value)", "comment": "c"},
    {"rule": "value > 20", "score": "value / 2"},
]
CONFIG = json.dumps({"threatIntel": {"triageConfig": {"riskLevelRules": RULES, "aggregator": "SUM"}}})


def rules_of(text: str) -> list[dict[str, Any]]:
    rules: list[dict[str, Any]] = json.loads(text)["threatIntel"]["triageConfig"]["riskLevelRules"]
    return rules


def test_a_message_is_scored_with_the_rules_that_it_matches(evaluate: Evaluate) -> None:
    assert evaluate("THREAT_TRIAGE_SCORE('{\"value\": 22}', THREAT_TRIAGE_INIT(c))", c=CONFIG) == {
        "score": 21.0,
        "aggregator": "SUM",
        "rules": [
            {"name": "big", "rule": "value > 10", "score": "10", "reason": "22", "comment": "c"},
            {"rule": "value > 20", "score": "value / 2"},
        ],
    }


@pytest.mark.parametrize("case", SCORED, ids=lambda case: case["id"])
def test_scores_are_those_of_metron(evaluate: Evaluate, case: dict[str, Any]) -> None:
    engine = evaluate("THREAT_TRIAGE_INIT(c)", c=json.dumps(case["config"]))
    found = evaluate("THREAT_TRIAGE_SCORE(m, e)", m=json.dumps(case["message"]), e=engine)
    wanted = case["result"]["value"]
    assert [rule["rule"] for rule in found["rules"]] == [rule["rule"] for rule in wanted["ruleScores"]]
    assert [rule.get("reason") for rule in found["rules"]] == [rule["reason"] for rule in wanted["ruleScores"]]
    if isinstance(wanted["score"], float | int):
        assert found["score"] == pytest.approx(wanted["score"])


def test_an_engine_is_changed_and_a_string_is_not(evaluate: Evaluate) -> None:
    engine = evaluate("THREAT_TRIAGE_INIT()")
    assert to_string(engine) == "ThreatTriage{0 rule(s)}"
    added = evaluate("THREAT_TRIAGE_ADD(e, {'rule': 'true', 'score': 7})", e=engine)
    assert added == evaluate("THREAT_TRIAGE_CONFIG(e)", e=engine)
    assert to_string(engine) == "ThreatTriage{1 rule(s)}"
    assert evaluate("MAP_GET('score', THREAT_TRIAGE_SCORE('{}', e))", e=engine) == 7.0
    evaluate("THREAT_TRIAGE_SET_AGGREGATOR(e, 'MIN', {'negativeValuesTrump': false})", e=engine)
    evaluate("THREAT_TRIAGE_ADD(e, {'rule': '1 < 2', 'score': -3})", e=engine)
    assert evaluate("MAP_GET('score', THREAT_TRIAGE_SCORE('{}', e))", e=engine) == -3.0
    evaluate("THREAT_TRIAGE_REMOVE(e, ['1 < 2'])", e=engine)
    assert evaluate("MAP_GET('score', THREAT_TRIAGE_SCORE('{}', e))", e=engine) == 7.0
    config = json.loads(evaluate("THREAT_TRIAGE_CONFIG(e)", e=engine))["threatIntel"]["triageConfig"]
    assert config["aggregationConfig"] == {"negativeValuesTrump": False}


def test_rules_are_added_after_the_others_and_only_once(evaluate: Evaluate) -> None:
    new = [{"rule": "b", "score": 1.5}, None, {"rule": "c"}, {"score": 1}, {"rule": "value > 10", "score": 99}]
    added = rules_of(evaluate("THREAT_TRIAGE_ADD(c, new)", c=CONFIG, new=new))
    assert [(rule["rule"], rule["score"]) for rule in added] == [
        ("value > 10", "10"),
        ("value > 20", "value / 2"),
        ("b", "1.5"),
    ]
    assert list(added[0]) == ["name", "comment", "rule", "score", "reason"]


def test_rules_are_removed_by_condition_or_name(evaluate: Evaluate) -> None:
    assert rules_of(evaluate("THREAT_TRIAGE_REMOVE(c, ['big', 'value > 20', null])", c=CONFIG)) == []
    assert len(rules_of(evaluate("THREAT_TRIAGE_REMOVE(c, ['other'])", c=CONFIG))) == 2


def test_rules_are_drawn_with_the_aggregator(evaluate: Evaluate) -> None:
    table = text_table(
        ("Name", "Comment", "Triage Rule", "Score", "Reason"),
        [("big", "c", "value > 10", "10", "FORMAT('%d', value)"), ("", "", "value > 20", "value / 2", "")],
    )
    assert evaluate("THREAT_TRIAGE_PRINT(c)", c=CONFIG) == f"{table}Aggregation: SUM"
    assert evaluate("THREAT_TRIAGE_PRINT(THREAT_TRIAGE_INIT(c))", c=CONFIG) == f"{table}Aggregation: SUM"


def test_the_older_form_of_rules_is_read(evaluate: Evaluate) -> None:
    config = json.dumps({"threatIntel": {"triageConfig": {"riskLevelRules": {"a > 1": 5}}}})
    assert rules_of(evaluate("THREAT_TRIAGE_ADD(c, [])", c=config)) == [{"rule": "a > 1", "score": "5"}]


def test_rules_see_the_variables_of_their_configuration(evaluate: Evaluate) -> None:
    config = json.loads(CONFIG)
    config["threatIntel"]["config"] = {"value": 15}
    engine = evaluate("THREAT_TRIAGE_INIT(c)", c=json.dumps(config))
    assert evaluate("MAP_GET('score', THREAT_TRIAGE_SCORE('{}', e))", e=engine) == 10.0


def test_rules_call_the_functions_that_settings_allow(evaluate: Evaluate) -> None:
    engine = evaluate("THREAT_TRIAGE_INIT(c)", c=CONFIG)
    allowed = {"stellar.function.resolver.excludes": "FORMAT"}
    with pytest.raises(stellar.EvaluationError, match="unknown function FORMAT"):
        evaluate("THREAT_TRIAGE_SCORE('{}', e)", Context({GlobalSettings: GlobalSettings(allowed)}), e=engine)
    assert evaluate("MAP_GET('score', THREAT_TRIAGE_SCORE('{}', e))", e=engine) == 0.0


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"rule": "1 / value", "score": 1}, "failed in its condition"),
        ({"rule": "true", "score": "'much'"}, "failed in its score"),
        ({"rule": "true", "score": 1, "reason": "1 / value"}, "failed in its reason"),
        ({"rule": "1 +", "score": 1}, r"riskLevelRules\[0\]\.rule"),
    ],
)
def test_a_rule_that_fails_is_an_error(evaluate: Evaluate, rule: dict[str, Any], message: str) -> None:
    config = evaluate("THREAT_TRIAGE_ADD('{}', rule)", rule=rule)
    with pytest.raises(stellar.EvaluationError, match=message):
        evaluate("THREAT_TRIAGE_SCORE('{\"value\": 0}', THREAT_TRIAGE_INIT(c))", c=config)


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("THREAT_TRIAGE_INIT('{')", "THREAT_TRIAGE_INIT expected a valid configuration: config: invalid JSON"),
        ("THREAT_TRIAGE_INIT(null)", "expected a string"),
        ("THREAT_TRIAGE_INIT('{\"colour\": 1}')", "unknown key 'colour'"),
        ("THREAT_TRIAGE_SCORE(null, THREAT_TRIAGE_INIT())", "expected a string"),
        ("THREAT_TRIAGE_SCORE('[1]', THREAT_TRIAGE_INIT())", "expected a JSON object as message, got"),
        ("THREAT_TRIAGE_SCORE('{} {}', THREAT_TRIAGE_INIT())", "expected a JSON object as message, got"),
        ("THREAT_TRIAGE_SCORE('{}', '{}')", "expected a threat triage engine"),
        ("THREAT_TRIAGE_CONFIG('{}')", "expected a threat triage engine"),
        ("THREAT_TRIAGE_PRINT(1)", "expected a string or a threat triage engine"),
        ("THREAT_TRIAGE_ADD('{}', null)", "expected a map or a list of maps as rules, got null"),
        ("THREAT_TRIAGE_ADD('{}', ['a'])", "expected a map or a list of maps as rules"),
        ("THREAT_TRIAGE_ADD('{}', {'rule': null, 'score': 1})", "expected a string as rule of a rule"),
        ("THREAT_TRIAGE_ADD('{}', {'rule': 'a', 'score': 1, 'name': 5})", "expected a string as name of a rule"),
        ("THREAT_TRIAGE_ADD('{}', {'rule': 'a', 'score': true})", "expected a number or an expression as score"),
        ("THREAT_TRIAGE_SET_AGGREGATOR('{}', 'sum')", "unknown aggregator 'sum'; did you mean SUM"),
        ("THREAT_TRIAGE_SET_AGGREGATOR('{}', 'SUM', 5)", "expected a map"),
    ],
)
def test_an_invalid_argument_is_an_error_that_names_it(evaluate: Evaluate, expression: str, message: str) -> None:
    with pytest.raises(stellar.EvaluationError, match=message):
        evaluate(expression)
