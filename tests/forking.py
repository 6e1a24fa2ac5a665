"""Running something in the child of a real fork."""

from __future__ import annotations

import json
import os
import select
import signal
import traceback
from collections.abc import Callable
from typing import Any

SECONDS = 60.0  # bounds what would hang


def in_child(function: Callable[[], Any]) -> Any:
    """Return what a function gives in a forked child, by way of JSON. Raises AssertionError if it raises there."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        _report(function, writing)
    os.close(writing)
    try:
        with os.fdopen(reading, "rb") as pipe:
            hung = not select.select([pipe], [], [], SECONDS)[0]
            if hung:
                os.kill(pid, signal.SIGKILL)
            said = pipe.read()
    finally:
        os.waitpid(pid, 0)
    assert not hung, "the child hung"
    value, error = json.loads(said)
    assert error is None, f"in the child: {error}"
    return value


def _report(function: Callable[[], Any], pipe: int) -> None:
    try:
        said = [function(), None]
    except BaseException:  # noqa: BLE001 (the parent reports it)
        said = [None, traceback.format_exc()]
    os.write(pipe, json.dumps(said).encode())
    os._exit(0)
