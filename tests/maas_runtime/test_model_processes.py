"""A model's processes: their logs, their memory, their end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import maas_runtime
from maas_runtime.processes import ModelProcesses


@pytest.fixture
def start(tmp_path):
    """Starts a script: `start("sleep 1")`."""

    def start(text):
        script = tmp_path / "run.sh"
        script.write_text(f"#!/bin/sh\n{text}\n")
        return ModelProcesses(script, tmp_path, {}, tmp_path / "stdout", tmp_path / "stderr")

    return start


def test_a_log_that_grew_too_large_is_put_aside_and_begun_anew(start, tmp_path, eventually):
    with start(
        "head -c 5000 /dev/zero; while [ ! -e go ]; do sleep 0.02; done; echo more; touch done; sleep 30"
    ) as processes:
        eventually(lambda: (tmp_path / "stdout").stat().st_size == 5000)
        processes.keep_logs_within(5000)
        assert not (tmp_path / "stdout.1").exists()
        processes.keep_logs_within(4999)
        assert (tmp_path / "stdout.1").stat().st_size == 5000
        (tmp_path / "go").touch()
        eventually(lambda: (tmp_path / "done").exists())
        assert (tmp_path / "stdout").read_bytes() == b"more\n"


def test_the_memory_of_all_processes_counts(start, eventually):
    hungry = f"{sys.executable} -S -c \"import time; much = b'1' * 40_000_000; time.sleep(60)\""
    with start(f"{hungry} &\n{hungry} &\nwait") as processes:
        eventually(lambda: processes.memory() > 80_000_000)
        assert processes.memory() < 300_000_000


def test_leaving_the_context_kills_what_is_left(start, tmp_path, eventually, is_alive):
    with pytest.raises(ZeroDivisionError), start("sleep 60 & echo $! > child; wait"):  # noqa: PT012
        eventually(lambda: (tmp_path / "child").exists() and (tmp_path / "child").read_text().strip())
        raise ZeroDivisionError
    assert not is_alive(int((tmp_path / "child").read_text()))


# Stands for the runner
PARENT = """
import pathlib, signal, sys
from maas_runtime.processes import ModelProcesses
folder = pathlib.Path(sys.argv[1])
ModelProcesses(folder / "run.sh", folder, {}, folder / "stdout", folder / "stderr")
signal.pause()
"""


def test_when_its_parent_is_killed_the_whole_group_goes(tmp_path, eventually, is_alive):
    (tmp_path / "run.sh").write_text("#!/bin/sh\nsleep 60 & echo $! > child\nwait\n")
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, tmp_path], cwd=Path(maas_runtime.__file__).parents[1]
    ) as parent:
        child = int(eventually(lambda: (tmp_path / "child").exists() and (tmp_path / "child").read_text().strip()))
        parent.kill()
    eventually(lambda: not is_alive(child))
