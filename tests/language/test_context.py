"""Services that functions get from outside an expression."""

from __future__ import annotations

import logging

import pytest

from stellar.language.context import NOTHING, Context, FailureReporter, report_or_log

log = logging.getLogger(__name__)


class Reporter:
    def __init__(self) -> None:
        self.reports: list[tuple[str, str]] = []

    def report(self, subject: str, error: Exception) -> None:
        self.reports.append((subject, str(error)))


def test_a_failure_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    reporter = Reporter()
    report_or_log(Context({FailureReporter: reporter}), "look-up failed", OSError("away"), log)
    assert reporter.reports == [("look-up failed", "away")]
    assert not caplog.messages


def test_a_failure_is_logged_without_a_reporter(caplog: pytest.LogCaptureFixture) -> None:
    report_or_log(NOTHING, "look-up failed", OSError("away"), log)
    assert caplog.messages == ["away"]
