"""Registrations in ZooKeeper by processes that read no others: recovery, removal by others, and their cost."""

from __future__ import annotations

import re
import time
from contextlib import ExitStack

import pytest
from zookeeper_sessions import expire_session

from stellar.maas import Model, ServiceInstance, ZooKeeperRegistry
from stellar.maas.registries.zookeeper_registrar import ZooKeeperRegistrar
from stellar.maas.schema import Endpoint
from stellar.maas.zookeeper import ZooKeeperSettings

pytestmark = pytest.mark.engine

SESSION_SECONDS = 2.0


def eventually(condition, seconds=60.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition was not met in time"
        time.sleep(0.005)


def instance(id):
    return ServiceInstance.of(Model("dga", "1.0"), str(id), Endpoint(url=f"http://node1:{id}"))


@pytest.fixture
def open_registrar(quorum):
    """Open a registrar with its own session: `open_registrar()`."""
    with ExitStack() as stack:
        settings = ZooKeeperSettings(hosts=quorum, session_seconds=SESSION_SECONDS)
        yield lambda: stack.enter_context(ZooKeeperRegistrar(settings))


@pytest.fixture
def registry(quorum):
    with ZooKeeperRegistry(quorum) as registry:
        yield registry


def ids(registry):
    return [each.id for each in registry.instances()]


def test_registrations_end_with_the_registrar(open_registrar, registry):
    registrar = open_registrar()
    registrar.register(instance(7), {"hedge": False})
    eventually(lambda: ids(registry) == ["7"])
    assert registry.version("dga", "1.0").settings == {"http://node1:7": {"hedge": False}}
    registrar.close()
    eventually(lambda: ids(registry) == [])


def test_a_registration_is_written_again_after_a_lost_session(open_registrar, registry):
    registrar = open_registrar()
    registrar.register(instance(7))
    expire_session(registrar._zookeeper)
    eventually(lambda: ids(registry) == ["7"])
    raw = registrar._zookeeper.client
    eventually(lambda: raw.exists("/maas/service/dga/7").ephemeralOwner == registrar._zookeeper.session)


def test_a_registration_that_another_process_removed_is_not_written_again(open_registrar, registry):
    registrar = open_registrar()
    registrar.register(instance(7), {"hedge": False})
    registrar.register(instance(8))
    eventually(lambda: ids(registry) == ["7", "8"])
    registry.unregister("dga", "7")
    eventually(lambda: [id for _, id in registrar._nodes.owned] == ["8"])
    session = registrar._zookeeper.session
    expire_session(registrar._zookeeper)
    raw = registry._zookeeper.client
    eventually(lambda: getattr(raw.exists("/maas/service/dga/8"), "ephemeralOwner", session) != session)
    eventually(lambda: ids(registry) == ["8"])


def test_a_registrar_watches_its_own_node_only(zookeeper, open_registrar):
    def count_watches():
        return int(re.search(r"zk_watch_count\t(\d+)", zookeeper.servers[0].send_command("mntr"))[1])

    before = count_watches()
    for id in range(5):
        open_registrar().register(instance(id))
    eventually(lambda: count_watches() == before + 5)
