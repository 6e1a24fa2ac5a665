"""Messages about waits that take longer than a user expects."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

AFTER_SECONDS = 1.0


@contextmanager
def announce_zookeeper(hosts: str | None) -> Iterator[None]:
    """Print to standard error that the program waits for ZooKeeper, if the `with` block takes more than a second.

    hosts: None if the block does not connect to ZooKeeper
    """
    if hosts is None:
        yield
        return
    message = f"waiting for ZooKeeper at {hosts}; press Ctrl-C to stop"
    timer = threading.Timer(AFTER_SECONDS, print, (message,), {"file": sys.stderr, "flush": True})
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
