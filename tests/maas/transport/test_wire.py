"""Responses byte by byte: valid and invalid HTTP."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress

import pytest

from stellar.maas.errors import MaasError, ModelRefused, ModelUnavailable
from stellar.maas.transport.base import Response, Timeouts
from stellar.maas.transport.http import HttpTransport

BODY = b'{"a": 1}'


class Scripted:
    """A server that sends each connection the responses of a script, one for each request, and records the requests."""

    def __init__(self, *results: bytes, stays: bool = False) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self.requested: list[bytes] = []
        self.connections = 0
        self._thread = threading.Thread(target=self._serve, args=(list(results), stays), daemon=True)
        self._thread.start()

    def _serve(self, results: list[bytes], stays: bool) -> None:
        with suppress(OSError):
            while results:
                connection, _ = self._listening.accept()
                self.connections += 1
                with connection:
                    while results and (requested := connection.recv(100_000)):
                        self.requested.append(requested)
                        connection.sendall(results.pop(0))
                        if not stays:
                            break

    def close(self) -> None:
        self._listening.close()


@pytest.fixture
def script():
    servers = []

    def start(*results, stays=False):
        servers.append(Scripted(*results, stays=stays))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def transport():
    transport = HttpTransport(Timeouts(20, 20, 1000))
    yield transport
    transport.close()


GOOD = {
    "with a length": b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n" + BODY,
    "until it closes": b"HTTP/1.1 200 OK\r\n\r\n" + BODY,
    "by HTTP/1.0": b"HTTP/1.0 200 OK\r\nContent-Length: 8\r\n\r\n" + BODY,
    "with bare newlines": b"HTTP/1.1 200 OK\ncontent-length:8\n\n" + BODY,
    "without a reason": b"HTTP/1.1 200\r\nContent-Length: 8\r\n\r\n" + BODY,
    "in chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    b'4\r\n{"a"\r\n4;x=y\r\n: 1}\r\n0\r\nT: 1\r\n\r\n',
    "after a word in between": b"HTTP/1.1 102 Wait\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n" + BODY,
}


@pytest.mark.parametrize("padding", [0, 2000], ids=["a short head", "a long head"])
def test_responses_with_equal_heads_have_their_own_status_and_body(padding, script, transport):
    extra = b"X-Padding: " + b"x" * padding + b"\r\n"
    head = b"HTTP/1.1 200 OK\r\n" + extra + b"Content-Length: 8\r\n\r\n"
    failed = b"HTTP/1.1 500 No\r\n" + extra + b"Content-Length: 8\r\n\r\n"
    server = script(head + b'{"a": 1}', head + b'{"a": 2}', failed + b'{"a": 3}', head + b'{"a": 4}', stays=True)
    responses = [transport.get(f"{server.url}/apply?host={number}") for number in range(4)]
    assert [(each.status, each.body[6:7]) for each in responses] == [(200, b"1"), (200, b"2"), (500, b"3"), (200, b"4")]
    assert server.connections == 1


@pytest.mark.parametrize("response", GOOD)
def test_a_response_is_read_completely(response, script, transport):
    assert transport.get(f"{script(GOOD[response]).url}/apply?") == Response(200, BODY)


def test_a_response_without_a_body_is_empty(script, transport):
    server = script(b"HTTP/1.1 204 No Content\r\n\r\n")
    assert transport.get(f"{server.url}/?") == Response(204, b"")


BAD = {
    "nothing": (b"", "closed without a response"),
    "another language": (b"SSH-2.0-OpenSSH\r\n", "is not HTTP"),
    "no number": (b"HTTP/1.1 fine\r\n\r\n", "is not HTTP"),
    "half a head": (b"HTTP/1.1 200 OK\r\nContent-Le", "the response ended early"),
    "half a body": (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n" + BODY, "the response ended early"),
    "a length below zero": (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "invalid Content-Length"),
    "a chunk without a length": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n",
        "invalid chunk size",
    ),
    "a chunk with a strange length": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-4\r\n",
        "invalid chunk size",
    ),
    "a chunk that is longer": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcdefgh\r\n0\r\n\r\n",
        "longer than its size",
    ),
    "headers without end": (b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 300, "too many headers"),
    "a line without end": (b"HTTP/1.1 200 OK\r\na: " + b"b" * 80_000, "does not end"),
}


@pytest.mark.parametrize("response", BAD)
def test_an_invalid_response_is_reported_with_the_reason(response, script, transport):
    data, message = BAD[response]
    with pytest.raises(ModelUnavailable, match=message):
        transport.get(f"{script(data, data).url}/?")


class Endless:
    """A server that sends the same bytes repeatedly until the client disconnects."""

    def __init__(self, first: bytes, again: bytes) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, args=(first, again))
        self._thread.start()

    def _serve(self, first: bytes, again: bytes) -> None:
        with suppress(OSError), self._listening.accept()[0] as connection:
            connection.recv(100_000)
            connection.sendall(first)
            while True:
                connection.sendall(again * 1000)

    def close(self) -> None:
        self._listening.close()
        self._thread.join()


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
ENDLESS = {
    "interim responses": (b"", b"HTTP/1.1 102 Wait\r\n\r\n", "too many interim responses"),
    "the smallest chunks": (CHUNKED, b"1\r\nx\r\n", "in time"),
    "chunks with long words": (CHUNKED, b"1;" + b"y" * 5000 + b"\r\nx\r\n", "in time"),
    "headers after the body": (CHUNKED + b"0\r\n", b"a: b\r\n", "too many headers"),
    "a body": (b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 1000, "larger than|in time"),
    "line ends": (b"", b"\r\n", "not HTTP"),
}


@pytest.mark.parametrize("response", ENDLESS)
def test_an_endless_response_times_out(response):
    first, again, message = ENDLESS[response]
    server = Endless(first, again)
    transport = HttpTransport(Timeouts(20.0, 1.0, 30_000_000))
    began = time.monotonic()
    with pytest.raises(MaasError, match=message):
        transport.get(f"{server.url}/?")
    assert time.monotonic() - began < 30
    transport.close()
    server.close()


LARGE = {
    "by its length": b"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n",
    "by a length beyond reason": b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n",
    "by its chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFF\r\n",
    "as it turns out": b"HTTP/1.1 200 OK\r\n\r\n" + b" " * 1001,
}


@pytest.mark.parametrize("response", LARGE)
def test_a_response_that_is_too_large_is_rejected(response, script, transport):
    with pytest.raises(ModelRefused, match="larger than 1,000 bytes"):
        transport.get(f"{script(LARGE[response]).url}/?")


ONE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
KEPT = {
    "kept": (ONE, 1),
    "closed on demand": (ONE.replace(b"OK\r\n", b"OK\r\nConnection: Close\r\n"), 2),
    "kept by HTTP/1.0 on demand": (ONE.replace(b"1.1 200 OK", b"1.0 200 OK\r\nConnection: keep-alive"), 1),
    "closed by HTTP/1.0": (ONE.replace(b"1.1", b"1.0"), 2),
    "closed when more came than was said": (ONE + b"HTTP/1.1 200 OK", 2),
}


@pytest.mark.parametrize("case", KEPT)
def test_a_connection_is_reused_only_if_both_sides_agree(case, script, transport):
    response, connections = KEPT[case]
    server = script(response, response, stays=True)
    assert [transport.get(f"{server.url}/?") for _ in range(2)] == [Response(200, b"{}")] * 2
    assert server.connections == connections


def test_a_request_has_the_required_headers(script, transport):
    server = script(ONE, ONE)
    transport.get(f"{server.url}/apply?host=a.com")
    transport.post(f"{server.url}/batch", b"[{}]")
    host = server.url.removeprefix("http://").encode()
    accept = b"\r\naccept: application/json\r\naccept-encoding: identity\r\nprefer: handling=strict\r\n"
    assert server.requested == [
        b"GET /apply?host=a.com HTTP/1.1\r\nHost: " + host + accept + b"\r\n",
        b"POST /batch? HTTP/1.1\r\nHost: "
        + host
        + accept
        + b"content-type: application/json\r\nContent-Length: 4\r\n\r\n[{}]",
    ]


@pytest.mark.parametrize("url", ["http://:80/", "http://a b/", "http://a/?x y", "http://a/\x0bx", "http://a\x7f/"])
def test_a_url_with_control_characters_is_rejected(url, transport):
    with pytest.raises(ModelUnavailable, match="invalid URL"):
        transport.get(url)


def test_a_request_that_ends_after_close_leaves_no_connection(script):
    transport = HttpTransport(Timeouts(20, 20, 1000))
    transport.close()
    assert transport.get(f"{script(ONE, stays=True).url}/?") == Response(200, b"{}")
    assert not any(transport._client._pool._idle.values())


def test_an_ipv6_url_is_called(transport):
    with pytest.raises(MaasError, match=r"http://\[::1\]:1/"):
        transport.get("http://[::1]:1/?")


@pytest.fixture
def options_set(monkeypatch):
    """Record the socket options that are set."""
    set_options = []

    class Recording(socket.socket):
        def setsockopt(self, *option):
            set_options.append(option)
            super().setsockopt(*option)

    monkeypatch.setattr(socket, "socket", Recording)
    return set_options


@pytest.mark.skipif(not hasattr(socket, "TCP_QUICKACK"), reason="only Linux lets a program ask for it")
def test_a_response_in_two_packets_is_acknowledged_at_once(script, transport, options_set):
    server = script(*[b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"] * 5, stays=True)
    for _ in range(5):
        transport.get(f"{server.url}/")
    assert options_set.count((socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)) == 5  # the system resets the option


@pytest.mark.skipif(not hasattr(socket, "TCP_QUICKACK"), reason="only Linux lets a program ask for it")
def test_quick_acknowledgement_ends_when_responses_come_in_one_packet(script, transport, options_set):
    server = script(*[b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"] * 20, stays=True)
    for _ in range(20):
        transport.get(f"{server.url}/")
    assert options_set.count((socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)) == 8
