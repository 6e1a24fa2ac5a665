"""Reuse of connections: no record gets the response of another one, whatever bytes a server sends, and whenever."""

from __future__ import annotations

import random
import select
import socket
import ssl
import threading
import time
from contextlib import suppress

import pytest
import trustme
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stellar.maas import ClientSettings, ModelClient, ModelUnavailable
from stellar.maas.errors import MaasError, RecordRefused
from stellar.maas.transport.base import Timeouts
from stellar.maas.transport.http import HttpTransport

TIMEOUTS = Timeouts(30, 30, 100_000)


class Server:
    """A server that handles each request by a function of the connection, the request's tag and the request's number.

    The function returns False to close the connection.
    """

    def __init__(self, handle, context=None):
        self._handle, self._context = handle, context
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=128)
        scheme = "http://127.0.0.1" if context is None else "https://localhost"
        self.url = f"{scheme}:{self._listening.getsockname()[1]}"
        self.connections: list[socket.socket] = []
        self.requests: list[bytes] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self):
        with suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                thread = threading.Thread(target=self._talk, args=[connection])
                self._threads.append(thread)
                thread.start()

    def _talk(self, connection):
        with suppress(OSError):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._context is not None:
                connection = self._context.wrap_socket(connection, server_side=True)
        self.connections.append(connection)
        with connection, suppress(OSError):
            while request := connection.recv(65_536):
                self.requests.append(request)
                tag = request.split()[1].partition(b"host=")[2]
                if self._handle(connection, tag, len(self.requests)) is False:
                    return

    def close(self):
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for connection in self.connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(30)


@pytest.fixture
def start():
    servers = []

    def start(handle, context=None):
        servers.append(Server(handle, context))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def client_of(registry):
    clients = []

    def make(transport=None, **options):
        options = {"timeout_ms": 30_000, "connect_timeout_ms": 30_000, "retries": 0, **options}
        clients.append(ModelClient(registry, ClientSettings(**options), transport))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


def ok(tag, status=b"200 OK"):
    body = b'{"tag": "%s"}' % tag
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body)


def until(condition):
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, "the condition was not met"
        time.sleep(0.001)


def idle(client_or_transport):
    """Return the sockets of idle connections."""
    transport = getattr(client_or_transport, "_transport", client_or_transport)
    return [connection._socket for kept in transport._client._pool._idle.values() for connection, _ in kept]


def has_input(one):
    """Return True if a socket is readable, or was closed by the other side."""
    one.setblocking(False)
    try:
        one.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    return True


def count_correct(client, server, count):
    """Make calls with distinct tags; return the number of correct responses. Fails on the tag of another call."""
    own = 0
    for number in range(count):
        tag = f"r{number}"
        with suppress(MaasError):
            assert client.apply({"url": server.url}, None, {"host": tag}) == {"tag": tag}
            own += 1
    for number in range(count):  # the results cached by now are correct too
        tag = f"r{number}"
        key = next((key for key in client._cache._stored if key.endswith(f"host={tag}")), None)
        if key is not None:
            assert client._cache.get(key) == b'{"tag": "%s"}' % tag.encode()
    return own


# --- scripted servers


def twice_at_once(connection, tag, number):
    connection.sendall(ok(tag) * 2)


def other_twice_at_once(connection, tag, number):
    connection.sendall(ok(tag) + ok(b"wrong"))


def extra_line(connection, tag, number):
    connection.sendall(ok(tag) + b"\r\n")


def too_long_a_body(connection, tag, number):
    connection.sendall(ok(tag) + b"more of the body")


def a_second_one_without_end(connection, tag, number):
    connection.sendall(ok(tag) + b"HTTP/1.1 200 OK\r\nContent-Le")


@pytest.mark.parametrize(
    "handle", [twice_at_once, other_twice_at_once, extra_line, too_long_a_body, a_second_one_without_end]
)
def test_a_connection_with_bytes_beyond_the_response_is_not_reused(handle, start, client_of):
    server = start(handle)
    client = client_of()
    assert count_correct(client, server, 20) == 20
    assert len(server.connections) == 20
    assert idle(client) == []


STRAY = {
    "a response": ok(b"stray"),
    "half a response": b"HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n",
    "an interim response": b"HTTP/1.1 100 Continue\r\n\r\n",
    "garbage": b"\x00\xff" * 100,
    "a byte": b"H",
    "a line end": b"\r\n",
}


@pytest.mark.parametrize("stray", STRAY)
def test_bytes_on_an_idle_connection_never_become_the_next_response(stray, start, client_of):
    server = start(lambda connection, tag, number: connection.sendall(ok(tag)))
    client = client_of()
    for tag in ("a", "b"):
        assert client.apply({"url": server.url}, None, {"host": tag}) == {"tag": tag}
    (one,) = idle(client)
    server.connections[0].sendall(STRAY[stray])
    until(lambda: has_input(one))
    assert client.apply({"url": server.url}, None, {"host": "c"}) == {"tag": "c"}
    assert len(server.connections) == 2
    # Earlier results are dropped from the cache, and no connection to that server is reused
    assert client.apply({"url": server.url}, None, {"host": "a"}) == {"tag": "a"}
    assert len(server.connections) == 3
    assert client.counters().cache_hits == 0
    assert client.counters().failures == {}


def test_a_408_on_an_idle_connection_closes_it_without_distrust(start, client_of):
    server = start(lambda connection, tag, number: connection.sendall(ok(tag)))
    client = client_of()
    client.apply({"url": server.url}, None, {"host": "a"})
    (one,) = idle(client)
    server.connections[0].sendall(b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n")
    until(lambda: has_input(one))
    for tag in ("b", "c"):
        assert client.apply({"url": server.url}, None, {"host": tag}) == {"tag": tag}
    assert len(server.connections) == 2  # the second one is reused
    client.apply({"url": server.url}, None, {"host": "a"})
    assert client.counters().cache_hits == 1  # and the cache is not cleared


def test_a_408_on_a_reused_connection_is_retried_on_a_new_one(start, client_of, registry):
    def handle(connection, tag, number):
        connection.sendall(ok(tag) if number != 2 else b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")

    server = start(handle)
    client = client_of()
    for tag in ("a", "b"):
        assert client.apply({"url": server.url}, None, {"host": tag}) == {"tag": tag}
    assert len(server.connections) == 2
    assert registry.breakers.all_closed
    assert client.counters().retries == 0


def test_a_408_on_a_new_connection_is_a_bad_request(start, client_of, registry):
    server = start(lambda connection, tag, number: connection.sendall(ok(tag, b"408 Request Timeout")))
    client = client_of(retries=3)
    with pytest.raises(RecordRefused, match="status 408") as raised:
        client.apply({"url": server.url}, None, {"host": "a"})
    assert raised.value.reason == "bad request"
    assert len(server.requests) == 1
    assert registry.breakers.all_closed


@pytest.mark.parametrize("sent", [0, 1, 8, 17, 30, 36, 40, 45, 50])
def test_a_reused_connection_that_closes_at_any_point_causes_no_failure(sent, start, client_of, registry):
    def handle(connection, tag, number):
        if number == 2:
            connection.sendall(ok(tag)[:sent])
            return False
        connection.sendall(ok(tag))
        return None

    server = start(handle)
    client = client_of()
    for tag in ("a", "b", "c"):
        assert client.apply({"url": server.url}, None, {"host": tag}) == {"tag": tag}
    assert registry.breakers.all_closed
    assert len(server.requests) == 4


@pytest.mark.parametrize("sent", [0, 1, 8, 17, 30, 36, 40, 45, 50])
def test_a_new_connection_that_closes_at_any_point_is_an_error(sent, start, client_of):
    def handle(connection, tag, number):
        connection.sendall(ok(tag)[:sent])
        return False

    server = start(handle)
    client = client_of()
    with pytest.raises(ModelUnavailable):
        client.apply({"url": server.url}, None, {"host": "a"})
    assert len(server.requests) == 1


def test_a_connection_closed_while_idle_is_not_reused(start, client_of, registry):
    closing = threading.Event()

    def handle(connection, tag, number):
        connection.sendall(ok(tag))
        if number == 1:
            closing.wait(30)
            return False
        return None

    server = start(handle)
    client = client_of()
    client.apply({"url": server.url}, None, {"host": "a"})
    (one,) = idle(client)
    closing.set()
    until(lambda: has_input(one))
    assert client.apply({"url": server.url}, None, {"host": "b"}) == {"tag": "b"}
    assert len(server.requests) == 2
    assert registry.breakers.all_closed


LENGTHS = {
    "too small": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
    "too large": b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n",
    "two that differ": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 14\r\n\r\n",
    "zero": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "none": b"HTTP/1.1 200 OK\r\n\r\n",
    "chunks of another length": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n",
}


@pytest.mark.parametrize("length", LENGTHS)
def test_wrong_lengths_do_not_mix_up_responses(length, start, client_of):
    def handle(connection, tag, number):
        connection.sendall(ok(tag) if number % 2 else LENGTHS[length] + b'{"tag": "wrong"}')
        return bool(number % 2)

    server = start(handle)
    client = client_of()
    wrong = 0
    for number in range(10):
        with suppress(MaasError):
            found = client.apply({"url": server.url}, None, {"host": f"r{number}"})
            wrong += found not in (
                {"tag": f"r{number}"},
                {"tag": "wrong"},
            )  # its own response, or the one the server sent for it
    assert wrong == 0


@pytest.mark.parametrize("interim", [1, 20, 21, 1000])
def test_interim_responses_are_skipped_up_to_a_limit(interim, start, client_of):
    server = start(lambda c, tag, number: c.sendall(b"HTTP/1.1 103 Early Hints\r\nx: y\r\n\r\n" * interim + ok(tag)))
    client = client_of()
    assert count_correct(client, server, 3) == (3 if interim <= 20 else 0)


def test_a_repeated_response_never_becomes_the_next_response(start, client_of):
    last = {}

    def handle(connection, tag, number):
        connection.sendall(last.pop(connection, b"") + ok(tag))
        last[connection] = ok(tag)

    server = start(handle)
    client = client_of()
    assert count_correct(client, server, 20) == 20
    assert client.apply({"url": server.url}, None, {"host": "r0"}) == {"tag": "r0"}
    assert client.counters().failures == {}


# --- random servers

ACTIONS = ("answer", "twice", "extra", "garbage", "408", "close", "cut", "interim", "silent close")


def act(action, connection, tag, rng):
    """Behave like a server, correct or faulty; return False to close the connection."""
    response = ok(tag)
    if action == "twice":
        connection.sendall(response * 2)
    elif action == "extra":
        connection.sendall(response + bytes(rng.randrange(256) for _ in range(rng.randrange(1, 50))))
    elif action == "garbage":
        connection.sendall(bytes(rng.randrange(256) for _ in range(20)) + response)
    elif action == "408":
        connection.sendall(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
    elif action == "close":
        connection.sendall(response)
        return False
    elif action == "cut":
        connection.sendall(response[: rng.randrange(len(response))])
        return False
    elif action == "interim":
        connection.sendall(b"HTTP/1.1 102 Processing\r\n\r\n" * rng.randrange(1, 30) + response)
    elif action == "silent close":
        return False
    else:
        connection.sendall(response)
    return True


@pytest.mark.parametrize("seed", range(4))
def test_no_record_gets_the_response_of_another_from_a_random_server(seed, start, client_of):
    rng = random.Random(seed)

    def handle(connection, tag, number):
        return act(rng.choice(ACTIONS), connection, tag, rng)

    server = start(handle)
    client = client_of(retries=1, breaker_failures=1000)
    assert count_correct(client, server, 150) > 20


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    responses=st.lists(
        st.tuples(
            st.sampled_from(
                [b"", b"\r\n", b"HTTP/1.1 102 P\r\n\r\n", b"x", b"HTTP/1.1 408 T\r\nContent-Length: 0\r\n\r\n"]
            ),
            st.integers(0, 60),
            st.binary(max_size=8) | st.just(b"HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n" + b'{"tag": "xxxx"}'),
            st.booleans(),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_stray_bytes_anywhere_do_not_mix_up_responses(responses, registry):
    def handle(connection, tag, number):
        before, cut, after, stays = responses[(number - 1) % len(responses)]
        response = ok(tag)
        if cut < len(response):
            connection.sendall(before + response[:cut])
            return False
        connection.sendall(before + response + after)
        return stays

    server = Server(handle)
    try:
        with ModelClient(registry, ClientSettings(timeout_ms=30_000, breaker_failures=1000)) as client:
            count_correct(client, server, 8)
    finally:
        server.close()


# --- TLS


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture
def server_side(authority):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    return context


@pytest.fixture
def secure(authority):
    """Return a function that makes transports that trust the authority."""
    transports = []

    def make(timeouts=TIMEOUTS, trusted=True, **options):
        context = ssl.create_default_context()
        if trusted:
            authority.configure_trust(context)
        transports.append(HttpTransport(timeouts, context=context, **options))
        return transports[-1]

    yield make
    for transport in transports:
        transport.close()


@pytest.mark.parametrize("tickets", [0, 2, 8])
def test_tls_connections_are_reused_despite_session_tickets(tickets, start, server_side, secure, client_of):
    server_side.num_tickets = tickets
    server = start(lambda connection, tag, number: connection.sendall(ok(tag)), server_side)
    client = client_of(secure())
    assert count_correct(client, server, 20) == 20
    assert len(server.connections) == 1


@pytest.mark.parametrize("stray", STRAY)
def test_bytes_on_an_idle_tls_connection_never_become_a_response(stray, start, server_side, secure):
    server_side.num_tickets = 0  # then no more bytes arrive
    answered, heard = threading.Event(), []

    def handle(connection, tag, number):
        connection.sendall(ok(tag))
        if number == 1:
            answered.wait(30)
            connection.sendall(STRAY[stray])

    server = start(handle, server_side)
    transport = secure(on_unsolicited=lambda: heard.append(1))
    assert transport.get(f"{server.url}/?host=a").body == b'{"tag": "a"}'
    (one,) = idle(transport)
    answered.set()
    assert select.select([one], [], [], 30)[0]
    assert transport.get(f"{server.url}/?host=b").body == b'{"tag": "b"}'
    assert len(server.connections) == 2
    assert heard == [1]


def test_surplus_bytes_in_the_same_tls_record_are_detected(start, server_side, secure, client_of):
    server = start(twice_at_once, server_side)
    client = client_of(secure())
    assert count_correct(client, server, 10) == 10
    assert len(server.connections) == 10


def test_a_large_response_by_tls_is_read_completely(start, server_side, secure):
    body = b'{"tag": "%s"}' % (b"x" * 90_000)
    response = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    server = start(lambda connection, tag, number: connection.sendall(response), server_side)
    transport = secure()
    for _ in range(3):
        assert transport.get(f"{server.url}/?").body == body
    assert len(server.connections) == 1


def test_a_handshake_that_never_ends_times_out(secure):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        transport = secure(Timeouts(0.3, 60, 1000))
        with pytest.raises(ModelUnavailable, match="accepted no connection in time") as raised:
            transport.get(f"https://localhost:{listening.getsockname()[1]}/?")
        assert raised.value.reason == "time-out"


def test_a_server_whose_certificate_is_not_trusted_gets_no_request(start, server_side, secure):
    server = start(lambda connection, tag, number: connection.sendall(ok(tag)), server_side)
    with pytest.raises(ModelUnavailable, match="certificate verify failed"):
        secure(trusted=False).get(f"{server.url}/?host=secret")
    assert server.requests == []


def test_a_server_without_tls_gets_no_request(start, secure):
    server = start(lambda connection, tag, number: connection.sendall(b"HTTP/1.1 400 Bad\r\n\r\n"))
    with pytest.raises(ModelUnavailable, match="can't be reached"):
        secure().get(f"{server.url.replace('http://127.0.0.1', 'https://localhost')}/?host=secret")
    assert b"secret" not in b"".join(server.requests)


# --- the pool


def test_a_closed_transport_has_no_open_connection(start):
    server = start(lambda connection, tag, number: connection.sendall(ok(tag)))
    transport = HttpTransport(TIMEOUTS)
    transport.get(f"{server.url}/?host=a")
    (one,) = idle(transport)
    transport.close()
    assert one.fileno() == -1
    assert idle(transport) == []


def test_idle_connections_are_closed_after_a_while(start, monkeypatch):
    servers = [start(lambda connection, tag, number: connection.sendall(ok(tag))) for _ in range(3)]
    transport = HttpTransport(TIMEOUTS)
    for server in servers:
        transport.get(f"{server.url}/?host=a")
    old = idle(transport)
    assert len(old) == 3
    monkeypatch.setattr("stellar.net.connection_pool.IDLE_SECONDS", 0.0)
    until(lambda: [one.fileno() for one in old] == [-1] * 3)
    until(lambda: transport._client._pool._sweeper is None)
    monkeypatch.undo()
    transport.get(f"{servers[0].url}/?host=b")
    assert len(idle(transport)) == 1
    transport.close()


@pytest.fixture
def pair(start, registry, make_instance):
    """Start two instances of a model that respond as soon as `release` is set; return their servers."""
    release = threading.Event()

    def handle(connection, tag, number):
        release.wait(30)
        connection.sendall(ok(tag))

    servers = [start(handle) for _ in range(2)]
    for server in servers:
        server.release, server.id = release, server.url.rpartition(":")[2]
        server.endpoint = {"name": "dga", "version": "1.0", "url": server.url}
        registry.register(make_instance("dga", "1.0", server.id, server.url))
    return servers


def test_idle_connections_to_an_instance_that_was_removed_are_closed_without_a_further_call(pair, client_of, registry):
    gone, staying = pair
    gone.release.set()
    client = client_of()
    for number, server in enumerate(pair):
        client.apply(server.endpoint, None, {"host": str(number)})
    (to_gone,) = [one for one in idle(client) if one.getpeername()[1] == int(gone.id)]
    registry.unregister("dga", gone.id)
    until(lambda: to_gone.fileno() == -1)
    assert [one.getpeername()[1] for one in idle(client)] == [int(staying.id)]


def test_a_connection_in_use_is_closed_after_its_call_once_the_instance_is_removed(pair, client_of, registry):
    gone, _ = pair
    client, results = client_of(), []
    call = threading.Thread(target=lambda: results.append(client.apply(gone.endpoint, None, {"host": "a"})))
    call.start()
    until(lambda: gone.requests)
    registry.unregister("dga", gone.id)
    client.endpoint("dga")
    client._deployments.update()
    gone.release.set()
    call.join()
    assert results == [{"tag": "a"}]
    assert idle(client) == []


def test_connections_to_a_new_instance_at_the_address_of_a_removed_one_are_reused(
    pair, client_of, registry, make_instance
):
    gone, _ = pair
    gone.release.set()
    client = client_of()
    client.apply(gone.endpoint, None, {"host": "a"})
    registry.unregister("dga", gone.id)
    until(lambda: idle(client) == [])
    registry.register(make_instance("dga", "1.0", "new", gone.url))
    for host in "bc":
        client.apply(gone.endpoint, None, {"host": host})
    assert len(gone.connections) == 2


def test_an_error_in_the_callback_for_idle_connections_is_logged_and_they_are_closed(start, monkeypatch, caplog):
    server = start(lambda connection, tag, number: connection.sendall(ok(tag)))
    transport = HttpTransport(TIMEOUTS, while_idle=lambda: 1 / 0)
    transport.get(f"{server.url}/?host=a")
    monkeypatch.setattr("stellar.net.connection_pool.IDLE_SECONDS", 0.0)
    until(lambda: idle(transport) == [])
    assert "the callback for idle connections raised an error" in caplog.text
    transport.close()


def test_an_exchange_abandoned_at_any_point_closes_its_connection(start):
    held = threading.Event()

    def handle(connection, tag, number):
        connection.sendall(ok(tag)[:20])
        held.wait(30)
        return False

    server = start(handle)
    transport = HttpTransport(TIMEOUTS)
    for steps in range(4):
        exchange = transport.begin(f"{server.url}/?host=a")
        exchange.step(True) if steps else None
        for _ in range(steps - 1):
            exchange.step(exchange._await(0.5))
        exchange.close()
        assert [connection for connection in transport._client._pool._all if connection._socket.fileno() >= 0] == []
    assert idle(transport) == []
    held.set()
    transport.close()
