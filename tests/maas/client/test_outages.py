"""Outages: waiting for models without a reachable instance."""

from __future__ import annotations

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from stellar import evaluate_many
from stellar.language.context import Context
from stellar.maas import (
    Chosen,
    ClientSettings,
    ModelClient,
    ModelNotFound,
    ModelUnavailable,
    Registry,
)
from stellar.maas.client.outages import Outages
from stellar.maas.schema import Endpoint, Model, ServiceInstance

LONG = 60_000  # milliseconds; no test waits that long


@pytest.fixture
def client_of(registry):
    clients = []

    def make(**settings):
        clients.append(ModelClient(registry, ClientSettings(**{"cache_size": 0, "timeout_ms": LONG, **settings})))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def register(registry):
    def register(url, version="1.0"):
        instance = ServiceInstance.of(Model("dga", version), url.rpartition(":")[2], Endpoint(url=url))
        registry.register(instance)
        return {"name": "dga", "version": version, "url": url}

    return register


def until(condition):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "the condition was not met"
        time.sleep(0.002)


class Flaky:
    """A model at a port of its own that listens only after `start`, and responds with the length of the host.

    pause: seconds without listening after each connection; None to listen all the time
    """

    def __init__(self, pause=None, crashes=lambda query: False):
        self._pause, self._crashes = pause, crashes
        self._bound = socket.socket()
        self._bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._bound.bind(("127.0.0.1", 0))  # reserve the port without listening
        self.url = f"http://127.0.0.1:{self._bound.getsockname()[1]}"
        self.accepted = self.crashed = 0
        self._listening = None
        self._closed = False
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def start(self):
        self._thread.start()

    def close(self):
        self._closed = True
        self._bound.close()
        if self._thread.is_alive():
            with suppress(OSError):
                self._listening.shutdown(socket.SHUT_RDWR)
            self._thread.join(30)
        if self._listening is not None:
            self._listening.close()

    def _listen(self):
        self._listening = socket.socket()
        self._listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listening.bind(("127.0.0.1", int(self.url.rpartition(":")[2])))
        self._listening.listen(128)

    def _serve(self):
        with suppress(OSError):
            while not self._closed:
                self._listen()
                while True:
                    connection, _ = self._listening.accept()
                    self.accepted += 1
                    if self._pause is None:
                        threading.Thread(target=self._talk, args=[connection], daemon=True).start()
                        continue
                    self._listening.close()
                    self._talk(connection)
                    break
                time.sleep(self._pause)

    def _talk(self, connection):
        with connection, suppress(OSError):
            while request := connection.recv(65_536):
                query = request.split()[1].partition(b"?")[2]
                if self._crashes(query):
                    self.crashed += 1
                    return
                body = b'{"score": %d}' % len(query.partition(b"host=")[2])
                close = b"" if self._pause is None else b"Connection: close\r\n"
                connection.sendall(b"HTTP/1.1 200 OK\r\n%sContent-Length: %d\r\n\r\n%s" % (close, len(body), body))
                if close:
                    return


@pytest.fixture
def model():
    models = []

    def make(*arguments, **options):
        models.append(Flaky(*arguments, **options))
        return models[-1]

    yield make
    for each in models:
        each.close()


def waits(client, name=("dga", "1.0")):
    return lambda: tuple(name) in client._outages._outages


# --- instances that refuse connections


@pytest.mark.parametrize("instances", [1, 3])
def test_calls_wait_until_one_of_the_instances_that_refuse_connections_listens(instances, model, register, client_of):
    models = [model() for _ in range(instances)]
    endpoints = [register(each.url) for each in models]
    client = client_of(wait_ms=LONG, retries=0)
    with ThreadPoolExecutor(8) as pool:
        calls = [
            pool.submit(client.apply, endpoints[number % instances], None, {"host": "x" * number})
            for number in range(8)
        ]
        until(waits(client))
        models[-1].start()
        assert [call.result()["score"] for call in calls] == [*range(8)]
    assert client.counters().failures == {}
    assert client._outages._outages == {}


def test_without_waiting_the_reason_is_the_instances_failure(model, register, client_of):
    endpoint = register(model().url)
    client = client_of(wait_ms=0, retries=0)
    with pytest.raises(ModelUnavailable, match="can't be reached") as raised:
        client.apply(endpoint)
    assert raised.value.reason == "refused"
    assert client._outages._outages == {}


def test_calls_wait_once_per_outage_and_then_fail_at_once_until_an_instance_responds(model, register, client_of):
    one = model()
    endpoint = register(one.url)
    client = client_of(wait_ms=200, retries=0)
    with pytest.raises(ModelUnavailable, match=r"no instance of .*can't be reached") as raised:
        client.apply(endpoint)
    assert raised.value.reason == "no instance"
    requests = client.counters().requests
    for _ in range(5):
        with pytest.raises(ModelUnavailable) as raised:
            client.apply(endpoint)
        assert raised.value.reason == "no instance"
    assert client.counters().requests == requests + 5  # each was called once, without waiting
    one.start()
    until(lambda: not _fails(client, endpoint))
    assert client._outages._outages == {}
    one.close()
    client._transport._client._pool._close_idle_since(float("inf"))
    with pytest.raises(ModelUnavailable):
        client.apply(endpoint)
    assert client.counters().requests > requests + 6  # calls wait again in the next outage


def _fails(client, endpoint):
    try:
        client.apply(endpoint)
    except ModelUnavailable:
        return True
    return False


def test_waiting_ends_at_the_deadline(model, register, client_of):
    endpoint = register(model().url)
    client = client_of(wait_ms=LONG, deadline_ms=200)
    began = time.monotonic()
    with pytest.raises(ModelUnavailable) as raised:
        client.apply(endpoint)
    assert raised.value.reason == "no instance"
    assert time.monotonic() - began < 30


def test_calls_of_an_endpoint_written_by_hand_do_not_wait(model, client_of):
    client = client_of(wait_ms=LONG)
    with pytest.raises(ModelUnavailable) as raised:
        client.apply({"url": model().url})
    assert raised.value.reason == "refused"


def test_an_instance_that_responds_with_errors_is_not_absent(serve, register, client_of):
    endpoint = register(serve(serve.respond(500)).url)
    client = client_of(wait_ms=LONG)
    with pytest.raises(Exception, match="status 500"):
        client.apply(endpoint)
    assert client._outages._outages == {}


# --- models without an instance


@pytest.mark.parametrize("version", ["1.0", None])
def test_calls_wait_for_a_desired_model_without_an_instance(version, model, register, client_of, registry):
    registry.desire("dga", "1.0", 1)
    client = client_of(wait_ms=LONG)
    one = model()
    one.start()
    with ThreadPoolExecutor(4) as pool:
        found = [pool.submit(client.endpoint, "dga", version) for _ in range(4)]
        until(waits(client, ("dga", version)))
        register(one.url)
        assert {each.result().url for each in found} == {one.url}
    assert client._outages._outages == {}


def test_calls_wait_once_for_a_desired_model_that_never_starts(client_of, registry):
    registry.desire("dga", "1.0", 2)
    client = client_of(wait_ms=200)
    for _ in range(3):
        with pytest.raises(ModelUnavailable, match="no instance of dga") as raised:
            client.endpoint("dga")
        assert raised.value.reason == "no instance"


def test_a_call_waits_for_the_next_instance(model, register, client_of, registry):
    registry.desire("dga", "1.0", 1)
    old, new = model(), model()
    endpoint = register(old.url)
    registry.unregister("dga", old.url.rpartition(":")[2])
    new.start()
    client = client_of(wait_ms=LONG)
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(client.apply, endpoint, None, {"host": "abc"})
        until(waits(client))
        register(new.url)
        assert call.result() == {"score": 3}


@pytest.mark.parametrize("name", ["dga", "made up"])
def test_calls_do_not_wait_for_a_model_that_is_not_desired(name, client_of, registry):
    registry.desire("other", "1.0", 1)
    with pytest.raises(ModelNotFound) as raised:
        client_of(wait_ms=LONG).endpoint(name)
    assert raised.value.reason == "no such model"


def test_calls_do_not_wait_for_a_removed_model(register, client_of, registry):
    registry.desire("dga", "1.0", 1)
    endpoint = register("http://127.0.0.1:1")
    registry.desire("dga", "1.0", 0)
    registry.unregister("dga", "1")
    client = client_of(wait_ms=LONG)
    with pytest.raises(ModelNotFound):
        client.endpoint("dga")
    with pytest.raises(ModelUnavailable) as raised:
        client.apply(endpoint)
    assert raised.value.reason == "refused"
    assert client._outages._outages == {}


def test_without_a_service_calls_wait_after_the_last_instance_left(model, register, client_of, registry):
    one = model()
    register(one.url)
    registry.unregister("dga", one.url.rpartition(":")[2])
    client = client_of(wait_ms=LONG)
    one.start()
    with ThreadPoolExecutor(1) as pool:
        found = pool.submit(client.endpoint, "dga")
        until(waits(client, ("dga", None)))
        register(one.url)
        assert found.result().url == one.url


def test_a_call_without_a_version_uses_another_version_instead_of_waiting(model, register, client_of, registry):
    registry.desire("dga", "2.0", 1)
    one = model()
    one.start()
    gone = register("http://127.0.0.1:1", "2.0")
    registry.unregister("dga", "1")
    register(one.url, "1.0")
    assert client_of(wait_ms=LONG).apply(Chosen(gone), None, {"host": "abc"}) == {"score": 3}


# --- models that listen only at times


@pytest.mark.parametrize("pause", [0.0, 0.002, 0.02])
def test_a_model_that_listens_only_between_two_calls_serves_every_record(pause, model, register, client_of, registry):
    one = model(pause)
    register(one.url)
    one.start()
    client = client_of()
    context = Context({Registry: registry, ModelClient: client})
    records = [{"host": "x" * number} for number in range(70)]
    expression = "MAP_GET('score', MAAS_MODEL_APPLY(MAAS_GET_ENDPOINT('dga'), {'host': host}))"
    assert list(evaluate_many(expression, records, context, in_flight=64)) == [*range(70)]
    assert client.counters().failures == {}


@pytest.mark.parametrize("retries", [0, 1, 3])
def test_a_record_that_crashes_its_model_uses_up_its_retries(retries, model, register, client_of):
    one = model(crashes=lambda query: b"poison" in query)
    endpoint = register(one.url)
    one.start()
    client = client_of(wait_ms=LONG, retries=retries, hedge_ms=0)
    with pytest.raises(ModelUnavailable) as raised:
        client.apply(endpoint, None, {"host": "poison"})
    assert raised.value.reason in ("refused", "quarantined")
    assert 1 <= one.crashed <= retries + 1
    assert client.apply(endpoint, None, {"host": "abc"}) == {"score": 3}


def test_a_record_that_crashes_a_restarting_model_does_not_loop_forever(model, register, client_of):
    one = model(pause=0.02, crashes=lambda query: b"poison" in query)
    endpoint = register(one.url)
    one.start()
    client = client_of(wait_ms=LONG)
    with ThreadPoolExecutor(2) as pool:
        poison = pool.submit(client.apply, endpoint, None, {"host": "poison"})
        while not poison.done():  # other callers, which end the outage again and again
            client.apply(endpoint, None, {"host": "abc"})
        with pytest.raises(ModelUnavailable):
            poison.result()
    assert one.crashed <= 20


# --- one attempt at a time


def test_one_waiting_caller_retries_at_a_time(monkeypatch):
    monkeypatch.setattr("stellar.maas.client.outages.RETRY_SECONDS", 0.05)
    outages = Outages(60)
    turns = []

    def caller():
        turns.append(outages.wait(("dga", "1.0"), float("inf")))

    threads = [threading.Thread(target=caller) for _ in range(8)]
    for thread in threads:
        thread.start()
    until(lambda: turns)
    assert sum(thread.is_alive() for thread in threads) + len(turns) == 8
    outages.end(("dga", "1.0"))
    for thread in threads:
        thread.join(60)
    assert turns == [True] * 8


def test_an_outage_is_shared_by_calls_with_and_without_a_version():
    outages = Outages(0.1)
    while outages.wait(("dga", "1.0"), float("inf")):
        pass
    assert not outages.wait(("dga", None), float("inf"))


def test_versions_have_outages_of_their_own():
    outages = Outages(0.2)
    while outages.wait(("dga", "1.0"), float("inf")):
        pass
    assert outages.wait(("dga", "2.0"), float("inf"))
    assert outages.wait(("other", "1.0"), float("inf"))


def test_any_number_of_names_takes_bounded_memory(monkeypatch):
    monkeypatch.setattr("stellar.maas.client.outages.MAX_OUTAGES", 10)
    monkeypatch.setattr("stellar.maas.client.outages.RETRY_SECONDS", 0.0)
    outages = Outages(60)
    for number in range(100):
        assert outages.wait((f"made up {number}", "1.0"), float("inf"))
    assert len(outages._outages) == 10


def test_a_waiting_time_of_zero_switches_waiting_off():
    outages = Outages(0)
    assert not outages.wait(("dga", "1.0"), float("inf"))
    assert outages._outages == {}


def test_a_call_to_a_server_that_resets_every_connection_fails(register, client_of):
    """A firewall may accept connections, and reset them before it has read the request."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        accepted = []

        def reset_all():
            with suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    accepted.append(connection.getpeername())
                    # A connection that is closed with unread bytes, or without lingering, is reset
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                    connection.close()

        thread = threading.Thread(target=reset_all)
        thread.start()
        endpoint = register(f"http://127.0.0.1:{listening.getsockname()[1]}")
        client = client_of(wait_ms=300, retries=0)
        with pytest.raises(ModelUnavailable):
            client.apply(endpoint)
        assert 1 < len(accepted) < 100
        client.close()
        listening.shutdown(socket.SHUT_RDWR)
        thread.join(30)
