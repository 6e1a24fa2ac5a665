"""Files of this machine. What goes wrong with one is logged, and the answer is null or false, as in Metron."""

from __future__ import annotations

import logging
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from stellar.functions.dates import date_format
from stellar.language.conversions import to_boolean
from stellar.language.library import stellar
from stellar.language.runtime import described
from stellar.util.text_tables import text_table

log = logging.getLogger(__name__)

T = TypeVar("T")

COLUMNS = ("PERMISSION", "OWNER", "GROUP", "SIZE", "LAST MOD TIME", "NAME")


@stellar("LOCAL_LS")
def list_files(path: str | None = os.path.expanduser("~")) -> str:
    """The files in a directory, drawn as a table of permissions, owner, group, size, time and name; the oldest first.

    path: The directory, or a single file; the user's home if left out
    returns: The table, a text of several lines; an empty table if the path is null or can't be listed

        '(empty)' in LOCAL_LS('/no/such/directory')  // true
        '(empty)' in LOCAL_LS(null)  // true
        LOCAL_LS(5)  // error
    """
    return text_table(COLUMNS, _tried("LOCAL_LS", _listed, path, []))


@stellar("LOCAL_RM")
def remove(path: str | None, recursive: object = False) -> bool:
    """Remove a file or a directory.

    path: Its path
    recursive: Whether a directory that is not empty is removed, with all that is in it; false if left out
    returns: True if nothing is there now; false if the path is null, or if it can't be removed

        LOCAL_RM('/no/such/file')  // true
        LOCAL_RM(null)  // false
        LOCAL_RM('/no/such/file', 'perhaps')  // error
    """
    deep = to_boolean(recursive)
    if deep is None:
        raise ValueError(f"LOCAL_RM takes true or false as recursive, not {described(recursive)}")
    return _tried("LOCAL_RM", _remove_all if deep else _remove, path, False)


@stellar("LOCAL_WRITE")
def write(content: str | None, path: str | None) -> bool:
    """Write a text to a file, in place of what it holds. Directories are made where they are missing.

    content: The text, which is written in UTF-8
    path: The path of the file
    returns: True if it is written; false if an argument is null, or if it can't be written

        LOCAL_WRITE(null, '/no/such/file')  // false
        LOCAL_WRITE('text', null)  // false
        LOCAL_WRITE(5, '/no/such/file')  // error
    """
    if content is None:
        return False
    return _tried("LOCAL_WRITE", lambda file: _write(file, content), path, False)


@stellar("LOCAL_READ")
def read_text(path: str | None) -> str | None:
    """The text in a file, which is read as UTF-8.

    path: The path of the file
    returns: The text; null if the path is null, or if the file can't be read

        LOCAL_READ('/no/such/file')  // null
        LOCAL_READ(null)  // null
        LOCAL_READ(5)  // error
    """
    return _tried("LOCAL_READ", lambda file: file.read_bytes().decode("utf-8", "replace"), path, None)


@stellar("LOCAL_READ_LINES")
def read_lines(path: str | None) -> list[str] | None:
    """The lines of a file, which is read as UTF-8.

    path: The path of the file
    returns: The list of the lines, without their ends; null if the path is null, or if the file can't be read

        LOCAL_READ_LINES('/no/such/file')  // null
        LOCAL_READ_LINES(null)  // null
        LOCAL_READ_LINES(5)  // error
    """
    return _tried("LOCAL_READ_LINES", _lines, path, None)


def _tried(function: str, act: Callable[[Path], T], path: str | None, otherwise: T) -> T:
    """What comes of it; if that is an error, it is logged."""
    if path is None:
        return otherwise
    try:
        if not path:
            raise ValueError("the path is empty")
        return act(Path(path))
    except (OSError, ValueError) as error:  # a path with a null character, for one, is a ValueError
        log.warning("%s(%r): %s", function, path, error)
        return otherwise


def _listed(path: Path) -> list[tuple[str, ...]]:
    files = list(path.iterdir()) if path.is_dir() else [path]
    found = [(file.lstat(), file) for file in files]
    found.sort(key=lambda pair: (int(pair[0].st_mtime), pair[1].name))
    return [_row(status, file) for status, file in found]


def _row(status: os.stat_result, file: Path) -> tuple[str, ...]:
    return (
        stat.filemode(status.st_mode)[1:],
        _user(status.st_uid),
        _group(status.st_gid),
        str(status.st_size),
        str(date_format("MMM d, yyyy, h:mm:ss a", int(status.st_mtime) * 1000)),
        os.fsencode(file.name).decode("utf-8", "replace"),
    )


def _user(number: int) -> str:
    try:
        import pwd  # Windows has none

        return pwd.getpwuid(number).pw_name
    except (ImportError, KeyError):
        return str(number)


def _group(number: int) -> str:
    try:
        import grp

        return grp.getgrgid(number).gr_name
    except (ImportError, KeyError):
        return str(number)


def _remove(path: Path) -> bool:
    if path.is_dir() and not path.is_symlink():
        path.rmdir()
    else:
        path.unlink(missing_ok=True)
    return True


def _remove_all(path: Path) -> bool:
    if not path.is_dir() or path.is_symlink():
        return _remove(path)
    shutil.rmtree(path)
    return True


def _write(path: Path, content: str) -> bool:
    data = content.encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return True


def _lines(path: Path) -> list[str]:
    with path.open(encoding="utf-8", errors="replace") as file:
        return [line.removesuffix("\n") for line in file]
