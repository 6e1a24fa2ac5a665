"""Start the service in the background, as Metron's command does on YARN."""

from __future__ import annotations

import argparse
import os
import re
import select
import subprocess
import sys
import time
from collections.abc import Sequence

from stellar.util.abbreviate import quote

RUNNING, NOT_RUNNING = 0, 2
TIMEOUT_MS = 600_000
END_SECONDS = 30.0


def find_invalid_value(args: argparse.Namespace) -> str | None:
    """Return the message for the first invalid option value, or None."""
    for short, value in (("-t", args.timeout), ("-mm", args.master_memory), ("-mc", args.master_vcores)):
        if value is not None and not re.fullmatch(r"[+-]?[0-9]{1,10}", value):
            return f"invalid {short} {quote(value)}: expected an integer"
    for name, value in (("memory", args.master_memory), ("virtual cores", args.master_vcores)):
        if value is not None and int(value) < 0:
            return f"Invalid {name} specified for application master, exiting. Specified {name}={value}"
    return None


def start(arguments: Sequence[str], args: argparse.Namespace) -> int:
    """Start `maas serve` with these arguments in its own session, and wait until it runs. Return the exit status."""
    args.registry.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = args.registry / "service.log"
    deadline = time.monotonic() + int(args.timeout or TIMEOUT_MS) / 1000
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb", buffering=0) as pipe, file.open("ab") as log:
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
        in_time = bool(select.select([pipe], [], [], max(0.0, deadline - time.monotonic()))[0])
        status = pipe.readline().decode().strip() if in_time else ""
    if not status:
        reason = "ended" if in_time else f"did not start within {args.timeout or TIMEOUT_MS} ms and was ended"
        _end(service)
        with file.open("rb") as log:
            log.seek(begin)
            print(f"maas_service.sh: the service {reason}:\n{log.read().decode(errors='replace')}", file=sys.stderr)
        args.out.write(error=f"the service {reason}", log=str(file))
        return NOT_RUNNING
    state = "runs" if status == "leading" else "waits to take over from another service,"
    line = f"the service {state} as process {service.pid}, stand-alone; its log is {file}"
    args.out.write(line, state=status, pid=service.pid, log=str(file))
    service.returncode = 0  # it runs on, so the destructor must not warn
    return RUNNING


def _end(service: subprocess.Popen[bytes]) -> None:
    service.terminate()
    try:
        service.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        service.kill()
        service.wait()
