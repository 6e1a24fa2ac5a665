"""The deadline of a call, including name resolution, slots, retries and hedges; and the name resolver."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from stellar import evaluate_many
from stellar.language.context import Context
from stellar.maas import ClientSettings, ModelClient, ModelTimeOut, ModelUnavailable, Registry
from stellar.maas.schema import Endpoint, Model, ServiceInstance
from stellar.net.name_resolution import NameResolver, is_numeric


class Resolver:
    """A fake `socket.getaddrinfo`, which blocks until `release` was called for the host."""

    def __init__(self, monkeypatch):
        self.released = threading.Event()
        self.hosts: list[str] = []
        self.error: Exception | None = None
        self.addresses = ["127.0.0.1"]
        monkeypatch.setattr(socket, "getaddrinfo", self)

    def __call__(self, host, port, *arguments, **options):
        self.hosts.append(host)
        self.released.wait(60)
        if self.error is not None:
            raise self.error
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in self.addresses]


@pytest.fixture
def resolver(monkeypatch):
    resolver = Resolver(monkeypatch)
    yield resolver
    resolver.released.set()


@pytest.fixture
def client_of(registry):
    clients = []

    def make(**settings):
        settings = {"timeout_ms": 60_000, "connect_timeout_ms": 60_000, "cache_size": 0, **settings}
        clients.append(ModelClient(registry, ClientSettings(**settings)))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


def port(server):
    return server.url.rpartition(":")[2]


def until(condition):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "the condition was not met"
        time.sleep(0.002)


# --- a resolver that hangs


def test_a_host_that_is_not_resolved_in_time_causes_a_time_out(resolver, client_of):
    began = time.monotonic()
    with pytest.raises(ModelTimeOut) as raised:
        client_of(deadline_ms=200).apply({"url": "http://model.example:1"})
    assert raised.value.reason == "time-out"
    assert time.monotonic() - began < 30


def test_the_time_out_of_a_connection_covers_name_resolution(resolver, client_of):
    with pytest.raises(ModelTimeOut) as raised:
        client_of(connect_timeout_ms=200, retries=0).apply({"url": "http://model.example:1"})
    assert raised.value.reason == "time-out"


def test_concurrent_calls_to_one_host_share_one_look_up(resolver, serve, client_of):
    server = serve()
    client = client_of()
    with ThreadPoolExecutor(16) as pool:
        url = f"http://model.example:{port(server)}"
        calls = [pool.submit(client.apply, {"url": url}, None, {"n": number}) for number in range(16)]
        until(lambda: client.counters().requests == 16)
        assert not any(call.done() for call in calls)
        resolver.released.set()
        assert [call.result() for call in calls] == [{"is_malicious": "legit"}] * 16
    assert resolver.hosts == ["model.example"]


def test_all_records_of_a_stream_wait_for_one_look_up(resolver, serve, registry, client_of):
    server = serve(serve.respond(body=b'{"score": 1}'))
    endpoint = Endpoint(url=f"http://model.example:{port(server)}")
    registry.register(ServiceInstance.of(Model("dga", "1.0"), "1", endpoint))
    client = client_of(deadline_ms=60_000)
    context = Context({Registry: registry, ModelClient: client})
    expression = "MAP_GET('score', MAAS_MODEL_APPLY(MAAS_GET_ENDPOINT('dga'), {'host': host}))"

    def release():
        until(lambda: client.counters().requests == 64)
        resolver.released.set()

    thread = threading.Thread(target=release)
    thread.start()
    records = [{"host": str(number)} for number in range(64)]
    assert list(evaluate_many(expression, records, context, in_flight=64)) == [1] * 64
    thread.join()
    assert resolver.hosts == ["model.example"]


def test_the_last_known_address_is_used_while_the_resolver_hangs(resolver, serve, client_of, monkeypatch):
    resolver.released.set()
    server = serve()
    client = client_of()
    endpoint = {"url": f"http://model.example:{port(server)}"}
    client.apply(endpoint)
    resolver.released.clear()
    expire(client._transport._client._resolver)
    for _ in range(3):
        client._transport._client._pool._close_idle_since(float("inf"))  # so that each needs a new connection
        assert client.apply(endpoint) == {"is_malicious": "legit"}
    assert resolver.hosts == ["model.example"] * 2


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
def test_a_numeric_host_is_never_looked_up(host, resolver, serve, client_of):
    server = serve()
    try:
        client_of(retries=0, connect_timeout_ms=2000).apply({"url": f"http://{host}:{port(server)}"})
    except ModelUnavailable:
        assert host == "[::1]"  # no server listens
    assert resolver.hosts == []


def test_a_host_without_an_address_is_unavailable_but_not_refused(resolver, client_of, registry):
    resolver.error = socket.gaierror(socket.EAI_NONAME, "no such host")
    resolver.released.set()
    with pytest.raises(ModelUnavailable, match="no such host"):
        client_of(retries=0).apply({"url": "http://model.example:1"})
    assert registry.breakers.states() == {}  # one failure; a refused connection would open the circuit


def test_the_next_address_is_tried_after_a_refused_connection(resolver, serve, client_of):
    resolver.addresses = ["127.0.0.2", "127.0.0.1"]
    resolver.released.set()
    server = serve()
    assert client_of().apply({"url": f"http://model.example:{port(server)}"}) == {"is_malicious": "legit"}


EXIT = """
import socket, threading, time
from stellar.maas import ClientSettings, MemoryRegistry, ModelClient, ModelTimeOut

socket.getaddrinfo = lambda *_, **__: threading.Event().wait()
client = ModelClient(MemoryRegistry(), ClientSettings(deadline_ms=100))
try:
    client.apply({"url": "http://model.example:1"})
except ModelTimeOut:
    print("time-out", flush=True)
client.close()
"""


def test_the_exit_of_the_program_waits_for_no_look_up():
    ended = subprocess.run([sys.executable, "-c", EXIT], timeout=60, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (0, "time-out\n")


# --- the resolver


def expire(names):
    for entry in names._known.values():
        entry.expires = 0.0


def test_addresses_are_cached_until_they_expire(resolver):
    resolver.released.set()
    names = NameResolver()
    for _ in range(5):
        assert names.resolve("a.example", 30) == ((socket.AF_INET, "127.0.0.1"),)
    assert resolver.hosts == ["a.example"]
    expire(names)
    resolver.addresses = ["127.0.0.9"]
    assert names.resolve("a.example", 30) == ((socket.AF_INET, "127.0.0.1"),)  # the last known address, at once
    until(lambda: names.get_known("a.example") == ((socket.AF_INET, "127.0.0.9"),))
    assert resolver.hosts == ["a.example"] * 2


@pytest.mark.parametrize("error", [socket.gaierror(-2, "no such host"), UnicodeError("too long"), ValueError("null")])
def test_a_failed_look_up_is_cached_briefly(error, resolver):
    resolver.error = error
    resolver.released.set()
    names = NameResolver()
    for _ in range(3):
        with pytest.raises(OSError, match=str(error.args[-1])):
            names.resolve("a.example", 30)
    assert resolver.hosts == ["a.example"]
    expire(names)
    resolver.error = None
    assert names.resolve("a.example", 30)
    assert resolver.hosts == ["a.example"] * 2


def test_a_known_address_survives_a_failed_look_up(resolver):
    resolver.released.set()
    names = NameResolver()
    names.resolve("a.example", 30)
    resolver.error = socket.gaierror(-3, "temporary failure")
    expire(names)
    names.begin("a.example")
    until(lambda: len(resolver.hosts) == 2 and not names._running)
    assert names.resolve("a.example", 30) == ((socket.AF_INET, "127.0.0.1"),)


def test_hosts_are_looked_up_concurrently(resolver):
    names = NameResolver()
    promises = [names.begin(f"{number}.example") for number in range(10)]
    until(lambda: len(resolver.hosts) == 10)
    resolver.released.set()
    assert all(promise.wait(30) for promise in promises)
    assert names._running == {}
    until(lambda: names._threads == 0)


def test_the_number_of_look_up_threads_is_limited(resolver, monkeypatch):
    monkeypatch.setattr("stellar.net.name_resolution.MAX_THREADS", 3)
    names = NameResolver()
    promises = [names.begin(f"{number}.example") for number in range(10)]
    until(lambda: len(resolver.hosts) == 3)
    assert names._threads == 3
    resolver.released.set()
    assert all(promise.wait(30) for promise in promises)
    assert len(resolver.hosts) == 10


def test_any_number_of_hosts_takes_bounded_memory(resolver, monkeypatch):
    monkeypatch.setattr("stellar.net.name_resolution.MAX_HOSTS", 10)
    resolver.released.set()
    names = NameResolver()
    for number in range(50):
        names.resolve(f"{number}.example", 30)
    assert len(names._known) == 10


def test_a_wait_that_is_too_short_ends_with_a_time_out(resolver):
    with pytest.raises(TimeoutError, match=r"a\.example was not resolved in time"):
        NameResolver().resolve("a.example", 0.01)


@pytest.mark.parametrize(
    ("host", "numeric"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("fe80::1%eth0", True),
        ("node1", False),
        ("1.2.3", False),
        ("a.example", False),
        ("127.0.0.1.example", False),
        ("999.1.1.1", False),
        ("", False),
    ],
)
def test_numeric_hosts_are_distinguished_from_names(host, numeric):
    assert is_numeric(host) is numeric


# --- slots, retries and hedges


@pytest.fixture
def silent(serve, registry):
    """Return a function that registers instances that never respond: `silent(3)`."""
    release = threading.Event()

    def hang(handler):
        release.wait(60)
        handler.close_connection = True

    def make(count):
        for number in range(count):
            server = serve(hang)
            registry.register(ServiceInstance.of(Model("dga", "1.0"), str(number), Endpoint(url=server.url)))
        return registry.endpoint("dga").as_map()

    yield make
    release.set()


@pytest.mark.parametrize("hedge_ms", [None, 0, 20])
def test_retries_and_hedges_end_at_the_deadline(hedge_ms, silent, client_of):
    endpoint = silent(5)
    client = client_of(deadline_ms=300, retries=100, hedge_ms=hedge_ms)
    began = time.monotonic()
    with pytest.raises(ModelTimeOut):
        client.apply(endpoint)
    assert time.monotonic() - began < 30
    assert client.counters().requests <= (2 if hedge_ms != 0 else 1)


def test_waiting_for_a_slot_ends_at_the_deadline(silent, client_of):
    endpoint = silent(1)
    client = client_of(deadline_ms=300, max_in_flight=1)
    with ThreadPoolExecutor(4) as pool:
        calls = [pool.submit(client.apply, endpoint, None, {"n": number}) for number in range(4)]
        for call in calls:
            with pytest.raises(ModelTimeOut):
                call.result(30)
    assert client._dispatcher.limiter.of(endpoint["url"]).requests == 0


def test_waiting_for_a_busy_instance_ends_before_the_deadline(serve, client_of, registry):
    server = serve(serve.respond(429, b"", **{"Retry-After": "3"}))
    registry.register(ServiceInstance.of(Model("dga", "1.0"), "1", Endpoint(url=server.url)))
    client = client_of(deadline_ms=1000)
    with pytest.raises(ModelUnavailable) as raised:
        client.apply(registry.endpoint("dga").as_map())
    assert raised.value.reason == "busy"
    assert len(server.paths) == 1


@pytest.mark.parametrize("after", ["0", "-1", "soon", "Thu, 01 Jan 1970 00:00:00 GMT", "9" * 30])
def test_a_busy_instance_is_not_called_during_its_rest(after, serve, client_of, registry):
    server = serve(serve.respond(503, b"", **{"Retry-After": after}))
    registry.register(ServiceInstance.of(Model("dga", "1.0"), "1", Endpoint(url=server.url)))
    client = client_of(deadline_ms=400)
    with pytest.raises(Exception, match=r"status 503|busy"):
        client.apply(registry.endpoint("dga").as_map())
    assert len(server.paths) <= 10


def test_a_busy_instance_is_called_again_after_its_rest(serve, client_of, registry):
    results = [serve.respond(429, b"", **{"Retry-After": "1"}), serve.respond()]
    server = serve(lambda handler: results.pop(0)(handler))
    registry.register(ServiceInstance.of(Model("dga", "1.0"), "1", Endpoint(url=server.url)))
    client = client_of()
    assert client.apply(registry.endpoint("dga").as_map()) == {"is_malicious": "legit"}
    assert client.counters().failures == {}
    assert client.counters().quarantined == 0


def test_calling_another_instance_instead_of_a_busy_one_costs_no_retry(serve, client_of, registry):
    busy, good = serve(serve.respond(429, b"slow down", **{"Retry-After": "5"})), serve()
    for server in (busy, good):
        registry.register(ServiceInstance.of(Model("dga", "1.0"), port(server), Endpoint(url=server.url)))
    client = client_of(retries=0)
    for number in range(10):
        endpoint = {"name": "dga", "version": "1.0", "url": busy.url}
        assert client.apply(endpoint, None, {"n": number}) == {"is_malicious": "legit"}
    assert len(busy.paths) == 1
    assert client.counters().circuits == {busy.url: "resting"}
    assert client.counters().quarantined == 0
