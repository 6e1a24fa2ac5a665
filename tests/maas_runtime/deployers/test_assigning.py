"""The choice of hosts for instances."""

from __future__ import annotations

from collections import Counter

import pytest

from maas_runtime.deployers import Deployment
from maas_runtime.deployers.assigning import ABSENT_SECONDS, REFUSAL_SECONDS, AssigningDeployer
from maas_runtime.errors import DeployError
from maas_runtime.state.assignments import AssignmentStore
from stellar.maas import MemoryRegistry, Model

DGA = Model("dga", "1.0")


class World:
    """A deployer with hosts that only exist in the state store."""

    def __init__(self, state_store, store, content):
        self.state_store, self.content, self.now = state_store, content, 0.0
        self.published = []
        self.deployer = AssigningDeployer(state_store, MemoryRegistry(), store, clock=lambda: self.now)

    def publish(self, id, memory=1000, **more):
        self.publish_entry(id, {"host": f"host-{id}", "memory": memory, **more})

    def publish_entry(self, id, entry):
        self.published.append(f"agents/{id}")
        self.state_store.publish(f"agents/{id}", entry)

    def scale(self, instances, **options):
        self.now += 1  # so that the hosts are read again
        self.deployer.scale(Deployment(DGA, "/dga", content=self.content, epoch=1, **options), instances)

    def assignments(self):
        with AssignmentStore(self.state_store) as stored:
            return stored.read()

    def owners(self):
        return Counter(each.owner for each in self.assignments())


@pytest.fixture
def world(state_store, store, collateral):
    world = World(state_store, store, store.add_content(collateral()))
    yield world
    for path in world.published:
        state_store.unpublish(path)


def test_the_host_with_the_most_free_memory_is_chosen(world):
    world.publish("a", 1000)
    world.publish("b", 3000)
    world.scale(4, memory=500)
    assert world.owners() == {"b": 4}
    world.scale(6, memory=500)
    assert world.owners() == {"a": 1, "b": 5}


def test_instances_without_a_limit_are_distributed_evenly(world):
    for id in "abc":
        world.publish(id, 10_000)
    world.scale(6)
    assert world.owners() == {"a": 2, "b": 2, "c": 2}


def test_as_many_as_fit_are_assigned_and_the_lack_is_explained(world):
    world.publish("a", 1000)
    world.publish("b", 300)
    with pytest.raises(
        DeployError, match=r"no host has 400 MB for it: host-a has 200 MB; host-b has 300 MB free; reduce"
    ):
        world.scale(3, memory=400)
    assert world.owners() == {"a": 2}


def test_each_instance_gets_gpus_of_its_own(world):
    world.publish("a", devices=["0", "1", "GPU-8932f937"])
    world.publish("b", memory=9000)
    with pytest.raises(DeployError, match=r"no host has 0 MB and 2 GPUs for it: .*host-a has 1,000 MB and 1 GPUs"):
        world.scale(2, gpus=2)
    assert [each.devices for each in world.assignments()] == [("0", "1")]


def test_a_host_that_refused_gets_no_more_of_the_deployment_for_a_minute(world):
    world.publish("a", 9000)
    world.publish("b", 5000)
    world.scale(1)
    (first,) = world.assignments()
    assert first.owner == "a"
    world.state_store.write(
        first.path_in_store, {**first.to_object(), "ended": True, "refused": True, "reason": "disk full"}
    )
    assert world.deployer.running(DGA) == 0
    world.scale(2)
    assert world.owners() == {"b": 2}
    world.now += REFUSAL_SECONDS
    world.scale(3)
    assert world.owners() == {"a": 1, "b": 2}


def test_a_host_that_refused_is_tried_again_if_there_is_no_other(world):
    world.publish("a")
    world.scale(1)
    (first,) = world.assignments()
    world.state_store.write(first.path_in_store, {**first.to_object(), "ended": True, "refused": True, "reason": "x"})
    world.scale(1)
    assert world.owners() == {"a": 1}


INVALID = [
    {},
    {"host": 1, "memory": 1},
    {"host": "a", "memory": -1},
    {"host": "a", "memory": 1, "devices": "0"},
]


@pytest.mark.parametrize("entry", INVALID)
def test_an_invalid_host_is_ignored_with_a_warning(entry, world, caplog):
    world.publish_entry("bad", entry)
    with pytest.raises(DeployError, match="no host runs instances; start a service with: maas serve"):
        world.scale(1)
    assert "invalid host bad, ignored" in caplog.text


def test_an_instance_counts_while_its_node_is_missing_until_its_agent_could_have_stored_it(world):
    world.publish("a")
    world.scale(2)
    before = world.assignments()
    assert world.deployer.running(DGA) == 2
    for assignment in before:
        world.state_store.write(assignment.path_in_store, None)
    assert world.deployer.running(DGA) == 2
    world.state_store.write(before[0].path_in_store, {**before[0].to_object(), "restored": True})
    assert [each.model for each in world.deployer.take_restored()] == [DGA]
    assert world.deployer.take_restored() == []
    world.now += 100
    assert world.deployer.running(DGA) == 1


def test_a_successor_counts_the_failed_instances_before_it(world):
    world.publish("a")
    world.scale(1)
    for restarts in range(3):
        (current,) = world.assignments()
        assert current.restarts == restarts
        failed = {**current.to_object(), "ended": True, "reason": "out of luck"}
        world.state_store.write(current.path_in_store, failed)
        assert world.deployer.running(DGA) == 0
        world.scale(1)


def test_an_instance_is_replaced_only_after_its_host_and_registration_were_absent_for_a_while(world, state_store):
    world.publish("a")
    world.scale(2)
    before = {each.id for each in world.assignments()}
    state_store.unpublish("agents/a")
    world.publish("b")
    world.now += 1
    assert world.deployer.running(DGA) == 2
    world.now += ABSENT_SECONDS / 2
    world.deployer.begin()  # another service led meanwhile
    world.now += ABSENT_SECONDS / 2
    assert world.deployer.running(DGA) == 2
    world.now += ABSENT_SECONDS
    assert world.deployer.running(DGA) == 0
    world.scale(2)
    assert {each.id for each in world.assignments() if each.is_active}.isdisjoint(before)
    assert world.owners() == {"a": 2, "b": 2}  # those of a end when it comes back


def test_a_restored_deployment_is_that_of_its_instances(world):
    world.publish("a", devices=["0", "1"])
    options = {"memory": 100, "gpus": 2, "warm_up": ("host=a.com",)}
    world.scale(1, **options)
    (assignment,) = world.assignments()
    world.state_store.write(assignment.path_in_store, {**assignment.to_object(), "restored": True})
    assert world.deployer.take_restored() == [Deployment(DGA, "/dga", content=world.content, **options)]
