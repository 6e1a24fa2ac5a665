"""Sessions of ZooKeeper that end without their owner's doing."""

from __future__ import annotations

import time
from contextlib import suppress

from kazoo.client import KazooClient
from kazoo.exceptions import ConnectionLoss

from stellar.maas import ZooKeeper


def expire_session(zookeeper: ZooKeeper) -> None:
    """Expire the session of a connection, as ZooKeeper does without heartbeats; wait for its next one."""
    session, deadline = zookeeper.session, time.monotonic() + 60
    assert session is not None
    while zookeeper.session in (None, session):
        assert time.monotonic() < deadline, "the session did not expire in time"
        if zookeeper.session == session:
            _close_session(zookeeper)
        time.sleep(0.01)


def _close_session(zookeeper: ZooKeeper) -> None:
    other = KazooClient(zookeeper.hosts, client_id=zookeeper.client.client_id)
    with suppress(ConnectionLoss):  # the owner has taken its session back
        other.start()
        other.stop()
    other.stop()
    other.close()
