"""Parsers, transformations, filters, validation and metadata compared with the results of Metron's own classes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from replay import compare_parser, read_cases

CASES = list(read_cases([str(Path(__file__).parent / "data" / "parsers.jsonl")]))
CATEGORIES = sorted({case["cat"] for case in CASES})


def test_the_cases_are_complete() -> None:
    assert len(CASES) == 4613
    assert sum("mend" not in case for case in CASES) == 3335
    assert sum("config_error" in case["result"] for case in CASES) == 142


@pytest.mark.parametrize("category", CATEGORIES)
def test_a_category_agrees_with_metron(category: str) -> None:
    verdicts = [compare_parser(case) for case in CASES if case["cat"] == category]
    assert [verdict.description for verdict in verdicts if verdict.description] == []
    counts = Counter(verdict.same for verdict in verdicts)
    assert counts[True] + sum(verdict.documented for verdict in verdicts) == len(verdicts)
