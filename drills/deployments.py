"""Drills of a deployed model whose processes are killed; the service restarts it."""

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


def maas_command(*arguments: str) -> list[str]:
    """Return the command line of `maas`."""
    return [sys.executable, "-m", "maas_runtime.cli", *arguments]


@contextmanager
def deploy_model() -> Iterator[Path]:
    """Run a service with one instance of the model; yield the registry directory."""
    with tempfile.TemporaryDirectory() as folder:
        location, files = Path(folder, "registry"), Path(folder, "dga")
        files.mkdir()
        (files / "dga.sh").write_text(STARTER)
        service = subprocess.Popen(
            maas_command("serve", "--registry", str(location), "-e", f"PYTHON={sys.executable}", "-e", f"ROOT={ROOT}"),
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            states = DirectoryStateStore(location)
            while not states.is_led():
                time.sleep(0.05)
            deploy = (
                "deploy",
                "--registry",
                str(location),
                "-mo",
                "ADD",
                "-n",
                "dga",
                "-v",
                "1.0",
                "-ni",
                "1",
                "-m",
                "0",
            )
            subprocess.run(
                maas_command(*deploy, "-lmp", str(files), "-hmp", "dga/1.0", "--wait"),
                cwd=ROOT,
                check=True,
                capture_output=True,
            )
            yield location
        finally:
            service.send_signal(signal.SIGINT)
            service.wait()


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def _call_during_kill(kill: Any) -> tuple[Calls, float]:
    """Call the model for 12 seconds, and kill a process after 3; return the outcomes and the longest gap in seconds."""
    with (
        deploy_model() as registry_directory,
        FileRegistry(registry_directory) as registry,
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
    """Kill the runner first, so that it does not unregister the instance."""
    runner = _parent(pid)
    os.kill(runner, signal.SIGKILL)
    time.sleep(0.001)
    with suppress(ProcessLookupError):  # the monitor of the runner was faster
        os.kill(pid, signal.SIGKILL)


@drill("only")
def kill_only_instance() -> Iterator[Finding]:
    """Kill the only instance of a model, alone and together with its runner."""
    for subject, kill in (("the only instance", _kill_model), ("the only instance with its runner", _kill_with_runner)):
        calls, gap = _call_during_kill(kill)
        yield Finding(
            f"{subject} killed",
            f"{calls.count:,} calls in 12 s",
            "0 null, calls go on within 3 s",
            f"{calls.null + calls.wrong} null, no call ended for {gap:.1f} s",
            not calls.null + calls.wrong and gap <= 3,
        )
