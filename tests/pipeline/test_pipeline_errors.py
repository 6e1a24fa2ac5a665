"""The complete error messages of the command for invalid configurations.

A case is a file: the files of the configuration, each after a line `=== name` (a directory if the name ends in a
slash), then `--- command` and the expected output, with standard error. The exit status is 1, or 0 for `valid`, a check
with warnings.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from stellar.pipeline.cli import main

CASES = sorted((Path(__file__).parent / "errors").glob("*.txt"))
COMMANDS = {
    "run": ["run", "--config", "config", "--sensor", "squid", "--quiet", "in.log"],
    "check": ["check", "--config", "config", "--offline"],
    "valid": ["check", "--config", "config", "--offline"],
    "online": ["check", "--config", "config"],
}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_errors_name_location_problem_and_fix(
    case: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    files, command, expected = re.split(r"^--- (\w+)\n", case.read_text(encoding="utf-8"), flags=re.MULTILINE)
    monkeypatch.chdir(tmp_path)
    Path("config").mkdir()
    Path("in.log").touch()
    for name, content in re.findall(r"^=== (\S+)\n(.*?)(?=^===|\Z)", files, flags=re.MULTILINE | re.DOTALL):
        path = Path("config") / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("/"):
            path.mkdir()
        else:
            path.write_text(content, encoding="utf-8")
    assert main(COMMANDS[command]) == (0 if command == "valid" else 1)
    printed = capsys.readouterr()
    assert printed.out + printed.err == expected


def test_there_are_enough_cases() -> None:
    assert len(CASES) > 25
