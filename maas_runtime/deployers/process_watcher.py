"""Notice the end of processes at once, without polling and with one thread for all of them."""

from __future__ import annotations

import os
import selectors
import threading
from collections.abc import Callable
from contextlib import suppress

Ended = Callable[[], object]


class ProcessWatcher:
    """Calls a function when a process ends, which need not be a child. Thread-safe; for Linux.

    Each process is represented by a pidfd, which becomes readable when the process ends.
    """

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._awake, self._wake = os.pipe()
        self._selector.register(self._awake, selectors.EVENT_READ)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._is_closed = False

    def watch(self, pid: int, ended: Ended) -> bool:
        """Call `ended` in another thread when a process ends.

        Returns False if it has ended already, or if the system has no pidfds.
        """
        if not hasattr(os, "pidfd_open"):
            return False
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            return False
        self.watch_descriptor(descriptor, ended)
        return True

    def watch_descriptor(self, descriptor: int, ended: Ended) -> None:
        """Call `ended` in another thread when the process of a pidfd ends; then the pidfd is closed."""
        with self._lock:
            self._selector.register(descriptor, selectors.EVENT_READ, ended)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="process watcher", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """End watching."""
        with self._lock:
            self._is_closed = True
        os.write(self._wake, b"\0")
        if self._thread is not None:
            self._thread.join()
        for key in list(self._selector.get_map().values()):
            os.close(key.fd)
        self._selector.close()
        os.close(self._wake)

    def _run(self) -> None:
        while not self._is_closed:
            for key, _ in self._selector.select():
                if key.data is None:
                    continue
                with self._lock, suppress(KeyError):
                    self._selector.unregister(key.fd)
                os.close(key.fd)
                key.data()
