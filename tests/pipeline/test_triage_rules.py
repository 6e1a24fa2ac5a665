"""Rules of threat triage that are evaluated together agree with single ones, in scores, reasons, reports and order."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

import stellar
from stellar.language.errors import StellarError
from stellar.language.library import Library
from stellar.pipeline.config.compile import BuildContext
from stellar.pipeline.config.locations import SourceLocation
from stellar.pipeline.config.schema import EnrichmentConfig
from stellar.pipeline.records import Report, make_error_document
from stellar.pipeline.stages.triage import Triage, build_triage, split_sections

DATA = Path(__file__).parents[1] / "conformance" / "data" / "triage.jsonl"
CASES = [
    case
    for line in DATA.read_text(encoding="utf-8").splitlines()
    if (case := json.loads(line))["mode"] == "triage" and case["result"].get("error") != "JsonMappingException"
]
# Differ for each error
CHANGING = ("guid", "timestamp", "stack")

Results = tuple[list[Any], list[Any]]


def build(config: dict[str, Any], reports: list[Report], library: Library = stellar.functions.LIBRARY) -> Triage:
    checked = EnrichmentConfig.model_validate(config)
    builder = BuildContext(library=library, report=reports.append)
    return build_triage(checked.threat_intel, checked.configuration, SourceLocation("x"), builder)


def describe_report(report: Report) -> Any:
    error = report.error
    document = {name: value for name, value in make_error_document(report, "squid").items() if name not in CHANGING}
    span = (error.span, error.hint) if isinstance(error, StellarError) else None
    return document, type(error), span, type(error.__cause__), str(error.__cause__)


def run_together(triage: Triage, record: dict[str, Any], reports: list[Report]) -> Results:
    for _, rules in triage._sections:
        if rules is not None:
            rules.fuse()
    reports.clear()
    matches = triage.match_rules(record)
    return [tuple(match) for match in matches], list(map(describe_report, reports))


def run_singly(triage: Triage, record: dict[str, Any], reports: list[Report]) -> Results:
    reports.clear()
    known = triage.list_variables(record)
    found = [triage.match_rule(rule, known, record, triage._report_failure) for rule in triage.rules]
    return [tuple(match) for match in found if match is not None], list(map(describe_report, reports))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_the_rules_of_a_conformance_case_agree_with_single_ones(case: dict[str, Any]) -> None:
    reports: list[Report] = []
    triage = build(case["config"], reports)
    message = case["message"]
    assert run_together(triage, message, reports) == run_singly(triage, message, reports)


CONDITIONS = """bytes > @n; method == '@w'; method in ['@w', '@w']; code == @n; code / bytes > @n; x > '@w'; is_alert
    method == '@w' and code == @n; method == '@w' and bytes / code > @n; bytes; TO_UPPER(method) == '@w'; tags == @n
    LENGTH(LIST_ADD(tags, '@w')) > @n; LENGTH(tags) > @n; limit < bytes; method == null; exists(code) and code == @n"""
SCORES = [
    1,
    10,
    -5,
    2.5,
    "bytes * @n",
    "'@w'",
    "bytes / code",
    "TO_INTEGER(method)",
    "LENGTH(LIST_ADD(tags, 1))",
    "null",
]
REASONS = [
    *(None, None, None, "FORMAT('%s from %s', method, x)", "JOIN(tags, ',')", "bytes / code", "[method]", "tags"),
    "TO_STRING(LIST_ADD(tags, 'r'))",
]
VALUES = {
    "bytes": [0, 1, 3, 2.5, None, "1"],
    "method": ["A", "B", "a", None, 1, ["A"]],
    "code": [0, 1, 2, 1.0, None],
    "x": ["A", 1, None],
    "tags": [[], ["t"], None, "B"],
    "is_alert": ["true", True, "no"],
}


def fill(template: Any, rng: random.Random) -> Any:
    while isinstance(template, str) and "@" in template:
        template = template.replace("@n", str(rng.randrange(3)), 1).replace("@w", rng.choice("ABab"), 1)
    return template


def make_config(rng: random.Random) -> dict[str, Any]:
    templates = [template.strip() for line in CONDITIONS.splitlines() for template in line.split(";")]
    rules = [
        {
            "name": rng.choice([None, f"rule {number}"]),
            "rule": fill(rng.choice(templates), rng),
            "score": fill(rng.choice(SCORES), rng),
            "reason": fill(rng.choice(REASONS), rng),
        }
        for number in range(rng.choice([2, 8, 25]))
    ]
    triage = {"riskLevelRules": rules, "aggregator": "SUM"}
    return {"configuration": {"limit": 1, "x": "B"}, "threatIntel": {"triageConfig": triage}}


def make_record(rng: random.Random) -> dict[str, Any]:
    return {name: rng.choice(values) for name, values in VALUES.items() if rng.random() < 0.9}


@pytest.mark.parametrize("seed", range(40))
def test_generated_rules_agree_with_single_ones(seed: int) -> None:
    rng = random.Random(seed)
    config = make_config(rng)
    reports: list[Report] = []
    triage = build(config, reports)
    for _ in range(10):
        record = make_record(rng)
        copy = json.loads(json.dumps(record))  # rules may change its lists
        together, singly = run_together(triage, record, reports), run_singly(triage, copy, reports)
        assert together == singly
        assert record == copy


def split(*conditions: str | tuple[str, str]) -> list[int]:
    """Return the sizes of the sections of rules with these conditions, or conditions and reasons."""
    rules = [
        {"rule": each, "score": 1} if isinstance(each, str) else {"rule": each[0], "reason": each[1], "score": 1}
        for each in conditions
    ]
    triage = build({"threatIntel": {"triageConfig": {"riskLevelRules": rules, "aggregator": "MAX"}}}, [])
    return [len(section) for section in split_sections(triage.rules)]


def test_a_rule_with_other_than_pure_functions_splits_the_rules() -> None:
    assert split("a", "b", "c") == [3]
    assert split("a", "LENGTH(LIST_ADD(x, 1)) > 1", "b", "c") == [1, 1, 2]
    assert split("LENGTH(LIST_ADD(x, 1)) > 1", "LENGTH(LIST_ADD(x, 2)) > 1") == [1, 1]
    assert split("a", ("b", "TO_STRING(LIST_ADD(x, 1))"), "c", ("d", "TO_STRING(x)")) == [2, 2]


def test_functions_with_effects_are_called_in_the_order_of_the_rules() -> None:
    calls: list[str] = []

    @stellar.function("NOTE")
    def note(name: str, value: object = True) -> object:
        calls.append(name)
        return value

    library = Library.of(stellar.functions.LIBRARY, note)
    rules = [
        {"rule": "x == 1", "score": "NOTE('score', 5)", "reason": "NOTE('reason', 'r')"},
        {"rule": "NOTE('condition', x == 1)", "score": 1},
        {"rule": "x > 0", "score": 2, "reason": "NOTE('second', null)"},
    ]
    triage = build({"threatIntel": {"triageConfig": {"riskLevelRules": rules, "aggregator": "MAX"}}}, [], library)
    assert [match.reason for match in triage.match_rules({"x": 1})] == ["r", None, None]
    assert calls == ["score", "reason", "condition", "second"]


def test_a_configured_variable_does_not_change_the_record() -> None:
    config = make_config(random.Random(1))
    record: dict[str, Any] = {"x": None, "is_alert": "true"}
    result = build(config, [])(record)
    assert record == {"x": None, "is_alert": "true"}
    assert "limit" not in result
    assert result["x"] is None
