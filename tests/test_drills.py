"""The drills that only count calls pass on any machine."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from drills.processors import ThreadTimes

ROOT = Path(__file__).parents[1]


def run(*names: str, seconds: float = 300) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "drills", *names]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=seconds, check=False)


@pytest.mark.parametrize("name", ["fork", "between"])
def test_a_drill_meets_its_requirement(name: str) -> None:
    drill = run(name)
    assert drill.returncode == 0, drill.stdout + drill.stderr
    assert len(drill.stdout.splitlines()) == 3  # the header of the table and one finding


def test_an_unknown_drill_is_rejected_with_the_known_names() -> None:
    drill = run("flood")
    assert drill.returncode == 2
    assert "unknown drill flood; known are" in drill.stderr


def test_the_time_of_a_thread_is_divided_into_running_ready_and_waiting() -> None:
    done, ended = threading.Event(), threading.Event()

    def run_then_wait() -> None:
        begin = time.thread_time()
        while time.thread_time() - begin < 0.2:
            pass
        done.set()
        ended.wait(60)

    thread = threading.Thread(target=run_then_wait, name="measured")
    with ThreadTimes("measured") as times:
        thread.start()
        assert done.wait(60)
        count = len(times._samples) + 2
        while len(times._samples) < count:
            time.sleep(0.01)
    ended.set()
    thread.join()
    seconds = [times.second(number) for number in range(count - 1)]
    assert sum(second.running for second in seconds) > 0.1
    assert all(second.running >= 0 and second.ready >= 0 for second in seconds)
    assert times.second(100) == seconds[-1]
    assert str(seconds[0]).endswith(" waiting")
