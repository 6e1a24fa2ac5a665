"""Threat triage compared with the results of Metron's own classes."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from stellar.language.conversions import to_boolean
from stellar.language.errors import ConfigError
from stellar.pipeline.config.compile import BuildContext
from stellar.pipeline.config.loading import read_enrichment
from stellar.pipeline.config.locations import SourceLocation
from stellar.pipeline.config.schema import EnrichmentConfig
from stellar.pipeline.records import Report
from stellar.pipeline.stages.triage import aggregate, build_triage

DATA = Path(__file__).parents[1] / "conformance" / "data" / "triage.jsonl"
CASES = [json.loads(line) for line in DATA.read_text(encoding="utf-8").splitlines()]
AGGREGATED = [case for case in CASES if case["mode"] == "aggregate"]
TRIAGED = [case for case in CASES if case["mode"] == "triage"]

# The errors with which Java rejects a configuration, before any message
REFUSED_CONFIGURATION = {"JsonMappingException"}


def lost_by_java(case: dict[str, Any]) -> bool:
    """Return True if Java loses the message; the pipeline reports the rule, and the record continues."""
    result = case["result"]
    return not result["ok"] and result["error"] not in REFUSED_CONFIGURATION


def plain(value: Any) -> Any:
    match value:
        case {"$nan": True}:
            return math.nan
        case {"$inf": sign}:
            return sign * math.inf
        case {"$long": number} | {"$float": number} | {"$short": number} | {"$byte": number}:
            return number
    return value


def test_the_cases_are_complete() -> None:
    assert len(CASES) == 417
    assert sum(map(lost_by_java, AGGREGATED)) == 10  # scores of null, which the pipeline rejects before the aggregation
    assert sum(map(lost_by_java, TRIAGED)) == 36
    assert sum(not case["result"]["ok"] for case in TRIAGED) == 38


@pytest.mark.parametrize("case", [case for case in AGGREGATED if not lost_by_java(case)], ids=lambda case: case["id"])
def test_scores_are_aggregated_as_in_java(case: dict[str, Any]) -> None:
    scores = [plain(score) for score in case["scores"]]
    assert aggregate(case["aggregator"], scores, case.get("config") or {}) == pytest.approx(
        plain(case["result"]["value"]), rel=1e-15, nan_ok=True
    )


@pytest.mark.parametrize("case", [case for case in AGGREGATED if lost_by_java(case)], ids=lambda case: case["id"])
def test_java_loses_a_message_only_for_a_score_that_is_null(case: dict[str, Any]) -> None:
    assert None in case["scores"]


def triaged(case: dict[str, Any]) -> tuple[dict[str, Any], list[Report]]:
    config = EnrichmentConfig.model_validate(case["config"])
    reports: list[Report] = []
    stage = build_triage(
        config.threat_intel, config.configuration, SourceLocation("x"), BuildContext(report=reports.append)
    )
    matches = stage.match_rules(case["message"])
    rules = [
        {"name": f.rule.name, "comment": f.rule.comment, "rule": f.rule.text, "score": f.score, "reason": f.reason}
        for f in matches
    ]
    return {"score": stage.compute_score(matches), "ruleScores": rules}, reports


@pytest.mark.parametrize("case", [case for case in TRIAGED if case["result"]["ok"]], ids=lambda case: case["id"])
def test_rules_fire_as_in_java(case: dict[str, Any]) -> None:
    found, reports = triaged(case)
    wanted = case["result"]["value"]
    assert reports == []
    assert found["score"] == pytest.approx(plain(wanted["score"]), rel=1e-15)
    assert found["ruleScores"] == [{**rule, "score": plain(rule["score"])} for rule in wanted["ruleScores"]]


@pytest.mark.parametrize("case", [case for case in TRIAGED if lost_by_java(case)], ids=lambda case: case["id"])
def test_a_message_that_java_loses_is_not_lost(case: dict[str, Any]) -> None:
    found, reports = triaged(case)
    rules = case["config"]["threatIntel"]["triageConfig"]["riskLevelRules"]
    # A condition of null is false here, not an error
    assert reports or any(rule["rule"].isidentifier() and case["message"].get(rule["rule"]) is None for rule in rules)
    assert all(report.stage == "triage" for report in reports)
    assert len(found["ruleScores"]) <= len(rules)


@pytest.mark.parametrize(
    "case",
    [case for case in TRIAGED if not case["result"]["ok"] and not lost_by_java(case)],
    ids=lambda case: case["id"],
)
def test_a_configuration_that_java_rejects_is_rejected(case: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "squid.json"
    file.write_text(json.dumps(case["config"]), encoding="utf-8")
    with pytest.raises(ConfigError):
        read_enrichment(file)


def test_every_spelling_of_negative_values_trump_is_measured() -> None:
    spellings = {repr(case["config"].get("negativeValuesTrump")) for case in AGGREGATED if case.get("config")}
    assert {"True", "False", "0", "'no'", "'abc'", "None"} <= spellings
    assert to_boolean("abc") is None  # an unknown value leaves it true
