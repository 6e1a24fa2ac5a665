"""Waiting for any of many sockets: by epoll on Linux, by `selectors` on other systems.

`selectors` alone would do, but creates two objects for each ready socket.
"""

from __future__ import annotations

import select
import selectors
import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import Protocol

MAX_READY = 256  # sockets that one call of `poll` returns on Linux; the next call returns the others


class Poller(Protocol):
    """A set of file descriptors, each with the event to wait for: EVENT_READ or EVENT_WRITE of `selectors`."""

    def register(self, number: int, event: int) -> None:
        """Add a file descriptor. Raises OSError or ValueError if it is closed."""

    def unregister(self, number: int) -> None:
        """Remove a file descriptor, which may have been closed."""

    def poll(self, seconds: float | None) -> Iterable[tuple[int, int]]:
        """Wait for any descriptor, at most so many seconds; return the ready ones. An error of a socket is an event."""

    def close(self) -> None:
        """Release the resources of the system."""


class SelectorPoller:
    """A poller for all systems."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()

    def register(self, number: int, event: int) -> None:
        self._selector.register(number, event)

    def unregister(self, number: int) -> None:
        self._selector.unregister(number)

    def poll(self, seconds: float | None) -> Iterable[tuple[int, int]]:
        return [(key.fd, events) for key, events in self._selector.select(seconds)]

    def close(self) -> None:
        self._selector.close()


if sys.platform == "linux":

    class EpollPoller:
        """A poller for Linux."""

        def __init__(self) -> None:
            self._epoll = select.epoll()

        def register(self, number: int, event: int) -> None:
            if number < 0:
                raise ValueError("the socket is closed")
            self._epoll.register(number, select.EPOLLIN if event == selectors.EVENT_READ else select.EPOLLOUT)

        def unregister(self, number: int) -> None:
            with suppress(OSError):  # it was closed, which removed it
                self._epoll.unregister(number)

        def poll(self, seconds: float | None) -> Iterable[tuple[int, int]]:
            return self._epoll.poll(seconds, MAX_READY)

        def close(self) -> None:
            self._epoll.close()


def new_poller() -> Poller:
    """Return a poller for this system."""
    return EpollPoller() if sys.platform == "linux" else SelectorPoller()
