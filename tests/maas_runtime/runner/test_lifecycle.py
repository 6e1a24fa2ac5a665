"""The life cycle of an instance in a YARN container."""

from __future__ import annotations

import random
import socket

import pytest

from maas_runtime.runner.lifecycle import ContainerLifecycle, read_hold_seconds, start_order
from maas_runtime.runner.runner import Instance, ModelFailed
from stellar.maas import MemoryRegistry, Model, ServiceInstance
from stellar.maas.schema import Endpoint

DGA = Model("dga", "1.0")
IDS = [f"container_17_0001_01_{number:06}" for number in range(2, 5)]
REPLACEMENTS = [f"container_17_0001_02_{number:06}" for number in range(2, 5)]


@pytest.fixture
def registry():
    with MemoryRegistry() as registry:
        yield registry


@pytest.fixture
def time():
    return [0.0]


@pytest.fixture
def make_lifecycle(registry, time, tmp_path):
    """Register an instance, and make its life cycle."""

    def make(id=IDS[0], hold_seconds=10.0):
        register(registry, id)
        instance = Instance(DGA, id, "rest.sh", tmp_path)
        return ContainerLifecycle(instance, registry, 60.0, hold_seconds, lambda: time[0])

    return make


def register(registry, id):
    registry.register(ServiceInstance.of(DGA, id, Endpoint(url="http://h:1")))


@pytest.fixture
def node_manager(monkeypatch):
    """Start a node manager that accepts connections until it is closed."""
    with socket.create_server(("127.0.0.1", 0)) as node:
        monkeypatch.setenv("NM_HOST", "127.0.0.1")
        monkeypatch.setenv("NM_PORT", str(node.getsockname()[1]))
        yield node


def test_an_instance_ends_when_it_stays_unregistered(make_lifecycle, registry, time):
    lifecycle = make_lifecycle()
    assert lifecycle.is_desired()
    registry.unregister("dga", IDS[0])
    assert lifecycle.is_desired()
    time[0] = 29
    assert lifecycle.is_desired()
    register(registry, IDS[0])
    time[0] = 31
    assert lifecycle.is_desired()
    registry.unregister("dga", IDS[0])
    assert lifecycle.is_desired()
    time[0] = 61.5
    assert not lifecycle.is_desired()


def test_an_instance_without_its_node_manager_serves_until_it_is_replaced(make_lifecycle, registry, time, node_manager):
    lifecycle = make_lifecycle()
    register(registry, IDS[1])  # registered before, so not a replacement
    time[0] = 100
    assert lifecycle.is_desired()
    node_manager.close()
    time[0] = 110
    assert lifecycle.is_desired()
    time[0] = 10_000
    assert lifecycle.is_desired()
    register(registry, REPLACEMENTS[0])
    time[0] += 5
    assert lifecycle.is_desired()
    time[0] += 59
    assert lifecycle.is_desired()
    time[0] += 5
    with pytest.raises(ModelFailed, match="its node manager has been lost for 9969 seconds, and it was replaced"):
        lifecycle.is_desired()


def test_a_replaced_instance_ends_only_after_its_node_manager_is_lost_for_long(
    make_lifecycle, registry, time, node_manager
):
    lifecycle = make_lifecycle()
    node_manager.close()
    time[0] = 5
    assert lifecycle.is_desired()
    register(registry, REPLACEMENTS[0])
    for time[0] in range(10, 70, 5):
        assert lifecycle.is_desired()
    time[0] = 70
    with pytest.raises(ModelFailed, match="lost for 70 seconds"):
        lifecycle.is_desired()


def test_an_instance_goes_on_when_its_node_manager_recovers(make_lifecycle, registry, time, node_manager, monkeypatch):
    lifecycle = make_lifecycle()
    port = node_manager.getsockname()[1]
    node_manager.close()
    time[0] = 50
    assert lifecycle.is_desired()
    register(registry, REPLACEMENTS[0])
    time[0] = 100
    assert lifecycle.is_desired()
    with socket.create_server(("127.0.0.1", port)):
        time[0] = 1000
        assert lifecycle.is_desired()
    time[0] = 1005
    assert lifecycle.is_desired()


def test_instances_that_yarn_ends_together_stop_one_by_one_as_they_are_replaced(make_lifecycle, registry):
    waiting = {id: make_lifecycle(id) for id in IDS}
    for gone, new in enumerate(["none yet", *REPLACEMENTS]):
        if gone:
            register(registry, new)
        for id in IDS:
            assert waiting[id].may_stop() == (IDS.index(id) < gone)
        for id in IDS[:gone]:
            registry.unregister("dga", id)
        assert len(registry.instances(*DGA)) == 3


def test_an_instance_that_is_not_replaced_stops_after_the_hold_time(make_lifecycle, time):
    lifecycle = make_lifecycle(hold_seconds=4.5)
    assert not lifecycle.may_stop()
    time[0] = 4.4
    assert not lifecycle.may_stop()
    time[0] = 4.5
    assert lifecycle.may_stop()


def test_an_instance_without_hold_time_stops_at_once(make_lifecycle):
    assert make_lifecycle(hold_seconds=0.0).may_stop()


def test_an_unregistered_instance_stops_at_once(make_lifecycle, registry):
    lifecycle = make_lifecycle()
    registry.unregister("dga", IDS[0])
    assert lifecycle.may_stop()


def test_other_versions_and_instances_outside_yarn_are_not_replacements(make_lifecycle, registry):
    lifecycle = make_lifecycle()
    assert not lifecycle.may_stop()
    register(registry, "by-hand")
    other = Model("dga", "2.0")
    registry.register(ServiceInstance.of(other, REPLACEMENTS[0], Endpoint(url="http://h:1")))
    assert not lifecycle.may_stop()


@pytest.mark.parametrize(
    ("said", "drain", "hold"),
    [
        (None, 0.0, 0.0),
        ("250", 0.0, 0.0),
        ("5000", 1.0, 3.5),
        ("1000", 2.0, 0.0),
        ("many", 0.0, 0.0),
    ],
)
def test_the_hold_time_is_the_time_before_sigkill_minus_the_drain_time(
    tmp_path, monkeypatch, said, drain, hold, caplog
):
    monkeypatch.setenv("HADOOP_CONF_DIR", str(tmp_path))
    setting = f"<name>yarn.nodemanager.sleep-delay-before-sigkill.ms</name><value>{said}</value>"
    setting = f"<property>{setting}</property>" if said else ""
    (tmp_path / "yarn-site.xml").write_text(f"<configuration>{setting}</configuration>")
    assert read_hold_seconds(drain) == hold
    assert ("using 250" in caplog.text) == (said == "many")


def test_container_ids_sort_by_start():
    ids = [
        "container_17_0001_01_000002",
        "container_17_0001_01_000010",
        "container_17_0001_01_1000000",
        "container_17_0001_02_000002",
        "container_17_0002_01_000002",
        "container_18_0001_01_000002",
        "container_e02_18_0001_01_000003",
        "container_e10_18_0001_01_000004",
    ]
    assert sorted(random.Random(1).sample(ids, len(ids)), key=start_order) == ids
