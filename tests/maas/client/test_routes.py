"""Routes: what is prepared for an endpoint depends on its values alone."""

from __future__ import annotations

import pytest

from stellar.maas import Model
from stellar.maas.client import routes
from stellar.maas.client.call_counts import CountsByModel
from stellar.maas.client.routes import Routes
from stellar.maas.errors import RecordRefused
from stellar.maas.schema import Endpoint, ModelEndpoint

ENDPOINT = {"name": "dga", "version": "1.0", "url": "http://node1:80", "endpoint:apply": "/score me"}


@pytest.mark.parametrize(
    ("endpoint", "function", "path", "is_apply", "batch_path"),
    [
        (ENDPOINT, None, "score%20me", True, None),
        (ENDPOINT, "apply", "score%20me", True, None),
        (ENDPOINT, "explain", "explain", False, None),
        ({**ENDPOINT, "endpoint:batch": "many"}, None, "score%20me", True, "many"),
        ({**ENDPOINT, "endpoint:batch": "many"}, "explain", "explain", False, None),
        ({"url": "http://node1:80"}, None, "apply", True, None),
    ],
)
def test_a_route_has_the_paths_of_the_endpoint(endpoint, function, path, is_apply, batch_path):
    for _ in range(2):
        route = (known := Routes(CountsByModel())).find(endpoint, function)
        assert (route.path, route.is_apply, route.batch_path) == (path, is_apply, batch_path)
        assert known.find(dict(endpoint), function) is route


def test_a_changed_map_has_another_route():
    known, endpoint = Routes(CountsByModel()), dict(ENDPOINT)
    first = known.find(endpoint, None)
    endpoint["url"] = "http://node2:80"
    assert (first.url, known.find(endpoint, None).url) == ("http://node1:80", "http://node2:80")


@pytest.mark.parametrize(
    ("version", "model"),
    [
        (1, Model("dga", "1")),
        (1.0, Model("dga", "1.0")),
        (True, Model("dga", "True")),
        (["1.0"], Model("dga", "['1.0']")),
        (None, None),
    ],
)
def test_equal_values_of_different_types_are_different_versions(version, model):
    known = Routes(CountsByModel())
    for other in (1, 1.0, True, None, "1.0"):
        known.find({**ENDPOINT, "version": other}, None)
    route = known.find({**ENDPOINT, "version": version}, None)
    assert route.model == model
    assert route.identity == ("http://node1:80" if model is None else f"dga\0{model.version}")


def test_a_path_that_leads_out_of_the_url_is_rejected_every_time():
    known = Routes(CountsByModel())
    for _ in range(2):
        with pytest.raises(RecordRefused, match="leads out of the model's URL"):
            known.find(ENDPOINT, "../admin")


def test_the_number_of_known_routes_is_limited(monkeypatch):
    monkeypatch.setattr(routes, "MAX_ROUTES", 10)
    known = Routes(CountsByModel())
    for number in range(35):
        assert known.find({**ENDPOINT, "url": f"http://node{number}:80"}, None).url == f"http://node{number}:80"
        assert len(known._known) <= 10


@pytest.mark.parametrize("key", ["name", "version", "url", "endpoint:apply", "endpoint:batch"])
def test_routes_of_long_values_are_not_stored(key):
    known = Routes(CountsByModel())
    route = known.find({**ENDPOINT, key: "x" * 1001}, None)
    assert known.find({**ENDPOINT, key: "x" * 1001}, None) == route
    assert known._known == {}


def test_each_map_of_an_endpoint_is_a_new_one():
    endpoint = ModelEndpoint(endpoint=Endpoint(url="http://node1:80"), name="dga", version="1.0", container_id="c")
    first = endpoint.as_map()
    first["url"] = "changed"
    assert endpoint.as_map() == {"name": "dga", "version": "1.0", "url": "http://node1:80", "endpoint:apply": "apply"}
