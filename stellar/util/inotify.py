"""Changes of files, as the kernel reports them: Linux's inotify.

    with Inotify() as changes:
        changes.watch("/var/maas")
        changes.wait(None)
        for change in changes.read(): ...

Reading costs nothing while nothing changes, and a change is reported at once. The number of objects and of watched
directories is limited per user (`/proc/sys/fs/inotify`), so a caller needs another way for `OSError`.
"""

from __future__ import annotations

import ctypes
import errno
import os
import select
import struct
from contextlib import suppress
from types import TracebackType
from typing import NamedTuple, Self

WRITTEN = 0x8  # IN_CLOSE_WRITE: a file that was open for writing was closed, also because its process died
ATTRIBUTES = 0x4  # IN_ATTRIB, such as permissions
MOVED_FROM, MOVED_TO = 0x40, 0x80
CREATED, DELETED = 0x100, 0x200
SELF_DELETED, SELF_MOVED = 0x400, 0x800  # the watched directory
OVERFLOWED = 0x4000  # changes were lost
IGNORED = 0x8000  # the watch has ended
DIRECTORY = 0x4000_0000  # the entry is a directory

_ONLY_DIRECTORIES = 0x0100_0000
_ALL = WRITTEN | ATTRIBUTES | MOVED_FROM | MOVED_TO | CREATED | DELETED | SELF_DELETED | SELF_MOVED | _ONLY_DIRECTORIES
_HEADER = struct.Struct("iIII")
_READ_BYTES = 1 << 16


class Change(NamedTuple):
    """A change of an entry of a watched directory, or of the directory itself if the name is empty.

    watch: number of the watch; -1 if changes were lost
    kind: constants of this module
    """

    watch: int
    kind: int
    name: str


class Inotify:
    """A queue of changes in watched directories.

    Raises OSError if the system does not support it, or if the user has too many of these objects.
    """

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        if not hasattr(self._libc, "inotify_init1"):
            raise OSError(errno.ENOSYS, "inotify is available on Linux only")
        self._changes = self._check(self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
        self._awake, self._wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def watch(self, directory: str | os.PathLike[str]) -> int:
        """Watch the entries of a directory; return the number of the watch, the same for the same directory.

        Raises OSError, such as FileNotFoundError, NotADirectoryError, or with ENOSPC for too many watches.
        """
        return self._check(self._libc.inotify_add_watch(self._changes, os.fsencode(directory), _ALL), directory)

    def unwatch(self, number: int) -> None:
        """End a watch, if it has not ended already."""
        self._libc.inotify_rm_watch(self._changes, number)

    def wait(self, seconds: float | None) -> None:
        """Wait for a change, a call of `wake`, or the time-out."""
        poll = select.poll()
        for descriptor in (self._changes, self._awake):
            poll.register(descriptor, select.POLLIN)
        poll.poll(None if seconds is None else max(0.0, seconds) * 1000)
        with suppress(BlockingIOError):
            os.read(self._awake, 64)

    def wake(self) -> None:
        """End the current wait, or the next one. For any thread."""
        with suppress(BlockingIOError):
            os.write(self._wake, b"\0")

    def read(self) -> list[Change]:
        """Return all changes up to now, without waiting."""
        found: list[Change] = []
        with suppress(BlockingIOError):
            while True:
                data = os.read(self._changes, _READ_BYTES)
                at = 0
                while at < len(data):
                    watch, kind, _, length = _HEADER.unpack_from(data, at)
                    at += _HEADER.size + length
                    found.append(Change(watch, kind, os.fsdecode(data[at - length : at].rstrip(b"\0"))))
        return found

    def close(self) -> None:
        for descriptor in (self._changes, self._awake, self._wake):
            os.close(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _check(self, result: int, name: str | os.PathLike[str] | None = None) -> int:
        if result < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), name)
        return result
