"""Memory limits of models, enforced by control groups where those are available.

    <own group>/service/         the service and the runners
    <own group>/model-<id>/      all processes of a model, whatever they do

This needs Linux with cgroup v2 and a delegated group, as with systemd's `Delegate=yes`. Elsewhere the runner samples
the memory, which a model that grows fast enough can outrun.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic, sleep

log = logging.getLogger(__name__)

MOUNT = Path("/sys/fs/cgroup")
OWN = Path("/proc/self/cgroup")
LEAF, PREFIX = "service", "model-"
MB = 1 << 20
END_SECONDS = 2.0


def prepare(mount: Path = MOUNT, own: Path = OWN) -> bool:
    """Prepare control groups for models. Return whether they are available. Call before starting runners."""
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
        log.info("no control group, memory is sampled: %s", error)
        with suppress(OSError):
            _write(group / "cgroup.procs", "0")
        with suppress(OSError):
            leaf.rmdir()
        return False
    return True


class ControlGroup:
    """A control group that limits the total memory of a model's processes."""

    def __init__(self, folder: Path, own_group: Path, megabytes: int) -> None:
        self._folder, self._own_group_folder = folder, own_group
        folder.mkdir()
        try:
            _write(folder / "memory.max", str(megabytes * MB))
            if (folder / "memory.swap.max").exists():
                _write(folder / "memory.swap.max", "0")
            _write(folder / "memory.oom.group", "1")  # kill all processes at once: a partial model is useless
        except OSError:
            folder.rmdir()
            raise

    @contextmanager
    def enter(self) -> Iterator[None]:
        """Move this process into the group; child processes started in the context belong to it from the start."""
        _write(self._folder / "cgroup.procs", "0")
        try:
            yield
        finally:
            _write(self._own_group_folder / "cgroup.procs", "0")

    def read_usage(self) -> int:
        """Return the memory in use, in bytes."""
        return int((self._folder / "memory.current").read_text())

    def was_killed(self) -> bool:
        """Return whether the kernel killed the group for exceeding its limit."""
        events = dict(line.split() for line in (self._folder / "memory.events").read_text().splitlines())
        return int(events.get("oom_kill", 0)) > 0

    def end(self) -> None:
        """Kill all processes of the group and remove it."""
        with suppress(FileNotFoundError):  # older kernels; then all processes were killed individually
            _write(self._folder / "cgroup.kill", "1")
        deadline = monotonic() + END_SECONDS
        while monotonic() < deadline:
            try:
                return self._folder.rmdir()
            except FileNotFoundError:
                return None
            except OSError:  # the last processes have not ended yet
                sleep(0.02)
        log.warning("cannot remove the control group %s", self._folder)
        return None


def create_control_group(id: str, megabytes: int, mount: Path = MOUNT, own: Path = OWN) -> ControlGroup | None:
    """Return a control group for an instance; None without a limit, or if `prepare` returned False."""
    own_group = _own_group(mount, own)
    if not megabytes or own_group is None or own_group.name != LEAF or not _limits_memory(own_group.parent):
        return None
    try:
        return ControlGroup(own_group.parent / f"{PREFIX}{id}", own_group, megabytes)
    except OSError as error:
        log.warning("no control group, memory is sampled: %s", error)
        return None


def _own_group(mount: Path, own: Path) -> Path | None:
    """Return the cgroup v2 directory of this process, or None."""
    with suppress(OSError):
        for line in own.read_text().splitlines():
            if line.startswith("0::/"):
                group = mount / line.removeprefix("0::/")
                if (group / "cgroup.controllers").is_file():
                    return group
    return None


def _limits_memory(group: Path) -> bool:
    with suppress(OSError):
        return "memory" in (group / "cgroup.subtree_control").read_text().split()
    return False


def _write(file: Path, text: str) -> None:
    descriptor = os.open(file, os.O_WRONLY)  # never created: the kernel provides these files
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)
