"""The language agrees with Metron's own engine, except for the differences in docs/compatibility.md."""

from __future__ import annotations

import pytest
from cases import by_category, load
from differences import report, shown

CATEGORIES = [category for category, _ in by_category(load("language"))]


@pytest.mark.parametrize("fast", [True, False], ids=["inline", "by helpers"])
@pytest.mark.parametrize("category", CATEGORIES)
def test_the_language_agrees_with_metron(category: str, fast: bool) -> None:
    disagreements = report("language", fast=fast).of(category)
    assert not disagreements, "\n" + shown(disagreements)
