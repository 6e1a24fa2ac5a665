"""Enrichment, threat intelligence and triage of a record compared with the results of Metron's own classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from enrichment_cases import World, open_world
from replay import compare_enrichment, read_cases

FILE = Path(__file__).parent / "data" / "enrichment.jsonl"
CASES = list(read_cases([str(FILE)]))
CATEGORIES = sorted({case["cat"] for case in CASES})


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with open_world(FILE) as world:
        yield world


def test_the_cases_are_complete() -> None:
    assert len(CASES) == 465
    assert sum("mend" not in case for case in CASES) == 357
    assert sum("lost_in" in case["result"] for case in CASES) == 93


@pytest.mark.parametrize("category", CATEGORIES)
def test_a_category_agrees_with_metron(category: str, world: World) -> None:
    verdicts = [compare_enrichment(case, world) for case in CASES if case["cat"] == category]
    assert [verdict.description for verdict in verdicts if verdict.description] == []
    counts = Counter(verdict.same for verdict in verdicts)
    assert counts[True] + sum(verdict.documented for verdict in verdicts) == len(verdicts)


def test_of_the_cases_without_a_reason_most_are_the_same(world: World) -> None:
    verdicts = [compare_enrichment(case, world) for case in CASES if "mend" not in case]
    assert sum(verdict.same for verdict in verdicts) >= len(verdicts) - 30  # odd configurations, which are rejected
