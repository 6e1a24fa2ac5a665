"""docs/getting-started.md is true: its commands, typed one after the other, print what it shows."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "docs" / "getting-started.md"
READER = "/home/me/walkthrough"  # where the document's reader works

# What differs from run to run, and what stands for it
VARYING = {
    r"(?<=127\.0\.0\.1:)\d+": "PORT",
    r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}": "GUID",
    r'(?<=\.ts": ")\d{13}': "NOW",
    r"(?<=failed/)[0-9a-f]{12}": "INSTANCE",
    r"(?<= in )\d+\.\d(?= s\b)": "SECONDS",
}


class Step(NamedTuple):
    """A command of the document, and what it shows below it."""

    command: str
    output: str


def steps(text: str) -> list[Step]:
    """The commands of the blocks marked `console`: `$ ` begins one, and `> ` goes on with it."""
    found: list[list[str]] = []
    for block in re.findall(r"^```console\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        for line in block.splitlines(keepends=True):
            if line.startswith("$ "):
                found.append([line[2:], ""])
            elif line.startswith("> "):
                found[-1][0] += line[2:]
            else:
                found[-1][1] += line
    return [Step(*step) for step in found]


def script(commands: list[str]) -> Iterator[str]:
    """What a shell is to do, so that a zero byte stands before the output of each command."""
    yield f"SQUID={ROOT}/examples/squid\ntrap 'kill $(jobs -p) 2>/dev/null; wait' EXIT\n"
    for command in commands:
        yield f"printf '\\0'\n{command.replace('sleep 2', UNTIL_SETTLED)}"
        if command.endswith("&\n"):  # the next command comes sooner than a reader's would
            yield f"{UNTIL_SERVED}\n"


UNTIL_SERVED = "until maas status --registry registry | grep -q 'service: running'; do sleep 0.1; done"
# On a busy machine two seconds may not do: here, until as many of dga @ 1.0 are ready as are wanted
UNTIL_SETTLED = "until maas status --registry registry | grep -q '^dga @ 1.0 *2 *2 *1'; do sleep 0.1; done"


def normal(text: str, folder: Path) -> str:
    text = text.replace(str(folder), READER)
    for pattern, name in VARYING.items():
        text = re.sub(pattern, name, text, flags=re.MULTILINE)
    return text.rstrip()


@pytest.mark.skipif(
    importlib.util.find_spec("sklearn") is None, reason="scikit-learn is not installed; it is in the extra `demo`"
)
def test_each_command_of_getting_started_prints_what_the_document_shows(tmp_path: Path) -> None:
    documented = steps(DOCUMENT.read_text())
    assert len(documented) > 20
    paths = (str(Path(sys.executable).parent), sysconfig.get_path("scripts"), os.environ["PATH"])
    typed = subprocess.run(
        ["bash"],
        input="".join(script([step.command for step in documented])),
        cwd=tmp_path,
        env={**os.environ, "PATH": os.pathsep.join(paths), "LC_ALL": "C.UTF-8", "PYTHON": sys.executable},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
    )
    printed = typed.stdout.split("\0")[1:]
    for step, output in zip(documented, printed, strict=True):
        assert normal(output, tmp_path) == normal(step.output, tmp_path), f"$ {step.command}"
