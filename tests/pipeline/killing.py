"""Runs of stellar-pipeline that are killed at many moments."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial

# Reads little at once, and saves after each batch, with a pause, so that a kill hits many different moments
PROGRAM = """
import sys, time
from stellar.pipeline.connectors import sinks
from stellar.pipeline.connectors import lines
from stellar.pipeline.connectors.sinks import Sinks
sinks.SECONDS_BETWEEN_SAVES = 0.0
lines.READ_BYTES = 400
save = Sinks.save
Sinks.save = lambda *arguments: (save(*arguments), time.sleep(0.003))
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
    killed = 0
    for _ in range(kills):
        before = read_progress()
        process = start(arguments)
        wait_for(partial(_has_changed, read_progress, before, process))
        time.sleep(chance.uniform(0, 0.03) if killed else 0)
        process.send_signal(signal.SIGKILL)
        _, printed = process.communicate()
        if process.returncode == 0:  # on a busy machine it may have completed meanwhile
            break
        assert process.returncode == -signal.SIGKILL, printed
        killed += 1
    assert killed
    done = start(arguments)
    _, printed = done.communicate(timeout=LIMIT)
    assert done.returncode == 0, printed
    return printed.decode()


def _has_changed(read_progress: Callable[[], object], before: object, process: subprocess.Popen[bytes]) -> bool:
    return read_progress() != before or process.poll() is not None
