"""Processes of instances on this machine, as /proc shows them: the model's process, and memory in use."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

from maas_runtime.runner.processes import PROC
from maas_runtime.runner.runner import CONTAINER_ID


class ProcessUsage(NamedTuple):
    """The processes of an instance.

    pid: the model's first process; None if it cannot be determined
    memory: bytes in use by all processes that the runner started; None if the system does not report it
    """

    pid: int | None
    memory: int | None


def measure_processes(runner: int, id: str) -> ProcessUsage:
    """Return the processes of an instance, given the process id of its runner."""
    pids = list(_list_descendants(runner))
    mark = f"{CONTAINER_ID}={id}".encode()
    sizes = [size for pid in pids if (size := _read_memory(pid)) is not None]
    return ProcessUsage(next((pid for pid in pids if _has_mark(pid, mark)), None), sum(sizes) if sizes else None)


def _list_descendants(pid: int) -> Iterator[int]:
    """Yield the descendants of a process, parents before their children."""
    children: list[int] = []
    with suppress(OSError):  # it has ended
        for task in (PROC / f"{pid}/task").iterdir():
            children += map(int, (task / "children").read_text().split())
    yield from children
    for child in children:
        yield from _list_descendants(child)


def _has_mark(pid: int, mark: bytes) -> bool:
    with suppress(OSError):  # of another user, or ended
        return mark in (PROC / f"{pid}/environ").read_bytes().split(b"\0")
    return False


def _read_memory(pid: int) -> int | None:
    """Return the proportional memory of a process in bytes, in which shared memory counts once for all."""
    with suppress(OSError):
        for line in (PROC / f"{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) << 10
    return None
