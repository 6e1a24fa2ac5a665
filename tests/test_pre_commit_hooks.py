"""The hooks for pre-commit name existing commands and select the files that these can read."""

from __future__ import annotations

import importlib.metadata
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

yaml = pytest.importorskip("yaml")

ROOT = Path(__file__).parents[1]
HOOKS: list[dict[str, Any]] = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
PROGRAMS = {each.name: each.value for each in importlib.metadata.entry_points(group="console_scripts")}


@pytest.mark.parametrize(
    ("file", "is_selected"),
    [
        ("rules.stellar", True),
        ("config/parsers/squid.json", True),
        ("enrichments/squid.json", True),
        ("global.json", True),
        ("config/profiler.json", True),
        ("package.json", False),
        ("config/indexing/squid.json", False),
        ("parsers/README.md", False),
        ("rules.stellar.bak", False),
    ],
)
@pytest.mark.parametrize("hook", ["stellar-check", "stellar-fmt"])
def test_a_hook_selects_files_with_expressions(hook: str, file: str, is_selected: bool) -> None:
    (files,) = [each["files"] for each in HOOKS if each["id"] == hook]
    assert bool(re.search(files, file)) is is_selected


@pytest.mark.parametrize(
    ("hook", "arguments"),
    [
        ("stellar-check", ["--strict", "examples/squid/config/parsers/squid.json"]),
        ("stellar-fmt", ["--check", "examples/squid/config/parsers/squid.json"]),
        ("stellar-pipeline-check", ["--config", "examples/squid/config", "--offline"]),
    ],
)
def test_a_hook_accepts_a_clean_configuration(hook: str, arguments: list[str]) -> None:
    (entry,) = [each["entry"] for each in HOOKS if each["id"] == hook]
    program, command = shlex.split(entry)
    module, _, function = PROGRAMS[program].partition(":")
    code = f"import sys; from {module} import {function}; sys.exit({function}())"
    done = subprocess.run(
        [sys.executable, "-c", code, command, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
