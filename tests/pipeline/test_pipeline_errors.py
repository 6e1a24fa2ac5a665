"""What the command says of a configuration that cannot be used, shown whole.

A case is a file: the configuration's files, each after a line `=== name` (a directory if the name ends in a slash),
then `--- command` and what stands on standard error. It ends with 1; `fine` is a check that warns, and ends with 0.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from stellar.pipeline.cli import main

CASES = sorted((Path(__file__).parent / "errors").glob("*.txt"))
COMMANDS = {
    "run": ["run", "--config", "config", "--sensor", "squid", "--quiet", "in.log"],
    "check": ["check", "--config", "config"],
    "fine": ["check", "--config", "config"],
}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_the_error_says_where_what_and_how_to_mend_it(
    case: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    files, command, wanted = re.split(r"^--- (\w+)\n", case.read_text(encoding="utf-8"), flags=re.MULTILINE)
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
    assert main(COMMANDS[command]) == (0 if command == "fine" else 1)
    assert capsys.readouterr().err == wanted


def test_there_is_a_case_for_every_kind_of_error() -> None:
    assert len(CASES) > 25
