"""SQLite connections that survive forks.

The child of a fork must not use an inherited SQLite connection, nor even close it: closing one with an open transaction
rolls that back in the file that the parent is writing. So inherited connections are never closed.
"""

from __future__ import annotations

import ctypes
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from stellar.util.forks import reset_after_fork


def abandon(connection: sqlite3.Connection) -> None:
    """Prevent an inherited connection from being closed, even at the end of the program."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))


class Connections:
    """Connections to one SQLite file, each used by one thread at a time. Safe to use from many threads.

    They are not stored in thread-local variables, because a fork clears those of other threads, which would close their
    connections in the child.

    prepare: called with each new connection
    is_read_only: if True, the file must exist, and its contents are not changed. It is opened for writing nevertheless
        if possible: the first to read it after a writer was killed has to undo the transaction of that writer
    """

    def __init__(
        self, path: str, prepare: Callable[[sqlite3.Connection], object], *, is_read_only: bool = False
    ) -> None:
        self._path = path
        self._prepare = prepare
        self._is_read_only = is_read_only
        self._all: list[sqlite3.Connection] = []  # both lists are changed by atomic operations only
        self._idle: list[sqlite3.Connection] = []
        reset_after_fork(self)

    def after_fork(self) -> None:
        """Abandon the connections of the parent."""
        for connection in self._all:
            abandon(connection)
        self._all, self._idle = [], []

    @contextmanager
    def lend(self) -> Iterator[sqlite3.Connection]:
        """Lend a connection to the calling thread. Raises sqlite3.Error if the file can't be opened."""
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self._connect()
        try:
            yield connection
        finally:
            if connection in self._all:  # else it was closed in the meantime
                self._idle.append(connection)

    def close(self) -> None:
        """Close all connections. None of them may be in use."""
        self._idle = []
        while self._all:
            self._all.pop().close()

    def _connect(self) -> sqlite3.Connection:
        if self._is_read_only:
            location = f"{Path(self._path).absolute().as_uri()}?mode=rw"
            connection = sqlite3.connect(location, uri=True, check_same_thread=False)
            connection.execute("PRAGMA query_only = ON")
        else:
            connection = sqlite3.connect(self._path, check_same_thread=False)
        try:
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        self._all.append(connection)
        return connection
