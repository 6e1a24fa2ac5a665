"""How much memory a model may use: kept by the system, in a control group, where we may make one.

    <ours>/service/         who serves, and the runners
    <ours>/model-<id>/      a model's processes, however many, and whatever they do to get out of sight

That takes Linux with cgroup v2, and a group that was given to us, as systemd's `Delegate=yes` does. Elsewhere the
runner looks from time to time, which a model that grows fast enough can outrun.
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
    """Let there be groups for models beside ours; whether that can be had. To be called before runners are started."""
    group = _own_group(mount, own)
    if group is None or group.name == LEAF:
        return group is not None and _limits_memory(group.parent)
    try:
        if "memory" not in (group / "cgroup.controllers").read_text().split():
            return False
        leaf = group / LEAF
        leaf.mkdir(exist_ok=True)
        _write(leaf / "cgroup.procs", "0")  # a group with processes of its own can't divide memory
        _write(group / "cgroup.subtree_control", "+memory")
    except OSError as error:
        log.info("memory is watched, and not limited by the system: %s", error)
        with suppress(OSError):
            _write(group / "cgroup.procs", "0")
        with suppress(OSError):
            leaf.rmdir()
        return False
    return True


class ControlGroup:
    """The group of a model's processes, which together get no more than so many MB."""

    def __init__(self, folder: Path, home: Path, megabytes: int) -> None:
        self._folder, self._home = folder, home
        folder.mkdir()
        try:
            _write(folder / "memory.max", str(megabytes * MB))
            if (folder / "memory.swap.max").exists():
                _write(folder / "memory.swap.max", "0")
            _write(folder / "memory.oom.group", "1")  # all of it or nothing: half a model is of no use
        except OSError:
            folder.rmdir()
            raise

    @contextmanager
    def entered(self) -> Iterator[None]:
        """What is started meanwhile belongs to the group, from its first moment on."""
        _write(self._folder / "cgroup.procs", "0")
        try:
            yield
        finally:
            _write(self._home / "cgroup.procs", "0")

    def used(self) -> int:
        """Bytes of memory in use now."""
        return int((self._folder / "memory.current").read_text())

    def was_ended(self) -> bool:
        """Whether the system has ended the group for using too much."""
        events = dict(line.split() for line in (self._folder / "memory.events").read_text().splitlines())
        return int(events.get("oom_kill", 0)) > 0

    def end(self) -> None:
        """Kill whatever is in it, and take it away."""
        with suppress(FileNotFoundError):  # older systems have no such file; then all was killed one by one
            _write(self._folder / "cgroup.kill", "1")
        deadline = monotonic() + END_SECONDS
        while monotonic() < deadline:
            try:
                return self._folder.rmdir()
            except FileNotFoundError:
                return None
            except OSError:  # its last processes are not gone yet
                sleep(0.02)
        log.warning("the control group %s can't be taken away", self._folder)
        return None


def control_group(id: str, megabytes: int, mount: Path = MOUNT, own: Path = OWN) -> ControlGroup | None:
    """A group for an instance; None without a limit, or where `prepare` could make no room for groups."""
    home = _own_group(mount, own)
    if not megabytes or home is None or home.name != LEAF or not _limits_memory(home.parent):
        return None
    try:
        return ControlGroup(home.parent / f"{PREFIX}{id}", home, megabytes)
    except OSError as error:
        log.warning("memory is watched, and not limited by the system: %s", error)
        return None


def _own_group(mount: Path, own: Path) -> Path | None:
    """Our group in the one hierarchy of version 2; None where there is none."""
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
    descriptor = os.open(file, os.O_WRONLY)  # never made: these are the system's files
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)
