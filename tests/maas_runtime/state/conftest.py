"""State stores of each kind."""

from __future__ import annotations

import pytest

from maas_runtime.state.store import DirectoryStateStore
from maas_runtime.state.zookeeper import ZooKeeperStateStore
from stellar.maas import ZooKeeper


@pytest.fixture(params=["file", pytest.param("zookeeper", marks=pytest.mark.engine)])
def make_store(request, tmp_path):
    """Make state stores of the same registry, as different processes open it."""
    if request.param == "file":
        yield lambda: DirectoryStateStore(tmp_path)
        return
    quorum = request.getfixturevalue("quorum")
    connections = []

    def make():
        connections.append(ZooKeeper(quorum))
        return ZooKeeperStateStore(connections[-1])

    yield make
    for connection in connections:
        connection.close()
