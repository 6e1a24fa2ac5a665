"""SQLite connections and forks.

SQLite does not let a connection be used in the child of a fork, nor even closed there: to close one with a transaction
under way rolls that back, in the file that the parent is writing. So what a child inherits is left as it is, for ever.
"""

from __future__ import annotations

import ctypes
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from stellar.util.forks import reset_after_fork


def abandon(connection: sqlite3.Connection) -> None:
    """Never close a connection that was inherited, not even when the program ends."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))


class Connections:
    """Connections to one SQLite file, each used by one thread at a time. Safe to use from many threads.

    They are kept here and not in thread-local variables, since a fork clears those of other threads, and so would close
    their connections in the child.

    prepare: is called with each new connection
    """

    def __init__(self, path: str, prepare: Callable[[sqlite3.Connection], object]) -> None:
        self._path = path
        self._prepare = prepare
        self._all: list[sqlite3.Connection] = []  # both are changed by single operations, which are atomic
        self._idle: list[sqlite3.Connection] = []
        reset_after_fork(self)

    def after_fork(self) -> None:
        """Leave the parent's connections alone."""
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
            if connection in self._all:  # else it was closed meanwhile
                self._idle.append(connection)

    def close(self) -> None:
        """Close all connections. None of them may be in use."""
        self._idle = []
        while self._all:
            self._all.pop().close()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, check_same_thread=False)
        try:
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        self._all.append(connection)
        return connection
