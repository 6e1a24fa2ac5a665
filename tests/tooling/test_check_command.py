"""What the commands that check print, and their exit status."""

from __future__ import annotations

import argparse

import pytest

from stellar.tooling.check_command import add_report_options, run_check
from stellar.tooling.diagnostics import CONFIGURATION, Diagnostic, DiagnosticReport

VALID = {"squid": {"TO_UPPER", "MAP_GET"}, "zwiebel": set[str]()}
WARNING = Diagnostic("x.json", 1, 2, "warning", CONFIGURATION, "", "this key has no effect")


def check(*arguments: str, found: tuple[Diagnostic, ...] = ()) -> int:
    """Run a check, with options, that finds the given diagnostics."""
    parser = argparse.ArgumentParser()
    add_report_options(parser)
    report = DiagnosticReport()
    report.add(found)
    return run_check(lambda: report, parser.parse_args(arguments), VALID)


def test_valid_configurations_are_listed_with_their_functions_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    assert check() == 0
    assert capsys.readouterr().out == (
        "squid: valid; functions called: MAP_GET, TO_UPPER\nzwiebel: valid; functions called: none\n"
    )


def test_valid_configurations_are_not_in_output_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    assert check("--output", "json") == 0
    assert "squid" not in capsys.readouterr().out


@pytest.mark.parametrize(("arguments", "status"), [((), 0), (("--strict",), 1)])
def test_warnings_fail_only_a_strict_check(arguments: tuple[str, ...], status: int) -> None:
    assert check(*arguments, found=(WARNING,)) == status
