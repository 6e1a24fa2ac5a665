"""Runs of stellar-pipeline that are killed at many moments."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial

# Saves after each batch, and reads little at once, so that a kill hits many different moments
PROGRAM = """
import sys
from stellar.pipeline import checkpoints
from stellar.pipeline.connectors import lines
checkpoints.SECONDS_BETWEEN = 0.0
lines.READ_BYTES = 400
from stellar.pipeline.cli import main
sys.exit(main())
"""
LIMIT = 120.0


def start(arguments: Sequence[str], **options: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", PROGRAM, *arguments], stderr=subprocess.PIPE, **options)


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


def kill_repeatedly(arguments: Sequence[str], read_progress: Callable[[], object], kills: int) -> str:
    """Kill runs after they have made progress, then let one complete; return what that one prints.

    read_progress: returns a value that differs after progress
    """
    chance = random.Random(1)
    for _ in range(kills):
        before = read_progress()
        process = start(arguments)
        wait_for(partial(_has_changed, read_progress, before, process))
        time.sleep(chance.uniform(0, 0.03))
        process.send_signal(signal.SIGKILL)
        _, printed = process.communicate()
        assert process.returncode == -signal.SIGKILL, printed
    done = start(arguments)
    _, printed = done.communicate(timeout=LIMIT)
    assert done.returncode == 0, printed
    return printed.decode()


def _has_changed(read_progress: Callable[[], object], before: object, process: subprocess.Popen[bytes]) -> bool:
    return read_progress() != before or process.poll() is not None
