"""Starts the service in the background, as Metron's command does on YARN."""

from __future__ import annotations

import argparse
import os
import re
import select
import subprocess
import sys
import time
from collections.abc import Sequence

RUNS, RUNS_NOT = 0, 2
TIMEOUT_MS = 600_000
END_SECONDS = 30.0


def refused(given: argparse.Namespace) -> str | None:
    """Why a value can't be meant, if that is so."""
    for short, value in (("-t", given.timeout), ("-mm", given.master_memory), ("-mc", given.master_vcores)):
        if value is not None and not re.fullmatch(r"[+-]?[0-9]{1,10}", value):
            return f"{short} takes a whole number, not {value!r}"
    for what, word, value in (
        ("memory", "memory", given.master_memory),
        ("virtual cores", "virtual cores", given.master_vcores),
    ):
        if value is not None and int(value) < 0:
            return f"Invalid {what} specified for application master, exiting. Specified {word}={value}"
    return None


def start(arguments: Sequence[str], given: argparse.Namespace) -> int:
    """Start `maas serve` with these arguments in a session of its own, and wait until it runs; the exit status."""
    given.registry.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = given.registry / "service.log"
    deadline = time.monotonic() + int(given.timeout or TIMEOUT_MS) / 1000
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb", buffering=0) as words, file.open("ab") as log:
        begin = log.tell()
        service = subprocess.Popen(
            [sys.executable, "-m", "maas_runtime.cli", "serve", *arguments, f"--ready-fd={writer}"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(writer,),
            start_new_session=True,
        )
        os.close(writer)
        in_time = bool(select.select([words], [], [], max(0.0, deadline - time.monotonic()))[0])
        word = words.readline().decode().strip() if in_time else ""
    if not word:
        why = "has ended" if in_time else f"did not run after {given.timeout or TIMEOUT_MS} ms and is ended"
        _end(service)
        with file.open("rb") as log:
            log.seek(begin)
            print(f"maas_service.sh: the service {why}:\n{log.read().decode(errors='replace')}", file=sys.stderr)
        return RUNS_NOT
    state = "runs" if word == "leading" else "waits for another one to end, to take over,"
    print(f"the service {state} as process {service.pid}, stand-alone; its log is {file}")
    service.returncode = 0  # it is not ours to wait for
    return RUNS


def _end(service: subprocess.Popen[bytes]) -> None:
    service.terminate()
    try:
        service.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        service.kill()
        service.wait()
