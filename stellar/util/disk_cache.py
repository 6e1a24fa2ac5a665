"""Values that take long to compute, such as compiled code, stored for later processes of the same user.

Values are stored by `marshal`, which must not read what somebody else wrote. So a directory is used only if no other
user can change it: it and its files belong to the effective user and are writable by nobody else, and no other user
can replace it, because its parents belong to the effective user or to root. They are checked from the root downwards,
so what has been checked cannot be replaced any more. A checksum is compared before a file is unmarshalled, as it may be
truncated or damaged.

A file that cannot be used is a miss: the values are computed, and the file is replaced. Nothing here raises an error
after the directory was opened.
"""

from __future__ import annotations

import hashlib
import marshal
import os
import stat
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from importlib.util import MAGIC_NUMBER
from typing import Any

from stellar.util.abbreviate import quote
from stellar.util.version import VERSION

# Only files with these suffixes are removed, as a user may choose a directory that contains other files
SUFFIX = ".stellar-cache"
DRAFT_SUFFIX = ".stellar-draft"
MOST_FILE_BYTES = 16 * 2**20
MOST_BYTES = 64 * 2**20
MOST_FILES = 256
# An incomplete file that is older, in seconds, was left by a process that was killed
ABANDONED = 3600
# The time of the last use is updated after this many seconds
PRECISION = 24 * 3600

# Values of a chunk: few enough to read no more than needed, and enough to store the strings that they share once
_CHUNK = 100

_FORMAT = b"stellar cache 1\n"
_DIGEST_SIZE = 32
_HEADER_SIZE = len(_FORMAT) + 2 * _DIGEST_SIZE


class UnsafeDirectory(OSError):
    """A directory that cannot be used, because others could change what is in it."""


class CacheDirectory:
    """A directory of files that only this user can change.

    path: the directory; it is created if it does not exist

    Raises UnsafeDirectory, with the reason and the fix, and OSError if it cannot be created.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        given = os.path.abspath(os.fspath(path))
        # Links in the path of the parents are resolved, but the directory itself must not be one
        self.path = os.path.join(os.path.realpath(os.path.dirname(given)), os.path.basename(given))
        for each in _list_parents(self.path):
            _check_directory(each, is_last=each == self.path)

    def read(self, name: str) -> memoryview | None:
        """Return the content of a file; None if it does not exist, or is not certainly what this user wrote."""
        file = os.path.join(self.path, f"{name}{SUFFIX}")
        try:
            descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                _check_file(os.fstat(descriptor))
                _note_use(descriptor)
                with open(descriptor, "rb", closefd=False) as source:
                    return _unwrap(source.read(MOST_FILE_BYTES + 1))
            finally:
                os.close(descriptor)
        except FileNotFoundError:
            return None
        except OSError as error:
            _log("ignored", file, error.strerror or str(error))
        except _Unusable as error:
            _log("ignored", file, str(error))
        return None

    def write(self, name: str, body: bytes) -> None:
        """Replace the content of a file atomically; if that fails, it stays as it is."""
        file = os.path.join(self.path, f"{name}{SUFFIX}")
        draft = os.path.join(self.path, f".{name}.{os.urandom(8).hex()}{DRAFT_SUFFIX}")
        header = _FORMAT + _environment_digest() + hashlib.sha256(body).digest()
        try:
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            try:
                with open(descriptor, "wb") as target:
                    target.write(header)
                    target.write(body)
                os.replace(draft, file)
            except BaseException:
                with suppress(OSError):
                    os.unlink(draft)
                raise
            self._evict()
        except OSError as error:
            _log("not written", file, error.strerror or str(error))

    def _evict(self) -> None:
        """Remove the files that were not used for longest until the others are within the limits."""
        files: list[tuple[float, int, str]] = []
        with os.scandir(self.path) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):  # another process removed it
                    found = entry.stat(follow_symlinks=False)
                    if entry.name.endswith(SUFFIX):
                        files.append((found.st_mtime, found.st_size, entry.path))
                    elif entry.name.endswith(DRAFT_SUFFIX) and time.time() - found.st_mtime > ABANDONED:
                        os.unlink(entry.path)
        total = 0
        for number, (_, size, file) in enumerate(sorted(files, reverse=True), 1):
            total += size
            if total > MOST_BYTES or number > MOST_FILES:
                with suppress(FileNotFoundError):
                    os.unlink(file)


def _list_parents(path: str) -> Iterable[str]:
    """Return the directories on the path to a directory, from the root, and the directory itself."""
    parents = [path]
    while (parent := os.path.dirname(parents[-1])) != parents[-1]:
        parents.append(parent)
    return reversed(parents)


def _check_directory(path: str, *, is_last: bool) -> None:
    """Raise UnsafeDirectory if another user could change a directory, which is created if it does not exist."""
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        with suppress(FileExistsError):  # another process created it
            os.mkdir(path, 0o700)
        found = os.lstat(path)
    user = _effective_user()
    if not stat.S_ISDIR(found.st_mode):
        problem = "is a symbolic link" if stat.S_ISLNK(found.st_mode) else "is not a directory"
        raise UnsafeDirectory(f"{quote(path)} {problem}; use a directory of your own")
    if found.st_uid != user and (is_last or found.st_uid != 0):
        raise UnsafeDirectory(f"{quote(path)} belongs to another user; use a directory of your own")
    is_shared = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    # In a directory such as /tmp, which is sticky, others can create files, but not replace directories of this user
    if is_shared and (is_last or not found.st_mode & stat.S_ISVTX):
        raise UnsafeDirectory(f"{quote(path)} is writable by other users; run chmod go-w {path}, or use another one")


def _effective_user() -> int:
    if sys.platform == "win32":
        raise UnsafeDirectory("owners of files cannot be checked on this system")
    return os.geteuid()


class _Unusable(Exception):
    """A file that is not certainly what this user wrote, complete and for this version."""


def _check_file(found: os.stat_result) -> None:
    """Raise _Unusable for a file that others could have written."""
    if not stat.S_ISREG(found.st_mode):
        raise _Unusable("not a regular file")
    if found.st_uid != _effective_user():
        raise _Unusable("belongs to another user")
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise _Unusable("writable by other users")


def _note_use(descriptor: int) -> None:
    """Update the time of the last use of a file, which may be on a device that is mounted read-only."""
    if time.time() - os.fstat(descriptor).st_mtime > PRECISION:
        with suppress(OSError):
            os.utime(descriptor)


def _unwrap(content: bytes) -> memoryview:
    """Return the body of a file. Raises _Unusable unless it is complete, and of this version and interpreter."""
    if len(content) > MOST_FILE_BYTES:
        raise _Unusable("too large")
    start, body = content[:_HEADER_SIZE], memoryview(content)[_HEADER_SIZE:]
    if not start.startswith(_FORMAT + _environment_digest()):
        raise _Unusable("written by another version")
    if start[-_DIGEST_SIZE:] != hashlib.sha256(body).digest():
        raise _Unusable("damaged")
    return body


def _log(event: str, file: str, reason: str) -> None:
    import logging  # which most commands do not load

    logging.getLogger(__name__).info("%s: %s: %s", file, event, reason)


def _environment_digest() -> bytes:
    """Return a digest of what code objects depend on besides their source."""
    first_position = next(iter(compile("0", "", "eval").co_positions()))
    parts = (
        VERSION,
        sys.implementation.cache_tag,
        sys.version,
        MAGIC_NUMBER.hex(),
        sys.flags.optimize,
        first_position[2] is not None,  # False with -X no_debug_ranges
    )
    return hashlib.sha256(repr(parts).encode()).digest()


class Pack:
    """The cached values of one program by key: one file, which is read at the first look-up.

    directory: where the file is
    name: the name of the program, with its configuration; each has its own file

    The file consists of chunks, of which only those with a value that is looked up are unmarshalled. What the last
    process used is in the first chunks. The values of a pack with too many are those that were used last.
    """

    def __init__(self, directory: CacheDirectory, name: str) -> None:
        self._directory = directory
        environment = _environment_digest().hex()
        self._file = hashlib.sha256(f"{environment} {name}".encode(errors="surrogatepass")).hexdigest()[:32]
        self._process = os.getpid()
        self._stored: _StoredValues | None = None
        self._used: dict[str, Any] = {}
        self._is_changed = False

    def get(self, key: str) -> Any:
        """Return a value, which must not be changed; None if it is not cached."""
        value = self._used.get(key)
        if value is None:
            if self._stored is None:
                self._stored = self._read()
            value = self._stored.get(key)
            if value is not None:
                self._used[key] = value
        return value

    def put(self, key: str, value: Any) -> None:
        """Cache a value, which is written by `save`. A value that `marshal` cannot write is not cached."""
        try:
            marshal.dumps(value)
        except ValueError:
            return
        self._used[key] = value
        self._is_changed = True

    def save(self) -> None:
        """Write the values if there are new ones; in a fork, nothing is written."""
        if not self._is_changed or os.getpid() != self._process:
            return
        self._is_changed = False
        # Other processes may have written since; what this one used is first, so it is not evicted
        others = self._read()
        keys = [*self._used, *(key for key in others.list_keys() if key not in self._used)]
        chunks: list[tuple[tuple[str, ...], bytes]] = []
        size = 0
        for start in range(0, len(keys), _CHUNK):
            chunk = {
                key: self._used[key] if key in self._used else others.get(key) for key in keys[start : start + _CHUNK]
            }
            content = marshal.dumps(chunk)
            size += len(content)
            if size > MOST_FILE_BYTES // 4:
                break
            chunks.append((tuple(chunk), content))
        self._directory.write(self._file, marshal.dumps(chunks))

    def _read(self) -> _StoredValues:
        body = self._directory.read(self._file)
        return _StoredValues([] if body is None else marshal.loads(body))


class _StoredValues:
    """The values in a file, unmarshalled chunk by chunk."""

    def __init__(self, chunks: list[tuple[tuple[str, ...], bytes]]) -> None:
        self._chunk_of = {key: number for number, (keys, _) in enumerate(chunks) for key in keys}
        self._contents = [content for _, content in chunks]
        self._loaded: dict[int, dict[str, Any]] = {}

    def list_keys(self) -> list[str]:
        """Return the keys, of the values that were used last first."""
        return list(self._chunk_of)

    def get(self, key: str) -> Any:
        """Return a value; None if it is not stored."""
        number = self._chunk_of.get(key)
        if number is None:
            return None
        chunk = self._loaded.get(number)
        if chunk is None:
            chunk = self._loaded[number] = marshal.loads(self._contents[number])
        return chunk[key]
