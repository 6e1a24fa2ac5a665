"""The server of metrics and health, with real connections."""

from __future__ import annotations

import os
import socket
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from stellar.monitoring import server as monitoring_server
from stellar.monitoring.address import ListenAddress, read_address
from stellar.monitoring.metrics import Metric, MetricSample
from stellar.monitoring.server import MonitoringServer

LOOPBACK = ListenAddress("127.0.0.1", 0)
SIZE = Metric("size_bytes", "gauge", "The size.")


def collect() -> Iterator[MetricSample]:
    yield SIZE.sample(7)


def get(server: MonitoringServer, path: str) -> tuple[int, str, str]:
    """Return status, content type and body of a response."""
    try:
        with urllib.request.urlopen(f"http://{server.address}{path}", timeout=60) as response:
            return response.status, response.headers["Content-Type"], response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers["Content-Type"], error.read().decode()


@contextmanager
def connect(server: MonitoringServer) -> Iterator[socket.socket]:
    with socket.create_connection(tuple(server.address), timeout=60) as connection:
        yield connection


def test_metrics_are_served_in_the_format_of_prometheus(check_metrics: Callable[[bytes], None]) -> None:
    with MonitoringServer(LOOPBACK, collect, labels={"process": "1"}) as server:
        status, kind, body = get(server, "/metrics?name=x")
    assert (status, kind) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert body == '# HELP size_bytes The size.\n# TYPE size_bytes gauge\nsize_bytes{process="1"} 7\n'
    check_metrics(body.encode())


def test_health_is_the_reason_why_the_process_is_not_healthy_or_ready() -> None:
    problems: list[str | None] = [None, "waiting for brokers \ud800"]
    with MonitoringServer(LOOPBACK, collect, lambda: problems[0], lambda: problems[1]) as server:
        assert get(server, "/healthz") == (200, "text/plain; charset=utf-8", "ok\n")
        assert get(server, "/readyz") == (503, "text/plain; charset=utf-8", "waiting for brokers ?\n")
        problems[:] = ["stuck", None]
        assert get(server, "/healthz")[::2] == (503, "stuck\n")
        assert get(server, "/readyz")[0] == 200


def test_other_paths_and_methods_are_rejected() -> None:
    with MonitoringServer(LOOPBACK, collect) as server:
        assert get(server, "/") == (
            404,
            "text/plain; charset=utf-8",
            "not found; expected /metrics, /healthz or /readyz\n",
        )
        with connect(server) as connection:
            connection.sendall(b"DELETE /metrics HTTP/1.1\r\n\r\n")
            assert b" 501 " in connection.recv(1000)


def test_head_has_no_body() -> None:
    with MonitoringServer(LOOPBACK, collect) as server, connect(server) as connection:
        connection.sendall(b"HEAD /metrics HTTP/1.1\r\n\r\n")
        received = b"".join(iter(lambda: connection.recv(65536), b""))
        assert received.startswith(b"HTTP/1.0 200 ")
        assert received.endswith(b"\r\n\r\n")


def test_a_failure_to_collect_is_a_status_and_a_log_record(caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> Iterator[MetricSample]:
        raise OSError("no such state")

    with MonitoringServer(LOOPBACK, fail) as server:
        assert get(server, "/metrics")[::2] == (500, "cannot collect metrics; the log has the reason\n")
    assert "no such state" in caplog.text


def test_a_client_that_sends_nothing_is_disconnected(
    monkeypatch: pytest.MonkeyPatch, bounded: Callable[[], AbstractContextManager[None]]
) -> None:
    monkeypatch.setattr(monitoring_server, "CLIENT_SECONDS", 0.2)
    with MonitoringServer(LOOPBACK, collect) as server, connect(server) as connection, bounded():
        connection.sendall(b"GET /metr")
        assert connection.recv(1000) == b""


def test_too_many_connections_get_a_status_and_do_not_block_others(
    monkeypatch: pytest.MonkeyPatch, bounded: Callable[[], AbstractContextManager[None]]
) -> None:
    monkeypatch.setattr(monitoring_server, "_MOST_CONNECTIONS", 2)
    with MonitoringServer(LOOPBACK, collect) as server, connect(server) as first, connect(server) as second:
        for connection in (first, second):
            connection.sendall(b"GET ")
        with connect(server) as third:
            assert b" 503 " in third.recv(1000)
        first.close()
        with bounded():
            while not is_healthy(server):
                pass


def is_healthy(server: MonitoringServer) -> bool:
    """Return True if the server responds so; it may close a connection above its limit before it has read from it."""
    try:
        return get(server, "/healthz")[0] == 200
    except OSError:
        return False


def test_garbage_gets_a_status(bounded: Callable[[], AbstractContextManager[None]]) -> None:
    with MonitoringServer(LOOPBACK, collect) as server, bounded():
        for garbage in (
            b"\0\xff\r\n\r\n",
            b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\n\r\n",
            b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 500,
        ):
            with connect(server) as connection:
                connection.sendall(garbage)
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(65536):
                    pass
        assert get(server, "/healthz")[0] == 200


def test_an_address_in_use_is_an_error_with_the_fix() -> None:
    with (
        MonitoringServer(LOOPBACK, collect) as server,
        pytest.raises(OSError, match=r"cannot serve metrics on 127.0.0.1:\d+: Address already in use; choose another"),
    ):
        MonitoringServer(server.address, collect)


def test_a_child_of_a_fork_does_not_hold_the_port() -> None:
    ours, theirs = socket.socketpair()
    server = MonitoringServer(LOOPBACK, collect)
    child = os.fork()
    if not child:
        ours.close()
        theirs.sendall(b"!")
        theirs.recv(1)  # until the parent has ended
        os._exit(0)
    theirs.close()
    with ours:
        assert ours.recv(1) == b"!"
        assert get(server, "/metrics")[0] == 200
        server.close()
        with MonitoringServer(server.address, collect):
            pass
    os.waitpid(child, 0)


@pytest.mark.parametrize(
    ("text", "address", "shown"),
    [
        (":9100", ListenAddress("", 9100), ":9100"),
        ("127.0.0.1:0", ListenAddress("127.0.0.1", 0), "127.0.0.1:0"),
        ("node1.example:80", ListenAddress("node1.example", 80), "node1.example:80"),
        ("[::1]:9100", ListenAddress("::1", 9100), "[::1]:9100"),
    ],
)
def test_addresses_have_a_host_and_a_port(text: str, address: ListenAddress, shown: str) -> None:
    assert read_address(text) == address
    assert str(address) == shown


@pytest.mark.parametrize("text", ["", "9100", "host", ":65536", "::1:9100", "http://host:80", ":80 ", ":-1", ":٣"])
def test_invalid_addresses_are_errors(text: str) -> None:
    with pytest.raises(ValueError, match="invalid address"):
        read_address(text)


def test_the_server_listens_on_ipv6() -> None:
    try:
        server = MonitoringServer(ListenAddress("::1", 0), collect)
    except OSError as error:  # this machine has no IPv6
        pytest.skip(str(error))
    with server:
        assert get(server, "/healthz")[0] == 200
