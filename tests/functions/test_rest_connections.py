"""Connections of REST_GET and REST_POST are reused only if no response can be mistaken for that of another request."""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
import trustme
from hypothesis import given, settings
from hypothesis import strategies as st

import stellar
from stellar.functions.rest.client import RestClient
from stellar.language.context import Context, GlobalSettings
from stellar.net.http11 import Connection

SECONDS = 30.0  # time-out for a test that would hang


def response(id: str, extra: str = "", status: str = "200 OK") -> bytes:
    body = json.dumps({"id": id})
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{extra}\r\n{body}".encode()


def chunked(id: str) -> bytes:
    body = json.dumps({"id": id})
    return f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{len(body):x}\r\n{body}\r\n0\r\n\r\n".encode()


TIMED_OUT = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n"


class Exchange:
    """One request that a server received, and the connection for the response.

    number: number of the connection
    """

    def __init__(self, server: RawServer, peer: socket.socket, id: str, number: int) -> None:
        self.server, self.peer, self.id, self.number = server, peer, id, number

    def send(self, data: bytes) -> None:
        with suppress(OSError):  # the client may have closed the connection
            self.peer.sendall(data)

    def after_the_call(self) -> None:
        """Wait until the client has returned from the call."""
        assert self.server.returned.wait(SECONDS)


Script = Callable[[Exchange], object]


class RawServer:
    """A server whose script is given each request; a connection ends when the script returns "close".

    requests: the id of each request with the number of its connection, in the order of arrival
    """

    def __init__(self, script: Script, tls: ssl.SSLContext | None = None) -> None:
        self.script, self.tls = script, tls
        self.requests: list[tuple[str, int]] = []
        self.returned = threading.Event()
        self._active, self._changed = 0, threading.Condition()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads: list[threading.Thread] = []
        self._peers: list[socket.socket] = []
        self._accepting = threading.Thread(target=self._accept)
        self._accepting.start()

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def _accept(self) -> None:
        for number in range(1_000_000):
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # data is sent before the script continues
            self._peers.append(peer)
            self._threads.append(threading.Thread(target=self._serve, args=(peer, number)))
            self._threads[-1].start()

    def _serve(self, peer: socket.socket, number: int) -> None:
        with suppress(OSError, ValueError):
            if self.tls is not None:
                peer = self.tls.wrap_socket(peer, server_side=True)
                self._peers.append(peer)
            with peer, peer.makefile("rb") as reader:
                while (id := _read_request(reader)) is not None:
                    with self._count(id, number):
                        ends = self.script(Exchange(self, peer, id, number)) == "close"
                        if ends:
                            peer.close()
                            reader.close()  # the socket is closed with its last file
                    if ends:
                        return

    @contextmanager
    def _count(self, id: str, number: int) -> Iterator[None]:
        with self._changed:
            self.requests.append((id, number))
            self._active += 1
        try:
            yield
        finally:
            with self._changed:
                self._active -= 1
                self._changed.notify_all()

    def wait_until_idle(self) -> None:
        """Wait until the scripts of all requests so far have ended; a request may have been sent twice."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._active == 0, SECONDS)

    def close(self) -> None:
        self.returned.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join(SECONDS)
        for peer in self._peers:
            with suppress(OSError):
                peer.shutdown(socket.SHUT_RDWR)
            peer.close()
        for thread in self._threads:
            thread.join(SECONDS)
            assert not thread.is_alive()


def _read_request(reader: Any) -> str | None:
    line = reader.readline().decode()
    length = 0
    while (header := reader.readline().decode().strip()) != "":
        name, _, value = header.partition(": ")
        length = int(value) if name.lower() == "content-length" else length
    reader.read(length)
    words = line.split()
    return words[1].removeprefix("/") if len(words) == 3 else None  # else the connection was closed


class Client:
    """A client that calls the server with ids, one call after another."""

    def __init__(self, server: RawServer, **rest: Any) -> None:
        common = {"timeout": 20_000, "error.value.override": "error", **rest}
        self.context = Context({GlobalSettings: GlobalSettings({"stellar.rest.settings": common})})
        self._server = server
        self._base = f"{'http' if server.tls is None else 'https'}://127.0.0.1:{server.port}"

    def __call__(self, id: str, method: str = "GET") -> Any:
        """Return the id of the response, or "error", once the scripts of the server have ended."""
        arguments = f"'{self._base}/{id}'" + (", {}" if method == "POST" else "")
        self._server.returned.clear()
        found = stellar.evaluate(f"REST_{method}({arguments})", {}, self.context)
        self._server.returned.set()
        self._server.wait_until_idle()
        return found["id"] if isinstance(found, dict) else found


@pytest.fixture
def start() -> Iterator[Callable[..., tuple[RawServer, Client]]]:
    """Return a function that starts a server with a script, and a client of it."""
    running: list[tuple[RawServer, Client]] = []

    def start(script: Script, tls: ssl.SSLContext | None = None, **rest: Any) -> tuple[RawServer, Client]:
        server = RawServer(script, tls)
        running.append((server, Client(server, **rest)))
        return running[-1]

    yield start
    for server, client in running:
        if (rest := client.context.get(RestClient)) is not None:
            rest.close()
        server.close()


Start = Callable[..., tuple[RawServer, Client]]


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


# -- Unsolicited bytes ------------------------------------------------------------------------------------------------


def test_a_connection_is_reused_after_a_response_that_ended(start: Start) -> None:
    server, client = start(lambda exchange: exchange.send(response(exchange.id)))
    assert [client("a"), client("b", "POST"), client("c")] == ["a", "b", "c"]
    assert [number for _, number in server.requests] == [0, 0, 0]


def twice(exchange: Exchange) -> None:
    exchange.send(response(exchange.id) * 2)


def twice_chunked(exchange: Exchange) -> None:
    exchange.send(chunked(exchange.id) * 2)


def again_later(exchange: Exchange) -> None:
    exchange.send(response(exchange.id))
    exchange.after_the_call()
    exchange.send(response(exchange.id))


def one_byte_later(exchange: Exchange) -> None:
    exchange.send(response(exchange.id))
    exchange.after_the_call()
    exchange.send(b"H")


@pytest.mark.parametrize("script", [twice, twice_chunked, again_later, one_byte_later])
@pytest.mark.parametrize("secure", [False, True])
def test_bytes_after_a_response_end_the_connection(
    start: Start, tls: ssl.SSLContext, authority: trustme.CA, tmp_path: Any, script: Script, secure: bool
) -> None:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    server, client = start(script, tls if secure else None, **{"ca.path": str(tmp_path / "ca.pem")})
    assert [client("a"), client("b", "POST"), client("c")] == ["a", "b", "c"]
    assert [number for _, number in server.requests] == [0, 1, 2]


# -- Connections that a server closes ---------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("closes", [True, False])
def test_a_408_on_an_idle_connection_is_ignored(start: Start, method: str, closes: bool) -> None:
    def script(exchange: Exchange) -> object:
        exchange.send(response(exchange.id))
        exchange.after_the_call()
        exchange.send(TIMED_OUT)
        return "close" if closes else None

    server, client = start(script)
    assert [client("a"), client("b", method)] == ["a", "b"]
    assert server.requests == [("a", 0), ("b", 1)]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_request_with_a_408_on_a_reused_connection_is_repeated_on_a_new_one(start: Start, method: str) -> None:
    def script(exchange: Exchange) -> None:
        late = exchange.number == 0 and exchange.id == "b"
        exchange.send((TIMED_OUT if late else b"") + response(exchange.id))

    server, client = start(script)
    assert [client("a"), client("b", method), client("c")] == ["a", "b", "c"]
    assert server.requests == [("a", 0), ("b", 0), ("b", 1), ("c", 2)]  # no reuse after surplus bytes


def test_a_408_on_a_new_connection_is_the_response(start: Start) -> None:
    server, client = start(lambda exchange: exchange.send(TIMED_OUT))
    assert [client("a"), client("b")] == ["error", "error"]
    assert server.requests == [("a", 0), ("b", 1)]


def closes_on_reuse(exchange: Exchange) -> object:
    if exchange.number == 0 and exchange.id == "b":
        return "close"
    exchange.send(response(exchange.id))
    return None


def test_a_get_is_repeated_if_its_reused_connection_is_closed(start: Start) -> None:
    server, client = start(closes_on_reuse)
    assert [client("a"), client("b")] == ["a", "b"]
    assert server.requests == [("a", 0), ("b", 0), ("b", 1)]


def test_a_post_that_may_have_been_processed_is_not_repeated(start: Start) -> None:
    server, client = start(closes_on_reuse)
    assert [client("a"), client("b", "POST"), client("c", "POST")] == ["a", "error", "c"]
    assert server.requests == [("a", 0), ("b", 0), ("c", 1)]


def test_a_post_that_was_not_sent_is_sent_on_a_new_connection(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    server, client = start(lambda exchange: exchange.send(response(exchange.id)))
    assert client("a") == "a"
    is_quiet = Connection.is_quiet

    def is_quiet_but_closed(self: Connection) -> bool:
        assert is_quiet(self)
        self._socket.shutdown(socket.SHUT_WR)  # simulate a failure of the network
        return True

    monkeypatch.setattr(Connection, "is_quiet", is_quiet_but_closed)
    assert client("b", "POST") == "b"
    assert server.requests == [("a", 0), ("b", 1)]


def test_a_request_is_repeated_only_once(start: Start) -> None:
    def script(exchange: Exchange) -> object:
        if exchange.id == "b":
            return "close"
        exchange.send(response(exchange.id))
        return None

    server, client = start(script)
    assert [client("a"), client("b"), client("c")] == ["a", "error", "c"]
    assert server.requests == [("a", 0), ("b", 0), ("b", 1), ("c", 2)]


def test_a_get_with_an_incomplete_response_on_a_reused_connection_is_repeated(start: Start) -> None:
    def script(exchange: Exchange) -> object:
        whole = response(exchange.id)
        exchange.send(whole[:-3] if exchange.id == "b" else whole)
        return "close" if exchange.id == "b" else None

    server, client = start(script)
    assert [client("a"), client("b"), client("b", "POST")] == ["a", "error", "error"]
    assert server.requests == [("a", 0), ("b", 0), ("b", 1), ("b", 2)]


# -- Arbitrary sequences of bytes -------------------------------------------------------------------------------------

FRAGMENTS: dict[str, Callable[[str], bytes]] = {
    "own": response,
    "own, chunked": chunked,
    "own, keep-alive of HTTP/1.0": lambda id: response(id, "Connection: keep-alive\r\n").replace(b"1.1", b"1.0", 1),
    "own, then close": lambda id: response(id, "Connection: close\r\n"),
    "another's": lambda _: response("another"),
    "half": lambda id: response(id)[:-4],
    "rest": lambda id: response(id)[-4:],
    "continue": lambda _: b"HTTP/1.1 100 Continue\r\n\r\n",
    "no content": lambda _: b"HTTP/1.1 204 No Content\r\n\r\n",
    "not modified": lambda _: b"HTTP/1.1 304 Not Modified\r\nContent-Length: 12\r\n\r\n",
    "408": lambda _: TIMED_OUT,
    "garbage": lambda _: b"\x00garbage\r\n\r\n",
    "line": lambda _: b"\r\n",
    "two lengths": lambda id: response(id, "Content-Length: 3\r\n"),
    "both": lambda id: response(id, "Transfer-Encoding: chunked\r\n"),
}
LATER, CLOSE = "later", "close"

steps = st.lists(st.sampled_from([*FRAGMENTS, *["own", LATER] * 5, CLOSE]), max_size=4)


@settings(max_examples=100, deadline=None)
@given(plan=st.lists(steps, min_size=1, max_size=5), methods=st.lists(st.sampled_from(["GET", "POST"]), min_size=5))
def test_no_call_gets_the_response_to_another_request(plan: list[list[str]], methods: list[str]) -> None:
    first = [next((s for s in steps if s not in (LATER, CLOSE, "continue", "line")), None) for steps in plan]

    def script(exchange: Exchange) -> object:
        begun = False
        for step in plan[int(exchange.id)]:
            if step == CLOSE:
                return CLOSE
            if step != LATER:
                begun = True
                exchange.send(FRAGMENTS[step](exchange.id))
            elif begun and first[int(exchange.id)] is not None:
                exchange.after_the_call()
        # Close the connection, as an incomplete response would never end
        return None if str(first[int(exchange.id)]).startswith("own") else CLOSE

    server = RawServer(script)
    client = Client(server, timeout=2000)
    try:
        for number in range(len(plan)):
            # A client can't detect that a server sends the response to another request
            allowed = (str(number), "error", None, *(["another"] if first[number] == "another's" else []))
            assert client(str(number), methods[number]) in allowed
    finally:
        client.context[RestClient].close()
        server.close()


# -- Names ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, Callable[[], list[str]]]:
    """Return a dict of fake hosts; each has a function that resolves it."""
    fakes: dict[str, Callable[[], list[str]]] = {}
    real = socket.getaddrinfo

    def getaddrinfo(host: Any, port: Any, *arguments: Any, **options: Any) -> Any:
        if host not in fakes:
            return real(host, port, *arguments, **options)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, port or 0)) for ip in fakes[host]()]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return fakes


@pytest.mark.parametrize("proxy", [False, True])
def test_the_time_out_limits_name_resolution(
    names: dict[str, Callable[[], list[str]]], caplog: pytest.LogCaptureFixture, proxy: bool
) -> None:
    ended = threading.Event()
    names["slow.example"] = lambda: (ended.wait(SECONDS), ["127.0.0.1"])[1]
    common = {"timeout": 200, **({"proxy.host": "slow.example"} if proxy else {})}
    url = "http://127.0.0.1:1/" if proxy else "http://slow.example/"
    begin = time.monotonic()
    with RestClient({"stellar.rest.settings": common}) as client:
        assert stellar.evaluate(f"REST_GET('{url}')", {}, Context({RestClient: client})) is None
    took = time.monotonic() - begin
    ended.set()
    assert took < SECONDS / 2  # the look-up itself takes SECONDS
    assert "no response in time" in caplog.text


def test_the_addresses_of_a_host_are_tried_in_order(start: Start, names: dict[str, Callable[[], list[str]]]) -> None:
    hosts = []

    def script(exchange: Exchange) -> None:
        hosts.append(exchange.peer.getsockname()[0])
        exchange.send(response(exchange.id))

    server, client = start(script)
    names["two.example"] = lambda: ["127.0.0.2", "127.0.0.1"]  # nothing listens at the first one
    url = f"http://two.example:{server.port}/a"
    assert stellar.evaluate(f"REST_GET('{url}')", {}, client.context) == {"id": "a"}
    assert hosts == ["127.0.0.1"]


def test_a_certificate_is_verified_for_the_host_name_instead_of_the_address(
    start: Start, names: dict[str, Callable[[], list[str]]], authority: trustme.CA, tmp_path: Any
) -> None:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("service.example").configure_cert(tls)
    server_names: list[str | None] = []
    tls.sni_callback = lambda _socket, name, _context: server_names.append(name)
    server, client = start(
        lambda exchange: exchange.send(response(exchange.id)), tls, **{"ca.path": str(tmp_path / "ca.pem")}
    )
    names["service.example"] = lambda: ["127.0.0.1"]
    url = f"https://service.example:{server.port}/a"
    assert stellar.evaluate(f"REST_GET('{url}')", {}, client.context) == {"id": "a"}
    assert server_names == ["service.example"]
