"""Requests by the HTTP client: their encoding, URLs, and tunnels through a proxy."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
import trustme

from stellar.net.connection_pool import Address
from stellar.net.http import Exchange, HttpClient, Proxy, TunnelRefused, encode_request, parse_url
from stellar.net.http11 import IncompleteResponse, ProtocolError, connect
from stellar.util import waiting

SECONDS = 30.0  # time-out for a test that would hang


# -- Encoding ---------------------------------------------------------------------------------------------------------


def test_a_request_is_encoded_with_its_headers_in_order() -> None:
    request = encode_request("GET", "/a?b=c", {"Host": "one", "Accept": "application/json"})
    assert request == b"GET /a?b=c HTTP/1.1\r\nHost: one\r\nAccept: application/json\r\n\r\n"


@pytest.mark.parametrize(("body", "length"), [(b"", b"0"), (b"{}", b"2")])
def test_a_request_with_a_body_has_a_content_length(body: bytes, length: bytes) -> None:
    request = encode_request("POST", "/", {"Host": "one"}, body)
    assert request == b"POST / HTTP/1.1\r\nHost: one\r\nContent-Length: " + length + b"\r\n\r\n" + body


@pytest.mark.parametrize("character", ["\r", "\n", "\0", " ", "\t", "\x7f"])
def test_a_target_with_control_characters_or_spaces_is_rejected(character: str) -> None:
    with pytest.raises(ValueError, match="invalid request: the target or a header contains control characters"):
        encode_request("GET", f"/a{character}b", {"Host": "one"})


@pytest.mark.parametrize("character", ["\r", "\n", "\0"])
@pytest.mark.parametrize(
    "make_headers",
    [
        lambda character: {"Host": f"one{character}X: y"},
        lambda character: {f"X{character}Y": "z"},
    ],
    ids=["value", "name"],
)
def test_a_header_with_control_characters_is_rejected(
    make_headers: Callable[[str], dict[str, str]], character: str
) -> None:
    with pytest.raises(ValueError, match="invalid request: the target or a header contains control characters"):
        encode_request("GET", "/", make_headers(character))


@pytest.mark.parametrize("character", ["\r", "\n", "\0"])
def test_a_method_with_control_characters_is_rejected(character: str) -> None:
    with pytest.raises(ValueError, match="invalid request"):
        encode_request(f"GET / HTTP/1.1{character}X:", "/", {})


def test_a_header_outside_of_latin_1_is_an_error() -> None:
    with pytest.raises(UnicodeEncodeError):
        encode_request("GET", "/", {"X": "č"})


@pytest.mark.parametrize(
    ("url", "address", "path", "host"),
    [
        ("http://one", Address("one", 80, False), "", "one"),
        ("https://one/a/b", Address("one", 443, True), "/a/b", "one"),
        ("http://One:8080/a", Address("one", 8080, False), "/a", "one:8080"),
        ("http://[::1]/", Address("::1", 80, False), "/", "[::1]"),
        ("https://[::1]:80/", Address("::1", 80, True), "/", "[::1]:80"),
        ("http://bücher.example/é", Address("xn--bcher-kva.example", 80, False), "/%C3%A9", "xn--bcher-kva.example"),
    ],
)
def test_a_url_is_parsed(url: str, address: Address, path: str, host: str) -> None:
    assert parse_url(url) == (address, path, host)


@pytest.mark.parametrize("url", ["one", "ftp://one/", "http://", "http://a b/", "http://one:x/", "http://one:99999/"])
def test_an_invalid_url_is_rejected(url: str) -> None:
    with pytest.raises(ValueError, match="invalid URL"):
        parse_url(url)


# -- Tunnels ----------------------------------------------------------------------------------------------------------


class FakeProxy:
    """A proxy that sends the same bytes in response to each request, and then closes the connection.

    requests: the heads of the requests that it received
    tunnel: handles a connection after the response
    """

    def __init__(self, response: bytes, tunnel: Callable[[socket.socket], object] | None = None) -> None:
        self.requests: list[bytes] = []
        self._response, self._tunnel = response, tunnel
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    @property
    def address(self) -> Address:
        return Address("127.0.0.1", self._listener.getsockname()[1], False)

    def _serve(self) -> None:
        while True:
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            with peer, suppress(OSError):
                peer.settimeout(SECONDS)
                head = b""
                while b"\r\n\r\n" not in head and (data := peer.recv(65_536)):
                    head += data
                self.requests.append(head)
                peer.sendall(self._response)
                if self._tunnel is not None:
                    self._tunnel(peer)

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(SECONDS)
        assert not self._thread.is_alive()


StartProxy = Callable[..., FakeProxy]


@pytest.fixture
def start_proxy() -> Iterator[StartProxy]:
    """Return a function that starts a proxy with a response."""
    running: list[FakeProxy] = []

    def start(response: bytes, tunnel: Callable[[socket.socket], object] | None = None) -> FakeProxy:
        running.append(FakeProxy(response, tunnel))
        return running[-1]

    yield start
    for proxy in running:
        proxy.close()


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def request_by(proxy: FakeProxy, authority: trustme.CA, host: str = "one.example", **headers: str) -> bytes:
    """Send a GET by https through a proxy, and return the body of the response."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(context)
    client = HttpClient(lambda parser: parser.body, lambda: context, proxy=Proxy(proxy.address, headers))
    exchange: Exchange[bytes] = Exchange(f"https://{host}/")
    request = encode_request("GET", "/", {"Host": host})
    client.begin(exchange, Address(host, 443, True), request, connect_seconds=SECONDS, max_bytes=1000)
    try:
        return exchange.run(time.monotonic() + SECONDS)
    finally:
        exchange.close()
        client.close()


def test_a_request_is_sent_through_a_tunnel(start_proxy: StartProxy, authority: trustme.CA) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("one.example").configure_cert(context)

    def respond(peer: socket.socket) -> None:
        with context.wrap_socket(peer, server_side=True) as secured:
            secured.recv(65_536)
            secured.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    proxy = start_proxy(b"HTTP/1.1 200 Connection established\r\n\r\n", respond)
    assert request_by(proxy, authority, **{"Proxy-Authorization": "Basic abc"}) == b"{}"
    assert proxy.requests == [
        b"CONNECT one.example:443 HTTP/1.1\r\nHost: one.example:443\r\nProxy-Authorization: Basic abc\r\n\r\n"
    ]


@pytest.mark.parametrize("status", [b"403 Forbidden", b"407 Proxy Authentication Required", b"502 Bad Gateway"])
def test_a_refused_tunnel_is_an_error_with_its_status(
    start_proxy: StartProxy, authority: trustme.CA, status: bytes
) -> None:
    proxy = start_proxy(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\n\r\n")
    with pytest.raises(
        TunnelRefused, match="the proxy refused a connection to one.example:443: status " + str(int(status[:3]))
    ):
        request_by(proxy, authority)
    assert len(proxy.requests) == 1


def test_the_authority_of_a_tunnel_to_an_ipv6_address_has_brackets(
    start_proxy: StartProxy, authority: trustme.CA
) -> None:
    proxy = start_proxy(b"HTTP/1.1 403 Forbidden\r\n\r\n")
    with pytest.raises(TunnelRefused, match=r"\[2001:db8::1\]:443"):
        request_by(proxy, authority, "2001:db8::1")
    assert proxy.requests[0].startswith(b"CONNECT [2001:db8::1]:443 HTTP/1.1\r\nHost: [2001:db8::1]:443\r\n")


def test_data_of_the_proxy_before_the_tls_handshake_is_an_error(start_proxy: StartProxy, authority: trustme.CA) -> None:
    proxy = start_proxy(b"HTTP/1.1 200 Connection established\r\n\r\nHTTP/1.1 200 OK\r\n")
    with pytest.raises(ProtocolError, match="the proxy sent data before the TLS handshake"):
        request_by(proxy, authority)


@pytest.mark.parametrize(
    ("response", "error"),
    [
        (b"", ConnectionResetError),
        (b"HTTP/1.1 200 Connection", IncompleteResponse),
        (b"SSH-2.0-OpenSSH\r\n", ProtocolError),
        (b"HTTP/1.1 200 Connection established\r\n\r\n", OSError),
    ],
)
def test_a_proxy_that_fails_before_the_tls_handshake_is_an_error(
    start_proxy: StartProxy, authority: trustme.CA, response: bytes, error: type[Exception]
) -> None:
    proxy = start_proxy(response)
    with pytest.raises(error):
        request_by(proxy, authority)


def test_a_certificate_of_another_host_is_rejected_in_a_tunnel(start_proxy: StartProxy, authority: trustme.CA) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("other.example").configure_cert(context)

    def shake_hands(peer: socket.socket) -> Any:
        return context.wrap_socket(peer, server_side=True).recv(1)

    proxy = start_proxy(b"HTTP/1.1 200 Connection established\r\n\r\n", shake_hands)
    with pytest.raises(ssl.SSLCertVerificationError):
        request_by(proxy, authority)


def test_an_event_before_a_connection_is_established_does_not_end_the_wait() -> None:
    listening = socket.create_server(("127.0.0.1", 0), backlog=0)
    queued = []
    with listening:
        address = listening.getsockname()
        while True:  # until the queue of connections is full, and the system no longer responds to new ones
            steps = connect(socket.AF_INET, address)
            queued.append(steps)
            one, event = next(steps)
            if not waiting.wait_for((one, event), 0.2):
                break
        assert steps.send(True) == (one, event)
        with pytest.raises(TimeoutError):
            steps.send(False)
        for each in queued:
            each.close()
