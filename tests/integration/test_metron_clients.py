"""Java programs with Metron's libraries, on the same queue and registrations."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from stellar.maas import Model, ModelRequest, ServiceInstance, ZooKeeperQueue, ZooKeeperRegistry
from stellar.maas.schema import Endpoint

pytestmark = pytest.mark.engine

JAVA = Path(__file__).parent / "java"
ADD = '{"name":"dga","version":"1.0","numInstances":1,"memory":512,"action":"ADD","path":"/user/root/models"}'
REMOVE = '{"name":"dga","version":"1.0","numInstances":1,"memory":0,"action":"REMOVE","path":null}'


def wait_for(condition, seconds=60.0):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)
    return found


@pytest.fixture(scope="session")
def classpath(engines, need, tmp_path_factory):
    from engines.daemon import jars, run

    need("javac")
    classes = tmp_path_factory.mktemp("classes")
    libraries = f"{jars(JAVA)}/*"
    run(["javac", "-nowarn", "-d", str(classes), "-cp", libraries, *map(str, sorted(JAVA.rglob("*.java")))], 60)
    return f"{classes}:{libraries}"


@pytest.fixture
def java(classpath, quorum):
    """Run a Java program: `java("list", "/maas/service")` returns its lines."""
    from engines.daemon import JVM, run

    return lambda *words: run(["java", *JVM, "-cp", classpath, "Clients", quorum, *words], 30).splitlines()


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
