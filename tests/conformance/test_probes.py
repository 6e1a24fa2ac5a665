"""The cases chosen by hand for the specification agree with Metron's own engine."""

from __future__ import annotations

import pytest
from differences import report, shown


@pytest.mark.parametrize("fast", [True, False], ids=["inline", "by helpers"])
def test_the_probes_agree_with_metron(fast: bool) -> None:
    disagreements = report("probes", fast=fast).disagreements
    assert not disagreements, "\n" + shown(disagreements)
