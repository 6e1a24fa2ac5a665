"""The example package of functions, installed by pip and called."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "functions"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run(
        [*pip, "--no-deps", "--no-build-isolation", "--target", str(target), str(EXAMPLE)], check=True, timeout=120
    )
    return target


def run(installed: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(installed), *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.run(
        [sys.executable, "-m", "stellar", *arguments],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("expression", "printed"),
    [
        ("LUHN_VALID('4111 1111 1111 1111')", "true\n"),
        ("LUHN_VALID(TRIM(' 4111-1111-1111-1112 '))", "false\n"),
        ("LUHN_VALID(null)", "false\n"),
    ],
)
def test_an_installed_function_is_called(installed: Path, expression: str, printed: str) -> None:
    assert run(installed, "eval", "-e", expression).stdout == printed


def test_an_error_of_an_installed_function_has_its_location(installed: Path) -> None:
    failed = run(installed, "eval", "-e", "LUHN_VALID('x')")
    assert failed.returncode == 1
    assert failed.stderr.startswith("invalid number 'x': expected digits, spaces and hyphens\n1 | LUHN_VALID('x')")


def test_the_function_is_unknown_without_the_package() -> None:
    assert (
        "unknown function LUHN_VALID"
        in subprocess.run(
            [sys.executable, "-m", "stellar", "eval", "-e", "LUHN_VALID('1')"],
            capture_output=True,
            text=True,
            timeout=60,
        ).stderr
    )
