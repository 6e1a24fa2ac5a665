"""Why an instance is not ready or has failed, each reason with its fix."""

from __future__ import annotations

import os
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from maas_runtime.runner.connections import find_inodes, list_listening
from maas_runtime.state.phases import Problem

PROC = Path("/proc")
FULL_BYTES = 1 << 16  # of free space, below which a disk is full

ENDPOINT_FIX = 'the script must write {"url": "http://0.0.0.0:PORT"} to endpoint.dat in its working directory'
LISTEN_FIX = "the server must listen on the host and port that endpoint.dat names"
PORT_FIX = "bind port 0, so that each instance gets a free port, and write that port to endpoint.dat"
HEALTH_FIX = 'the path must return a 2xx status; change it by "health" in endpoint.dat, or by --health'
HANG_FIX = 'if it waits that long for other services, set "health": false in endpoint.dat'
SAMPLE_FIX = "correct the model, or the sample"
FOREGROUND_FIX = "the script must stay in the foreground as long as the model serves"
DAEMON_FIX = "start the server in the foreground, without & or a daemon option, or end the script with `wait`"
COMMAND_FIX = "check the `#!` line and the commands of the script"
MEMORY_FIX = "raise its limit with -m"
DISK_FIX = "free space, or use another directory by --registry"
REGISTRY_FIX = "check the registry with: maas doctor"

# By what a script writes before it ends
OUTPUT_FIXES = {
    "address already in use": PORT_FIX,
    "no space left on device": DISK_FIX,
    "disk quota exceeded": DISK_FIX,
    "command not found": COMMAND_FIX,
    "no module named": "install the module for the python of the script",
    "permission denied": "check the permissions of the script's files",
    "cannot allocate memory": MEMORY_FIX,
    "memoryerror": MEMORY_FIX,
}
STATUS_FIXES = {0: FOREGROUND_FIX, 126: COMMAND_FIX, 127: COMMAND_FIX}


def explain_end(script: str, status: int, when: str, last_line: str, remaining: Collection[int]) -> Problem:
    """Return why a script ended too early.

    status: exit status, negative for a signal
    when: phase for the message, such as "while it served"
    last_line: last line of its error output
    remaining: processes that it left running
    """
    how = f"with status {status}" if status >= 0 else f"by signal {-status}"
    said = f": {last_line}" if last_line else ""
    if status == 0 and remaining:
        left = ", ".join(sorted(describe_process(pid) for pid in remaining)[:3])
        return Problem(f"{script} ended {how} {when}, but left {left} running{said}", DAEMON_FIX)
    fixes = (fix for text, fix in OUTPUT_FIXES.items() if text in last_line.lower())
    return Problem(f"{script} ended {how} {when}{said}", next(fixes, STATUS_FIXES.get(status, "")))


def describe_process(pid: int) -> str:
    """Return the name and the id of a process."""
    name = "process"
    with suppress(OSError):
        name = (PROC / f"{pid}/comm").read_text(errors="replace").strip()
    return f"{''.join(c if c.isprintable() else '?' for c in name)} (process {pid})"


def find_full_disk(folder: Path) -> Problem | None:
    """Return the problem if the disk of a folder is full."""
    with suppress(OSError):
        disk = os.statvfs(folder)
        blocks = disk.f_bfree if os.geteuid() == 0 else disk.f_bavail
        if blocks * disk.f_frsize < FULL_BYTES or (disk.f_files and not disk.f_ffree):
            return Problem(f"the disk of {folder} is full", DISK_FIX)
    return None


def explain_not_listening(url: str, port: int, pids: Collection[int]) -> Problem:
    """Return why no server listens at a URL, with the ports where processes of the model listen instead."""
    own = find_inodes(pids)
    others = sorted({each.port for each in list_listening() if each.inode in own} - {port})
    instead = f"; the model listens on port {', '.join(map(str, others[:3]))} instead" if others else ""
    return Problem(f"no server is listening at {url}{instead}", LISTEN_FIX)


def find_other_owner(port: int, pids: Collection[int], mark: str) -> Problem | None:
    """Return the problem if a port is in use by another instance, and not by the processes of this one.

    mark: name of the environment variable of all processes of instances
    """
    listening = {each.inode for each in list_listening() if each.port == port}
    if not listening or listening & find_inodes(pids):
        return None
    for pid in (int(entry.name) for entry in PROC.iterdir() if entry.name.isdecimal()):
        with suppress(OSError):  # of another user, or ended
            # The environment first: most processes are not marked, and it is one file
            if f"{mark}=".encode() in (PROC / f"{pid}/environ").read_bytes() and find_inodes([pid]) & listening:
                return Problem(f"port {port} is in use by {describe_process(pid)} of another instance", PORT_FIX)
    return None
