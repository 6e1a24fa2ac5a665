"""The behaviour of models that Metron documents, on a real ZooKeeper.

See test_walkthrough for the documented commands, test_zookeeper_registry for the byte formats, test_metron_clients for
Java clients, test_zookeeper_service for invalid queue items, and test_staying_power for failures.
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

import pytest

from stellar import compile
from stellar.language.context import Context
from stellar.maas import ClientSettings, Model, ModelClient, Registry, ServiceInstance, ZooKeeperRegistry
from stellar.maas.schema import Endpoint
from stellar.net.breaker import CircuitBreakers
from stellar.pipeline import build_pipeline, load_config
from stellar.pipeline.records import Raw
from stellar.pipeline.run import run_pipeline

from .conftest import ADD, AT, wait_for

pytestmark = pytest.mark.engine

ASK = compile("MAAS_MODEL_APPLY(MAAS_GET_ENDPOINT('dga'), {'host' : host})")


class ModelServer(ThreadingHTTPServer):
    """A model that records each request and responds with the result of `answer`.

    answer: called with path and arguments; returns status and body
    """

    request_queue_size = 128

    def __init__(self, answer=None):
        self.requests = []
        self._answer = answer or (lambda path, arguments: (200, json.dumps({"arguments": arguments}).encode()))
        super().__init__(("127.0.0.1", 0), _Handler)
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,))
        self._thread.start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"

    def respond(self, path):
        parts = urlsplit(path)
        self.requests.append(path)
        return self._answer(parts.path, parse_qsl(parts.query, keep_blank_values=True))

    def handle_error(self, request, client_address):
        """Ignore clients that disconnect."""

    def end(self):
        self.shutdown()
        self.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        status, body = self.server.respond(self.path)
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Suppress the log."""


@pytest.fixture
def model():
    """Start a model: `model(lambda path, arguments: (500, b""))`."""
    started = []

    def start(answer=None):
        started.append(ModelServer(answer))
        return started[-1]

    yield start
    for server in started:
        server.end()


@pytest.fixture
def register(quorum):
    """Register a URL, as a runner on another machine does."""
    with ZooKeeperRegistry(quorum) as registry:

        def register(server, version="1.0"):
            endpoint = Endpoint(url=server.url)
            registry.register(ServiceInstance.of(Model("dga", version), str(server.server_port), endpoint))

        yield register


@pytest.fixture
def client_of(quorum):
    """Make a client with its own registry: `client_of(cache_size=0)` returns its context and the client."""
    closing = []

    def make(version_order="natural", breakers=None, **settings):
        registry = ZooKeeperRegistry(quorum, version_order, breakers=breakers)
        client = ModelClient(registry, ClientSettings(**settings))
        closing.extend((client, registry))
        return Context({Registry: registry, ModelClient: client}), client

    yield make
    for each in closing:
        each.close()


def respond_with(version):
    return lambda path, arguments: (200, json.dumps({"version": version}).encode())


# --- more and fewer instances


def test_instances_are_added_and_removed_and_share_the_load(world, client_of):
    world.start()
    wait_for(lambda: "this service leads" in world.log())
    world.deploy("-lmp", world.model, *ADD, "-ni", 1)
    wait_for(lambda: world.deploy("-mo", "LIST").startswith("Model dga @ 1.0\ndga:1.0 @ http://"))
    world.deploy(*ADD, "-ni", 2)
    world.ready(3)
    context, _ = client_of(cache_size=0)
    wait_for(lambda: len(context[Registry].instances("dga")) == 3)
    shares = Counter(ASK({"host": f"host{number}"}, context)["pid"] for number in range(3000))
    assert len(shares) == 3
    chi_square = sum((share - 1000) ** 2 / 1000 for share in shares.values())
    assert chi_square < 27.6  # exceeded by chance once in a million times
    world.deploy("-mo", "REMOVE", "-ni", 1, *AT)
    world.ready(2)
    world.deploy("-mo", "REMOVE", "-ni", 5, *AT)
    wait_for(lambda: world.registry.instances("dga") == ())
    assert world.deploy("-mo", "LIST") == ""


def test_a_model_that_prints_ten_megabytes_goes_on_serving(world, client_of):
    server = (world.model / "dga.py").read_text()
    loud = server.replace(
        "    def do_GET(self):\n", "    def do_GET(self):\n        print('x' * 9_999_999, flush=True)\n"
    )
    assert loud != server
    (world.model / "dga.py").write_text(loud)
    world.start()
    wait_for(lambda: "this service leads" in world.log())
    world.deploy("-lmp", world.model, *ADD, "-ni", 1, "--wait")
    context, _ = client_of(cache_size=0)
    for number in range(5):
        assert ASK({"host": f"host{number}"}, context)["is_malicious"] == "malicious"


# --- versions


@pytest.mark.parametrize(("order", "newest"), [("natural", "10.0"), ("lexical", "9.0")])
def test_the_newest_version_follows_the_configured_order(order, newest, model, register, client_of):
    for version in ("9.0", "10.0"):
        register(model(respond_with(version)), version)
    context, _ = client_of(order)
    assert ASK({"host": "a"}, context) == {"version": newest}
    for version in ("9.0", "10.0"):
        apply = compile(f"MAAS_MODEL_APPLY(MAAS_GET_ENDPOINT('dga', '{version}'), {{}})")
        assert apply({}, context) == {"version": version}


def test_a_running_pipeline_calls_a_new_version_as_soon_as_it_is_ready(model, register, client_of, tmp_path):
    register(model(respond_with("9.0")), "9.0")
    context, _ = client_of()
    (tmp_path / "parsers").mkdir()
    score = "MAP_GET('version', MAAS_MODEL_APPLY(MAAS_GET_ENDPOINT('dga'), {'n' : n}))"
    stellar = {"transformation": "STELLAR", "config": {"score": score}}
    parser = {"parserClassName": "JSONMap", "fieldTransformations": [stellar]}
    (tmp_path / "parsers/squid.json").write_text(json.dumps(parser))

    def source():
        yield Raw(b'{"n": 1}')
        register(model(respond_with("10.0")), "10.0")
        wait_for(lambda: len(context[Registry].instances("dga")) == 2)
        yield Raw(b'{"n": 2}')

    records = []
    run_pipeline(
        build_pipeline(load_config(tmp_path, "squid"), context),
        source(),
        records.append,
        lambda error: pytest.fail(str(error)),
        None,
        1,
    )
    assert [record["score"] for record in records] == ["9.0", "10.0"]


# --- wire format


def test_arguments_of_all_types_arrive_unchanged(model, register, client_of):
    server = model()
    register(server)
    ask = compile(
        "MAAS_MODEL_APPLY(MAAS_GET_ENDPOINT('dga'),"
        " {'int' : 42, 'float' : 1.5, 'yes' : true, 'no' : false, 'nothing' : null, 'empty' : '', 'é ü&=?/+%' : text})"
    )
    text = "a b&c=d+e%20 é 漢字 😀"
    context, _ = client_of()
    assert ask({"text": text}, context)["arguments"] == [
        ["int", "42"],
        ["float", "1.5"],
        ["yes", "true"],
        ["no", "false"],
        ["nothing", ""],
        ["empty", ""],
        ["é ü&=?/+%", text],
    ]
    assert "&nothing&empty=&" in server.requests[0]


def test_types_of_results_are_preserved(model, register, client_of):
    answer = {"is_malicious": True, "score": 1.5, "rank": 7, "none": None, "list": [1, {"a": "é"}]}
    register(model(lambda path, arguments: (200, json.dumps(answer).encode())))
    context, _ = client_of()
    assert ASK({"host": "badguy.com"}, context) == answer


# --- invalid responses

BAD = {
    "another status": lambda path, arguments: (500, b"{}"),
    "no JSON": lambda path, arguments: (200, b"malicious"),
    "an array": lambda path, arguments: (200, b"[1]"),
    "too late": lambda path, arguments: (time.sleep(5), (200, b"{}"))[1],
}


@pytest.mark.parametrize("kind", BAD)
def test_an_invalid_response_is_null_and_opens_the_circuit_breaker(kind, model, register, client_of):
    now = [0.0]
    breakers = CircuitBreakers(clock=lambda: now[0])
    context, client = client_of(cache_size=0, retries=0, timeout_ms=2500, breaker_failures=1, breakers=breakers)
    bad, good = model(BAD[kind]), model(respond_with("good"))
    register(bad)
    wait_for(lambda: len(context[Registry].instances()) == 1)
    assert ASK({"host": "a"}, context) is None
    register(good)
    wait_for(lambda: len(context[Registry].instances()) == 2)
    for number in range(20):
        assert ASK({"host": f"host{number}"}, context) == {"version": "good"}
    assert len(bad.requests) == 1
    now[0] = 1.0  # the back-off of one second is over

    def is_tried_again():  # the record gets its result from the other instance
        assert ASK({"host": "again"}, context) == {"version": "good"}
        return len(bad.requests) == 2

    wait_for(is_tried_again)
    assert client.counters().quarantined == 2


def test_by_default_a_failed_call_is_retried_on_another_instance(model, register, client_of):
    for answer in (BAD["another status"], respond_with("good")):
        register(model(answer))
    context, client = client_of(cache_size=0, breakers=CircuitBreakers(clock=lambda: 0.0))
    wait_for(lambda: len(context[Registry].instances()) == 2)
    assert [ASK({"host": f"host{number}"}, context) for number in range(20)] == [{"version": "good"}] * 20
    assert client.counters().retries <= 3  # then its circuit breaker is open


# --- cached results


def test_results_are_cached_by_version_and_arguments(model, register, client_of):
    old, new = model(respond_with("1.0")), model(respond_with("2.0"))
    register(old, "1.0")
    register(new, "2.0")
    context, client = client_of()
    by_version = compile("MAAS_MODEL_APPLY(MAAS_GET_ENDPOINT('dga', version), {'host' : host})")
    for version in ("1.0", "1.0", "2.0", "2.0", "1.0"):
        assert by_version({"version": version, "host": "a"}, context) == {"version": version}
    assert (len(old.requests), len(new.requests)) == (1, 1)
    by_version({"version": "1.0", "host": "b"}, context)
    assert len(old.requests) == 2
    assert client.counters().cache_hits == 3
