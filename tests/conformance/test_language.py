"""The language answers as Metron's own engine did, but for the differences that docs/compatibility.md lists."""

from __future__ import annotations

import pytest
from cases import by_category, load
from differences import report, shown

CATEGORIES = [category for category, _ in by_category(load("language"))]


@pytest.mark.parametrize("fast", [True, False], ids=["inline", "by helpers"])
@pytest.mark.parametrize("category", CATEGORIES)
def test_the_language_answers_as_metron(category: str, fast: bool) -> None:
    disagreements = report("language", fast=fast).of(category)
    assert not disagreements, "\n" + shown(disagreements)
