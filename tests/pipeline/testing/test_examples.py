"""The tests beside the example configurations pass, and the configurations have no findings."""

from __future__ import annotations

from pathlib import Path

import pytest

from stellar.pipeline.cli import main
from stellar.pipeline.testing.loading import load_suites
from stellar.pipeline.testing.running import run_suite

EXAMPLES = Path(__file__).parents[3] / "examples"
TESTED = sorted(folder.parent for folder in EXAMPLES.glob("*/config/tests"))


def test_the_use_cases_have_tests() -> None:
    names = {folder.parent.name for folder in TESTED}
    assert {"typosquat", "logins", "clustering", "chaining", "squid"} <= names


@pytest.mark.parametrize("directory", TESTED, ids=lambda each: each.parent.name)
def test_the_tests_of_an_example_pass(directory: Path) -> None:
    results = [result for suite in load_suites(directory) for result in run_suite(suite)]
    assert len(results) >= 3
    failures = {result.name: result.error or result.differences for result in results if not result.has_passed}
    assert failures == {}


@pytest.mark.parametrize("directory", TESTED, ids=lambda each: each.parent.name)
def test_an_example_has_no_findings(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["check", "--config", str(directory), "--offline", "--strict"])
    assert status == 0, capsys.readouterr().out
