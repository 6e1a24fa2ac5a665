"""The client against real servers, correct and faulty ones."""

from __future__ import annotations

import gzip
import json
import shutil
import socket
import ssl
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace

import pytest

from stellar.maas.client.client import ClientSettings, ModelClient, encode_query, function_path
from stellar.maas.errors import MaasError, ModelRefused, ModelUnavailable
from stellar.maas.registries.memory import MemoryRegistry
from stellar.maas.transport.base import Response
from stellar.maas.transport.http import HttpTransport
from stellar.net.breaker import CircuitBreakers

SETTINGS = ClientSettings(timeout_ms=10_000, connect_timeout_ms=10_000, retries=0, response_bytes=100_000)
# for servers that never respond
IMPATIENT = replace(SETTINGS, timeout_ms=300)


class Doubled:
    """A fake transport that counts requests."""

    def __init__(self, response: Response | Exception | None = None) -> None:
        self.response = response or Response(200, b'{"score": 1}')
        self.urls: list[str] = []
        self.closed = False

    def get(self, url: str) -> Response:
        self.urls.append(url)
        if isinstance(self.response, Exception):
            raise self.response
        return self.response

    def close(self) -> None:
        self.closed = True


def wait_for(condition, seconds):
    """Wait until other threads have made a condition true."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "the condition was not met"
        time.sleep(0.002)


@pytest.fixture
def call(registry):
    """Return a function that calls one URL once."""
    clients = []

    def call(url, function=None, arguments=None, settings=SETTINGS):
        clients.append(ModelClient(registry, settings))
        return clients[-1].apply({"name": "dga", "version": "1.0", "url": url}, function, arguments)

    yield call
    for client in clients:
        client.close()


def close_at_once(handler):
    handler.close_connection = True


def close_in_the_body(handler):
    handler.wfile.write(b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"is_mal')
    handler.close_connection = True


def until_closed(handler):
    """Wait until the client has closed the connection."""
    with suppress(OSError):
        handler.connection.recv(1)
    handler.close_connection = True


def drip(handler, head=b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"):
    """Send a byte at intervals until the client has closed the connection."""
    with suppress(OSError):
        handler.wfile.write(head)
        while True:
            handler.wfile.write(b"1")
            handler.wfile.flush()
            time.sleep(0.02)
    handler.close_connection = True


def compressed(serve):
    return serve.respond(200, gzip.compress(b'{"a": 1}'), **{"Content-Encoding": "gzip"})


BAD = {
    "status 500": (lambda s: s.respond(500), ModelRefused, "status 500"),
    "status 503": (lambda s: s.respond(503), ModelRefused, "status 503"),
    "status 201": (lambda s: s.respond(201), ModelRefused, "status 201"),
    "status 204": (lambda s: s.respond(204, b""), ModelRefused, "status 204"),
    "a redirect": (lambda s: s.respond(302, Location="/elsewhere"), ModelRefused, "status 302"),
    "html": (lambda s: s.respond(body=b"<html>"), ModelRefused, "responded with invalid JSON"),
    "nothing": (lambda s: s.respond(body=b""), ModelRefused, "responded with invalid JSON"),
    "half a JSON": (lambda s: s.respond(body=b'{"a": '), ModelRefused, "responded with invalid JSON"),
    "a comment": (lambda s: s.respond(body=b'{"a": 1} // one'), ModelRefused, "responded with invalid JSON"),
    "NaN": (lambda s: s.respond(body=b'{"a": NaN}'), ModelRefused, "invalid JSON: NaN is not JSON"),
    "latin-1": (lambda s: s.respond(body='{"a": "é"}'.encode("latin-1")), ModelRefused, "responded with invalid JSON"),
    "deep nesting": (lambda s: s.respond(body=b"[" * 99_000), ModelRefused, "nested too deeply"),
    "a number of 5,000 digits": (
        lambda s: s.respond(body=b'{"a": ' + b"9" * 5000 + b"}"),
        ModelRefused,
        "responded with invalid JSON",
    ),
    "an array": (lambda s: s.respond(body=b'[{"a": 1}]'), ModelRefused, "a JSON array"),
    "a string": (lambda s: s.respond(body=b'"legit"'), ModelRefused, "a JSON string"),
    "null": (lambda s: s.respond(body=b"null"), ModelRefused, "a JSON null"),
    "a huge body": (lambda s: s.respond(body=b" " * 300_000), ModelRefused, "larger than 100,000 bytes"),
    "a body not asked to be compressed": (compressed, ModelRefused, "responded with invalid JSON"),
    "a hang": (lambda s: until_closed, ModelUnavailable, "in time"),
    "a drip": (lambda s: drip, ModelUnavailable, "in time"),
    "a close": (lambda s: close_at_once, ModelUnavailable, "can't be reached"),
    "a close in the body": (lambda s: close_in_the_body, ModelUnavailable, "can't be reached"),
}


@pytest.mark.parametrize("bad", BAD)
def test_an_invalid_response_is_an_error_and_three_open_the_circuit(bad, serve, registry, make_instance):
    behaviour, error, message = BAD[bad]
    server = serve(behaviour(serve))
    settings = IMPATIENT if message == "in time" else SETTINGS
    registry.register(make_instance("dga", "1.0", "1", server.url))
    with ModelClient(registry, replace(settings, wait_ms=0)) as client:
        for _ in range(3):
            assert client.counters().quarantined == 0
            with pytest.raises(error, match=message):
                client.apply({"name": "dga", "version": "1.0", "url": server.url})
        assert client.counters().quarantined == 1
    assert [path for path in server.paths if path != "/apply?"] == []


def test_a_refused_connection_is_model_unavailable(call):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(ModelUnavailable, match="can't be reached"):
            call(f"http://127.0.0.1:{taken.getsockname()[1]}")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "null",
        "file:///etc/passwd",
        "ftp://host/x",
        "http://",
        "http:/host",
        "//host",
        "http://[::1",
        "http://h:x",
        "http://é..x",
    ],
)
def test_only_http_urls_are_called(url, call):
    with pytest.raises(ModelUnavailable):
        call(url)


def test_a_result_with_any_json_values_is_returned_unchanged(serve, call):
    result = {"text": "é", "true": True, "null": None, "int": 2**70, "float": 0.5, "list": [1], "map": {"a": {}}}
    assert call(serve(serve.respond(body=json.dumps(result).encode())).url) == result


@pytest.mark.skipif(not shutil.which("openssl"), reason="it takes openssl to make a certificate")
def test_https_is_used_if_the_certificate_is_trusted(tmp_path, registry):
    options = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=localhost -days 2"
    options += f" -addext subjectAltName=DNS:localhost -keyout {tmp_path}/key -out {tmp_path}/certificate"
    subprocess.run(["openssl", *options.split()], check=True, capture_output=True)
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(tmp_path / "certificate", tmp_path / "key")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"https://localhost:{listening.getsockname()[1]}"

        def answer_twice():
            for _ in range(2):
                with suppress(OSError), server_side.wrap_socket(listening.accept()[0], server_side=True) as connection:
                    connection.recv(10_000)
                    connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 8\r\nConnection: close\r\n\r\n{"a": 1}')

        thread = threading.Thread(target=answer_twice)
        thread.start()
        with ModelClient(registry) as client, pytest.raises(ModelUnavailable, match="certificate verify failed"):
            client.apply({"url": url})
        context = ssl.create_default_context(cafile=str(tmp_path / "certificate"))
        trusting = HttpTransport(SETTINGS.timeouts, context=context)
        with ModelClient(registry, transport=trusting) as client:
            assert client.apply({"url": url}) == {"a": 1}
        thread.join()


def test_an_idle_connection_closed_by_the_model_causes_no_failure(registry):
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer_two_connections():
            for _ in range(2):
                connection, _ = listening.accept()
                with connection:
                    connection.recv(10_000)
                    connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n{"a": 1}')

        thread = threading.Thread(target=answer_two_connections)
        thread.start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        with ModelClient(registry, ClientSettings(cache_size=0)) as client:
            assert [client.apply({"url": url}) for _ in range(2)] == [{"a": 1}] * 2
        assert registry.breakers.all_closed
        thread.join()


def test_connections_that_were_idle_too_long_are_closed(serve, registry, monkeypatch):
    server = serve()
    with ModelClient(registry, ClientSettings(cache_size=0)) as client:
        monkeypatch.setattr("stellar.net.connection_pool.IDLE_SECONDS", 0.0)
        for _ in range(3):
            client.apply({"url": server.url})
    assert len(server.connections) == 3


def test_slowly_sent_headers_time_out(serve, call):
    with pytest.raises(ModelUnavailable, match="in time"):
        call(serve(lambda handler: drip(handler, b"HTTP/1.1 200 OK\r\nx: 1")).url, settings=IMPATIENT)


def test_a_chunked_response_is_assembled(serve, call):
    def chunks(handler):
        handler.wfile.write(b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n{"a"\r\n4\r\n: 1}\r\n0\r\n\r\n')
        handler.close_connection = True

    assert call(serve(chunks).url) == {"a": 1}


def test_a_url_beyond_ascii_is_encoded(serve, call):
    server = serve(serve.echo)
    assert call(f"{server.url}/modèle")["path"] == "/mod%C3%A8le/apply"


def test_bare_newlines_and_a_missing_length_are_accepted(registry, call):
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer_once():
            connection, _ = listening.accept()
            with connection:
                connection.recv(10_000)
                connection.sendall(b'HTTP/1.1 200 OK\nContent-Type: application/json\n\n{"a": 1}\n')

        thread = threading.Thread(target=answer_once)
        thread.start()
        assert call(f"http://127.0.0.1:{listening.getsockname()[1]}") == {"a": 1}
        thread.join()


def test_json_is_requested_and_connections_are_reused(serve, registry):
    server = serve(serve.echo)
    with ModelClient(registry) as client:
        for host in "abc":
            client.apply({"url": server.url}, None, {"host": host})
    assert {headers["accept"] for headers in server.headers} == {"application/json"}
    assert len(server.connections) == 1


QUERIES = [
    ({}, ""),
    ({"host": "yahoo.com"}, "host=yahoo.com"),
    ({"a": "é ü&=?/+%"}, "a=%C3%A9+%C3%BC%26%3D%3F%2F%2B%25"),
    ({"a": "AZaz09-_.*"}, "a=AZaz09-_.*"),
    ({"a": "~!'()"}, "a=%7E%21%27%28%29"),
    ({"a b": "1"}, "a+b=1"),
    ({"host": None, "c": ""}, "host&c="),
    ({"b": "1", "a": "2"}, "b=1&a=2"),
    ({"i": 3, "big": 2**70, "t": True, "f": False}, "i=3&big=1180591620717411303424&t=true&f=false"),
    ({"l": [1, "é", None]}, "l=%5B1%2C%22%C3%A9%22%2Cnull%5D"),
    ({"m": {"a": {1}}}, "m=%7B%22a%22%3A%5B1%5D%7D"),
    ({"b": b"raw"}, "b=raw"),
    ({"l": [float("nan"), 0.5, b"raw", 1j, (2,)]}, "l=%5Bnull%2C0.5%2C%22raw%22%2C%221j%22%2C%5B2%5D%5D"),
    ({"m": {None: 1, True: 2, b"k": 3, 4: 5}}, "m=%7B%22null%22%3A1%2C%22true%22%3A2%2C%22k%22%3A3%2C%224%22%3A5%7D"),
    ({"lone": "\ud800"}, "lone=%3F"),
    ({"emoji": "😀"}, "emoji=%F0%9F%98%80"),
]


@pytest.mark.parametrize(("arguments", "query"), QUERIES)
def test_arguments_are_encoded_as_a_form(arguments, query):
    assert encode_query(arguments) == query


PATHS = [
    ({}, None, "apply"),
    ({}, "score", "score"),
    ({}, "/score/x", "score/x"),
    ({"endpoint:apply": "echo"}, None, "echo"),
    ({"endpoint:apply": "/echo"}, "apply", "echo"),
    ({"endpoint:apply": "apply"}, "other", "other"),
    ({"endpoint:other": "x"}, "other", "x"),
    ({}, "a b?c#d", "a%20b%3Fc%23d"),
    ({}, "\ud800", "%3F"),
]


@pytest.mark.parametrize(("endpoint", "function", "path"), PATHS)
def test_a_function_of_the_endpoint_has_precedence_over_a_path(endpoint, function, path):
    assert function_path(endpoint, function) == path


@pytest.mark.parametrize("function", ["..", "../admin", "a/../../b", "/./x"])
def test_a_function_path_can_not_leave_the_models_url(function):
    with pytest.raises(ModelRefused, match="leads out"):
        function_path({}, function)


@pytest.mark.parametrize(("base", "path"), [("", "/apply"), ("/", "/apply"), ("/base/", "/base/apply")])
def test_the_function_is_appended_to_the_url(base, path, serve, call):
    server = serve(serve.echo)
    call(server.url + base, arguments={"host": "a.com"})
    assert server.paths == [f"{path}?host=a.com"]


# --- the cache


ENDPOINT = {"name": "dga", "version": "1.0", "url": "http://node1:1"}


def test_an_equal_call_within_ten_minutes_makes_no_request(registry):
    now = 0.0
    transport = Doubled()
    client = ModelClient(registry, transport=transport, clock=lambda: now)
    first = client.apply(ENDPOINT, None, {"host": "a"})
    now = 599.0
    assert all(client.apply(ENDPOINT, None, {"host": "a"}) == first for _ in range(1000))
    assert len(transport.urls) == 1
    now = 601.0
    client.apply(ENDPOINT, None, {"host": "a"})
    assert len(transport.urls) == 2


def test_the_cache_is_shared_by_all_instances(registry):
    transport = Doubled()
    client = ModelClient(registry, transport=transport)
    for number in range(5):
        client.apply({**ENDPOINT, "url": f"http://node{number}:1"}, None, {"host": "a"})
    assert len(transport.urls) == 1


@pytest.mark.parametrize(
    "other",
    [
        ({**ENDPOINT, "version": "2.0"}, None, {"host": "a"}),
        ({**ENDPOINT, "name": "other"}, None, {"host": "a"}),
        (ENDPOINT, "score", {"host": "a"}),
        (ENDPOINT, None, {"host": "b"}),
        (ENDPOINT, None, {}),
    ],
)
def test_model_version_function_and_arguments_are_part_of_the_cache_key(other, registry):
    transport = Doubled()
    client = ModelClient(registry, transport=transport)
    client.apply(ENDPOINT, None, {"host": "a"})
    client.apply(*other)
    assert len(transport.urls) == 2


def test_endpoints_without_a_name_are_identified_by_their_url(registry):
    transport = Doubled()
    client = ModelClient(registry, transport=transport)
    client.apply({"url": "http://node1:1"})
    client.apply({"url": "http://node2:1"})
    assert transport.urls == ["http://node1:1/apply?", "http://node2:1/apply?"]


@pytest.mark.parametrize("settings", [ClientSettings(cache_size=0), ClientSettings(cache_minutes=0)])
def test_a_cache_size_of_zero_switches_the_cache_off(settings, registry):
    transport = Doubled()
    client = ModelClient(registry, settings, transport)
    client.apply(ENDPOINT)
    client.apply(ENDPOINT)
    assert len(transport.urls) == 2


def test_the_cache_size_is_limited(registry):
    transport = Doubled()
    client = ModelClient(registry, ClientSettings(cache_size=2), transport)
    for host in ("a", "b", "c", "a"):
        client.apply(ENDPOINT, None, {"host": host})
    assert len(transport.urls) == 4


def test_failures_are_not_cached(registry):
    transport = Doubled(Response(500, b""))
    client = ModelClient(registry, transport=transport)
    with pytest.raises(ModelRefused):
        client.apply(ENDPOINT)
    transport.response = Response(200, b'{"a": 1}')
    assert client.apply(ENDPOINT) == {"a": 1}


def test_callers_can_modify_results(registry):
    client = ModelClient(registry, transport=Doubled(Response(200, b'{"a": {"b": [1]}}')))
    client.apply(ENDPOINT)["a"]["b"].append(2)
    cached = client.apply(ENDPOINT)
    cached["a"]["b"].append(3)
    cached["new"] = True
    assert client.apply(ENDPOINT) == {"a": {"b": [1]}}


# --- concurrent callers


class Barrier(Doubled):
    """A fake transport that responds when enough callers wait for the same result."""

    def __init__(self, callers, response=None):
        super().__init__(response)
        self.callers = callers

    def get(self, url):
        wait_for(lambda: self.client.counters().joined == self.callers - 1, 60)
        return super().get(url)

    def client_of(self, registry, **settings):
        self.client = ModelClient(registry, ClientSettings(**settings), self)
        return self.client


def test_concurrent_equal_calls_share_one_request(registry):
    transport = Barrier(100)
    client = transport.client_of(registry)
    with ThreadPoolExecutor(100) as pool:
        results = list(pool.map(lambda _: client.apply(ENDPOINT, None, {"host": "a"}), range(100)))
    assert len(transport.urls) == 1
    assert results == [{"score": 1}] * 100
    assert len({id(result) for result in results}) == 100


@pytest.mark.parametrize("failure", [ModelUnavailable("away"), ZeroDivisionError("a bug")])
def test_concurrent_equal_calls_fail_together_and_the_next_one_is_sent(failure, registry):
    transport = Barrier(20, failure)
    client = transport.client_of(registry, retries=0)

    def call(_):
        with pytest.raises((MaasError, type(failure))):
            client.apply(ENDPOINT)

    with ThreadPoolExecutor(20) as pool:
        list(pool.map(call, range(20)))
    assert len(transport.urls) == 1
    assert client._flights == {}
    transport.response, transport.callers = Response(200, b"{}"), 20
    assert client.apply(ENDPOINT) == {}


def test_many_threads_get_their_own_results(serve, registry):
    server = serve(serve.echo)
    with ModelClient(registry) as client, ThreadPoolExecutor(16) as pool:
        calls = [{"host": f"h{number % 50}"} for number in range(300)]
        results = list(pool.map(lambda arguments: client.apply({"url": server.url}, None, arguments), calls))
    assert [result["query"] for result in results] == [f"host={arguments['host']}" for arguments in calls]
    assert len(server.paths) == 50


# --- failing instances


def test_a_failing_instance_is_replaced_by_another_and_skipped_after_three_failures(serve, make_instance):
    registry = MemoryRegistry(breakers=CircuitBreakers(clock=lambda: 0.0))
    bad, good = serve(serve.respond(500)), serve()
    registry.register(make_instance("dga", "1.0", "1", bad.url))
    registry.register(make_instance("dga", "1.0", "2", good.url))
    with ModelClient(registry) as client:
        for number in range(20):
            given = {"name": "dga", "version": "1.0", "url": bad.url}
            assert client.apply(given, None, {"host": number}) == {"is_malicious": "legit"}
        assert client.counters().circuits == {bad.url: "open"}
    assert len(bad.paths) == 3
    assert len(good.paths) == 20


def test_an_instance_of_another_version_is_never_called_instead(serve, registry, make_instance):
    bad, other = serve(serve.respond(500)), serve()
    registry.register(make_instance("dga", "1.0", "1", bad.url))
    registry.register(make_instance("dga", "2.0", "2", other.url))
    with ModelClient(registry) as client, pytest.raises(ModelRefused):
        client.apply(registry.endpoint("dga", "1.0").as_map())
    assert other.paths == []


@pytest.mark.parametrize(("retries", "requests"), [(0, 1), (1, 2), (2, 3), (9, 3)])
def test_no_more_instances_are_called_than_allowed(retries, requests, registry, make_instance):
    for number in range(3):
        registry.register(make_instance("dga", "1.0", str(number), f"http://node{number}:1"))
    transport = Doubled(Response(500, b""))
    client = ModelClient(registry, ClientSettings(retries=retries), transport)
    with pytest.raises(ModelRefused):
        client.apply({"name": "dga", "version": "1.0", "url": "http://node0:1"})
    assert len(set(transport.urls)) == len(transport.urls) == requests


def test_a_single_instance_is_called_even_if_its_circuit_is_open(registry, make_instance):
    registry.register(make_instance("dga", "1.0", "1", "http://node1:1"))
    registry.breakers.record_refused("http://node1:1")
    assert ModelClient(registry, transport=Doubled()).apply(registry.endpoint("dga").as_map()) == {"score": 1}


# --- settings


def test_settings_come_from_the_keys_of_the_global_configuration():
    assert ClientSettings.from_global({"es.ip": "node1"}) == ClientSettings()
    assert ClientSettings.from_global(
        {
            "maas.cache.maxSize": "50",
            "maas.cache.maxTimeRetain": 2.5,
            "maas.http.retries": 0,
            "maas.http.connect.timeout.ms": 100,
            "maas.http.timeout.ms": 200,
            "maas.http.max.response.bytes": 300,
            "maas.version.comparison": "lexical",
            "maas.zk.config.path": "/python/maas",
        }
    ) == ClientSettings(50, 2.5, 0, 100, 200, 300, "lexical", "/python/maas")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("maas.cache.maxSize", -1),
        ("maas.cache.maxSize", 1.5),
        ("maas.cache.maxTimeRetain", "long"),
        ("maas.cache.maxTimeRetain", True),
        ("maas.http.retries", None),
        ("maas.http.timeout.ms", 0),
        ("maas.http.connect.timeout.ms", float("inf")),
        ("maas.version.comparison", "newest"),
        ("maas.zk.config.path", "maas/config"),
        ("maas.zk.config.path", 1),
    ],
)
def test_an_invalid_setting_is_rejected_by_its_key(key, value):
    with pytest.raises(ValueError, match=key):
        ClientSettings.from_global({key: value})


def test_callers_that_joined_an_interrupted_call_make_it_themselves(registry):
    transport, interrupted = Doubled(), []
    client = ModelClient(registry, transport=transport)

    def get(url):
        if not interrupted:
            wait_for(lambda: client.counters().joined == 2, 60)
            interrupted.append(1)
            raise KeyboardInterrupt
        return Doubled.get(transport, url)

    transport.get = get
    with ThreadPoolExecutor(3) as pool:
        calls = [pool.submit(client.apply, ENDPOINT) for _ in range(3)]
        count_correct = [call.exception() or call.result() for call in calls]
    assert sorted(map(str, count_correct)) == ["", "{'score': 1}", "{'score': 1}"]
    counters = client.counters()
    assert counters.calls == 3
    assert counters.joined + counters.cache_hits == 1  # of the other two, one made the call


def test_closing_the_client_closes_its_transport(registry):
    transport = Doubled()
    with ModelClient(registry, transport=transport):
        pass
    assert transport.closed
