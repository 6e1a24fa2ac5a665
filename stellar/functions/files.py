"""Local files. If an operation fails, the error is logged and the result is null or false, as in Metron.

Reading a file above 100 MB is an error; `files.max.bytes` in the global configuration is the limit.
"""

from __future__ import annotations

import logging
import os
import shutil
import stat
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from stellar.functions.dates import date_format
from stellar.language.context import Context, GlobalSettings
from stellar.language.conversions import to_boolean
from stellar.language.library import stellar
from stellar.language.runtime import describe
from stellar.util.abbreviate import quote
from stellar.util.filesystems import FileTooLarge
from stellar.util.settings import check_value, integer
from stellar.util.text_tables import text_table

log = logging.getLogger(__name__)

T = TypeVar("T")

MAX_BYTES = "files.max.bytes"
DEFAULT_MAX_BYTES = 100_000_000
COLUMNS = ("PERMISSION", "OWNER", "GROUP", "SIZE", "LAST MOD TIME", "NAME")


@dataclass(frozen=True)
class FileStatus:
    """The status of a file or directory.

    permission: mode bits, such as 0o755
    size: bytes
    modified: seconds since the epoch
    """

    name: str
    permission: int
    owner: str
    group: str
    size: int
    modified: int


class FileSystem(Protocol):
    """A file system. Its methods raise OSError if an operation fails, and ValueError for an invalid path."""

    def list(self, path: str) -> Iterable[FileStatus]:
        """Return the entries of a directory in any order, or the file itself if the path is that of a file."""

    def remove(self, path: str, *, recursive: bool) -> None:
        """Remove a file or directory, if it exists. One that is not empty is removed only if recursive."""

    def write(self, path: str, data: bytes) -> None:
        """Create or replace a file. Missing directories are created."""

    def read(self, path: str, most: int) -> bytes:
        """Return the content of a file of at most so many bytes. Raises FileTooLarge for a larger one."""


class FileFamily:
    """The functions of a family of files, such as LOCAL_LS and LOCAL_READ, on one file system.

    prefix: prefix of the functions' names, such as `LOCAL`
    connect: returns the file system; its errors count as errors of the operation
    settings: the global configuration, with the limit of files that are read
    """

    def __init__(self, prefix: str, connect: Callable[[], FileSystem], settings: Mapping[str, Any]) -> None:
        self.prefix = prefix
        self._connect = connect
        self._settings = settings

    def list_files(self, path: str | None) -> str:
        """Return the status of the files in a directory as a table, the least recently modified first."""

        def list_rows(files: FileSystem, path: str) -> list[tuple[str, ...]]:
            return [
                _format_row(status) for status in sorted(files.list(path), key=lambda one: (one.modified, one.name))
            ]

        return text_table(COLUMNS, self._attempt("LS", list_rows, path, []))

    def remove(self, path: str | None, recursive: object) -> bool:
        """Remove a file or directory. Return True if that succeeds."""
        deep = to_boolean(recursive)
        if deep is None:
            raise ValueError(f"{self.prefix}_RM expected a boolean as recursive, got {describe(recursive)}")

        def remove(files: FileSystem, path: str) -> bool:
            files.remove(path, recursive=deep)
            return True

        return self._attempt("RM", remove, path, False)

    def write(self, content: str | None, path: str | None) -> bool:
        """Write a string to a file. Return True if that succeeds."""
        if content is None:
            return False

        def write(files: FileSystem, path: str) -> bool:
            files.write(path, content.encode())
            return True

        return self._attempt("WRITE", write, path, False)

    def read(self, path: str | None) -> str | None:
        """Return the content of a file as a string, or None if it cannot be read."""
        return self._attempt("READ", self._read_string, path, None)

    def read_lines(self, path: str | None) -> list[str] | None:
        """Return the lines of a file, or None if it cannot be read."""
        return self._attempt("READ_LINES", lambda files, path: _split_lines(self._read_string(files, path)), path, None)

    def _read_string(self, files: FileSystem, path: str) -> str:
        return files.read(path, _read_limit(self._settings)).decode("utf-8", "replace")

    def _attempt(self, operation: str, action: Callable[[FileSystem, str], T], path: str | None, default: T) -> T:
        """Return the result of an action, or the default if the path is null or an error was logged."""
        if path is None:
            return default
        try:
            if not path:
                raise ValueError("the path is empty")
            return action(self._connect(), path)
        except FileTooLarge as error:  # not null: Metron would return the content
            raise ValueError(f"{error}, the limit that {MAX_BYTES} in the global configuration sets") from None
        except (OSError, ValueError, ModuleNotFoundError) as error:  # a path with a null character is a ValueError
            log.warning("%s_%s(%s): %s", self.prefix, operation, quote(path), error)
            return default


def _format_row(status: FileStatus) -> tuple[str, ...]:
    return (
        stat.filemode(status.permission)[1:],
        status.owner,
        status.group,
        str(status.size),
        str(date_format("MMM d, yyyy, h:mm:ss a", status.modified * 1000)),
        status.name,
    )


def _read_limit(settings: Mapping[str, Any]) -> int:
    """Return the maximum size of a file that is read. Raises LookupError for an invalid setting."""
    try:
        return int(check_value(MAX_BYTES, settings.get(MAX_BYTES, DEFAULT_MAX_BYTES), integer(0, 1 << 40)))
    except ValueError as error:
        raise LookupError(str(error)) from None


def _split_lines(content: str) -> list[str]:
    lines = content.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return lines if lines[-1] else lines[:-1]


# -- Local files ------------------------------------------------------------------------------------------------------


class LocalFiles:
    """The local file system."""

    def list(self, path: str) -> Iterable[FileStatus]:
        """See FileSystem."""
        target = Path(path)
        return [_read_status(file) for file in (target.iterdir() if target.is_dir() else [target])]

    def remove(self, path: str, *, recursive: bool) -> None:
        """See FileSystem."""
        target = Path(path)
        if not target.is_dir() or target.is_symlink():
            target.unlink(missing_ok=True)
        elif recursive:
            shutil.rmtree(target)
        else:
            target.rmdir()

    def write(self, path: str, data: bytes) -> None:
        """See FileSystem."""
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)

    def read(self, path: str, most: int) -> bytes:
        """See FileSystem."""
        with open(path, "rb") as file:
            data = file.read(most + 1)
        if len(data) > most:
            raise FileTooLarge(path, most)
        return data


def _read_status(file: Path) -> FileStatus:
    status = file.lstat()
    return FileStatus(
        name=os.fsencode(file.name).decode("utf-8", "replace"),
        permission=status.st_mode,
        owner=_find_user(status.st_uid),
        group=_find_group(status.st_gid),
        size=status.st_size,
        modified=int(status.st_mtime),
    )


def _find_user(number: int) -> str:
    try:
        import pwd  # not on Windows

        return pwd.getpwuid(number).pw_name
    except (ImportError, KeyError):
        return str(number)


def _find_group(number: int) -> str:
    try:
        import grp  # not on Windows

        return grp.getgrgid(number).gr_name
    except (ImportError, KeyError):
        return str(number)


_LOCAL = FileFamily("LOCAL", LocalFiles, {})


def _get_readers(context: Context) -> FileFamily:
    return FileFamily("LOCAL", LocalFiles, context.get(GlobalSettings) or {})


@stellar("LOCAL_LS")
def list_files(path: str | None = os.path.expanduser("~")) -> str:
    """List the files in a directory as a table of permissions, owner, group, size, time and name. Files that were least
    recently modified are first.

    path: Path of the directory, or of a single file; the user's home directory by default
    returns: The table, a string of several lines; an empty table if the path is null or cannot be listed

        '(empty)' in LOCAL_LS('/no/such/directory')  // true
        '(empty)' in LOCAL_LS(null)  // true
        LOCAL_LS(5)  // error
    """
    return _LOCAL.list_files(path)


@stellar("LOCAL_RM")
def remove(path: str | None, recursive: object = False) -> bool:
    """Delete a file or directory.

    path: The path
    recursive: True to remove a directory with its content; false by default, when only empty directories are removed
    returns: True if the path no longer exists; false if it is null or cannot be removed

        LOCAL_RM('/no/such/file')  // true
        LOCAL_RM(null)  // false
        LOCAL_RM('/no/such/file', 'perhaps')  // error
    """
    return _LOCAL.remove(path, recursive)


@stellar("LOCAL_WRITE")
def write(content: str | None, path: str | None) -> bool:
    """Write a string to a file, encoded as UTF-8. Existing files are replaced, missing directories created.

    content: The string
    path: Path of the file
    returns: True if the file was written; false if an argument is null or the file cannot be written

        LOCAL_WRITE(null, '/no/such/file')  // false
        LOCAL_WRITE('text', null)  // false
        LOCAL_WRITE(5, '/no/such/file')  // error
    """
    return _LOCAL.write(content, path)


@stellar("LOCAL_READ")
def read_string(context: Context, path: str | None) -> str | None:
    """Return the content of a file, decoded as UTF-8.

    path: Path of the file
    returns: The content as a string; null if the path is null or the file cannot be read. A file
        above `files.max.bytes` is an error

        LOCAL_READ('/no/such/file')  // null
        LOCAL_READ(null)  // null
        LOCAL_READ(5)  // error
    """
    return _get_readers(context).read(path)


@stellar("LOCAL_READ_LINES")
def read_lines(context: Context, path: str | None) -> list[str] | None:
    """Return the lines of a file, decoded as UTF-8.

    path: Path of the file
    returns: List of the lines, without line ends; null if the path is null or the file cannot be read. A file
        above `files.max.bytes` is an error

        LOCAL_READ_LINES('/no/such/file')  // null
        LOCAL_READ_LINES(null)  // null
        LOCAL_READ_LINES(5)  // error
    """
    return _get_readers(context).read_lines(path)
