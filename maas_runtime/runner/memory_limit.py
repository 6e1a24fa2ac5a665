"""Control groups of models, which limit their memory and end all of their processes.

    cgroup v2   <own group>/service/         the service and the runners
                <own group>/model-<id>/      all processes of a model, whatever they do
    cgroup v1   <own group>/model-<id>/      the same, in the hierarchy of the `memory` controller

An instance gets a group even without a memory limit, because a process cannot leave it by a new session or another
parent. This needs Linux, and a group in which this process may create others: with cgroup v2 a delegated one, as with
systemd's `Delegate=yes`. Elsewhere the runner samples the memory, which a model that grows fast enough can outrun, and
finds the processes by their parents.
"""

from __future__ import annotations

import logging
import os
import signal
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic, sleep, time

log = logging.getLogger(__name__)

MOUNT = Path("/sys/fs/cgroup")
OWN = Path("/proc/self/cgroup")
MOUNTS = Path("/proc/self/mountinfo")
LEAF, PREFIX = "service", "model-"
MB = 1 << 20
END_SECONDS = 2.0
ABANDONED_SECONDS = 60.0  # a new group is empty until its runner has entered it


def prepare(mount: Path = MOUNT, own: Path = OWN) -> bool:
    """Prepare cgroup v2 for models. Return whether memory limits are available there. Call before starting runners."""
    group = _own_group(mount, own)
    if group is None or group.name == LEAF:
        return group is not None and _limits_memory(group.parent)
    try:
        if "memory" not in (group / "cgroup.controllers").read_text().split():
            return False
        leaf = group / LEAF
        leaf.mkdir(exist_ok=True)
        _write(leaf / "cgroup.procs", "0")  # a group with processes cannot have children with limits
        _write(group / "cgroup.subtree_control", "+memory")
    except OSError as error:
        log.info("no control group by cgroup v2: %s", error)
        with suppress(OSError):
            _write(group / "cgroup.procs", "0")
        with suppress(OSError):
            leaf.rmdir()
        return False
    return True


class ControlGroup(ABC):
    """A control group of a model's processes.

    megabytes: limit of their total memory; 0 for no limit
    """

    def __init__(self, folder: Path, own_group: Path, megabytes: int) -> None:
        self.is_limited = megabytes > 0
        self._folder, self._own_group_folder = folder, own_group
        folder.mkdir()
        try:
            if megabytes:
                self._limit(megabytes * MB)
        except OSError:
            folder.rmdir()
            raise

    @contextmanager
    def enter(self) -> Iterator[None]:
        """Move this process into the group; child processes started in the context belong to it from the start.

        Raises OSError if this is not allowed, for a group with a limit.
        """
        try:
            _write(self._folder / "cgroup.procs", "0")
        except OSError as error:
            if self.is_limited:
                raise
            log.info("the processes of the model are not in a control group: %s", error)
            yield
            return
        try:
            yield
        finally:
            _write(self._own_group_folder / "cgroup.procs", "0")

    @abstractmethod
    def read_usage(self) -> int:
        """Return the memory in use, in bytes."""

    @abstractmethod
    def was_killed(self) -> bool:
        """Return whether the kernel killed processes of the group for exceeding its limit."""

    def end(self) -> None:
        """Kill all processes of the group and remove it."""
        end_group(self._folder)

    @abstractmethod
    def _limit(self, size: int) -> None:
        """Limit the memory, in bytes. Raises OSError."""


class UnifiedGroup(ControlGroup):
    """A group of cgroup v2."""

    def read_usage(self) -> int:
        return int((self._folder / "memory.current").read_text())

    def was_killed(self) -> bool:
        return self.is_limited and _count_kills(self._folder / "memory.events") > 0

    def _limit(self, size: int) -> None:
        _write(self._folder / "memory.max", str(size))
        if (self._folder / "memory.swap.max").exists():
            _write(self._folder / "memory.swap.max", "0")
        _write(self._folder / "memory.oom.group", "1")  # kill all processes at once: a partial model is useless


class MemoryHierarchyGroup(ControlGroup):
    """A group of the `memory` controller of cgroup v1. The kernel kills one process of it; the runner ends the rest."""

    def read_usage(self) -> int:
        return int((self._folder / "memory.usage_in_bytes").read_text())

    def was_killed(self) -> bool:
        return self.is_limited and _count_kills(self._folder / "memory.oom_control") > 0

    def _limit(self, size: int) -> None:
        _write(self._folder / "memory.limit_in_bytes", str(size))
        if (swap := self._folder / "memory.memsw.limit_in_bytes").exists():
            _write(swap, str(size))


def create_control_group(
    id: str, megabytes: int, mount: Path = MOUNT, own: Path = OWN, mounts: Path = MOUNTS
) -> ControlGroup | None:
    """Return a control group for an instance; None if there can be none, with a warning if a limit was wanted."""
    problem: object = "this system has none for this process"
    for kind, parent, own_group in _find_parents(mount, own, mounts):
        _remove_abandoned(parent)
        if megabytes and kind is UnifiedGroup and not _limits_memory(parent):
            continue
        try:
            return kind(parent / f"{PREFIX}{id}", own_group, megabytes)
        except OSError as error:
            problem = error
    if megabytes:
        log.warning("no control group, memory is sampled: %s", problem)
    return None


def _remove_abandoned(parent: Path) -> None:
    """Remove old groups without processes, whose runners were killed and which no service has removed, as on YARN."""
    for folder in parent.glob(f"{PREFIX}*"):
        with suppress(OSError):  # it has processes, or is gone
            if time() - folder.stat().st_mtime > ABANDONED_SECONDS:
                folder.rmdir()


def end_control_group(id: str, mount: Path = MOUNT, own: Path = OWN, mounts: Path = MOUNTS) -> None:
    """End the control group of an instance whose runner was killed, if it has one."""
    for _, parent, _ in _find_parents(mount, own, mounts):
        if (folder := parent / f"{PREFIX}{id}").is_dir():
            end_group(folder)


def end_group(folder: Path) -> None:
    """Kill all processes of a group and remove it."""
    deadline = monotonic() + END_SECONDS
    while monotonic() < deadline:
        try:
            _kill_members(folder)
            return folder.rmdir()
        except FileNotFoundError:
            return None
        except OSError:  # the last processes have not ended yet
            sleep(0.02)
    log.warning("cannot remove the control group %s", folder)
    return None


def _kill_members(folder: Path) -> None:
    """Kill all processes of a group, at once if the kernel can; else some may have started others meanwhile."""
    if (kill := folder / "cgroup.kill").exists():
        return _write(kill, "1")
    for pid in map(int, (folder / "cgroup.procs").read_text().split()):
        if pid > 0:  # 0 is a process of another namespace
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
    return None


def _find_parents(mount: Path, own: Path, mounts: Path) -> Iterator[tuple[type[ControlGroup], Path, Path]]:
    """Yield the kinds of groups that may be available, with the parent of new groups and the group of this process."""
    unified = _own_group(mount, own)
    if unified is not None and unified.name == LEAF:
        yield UnifiedGroup, unified.parent, unified
    if (hierarchy := _own_memory_group(own, mounts)) is not None:
        yield MemoryHierarchyGroup, hierarchy, hierarchy


def _own_group(mount: Path, own: Path) -> Path | None:
    """Return the cgroup v2 directory of this process, or None."""
    with suppress(OSError):
        for line in own.read_text().splitlines():
            if line.startswith("0::/"):
                group = mount / line.removeprefix("0::/")
                if (group / "cgroup.controllers").is_file():
                    return group
    return None


def _own_memory_group(own: Path, mounts: Path) -> Path | None:
    """Return the directory of this process in the `memory` hierarchy of cgroup v1, or None."""
    with suppress(OSError):
        paths = [line.split(":", 2) for line in own.read_text().splitlines()]
        path = next((path for _, controllers, path in paths if "memory" in controllers.split(",")), None)
        mounted = _find_memory_mount(mounts)
        if path is not None and mounted is not None:
            root, mount = mounted
            # In a container the mount shows only the group of the container
            inside = path.removeprefix(root) if path == root or path.startswith(f"{root.rstrip('/')}/") else ""
            group = mount / inside.lstrip("/")
            if (group / "memory.limit_in_bytes").is_file():
                return group
    return None


def _find_memory_mount(mounts: Path) -> tuple[str, Path] | None:
    """Return the root and the mount point of the `memory` hierarchy of cgroup v1, or None."""
    for line in mounts.read_text().splitlines():
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        if kind == "cgroup" and "memory" in options.split(","):
            root, mount = before.split(" ")[3:5]
            return root, Path(mount)
    return None


def _limits_memory(group: Path) -> bool:
    with suppress(OSError):
        return "memory" in (group / "cgroup.subtree_control").read_text().split()
    return False


def _count_kills(events: Path) -> int:
    counts = dict(line.split() for line in events.read_text().splitlines())
    return int(counts.get("oom_kill", 0))


def _write(file: Path, text: str) -> None:
    descriptor = os.open(file, os.O_WRONLY)  # never created: the kernel provides these files
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)
