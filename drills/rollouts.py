"""Drills of rollouts: a version that fails its calls does not replace a good one."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from drills.calls import Calls, records, stream
from drills.deployments import STARTER, deploy_model, maas_command
from drills.drill import Finding, drill
from drills.models import ROOT
from stellar.language.context import Context
from stellar.maas import ClientSettings, FileRegistry, ModelClient, Registry

SECONDS = 30.0
BEFORE_SECONDS = 5.0


def _replace(location: Path, kind: str) -> subprocess.CompletedProcess[str]:
    """Replace the model by a version of a kind; return the command when it has ended."""
    with tempfile.TemporaryDirectory() as files:
        Path(files, "dga.sh").write_text(STARTER.replace("models.Concurrent", f"models.{kind}"))
        deploy = ("deploy", "--registry", str(location), "-mo", "ADD", "-n", "dga", "-v", "2.0", "-ni", "1", "-m", "0")
        command = maas_command(*deploy, "-lmp", files, "-hmp", "dga/2.0", "--replace", "--wait")
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def _call_during_replacement(kind: str, in_flight: int) -> tuple[Calls, subprocess.CompletedProcess[str], float]:
    """Call the model, and replace it meanwhile. Return the outcomes, the command, and its duration."""
    commands: list[subprocess.CompletedProcess[str]] = []
    took: list[float] = []
    with (
        deploy_model() as location,
        FileRegistry(location) as registry,
        ModelClient(registry, ClientSettings(cache_size=0)) as client,
    ):

        def replace() -> None:
            time.sleep(BEFORE_SECONDS)
            begin = time.monotonic()
            commands.append(_replace(location, kind))
            took.append(time.monotonic() - begin)

        thread = threading.Thread(target=replace)
        thread.start()
        context = Context({Registry: registry, ModelClient: client})
        calls = stream(context, records(10_000_000), in_flight=in_flight, seconds=SECONDS)
        thread.join()
    return calls, commands[0], took[0]


@drill("rollout")
def replace_under_load() -> Iterator[Finding]:
    """Replace a model by one that fails each call, by one that hangs, and by one that works."""
    for kind, subject, status in (
        ("Failing", "replaced by a version that responds with status 500", 1),
        ("Hanging", "replaced by a version that never responds", 1),
        ("Concurrent", "replaced by a version that works", 0),
    ):
        calls, command, took = _call_during_replacement(kind, in_flight=8)
        affected = (calls.null + calls.wrong) / calls.count
        done = "rolled back" if command.returncode else "replaced"
        yield Finding(
            subject,
            f"{calls.count:,} calls in {SECONDS:g} s",
            f"{'rolled back' if status else 'replaced'}, at most 1 % of the calls null",
            f"{done} after {took:.0f} s, {calls.null + calls.wrong} null",
            command.returncode == status and affected <= 0.01,
        )
        if command.returncode != status:
            print(command.stderr, file=sys.stderr)
