"""The time of day, which tests of configurations fix."""

from __future__ import annotations

import time

import stellar
from stellar.util import clock


def test_a_fixed_time_holds_for_a_block() -> None:
    with clock.fix_time(5):
        assert clock.now() == 5
        with clock.fix_time(7):
            assert stellar.evaluate("NOW()", {}) == 7
        assert clock.now() == 5
    assert abs(clock.now() - time.time() * 1000) < 60_000
