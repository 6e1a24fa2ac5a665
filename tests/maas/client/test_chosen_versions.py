"""Calls whose version was chosen by the registry, and is gone when the call is made."""

from __future__ import annotations

import threading

import pytest

from stellar.maas import (
    Chosen,
    ClientSettings,
    ModelClient,
    ModelRefused,
    ModelTimeOut,
    ModelUnavailable,
    TrafficPlan,
    Trial,
)


@pytest.fixture
def gone(serve, registry, make_instance):
    """An endpoint of version 1.0, whose instance is gone; 2.0 runs."""
    server = serve()
    server.close()
    registry.register(make_instance("dga", "1.0", "1", server.url))
    endpoint = registry.endpoint("dga").as_map()
    registry.unregister("dga", "1")
    registry.register(make_instance("dga", "2.0", "2", serve(serve.echo).url))
    return endpoint


@pytest.fixture
def client(registry):
    with ModelClient(registry, ClientSettings(cache_size=0, wait_ms=0)) as client:
        yield client


def test_a_call_without_a_version_moves_to_another_version(gone, client):
    assert client.apply(Chosen(gone), "score", {"host": "a"}) == {"path": "/score", "query": "host=a"}
    assert client.counters().failures == {}


def test_a_call_with_a_version_does_not_move(gone, client):
    with pytest.raises(ModelUnavailable):
        client.apply(gone, None, {"host": "a"})
    assert client.counters().failures.total() == 1


def test_a_version_with_instances_is_called(gone, client, registry, make_instance):
    registry.register(make_instance("dga", "1.0", "9", gone["url"]))
    with pytest.raises(ModelUnavailable):
        client.apply(Chosen(gone), None, {"host": "a"})


def test_without_any_version_the_call_fails_and_is_counted_once(gone, client, registry):
    registry.unregister("dga", "2")
    with pytest.raises(ModelUnavailable):
        client.apply(Chosen(gone), None, {"host": "a"})
    assert client.counters().failures.total() == 1


def test_the_other_version_is_chosen_by_the_key(gone, client, registry, make_instance, serve):
    three = serve(serve.respond(body=b'{"version": 3}'))
    registry.register(make_instance("dga", "3.0", "3", three.url))
    registry.plan("dga", plan := TrafficPlan({"2.0": 1, "3.0": 1}))
    for key in map(str, range(20)):
        result = client.apply(Chosen(gone, key), None, {"host": "a"})
        assert ("version" in result) == (plan.choose({"2.0": 1, "3.0": 1}, "dga", key) == "3.0")


@pytest.fixture
def trial(serve, registry, make_instance):
    """Return a function that starts 1.0, and 2.0 on trial with a behaviour; it returns an endpoint of 2.0."""

    def start(behaviour, **weights):
        registry.register(make_instance("dga", "1.0", "1", serve(serve.respond(body=b'{"version": 1}')).url))
        registry.register(make_instance("dga", "2.0", "2", serve(behaviour).url))
        plan = TrafficPlan(weights.get("weights", {"1.0": 1, "2.0": 1}), trial=Trial("re-1", "2.0"))
        registry.plan("dga", plan)
        return Chosen(registry.endpoint("dga", "2.0").as_map())

    return start


@pytest.mark.parametrize("status", [500, 400, 429])
def test_a_call_that_fails_at_a_version_on_trial_is_repeated_at_another_one(status, trial, serve, client):
    assert client.apply(trial(serve.respond(status)), None, {"host": "a"}) == {"version": 1}
    assert client.counters().failures == {}


def test_a_version_on_trial_that_refuses_connections_is_not_waited_for(trial, serve, registry, make_instance):
    endpoint = trial(serve.respond(500))
    stopped = serve()
    stopped.close()
    registry.register(make_instance("dga", "2.0", "2", stopped.url))
    registry.desire("dga", "2.0", 1)
    with ModelClient(registry, ClientSettings(cache_size=0, wait_ms=86_400_000)) as client:
        assert client.apply(endpoint, None, {"host": "a"}) == {"version": 1}


def test_a_call_that_fails_at_another_version_is_not_repeated(trial, serve, registry, client):
    trial(serve.respond(500))
    registry.plan("dga", TrafficPlan({"1.0": 1, "2.0": 1}, trial=Trial("re-1", "1.0")))
    with pytest.raises(ModelRefused):
        client.apply(Chosen(registry.endpoint("dga", "2.0").as_map()), None, {"host": "a"})


def test_a_call_with_a_version_is_not_repeated(trial, serve, client):
    with pytest.raises(ModelRefused):
        client.apply(dict(trial(serve.respond(500))), None, {"host": "a"})


def test_without_another_version_a_failure_on_trial_is_final(trial, serve, client):
    with pytest.raises(ModelRefused):
        client.apply(trial(serve.respond(500), weights={"2.0": 1}), None, {"host": "a"})


def test_the_deadline_covers_the_repeated_call(trial, serve, registry):
    released = threading.Event()
    endpoint = trial(lambda handler: released.wait(60))
    settings = ClientSettings(cache_size=0, wait_ms=0, deadline_ms=300)
    try:
        with ModelClient(registry, settings) as client, pytest.raises(ModelTimeOut):
            client.apply(endpoint, None, {"host": "a"})
    finally:
        released.set()
