"""Cleanup in the child of a fork, which must not use threads, locks and sockets of the parent.

A fork copies memory, but only the calling thread. In the child all other threads are gone, a lock that one of them held
is never released, and sockets are shared with the parent, so that either process may receive the other's response.
Owners of such resources register here and replace them in the child before other code runs. Resources that are
expensive to open (a ZooKeeper session, a thread) are only dropped, and opened again on first use.
"""

from __future__ import annotations

import os
import weakref
from typing import Protocol

STARTED_BEFORE_FORK = "this stream of records was started before a fork and can continue only in the parent"


class ForkAware(Protocol):
    """An owner of sockets, threads or locks."""

    def after_fork(self) -> None:
        """Replace inherited resources. Called in the child by its only thread; must not wait or raise.

        Sockets and files may be closed, because only the copy of the child is closed. Nothing may be sent on them.
        """


_owners: dict[int, weakref.ref[ForkAware]] = {}  # in the order of their creation


def reset_after_fork(owner: ForkAware) -> None:
    """Call `owner.after_fork()` in every child of this process while the owner exists."""
    key = id(owner)
    _owners[key] = weakref.ref(owner, lambda _: _owners.pop(key, None))


def _reset_all() -> None:
    for reference in list(_owners.values()):
        if (owner := reference()) is not None:
            owner.after_fork()


os.register_at_fork(after_in_child=_reset_all)
