"""The drills that only count calls pass on any machine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def run(*names: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "drills", *names]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.parametrize("name", ["fork", "between"])
def test_a_drill_meets_its_requirement(name: str) -> None:
    drill = run(name)
    assert drill.returncode == 0, drill.stdout + drill.stderr
    assert len(drill.stdout.splitlines()) == 3  # the header of the table and one finding


def test_an_unknown_drill_is_rejected_with_the_known_names() -> None:
    drill = run("flood")
    assert drill.returncode == 2
    assert "unknown drill flood; known are" in drill.stderr
