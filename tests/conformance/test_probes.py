"""The cases chosen by hand, for the specification and for Java's libraries, agree with Metron's own engine."""

from __future__ import annotations

import pytest
from differences import report, shown


@pytest.mark.parametrize("fast", [True, False], ids=["inline", "by helpers"])
@pytest.mark.parametrize("name", ["probes", "libraries"])
def test_the_chosen_cases_agree_with_metron(name: str, fast: bool) -> None:
    disagreements = report(name, fast=fast).disagreements
    assert not disagreements, "\n" + shown(disagreements)
