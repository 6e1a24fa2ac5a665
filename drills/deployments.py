"""A deployed model, of which all that runs is killed; the service starts it again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from drills.calls import Calls, records, stream
from drills.drill import Finding, drill
from drills.models import ROOT
from maas_runtime.state.store import DirectoryStateStore
from stellar.language.context import Context
from stellar.maas import ClientSettings, FileRegistry, ModelClient, Registry

STARTER = """#!/bin/sh
exec "$PYTHON" -c '
import json, sys
sys.path.insert(0, sys.argv[1])
from drills import models
import asyncio
async def serve():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: models.Concurrent(0.002), "127.0.0.1", 0, backlog=1024)
    port = server.sockets[0].getsockname()[1]
    open("endpoint.dat", "w").write(json.dumps({"url": f"http://127.0.0.1:{port}"}))
    await server.serve_forever()
asyncio.run(serve())
' "$ROOT"
"""


def _maas(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "maas_runtime.cli", *arguments]


@contextmanager
def _deployed() -> Iterator[Path]:
    """A service with one instance of the model."""
    with tempfile.TemporaryDirectory() as folder:
        place, files = Path(folder, "registry"), Path(folder, "dga")
        files.mkdir()
        (files / "dga.sh").write_text(STARTER)
        service = subprocess.Popen(
            _maas("serve", "--registry", str(place), "-e", f"PYTHON={sys.executable}", "-e", f"ROOT={ROOT}"),
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            notes = DirectoryStateStore(place)
            while not notes.is_led():
                time.sleep(0.05)
            deploy = ("deploy", "--registry", str(place), "-mo", "ADD", "-n", "dga", "-v", "1.0", "-ni", "1", "-m", "0")
            subprocess.run(
                _maas(*deploy, "-lmp", str(files), "-hmp", "dga/1.0", "--wait"),
                cwd=ROOT,
                check=True,
                capture_output=True,
            )
            yield place
        finally:
            service.send_signal(signal.SIGINT)
            service.wait()


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def _while_killed(kill: Any) -> tuple[Calls, float]:
    """Calls for 12 seconds, in the third of which something is killed; and how long no call ended."""
    with (
        _deployed() as place,
        FileRegistry(place) as registry,
        ModelClient(registry, ClientSettings(cache_size=0)) as client,
    ):
        context = Context({Registry: registry, ModelClient: client})
        model = client.apply(registry.endpoint("dga").as_map(), None, {"host": "x"})["pid"]
        timer = threading.Timer(3, kill, (model,))
        timer.start()
        calls = stream(context, records(10_000_000), seconds=12)
        timer.join()
    gaps = (later - earlier for earlier, later in zip(calls.ended, calls.ended[1:], strict=False))
    return calls, max(gaps)


def _kill_model(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def _kill_with_runner(pid: int) -> None:
    """The runner first, so that it unregisters nothing."""
    runner = _parent(pid)
    os.kill(runner, signal.SIGKILL)
    time.sleep(0.001)
    with suppress(ProcessLookupError):  # its guardian was quicker
        os.kill(pid, signal.SIGKILL)


@drill("only")
def only() -> Iterator[Finding]:
    """The only instance of a model is killed, alone and with its runner."""
    for what, kill in (("the only instance", _kill_model), ("the only instance with its runner", _kill_with_runner)):
        calls, gap = _while_killed(kill)
        yield Finding(
            f"{what} killed",
            f"{calls.count:,} calls in 12 s",
            "0 null, calls go on within 3 s",
            f"{calls.null + calls.wrong} null, no call ended for {gap:.1f} s",
            not calls.null + calls.wrong and gap <= 3,
        )
