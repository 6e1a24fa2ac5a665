"""Answers byte by byte: those that HTTP allows, and those that no server should give."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise

import pytest

from stellar.maas.errors import MaasError, ModelRefused, ModelUnavailable
from stellar.maas.secure import SecureTransport
from stellar.maas.transport import Answer, Patience, PlainTransport

BODY = b'{"a": 1}'


class Scripted:
    """A server that gives each connection the answers of a script, one for each request; it keeps what it was asked."""

    def __init__(self, *answers: bytes, stays: bool = False) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self.asked: list[bytes] = []
        self.connections = 0
        self._thread = threading.Thread(target=self._serve, args=(list(answers), stays), daemon=True)
        self._thread.start()

    def _serve(self, answers: list[bytes], stays: bool) -> None:
        with suppress(OSError):
            while answers:
                connection, _ = self._listening.accept()
                self.connections += 1
                with connection:
                    while answers and (asked := connection.recv(100_000)):
                        self.asked.append(asked)
                        connection.sendall(answers.pop(0))
                        if not stays:
                            break

    def close(self) -> None:
        self._listening.close()


@pytest.fixture
def script():
    servers = []

    def start(*answers, stays=False):
        servers.append(Scripted(*answers, stays=stays))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def transport():
    transport = PlainTransport(Patience(2, 2, 1000))
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


@pytest.mark.parametrize("answer", GOOD)
def test_an_answer_is_read_whole(answer, script, transport):
    assert transport.get(f"{script(GOOD[answer]).url}/apply?") == Answer(200, BODY)


def test_an_answer_without_a_body_has_none(script, transport):
    server = script(b"HTTP/1.1 204 No Content\r\n\r\n")
    assert transport.get(f"{server.url}/?") == Answer(204, b"")


BAD = {
    "nothing": (b"", "closed without an answer"),
    "another language": (b"SSH-2.0-OpenSSH\r\n", "is no HTTP"),
    "no number": (b"HTTP/1.1 fine\r\n\r\n", "is no HTTP"),
    "half a head": (b"HTTP/1.1 200 OK\r\nContent-Le", "ended in the middle"),
    "half a body": (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n" + BODY, "ended after 8 of 9 bytes"),
    "a length below zero": (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "is no length"),
    "a chunk without a length": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n", "no length of a chunk"),
    "a chunk with a strange length": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-4\r\n",
        "length of a chunk",
    ),
    "a chunk that is longer": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcdefgh\r\n0\r\n\r\n",
        "longer than it says",
    ),
    "headers without end": (b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 300, "too many headers"),
    "a line without end": (b"HTTP/1.1 200 OK\r\na: " + b"b" * 80_000, "does not end"),
}


@pytest.mark.parametrize("answer", BAD)
def test_an_answer_that_is_no_http_says_what_is_wrong(answer, script, transport):
    data, message = BAD[answer]
    with pytest.raises(ModelUnavailable, match=message):
        transport.get(f"{script(data, data).url}/?")


class Endless:
    """A server that says the same again and again, as long as somebody listens."""

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
    "words in between": (b"", b"HTTP/1.1 102 Wait\r\n\r\n", "too many words in between"),
    "the smallest chunks": (CHUNKED, b"1\r\nx\r\n", "in time"),
    "chunks with long words": (CHUNKED, b"1;" + b"y" * 5000 + b"\r\nx\r\n", "in time"),
    "headers after the body": (CHUNKED + b"0\r\n", b"a: b\r\n", "too many headers"),
    "a body": (b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 1000, "larger than|in time"),
    "line ends": (b"", b"\r\n", "no HTTP"),
}


@pytest.mark.parametrize("kind", [PlainTransport, SecureTransport])
@pytest.mark.parametrize("answer", ENDLESS)
def test_an_answer_without_end_is_left_in_time(answer, kind, bounded):
    first, again, message = ENDLESS[answer]
    server = Endless(first, again)
    transport = kind(Patience(1.0, 0.5, 30_000_000))
    with (
        bounded(),
        pytest.raises(MaasError, match=message if kind is PlainTransport else "in time|can't be reached|larger than"),
    ):
        transport.get(f"{server.url}/?")
    transport.close()
    server.close()


LARGE = {
    "by its length": b"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n",
    "by a length beyond reason": b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n",
    "by its chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFF\r\n",
    "as it turns out": b"HTTP/1.1 200 OK\r\n\r\n" + b" " * 1001,
}


@pytest.mark.parametrize("answer", LARGE)
def test_an_answer_that_is_too_large_is_refused(answer, script, transport):
    with pytest.raises(ModelRefused, match="larger than 1,000 bytes"):
        transport.get(f"{script(LARGE[answer]).url}/?")


ONE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
KEPT = {
    "kept": (ONE, 1),
    "closed on demand": (ONE.replace(b"OK\r\n", b"OK\r\nConnection: Close\r\n"), 2),
    "kept by HTTP/1.0 on demand": (ONE.replace(b"1.1 200 OK", b"1.0 200 OK\r\nConnection: keep-alive"), 1),
    "closed by HTTP/1.0": (ONE.replace(b"1.1", b"1.0"), 2),
    "closed when more came than was said": (ONE + b"HTTP/1.1 200 OK", 2),
}


@pytest.mark.parametrize("case", KEPT)
def test_a_connection_is_used_again_only_if_both_sides_agree(case, script, transport):
    answer, connections = KEPT[case]
    server = script(answer, answer, stays=True)
    assert [transport.get(f"{server.url}/?") for _ in range(2)] == [Answer(200, b"{}")] * 2
    assert server.connections == connections


def test_a_request_says_what_it_must(script, transport):
    server = script(ONE, ONE)
    transport.get(f"{server.url}/apply?host=a.com")
    transport.post(f"{server.url}/batch", b"[{}]")
    host = server.url.removeprefix("http://").encode()
    accept = b"\r\naccept: application/json\r\naccept-encoding: identity\r\n"
    assert server.asked == [
        b"GET /apply?host=a.com HTTP/1.1\r\nHost: " + host + accept + b"\r\n",
        b"POST /batch? HTTP/1.1\r\nHost: "
        + host
        + accept
        + b"content-type: application/json\r\nContent-Length: 4\r\n\r\n[{}]",
    ]


@pytest.mark.parametrize("url", ["http://:80/", "http://a b/", "http://a/?x y", "http://a/\x0bx", "http://a\x7f/"])
def test_an_address_that_could_say_more_than_an_address_is_refused(url, transport):
    with pytest.raises(ModelUnavailable, match="is no address"):
        transport.get(url)


def test_a_request_that_ends_after_the_client_was_closed_keeps_no_connection(script):
    transport = PlainTransport(Patience(2, 2, 1000))
    transport.close()
    assert transport.get(f"{script(ONE, stays=True).url}/?") == Answer(200, b"{}")
    assert not any(transport._idle.values())


def test_an_address_by_ipv6_is_asked(transport):
    with pytest.raises(MaasError, match=r"http://\[::1\]:1/"):
        transport.get("http://[::1]:1/?")


def test_a_model_that_sends_head_and_body_apart_is_not_waited_for():
    class Model(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # and the head leaves before the body

        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_):
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Model) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        transport = PlainTransport(Patience(1.0, 5.0, 1000))
        moments = [time.monotonic()]
        try:
            for _ in range(60):
                assert transport.get(f"http://127.0.0.1:{server.server_port}/").body == b"{}"
                moments.append(time.monotonic())
        finally:
            transport.close()
            server.shutdown()
            thread.join()
    # An acknowledgement that is put off takes 40 ms for all requests but the first, where a request takes 0.1 ms. On a
    # busy machine many take longer, so the quickest ones show which it is.
    assert sorted(after - before for before, after in pairwise(moments))[10] < 0.03
