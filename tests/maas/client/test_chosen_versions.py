"""Calls whose version was chosen by the registry, and is gone when the call is made."""

from __future__ import annotations

import pytest

from stellar.maas import Chosen, ClientSettings, ModelClient, ModelUnavailable, TrafficPlan


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
