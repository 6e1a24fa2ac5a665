"""Functions agree with Metron's, except for the differences in docs/compatibility.md."""

from __future__ import annotations

import pytest
from cases import by_category, load
from differences import FILES, report, shown

CATEGORIES = [category for category, _ in by_category(load("functions"))]


@pytest.mark.parametrize("fast", [True, False], ids=["inline", "by helpers"])
@pytest.mark.parametrize("category", CATEGORIES)
def test_functions_agree_with_metron(category: str, fast: bool) -> None:
    disagreements = report("functions", fast=fast).of(category)
    assert not disagreements, "\n" + shown(disagreements)


@pytest.mark.parametrize("name", FILES)
def test_every_function_of_the_cases_exists(name: str) -> None:
    assert not report(name).waiting
