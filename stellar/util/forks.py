"""Cleaning up in the child of a fork, where nothing that the parent had opened may be used.

A fork copies memory, but only the thread that called it. In the child every other thread is gone, a lock that one of
them held is never released, and a socket is shared with the parent: what one of the two sends, the other may get the
response to. So whatever owns such a thing registers here, and replaces all of it in the child before anything else runs
there. What costs something to open (a ZooKeeper session, a thread) is only dropped, and opened again on first use.
"""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class ForkAware(Protocol):
    """An owner of sockets, threads or locks."""

    def after_fork(self) -> None:
        """Replace what was inherited. Called in the child, by its only thread; must not wait or raise.

        Sockets and files may be closed, for that closes the child's copy only. Nothing may be sent on them.
        """


_owners: dict[int, weakref.ref[ForkAware]] = {}  # in the order of their creation


def reset_after_fork(owner: ForkAware) -> None:
    """Call `owner.after_fork()` in every child that this process forks, as long as the owner lives."""
    key = id(owner)
    _owners[key] = weakref.ref(owner, lambda _: _owners.pop(key, None))


def _reset_all() -> None:
    for reference in list(_owners.values()):
        if (owner := reference()) is not None:
            owner.after_fork()


os.register_at_fork(after_in_child=_reset_all)
