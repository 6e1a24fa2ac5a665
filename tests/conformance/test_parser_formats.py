"""The parsers agree with Metron's, except for the documented differences."""

from __future__ import annotations

import json

import pytest
from cases import DATA
from parser_cases import find_difference, run_case
from parser_differences import ACCEPTED, RULES, UNKNOWN_ZONE, find_reason

FORMATS = ("csv", "json", "syslog", "cef", "leef", "grok", "websphere", "regex", "asa")


@pytest.fixture(scope="module")
def differences() -> dict[str, dict[str, str]]:
    """For each format, the differences of its cases, with the reasons that are documented."""
    found: dict[str, dict[str, str]] = {name: {} for name in FORMATS}
    for line in (DATA / "parsers.jsonl").read_text(encoding="utf-8").split("\n"):
        case = json.loads(line) if line else {"cat": ""}
        name = next((name for name in FORMATS if case["cat"].startswith(name)), None)
        if name is not None and (difference := find_difference(case)[1]):
            found[name][f"{case['id']}: {difference}"] = find_reason(case, run_case(case))
    return found


@pytest.mark.parametrize("name", FORMATS)
def test_a_parser_agrees_with_metron(name: str, differences: dict[str, dict[str, str]]) -> None:
    assert [difference for difference, reason in differences[name].items() if not reason] == []


def test_every_documented_difference_occurs(differences: dict[str, dict[str, str]]) -> None:
    reasons = {each for found in differences.values() for reason in found.values() for each in reason.split("; ")}
    assert reasons == {UNKNOWN_ZONE, *RULES, *(form for _, _, form in ACCEPTED)}
