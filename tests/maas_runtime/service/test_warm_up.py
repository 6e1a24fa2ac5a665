"""Warm-up requests on their way from a request to a runner."""

from __future__ import annotations

import pytest

from maas_runtime.deployers import Deployment
from maas_runtime.state.assignments import Assignment
from stellar.maas import Model
from stellar.maas.requests import encode_note, make_note
from tests.maas_runtime.service.test_service import DGA, World, add

QUERY = "host=a.com&port=80"
ENTRY = {
    "version": "1.0",
    "owner": "node1",
    "epoch": 1,
    "path": "/dga",
    "content": "/.content/" + "0" * 64,
    "memory": 0,
}


@pytest.fixture
def world(store, state_store, collateral):
    store.upload(collateral(), "/dga")
    return World(store, state_store)


@pytest.fixture
def deployments(world):
    """The deployments that the deployer was told to scale."""
    scale, seen = world.deployer.scale, []

    def record(deployment: Deployment, instances: int) -> None:
        seen.append(deployment)
        scale(deployment, instances)

    world.deployer.scale = record
    return seen


def send(world, **fields):
    return world.send(add().to_json(), encode_note(make_note(**fields)))


def test_the_requests_of_a_note_reach_the_deployer_also_after_a_restart(world, deployments):
    assert send(world, warm_up=[QUERY])["wanted"] == 1
    world.begin()
    world.step()
    assert deployments[-1].warm_up == (QUERY,)
    assert world.state_store.read("wanted/dga/1.0")["warm_up"] == [QUERY]


def test_further_instances_have_the_requests_of_the_first_ones_unless_others_are_given(world, deployments):
    send(world, warm_up=[QUERY])
    for fields, expected in (({}, (QUERY,)), ({"warm_up": ["x=1"]}, ("x=1",)), ({"warm_up": []}, ())):
        send(world, **fields)
        world.step()
        assert deployments[-1].warm_up == expected


@pytest.mark.parametrize(
    ("warm_up", "reason"),
    [
        ("host=a.com", "warm_up in the request's note: expected an array of strings"),
        ([1], "warm_up in the request's note: expected an array of strings"),
        (["=1"], "invalid warm-up request '=1'"),
        (["a=1"] * 21, "too many warm-up requests: 21"),
    ],
)
def test_invalid_requests_are_rejected_with_the_reason(warm_up, reason, world):
    assert reason in send(world, warm_up=warm_up)["refused"]
    assert world.service._desired.get(DGA) is None


def test_damaged_requests_in_the_desired_state_are_reported(world, state_store, caplog):
    send(world)
    state_store.write("wanted/dga/1.0", {**state_store.read("wanted/dga/1.0"), "warm_up": "host=a.com"})
    world.begin()
    assert "invalid desired state of dga @ 1.0" in caplog.text


def test_an_assignment_contains_the_requests():
    made = Assignment.from_object("dga", "7", {**ENTRY, "warm_up": [QUERY]})
    assert (made.model, made.warm_up) == (Model("dga", "1.0"), (QUERY,))
    assert Assignment.from_object("dga", "7", made.to_object()) == made
    assert Assignment.from_object("dga", "7", ENTRY).warm_up == ()


@pytest.mark.parametrize("warm_up", [QUERY, [1], {"a": 1}, None])
def test_an_assignment_with_invalid_requests_is_rejected(warm_up):
    with pytest.raises(ValueError, match="warm_up: expected an array of strings"):
        Assignment.from_object("dga", "7", {**ENTRY, "warm_up": warm_up})
