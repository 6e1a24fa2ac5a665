"""Connections of a model's port, and the end of a drain."""

from __future__ import annotations

import socket
from contextlib import ExitStack

import pytest

from maas_runtime.runner import connections
from maas_runtime.runner.connections import Drain, count_connections, is_local


@pytest.fixture(params=["127.0.0.1", "::1", "::"])
def server(request):
    family = socket.AF_INET6 if ":" in request.param else socket.AF_INET
    try:
        server = socket.create_server((request.param, 0), family=family, dualstack_ipv6=request.param == "::")
    except OSError:
        pytest.skip("no IPv6")
    with server:
        yield server


@pytest.fixture
def ipv4_server():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def port_of(server):
    return server.getsockname()[1]


def test_connections_of_clients_are_counted_until_they_close_them(server, eventually):
    assert count_connections(port_of(server)) == 0
    host = "::1" if server.getsockname()[0] == "::1" else "127.0.0.1"
    with ExitStack() as stack:
        for number in range(1, 4):
            stack.enter_context(socket.create_connection((host, port_of(server))))
            eventually(lambda number=number: count_connections(port_of(server)) == number)
    eventually(lambda: count_connections(port_of(server)) == 0)


def test_a_connection_that_this_machine_opened_elsewhere_is_not_counted(ipv4_server):
    with socket.create_connection(ipv4_server.getsockname()) as client:
        assert count_connections(client.getsockname()[1]) is None


def test_without_a_server_connections_cannot_be_counted(ipv4_server):
    port = port_of(ipv4_server)
    ipv4_server.close()
    assert count_connections(port) is None


def test_without_the_tables_connections_cannot_be_counted(ipv4_server, monkeypatch, tmp_path):
    monkeypatch.setattr(connections, "TABLES", (tmp_path / "tcp", tmp_path / "tcp6"))
    assert count_connections(port_of(ipv4_server)) is None


def test_a_drain_is_complete_a_second_after_the_last_connection(ipv4_server, eventually):
    now = [100.0]
    with socket.create_connection(ipv4_server.getsockname()):
        drain = Drain(port_of(ipv4_server), 5.0, lambda: now[0])
        for now[0] in (100.0, 102.0, 104.9):
            assert not drain.is_complete()
    eventually(lambda: count_connections(port_of(ipv4_server)) == 0)
    drain = Drain(port_of(ipv4_server), 5.0, lambda: now[0])
    now[0] += 0.9
    assert not drain.is_complete()
    now[0] += 0.1
    assert drain.is_complete()


def test_a_client_that_connects_late_extends_a_drain(ipv4_server, eventually):
    now = [0.0]
    drain = Drain(port_of(ipv4_server), 5.0, lambda: now[0])
    now[0] = 0.9
    with socket.create_connection(ipv4_server.getsockname()):
        assert not drain.is_complete()
    eventually(lambda: count_connections(port_of(ipv4_server)) == 0)
    now[0] = 1.8
    assert not drain.is_complete()
    now[0] = 2.0
    assert drain.is_complete()


def test_a_drain_with_a_connected_client_ends_at_the_limit(ipv4_server):
    now = [0.0]
    with socket.create_connection(ipv4_server.getsockname()):
        drain = Drain(port_of(ipv4_server), 5.0, lambda: now[0])
        now[0] = 4.9
        assert not drain.is_complete()
        now[0] = 5.0
        assert drain.is_complete()


def test_a_drain_takes_the_whole_time_if_connections_cannot_be_counted(ipv4_server):
    now = [0.0]
    port = port_of(ipv4_server)
    ipv4_server.close()
    drain = Drain(port, 5.0, lambda: now[0])
    now[0] = 4.9
    assert not drain.is_complete()
    now[0] = 5.0
    assert drain.is_complete()


def test_a_drain_of_a_server_on_another_machine_takes_the_whole_time():
    now = [0.0]
    drain = Drain(None, 5.0, lambda: now[0])
    now[0] = 4.9
    assert not drain.is_complete()
    now[0] = 5.0
    assert drain.is_complete()


@pytest.mark.parametrize(
    ("host", "expected"),
    [("localhost", True), ("127.0.0.1", True), ("0.0.0.0", True), ("192.0.2.1", False), ("no such host", False)],
)
def test_addresses_of_this_machine_are_local(host, expected):
    assert is_local(host) == expected


def test_a_drain_of_no_time_is_complete_at_once(ipv4_server):
    assert Drain(port_of(ipv4_server), 0.0, lambda: 0.0).is_complete()
