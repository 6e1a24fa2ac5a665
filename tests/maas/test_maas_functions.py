"""MAAS_GET_ENDPOINT and MAAS_MODEL_APPLY, from a registry to a real server."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import pytest

import stellar
from stellar import compile, evaluate
from stellar.functions import maas
from stellar.language.context import NOTHING, Context
from stellar.language.library import Library
from stellar.maas import ClientSettings, ModelClient, Registry, TrafficPlan

LIBRARY = Library.of(maas)
get_endpoint = LIBRARY["MAAS_GET_ENDPOINT"].implementation
model_apply = LIBRARY["MAAS_MODEL_APPLY"].implementation


@pytest.fixture
def context(registry):
    with ModelClient(registry, ClientSettings(timeout_ms=10_000)) as client:
        yield Context({Registry: registry, ModelClient: client})


@pytest.fixture
def model(serve, registry, make_instance):
    server = serve(serve.echo)
    registry.register(make_instance("dga", "1.0", "1", server.url))
    return server


def test_an_endpoint_is_a_map_of_strings(context, model):
    expected = {"name": "dga", "version": "1.0", "url": model.url, "endpoint:apply": "apply"}
    assert get_endpoint(context, "dga") == expected
    assert get_endpoint(context, "dga", "1.0") == expected
    assert get_endpoint(context, "dga", 1.0) == expected


@pytest.mark.parametrize("arguments", [(), (None,), (None, "1.0"), ("other",), ("dga", "2.0"), ("dga   ",)])
def test_the_endpoint_of_an_unknown_model_is_null(arguments, context, model):
    assert get_endpoint(context, *arguments) is None


def test_a_name_with_surrounding_whitespace_is_hinted_at_in_the_log(context, model, caplog):
    get_endpoint(context, "dga   ")
    assert "did you mean 'dga', without the surrounding whitespace?" in caplog.text


def test_without_a_version_the_traffic_plan_chooses_by_the_key(registry, make_instance):
    for version in ("1.0", "2.0"):
        registry.register(make_instance("dga", version, version, f"http://{version}"))
    registry.plan("dga", plan := TrafficPlan({"1.0": 50, "2.0": 50}))
    context = Context({Registry: registry})
    call = compile("MAP_GET('version', MAAS_GET_ENDPOINT('dga', null, user))")
    chosen = {user: call({"user": user}, context) for user in range(100)}
    assert chosen == {user: call({"user": user}, context) for user in range(100)}
    assert chosen == {user: plan.choose({"1.0": 1, "2.0": 1}, "dga", str(user)) for user in range(100)}
    assert {call({"user": None}, context) for _ in range(100)} == {"1.0", "2.0"}
    explicit = compile("MAP_GET('version', MAAS_GET_ENDPOINT('dga', '2.0', user))")
    assert {explicit({"user": user}, context) for user in range(100)} == {"2.0"}


@pytest.mark.parametrize("expected", [("other", None), ("dga", "2.0")])
def test_a_model_that_is_not_registered_is_counted_as_a_failure(expected, registry, model):
    reported = []
    with ModelClient(registry, on_failure=lambda *why: reported.append(why)) as client:
        assert get_endpoint(Context({Registry: registry, ModelClient: client}), *expected) is None
    assert reported == [(*expected, "no such model", None)]
    assert (client.counters().calls, client.counters().failures) == (0, {"no such model": 1})


CALLS = [
    (({"host": "a.com"},), "/apply?host=a.com"),
    (("apply", {"host": "a.com"}), "/apply?host=a.com"),
    (("other", {"host": "a.com"}), "/other?host=a.com"),
    (("score/x", {}), "/score/x?"),
    (("score",), "/score?"),
    ((None,), "/apply?"),
    ((None, {"a": 1}), "/apply?a=1"),
    ((7, {"a": None}), "/apply?a"),
    (("score", "no map"), "/score?"),
    (({"f": 1e10, "t": True, "l": [1, "x"]},), "/apply?f=1.0E10&t=true&l=%5B1%2C%22x%22%5D"),
]


@pytest.mark.parametrize(("arguments", "request_line"), CALLS)
def test_the_function_is_optional(arguments, request_line, context, model):
    result = model_apply(context, get_endpoint(context, "dga"), *arguments)
    assert model.paths == [request_line]
    assert result == dict(zip(("path", "query"), request_line.split("?"), strict=True))


@pytest.mark.parametrize("endpoint", [None, "http://host", 1, []])
def test_without_an_endpoint_the_result_is_null_and_no_model_is_called(endpoint, context, model, caplog):
    assert model_apply(context, endpoint, {"host": "a"}) is None
    assert model.paths == []
    assert context[ModelClient].counters().failures == {"no endpoint": 1}
    assert "MAAS_MODEL_APPLY expected an endpoint" in caplog.text


@pytest.mark.parametrize(
    "endpoint", [{}, {"url": None}, {"url": "nowhere"}, {"name": "x", "url": "file:///etc/passwd"}]
)
def test_an_endpoint_without_a_url_returns_null_and_is_logged(endpoint, context, caplog):
    assert model_apply(context, endpoint, {"host": "a"}) is None
    assert "is not an http or https URL" in caplog.text


def test_a_failing_model_returns_null_and_is_logged(serve, context, caplog):
    server = serve(serve.respond(500))
    with caplog.at_level(logging.WARNING):
        assert model_apply(context, {"url": server.url}, {"host": "a"}) is None
    assert "status 500" in caplog.text


def test_a_context_without_a_registry_or_a_client_is_an_error():
    with pytest.raises(LookupError, match="no model registry configured"):
        get_endpoint(NOTHING, "dga")
    with pytest.raises(LookupError, match="no model registry configured"):
        model_apply(NOTHING, {"url": "http://x"}, {})


def test_the_help_describes_the_parameters():
    assert LIBRARY["MAAS_GET_ENDPOINT"].usage == "MAAS_GET_ENDPOINT(model?, version?, key?)"
    apply = LIBRARY["MAAS_MODEL_APPLY"]
    assert "MAAS_MODEL_APPLY(endpoint, function?, args)" in apply.help.summary
    assert [parameter.description != "" for parameter in apply.parameters] == [True] * 3
    assert "10 minutes" in apply.help.details


def test_the_functions_load_no_http_client_before_they_are_called():
    code = "import sys, stellar.functions.maas; print({'httpx', 'pydantic', 'cachetools'} & set(sys.modules))"
    assert (
        subprocess.check_output([sys.executable, "-c", code], text=True, cwd=Path(stellar.__file__).parents[1]).strip()
        == "set()"
    )


EXPRESSIONS = [
    ("MAP_GET('path', MAAS_MODEL_APPLY(MAAS_GET_ENDPOINT('dga'), {'host' : host}))", "/apply"),
    ("MAP_GET('query', MAAS_MODEL_APPLY(MAAS_GET_ENDPOINT('dga'), {'host' : host}))", "host=yahoo.com"),
    ("MAP_GET('path', MAAS_MODEL_APPLY(MAAS_GET_ENDPOINT('dga', '1.0'), 'score', {'host' : host}))", "/score"),
    ("MAP_GET('path', MAAS_MODEL_APPLY(MAAS_GET_ENDPOINT('dga', 1.0), 'score'))", "/score"),
    ("MAP_GET('is_malicious', MAAS_MODEL_APPLY(MAAS_GET_ENDPOINT('other'), {'host' : host}))", None),
    ("MAAS_GET_ENDPOINT(missing)", None),
    ("MAAS_GET_ENDPOINT()", None),
]


@pytest.mark.parametrize(("expression", "value"), EXPRESSIONS)
def test_expressions_call_models(expression, value, context, model):
    assert evaluate(expression, {"host": "yahoo.com"}, context) == value


def test_a_new_version_is_called_without_a_restart(context, model, serve, registry, make_instance):
    expression = compile("MAAS_MODEL_APPLY(MAAS_GET_ENDPOINT('dga'), {'host' : host})")
    expression({"host": "a.com"}, context)
    newer = serve(serve.echo)
    registry.register(make_instance("dga", "2.0", "2", newer.url))
    assert expression({"host": "a.com"}, context) == {"path": "/apply", "query": "host=a.com"}
    assert (len(model.paths), len(newer.paths)) == (1, 1)
    registry.unregister("dga", "2")
    expression({"host": "b.com"}, context)
    assert (len(model.paths), len(newer.paths)) == (2, 1)


@pytest.mark.parametrize("expression", ["MAAS_GET_ENDPOINT('dga')", "MAAS_MODEL_APPLY({'url' : 'http://x'}, {})"])
def test_without_a_registry_the_error_explains_how_to_configure_one(expression):
    with pytest.raises(stellar.EvaluationError, match=r"pass --registry DIR or add a Registry to the context"):
        stellar.evaluate(expression, {})
