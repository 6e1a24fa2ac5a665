"""Java programs with Metron's libraries, on the same queue and registrations."""

from __future__ import annotations

import signal

import pytest

from stellar.maas import Model, ModelRequest, ServiceInstance, ZooKeeperQueue, ZooKeeperRegistry
from stellar.maas.schema import Endpoint

from .conftest import AT, wait_for

pytestmark = pytest.mark.engine

ADD = '{"name":"dga","version":"1.0","numInstances":1,"memory":512,"action":"ADD","path":"/user/root/models"}'
REMOVE = '{"name":"dga","version":"1.0","numInstances":1,"memory":0,"action":"REMOVE","path":null}'


def test_requests_from_java_are_read(java, quorum):
    java("send", "/maas/queue", ADD, "null", REMOVE)
    with ZooKeeperQueue(quorum) as queue:
        taken = [queue.take(0).data.decode() for _ in range(3)]
        assert (taken, queue.take(0)) == ([ADD, "null", REMOVE], None)


def test_requests_are_read_by_java(java, quorum):
    model = {"name": "dga", "version": "1.0", "num_instances": 1}
    with ZooKeeperQueue(quorum) as queue:
        queue.enqueue(ModelRequest(**model, memory=512, action="ADD", path="/user/root/models"))
        queue.enqueue(ModelRequest(**model, action="REMOVE"))
        assert java("take", "/maas/queue", "2") == [ADD, REMOVE]
        assert queue.take(0) is None


def test_registrations_from_java_are_found_and_can_be_removed(java, quorum):
    with ZooKeeperRegistry(quorum) as registry:
        java("register", "/maas/service", "dga", "1.0", "2", "http://node1:36161")
        (found,) = wait_for(registry.instances)
        made = ServiceInstance.of(
            Model("dga", "1.0"), "2", Endpoint(url="http://node1:36161"), lasting=True, now=1571163620.277
        )
        assert found == made
        data = registry._zookeeper.read("/maas/service/dga/2")
        assert data == made.to_json()  # to the byte
        registry.unregister("dga", "2")
    assert java("list", "/maas/service") == []


def test_registrations_are_found_by_java_and_can_be_removed(java, quorum):
    with ZooKeeperRegistry(quorum) as registry:
        for id, version, url, functions in (
            ("2", "1.0", "http://node1:36161", {"apply": "apply"}),
            ("a-b", "10.0", "http://node1/base", {}),
        ):
            endpoint = Endpoint(url=url, functions=functions)
            registry.register(ServiceInstance.of(Model("dga", version), id, endpoint, lasting=id == "2"))
        assert java("list", "/maas/service") == [
            "dga 1.0 2 http://node1:36161 {apply=apply} STATIC 36161",
            "dga 10.0 a-b http://node1/base {} DYNAMIC -1",
        ]
        java("unregister", "/maas/service", "dga", "a-b")
        wait_for(lambda: [instance.id for instance in registry.instances()] == ["2"])


def test_java_finds_the_instances_and_its_requests_are_met_while_services_are_paused(java, world, make_host):
    """The registrations are those of services whose leader is paused, and of the one that takes over."""
    first, second = make_host(), make_host()
    store = ("--store", world.folder / "store")
    world.deploy(*store, "-lmp", world.model, "-mo", "ADD", "-hmp", "/dga", "-m", 0, *AT, "-ni", 2, "--wait")
    leader, other = (first, second) if first.leads() else (second, first)
    before = java("list", "/maas/service")
    assert len(before) == 2
    leader.service.send_signal(signal.SIGSTOP)
    wait_for(other.leads)
    assert java("list", "/maas/service") == before
    java("send", "/maas/queue", ADD.replace("/user/root/models", "/dga").replace("512", "0"), "null")
    world.ready(3)
    assert len(found := java("list", "/maas/service")) == 3
    assert set(before) < set(found)
    java("send", "/maas/queue", REMOVE)
    world.ready(2)
    leader.service.send_signal(signal.SIGCONT)
    wait_for(lambda: len(first.instances() | second.instances()) == 2)
    assert len(java("list", "/maas/service")) == 2
    java("unregister", "/maas/service", "dga", world.registry.instances("dga")[0].id)
    world.ready(1)
