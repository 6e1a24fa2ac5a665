"""The questions that were asked while the language was specified are answered as by Metron's own engine."""

from __future__ import annotations

import pytest
from differences import report, shown


@pytest.mark.parametrize("fast", [True, False], ids=["inline", "by helpers"])
def test_the_probes_are_answered_as_by_metron(fast: bool) -> None:
    disagreements = report("probes", fast=fast).disagreements
    assert not disagreements, "\n" + shown(disagreements)
