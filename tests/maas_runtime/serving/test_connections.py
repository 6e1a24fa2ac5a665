"""Connections: keep-alive, pipelining, slow and hostile clients, and the bounded queue."""

from __future__ import annotations

import asyncio
import json
import socket
import time

import pytest

from maas_runtime.serving.connections import IDLE_SECONDS, REQUEST_SECONDS, ModelConnection
from maas_runtime.serving.detection import find_model
from maas_runtime.serving.server import ModelServer, load_served_model
from maas_runtime.serving.tasks import BatchTask, read_body
from tests.maas_runtime.serving.conftest import read_response
from tests.models.sample_model import DOCUMENT

GET = b"GET /apply?x=1&n=2&tld=ru HTTP/1.1\r\nHost: a\r\n\r\n"
HEALTH = b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n"
BATCH = json.dumps([{"x": 1}] * 2000).encode()


def post(body: bytes, *, path: bytes = b"/batch", length: int | None = None, headers: bytes = b"") -> bytes:
    given = len(body) if length is None else length
    return b"POST %b HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n%b\r\n%b" % (path, given, headers, body)


def read_all(connection: socket.socket) -> bytes:
    return connection.makefile("rb").read()


def test_a_connection_is_kept_alive(server):
    with server.connect() as connection:
        for _ in range(3):
            connection.sendall(GET)
            assert read_response(connection)[0] == 200


def test_pipelined_requests_get_their_responses_in_order(server):
    requests = [GET, HEALTH, post(BATCH), b"GET /none HTTP/1.1\r\nHost: a\r\n\r\n", GET.replace(b"x=1", b"x=2"), HEALTH]
    with server.connect() as connection:
        connection.sendall(b"".join(requests) * 20 + GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        answers = read_all(connection)
    bodies = [answer.partition(b"\r\n\r\n")[2] for answer in answers.split(b"HTTP/1.1 ")[1:]]
    assert len(bodies) == 121
    for begin in range(0, 120, 6):
        first, health, batch, unknown, second, last = map(json.loads, bodies[begin : begin + 6])
        assert (first["y"], second["y"], len(batch)) == (5.0, 7.0, 2000)
        assert health == last == {"status": "ok"}
        assert "unknown path" in unknown["error"]


@pytest.mark.parametrize("old", [b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n", b" HTTP/1.0\r\n"])
def test_a_connection_is_closed_after_the_response_if_the_client_does_not_keep_it(server, old):
    with server.connect() as connection:
        connection.sendall(GET.replace(b" HTTP/1.1\r\nHost: a\r\n", old))
        assert read_all(connection).startswith(b"HTTP/1.1 200 OK\r\n")


def test_a_client_that_closes_its_side_gets_its_response(server):
    with server.connect() as connection:
        connection.sendall(post(BATCH))
        connection.shutdown(socket.SHUT_WR)
        assert len(json.loads(read_all(connection).partition(b"\r\n\r\n")[2])) == 2000


def test_a_client_that_awaits_an_interim_response_gets_one(server):
    with server.connect() as connection:
        connection.sendall(post(b"", length=2, headers=b"Expect: 100-continue\r\n"))
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"[]")
        assert read_response(connection)[::2] == (200, b"[]")


HOSTILE = {
    "10 MB of headers": (b"GET /apply HTTP/1.1\r\n" + b"A: " + b"a" * 10_000_000, 431),
    "many headers": (b"GET /apply HTTP/1.1\r\nHost: a\r\n" + b"A: b\r\n" * 1000 + b"\r\n", 431),
    "a body of 10 MB": (post(b"a" * 10_000_000), 413),
    "chunks": (post(b"", headers=b"Transfer-Encoding: chunked\r\n") + b"5\r\nhello\r\n0\r\n\r\n", 400),
    "no HTTP": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    "another type": (post(b"a=1", headers=b"Content-Type: application/x-www-form-urlencoded\r\n"), 415),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_client_gets_the_reason_and_others_are_served(server, case):
    data, status = HOSTILE[case]
    with server.connect() as connection:
        try:
            connection.sendall(data)
        except (BrokenPipeError, ConnectionResetError):  # it was closed while the client was still sending
            assert len(data) > 1_000_000
        else:
            got, _, body = read_response(connection)
            assert got == status
            assert json.loads(body)["error"]
    assert server.get("/health") == (200, {"status": "ok"})


def test_bytes_after_a_short_length_are_another_request(server):
    with server.connect() as connection:
        connection.sendall(post(b"[]x", length=2))
        assert read_response(connection)[::2] == (200, b"[]")
        connection.sendall(b"\r\n\r\n")
        assert read_response(connection)[0] == 400
        assert connection.recv(100) == b""


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"a": ' * 200_000 + b"1" + b"}" * 200_000, "nested too deeply"),
        (b"\xef\xbb\xbf{}", "Expecting value"),
        (b'"' + b"\\ud800" + b'"', None),
        (b"1" * 100_000, "digits"),
        (b"", "Expecting value"),
    ],
    ids=range(5),
)
def test_hostile_json_is_an_error_or_a_value(body, reason):
    if reason is None:
        assert read_body(body) == "\ud800"
        return
    with pytest.raises(ValueError, match=reason):
        read_body(body)


# -- Limits, in this process ------------------------------------------------------------------------------------------


@pytest.fixture
def model_server(tmp_path):
    (tmp_path / "model.pmml").write_bytes(DOCUMENT)
    return ModelServer(load_served_model(find_model(tmp_path)), most_waiting=2)


async def listen(server):
    loop = asyncio.get_running_loop()
    listener = await loop.create_server(lambda: ModelConnection(server), "127.0.0.1", 0)
    return listener, listener.sockets[0].getsockname()[1]


async def request(port, data):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.rpartition(b"Content-Length: ")[2])
    body = await reader.readexactly(length)
    return head, body, reader, writer


def test_a_full_queue_refuses_at_once_and_in_the_way_that_the_caller_understands(model_server):
    async def run():
        listener, port = await listen(model_server)
        strict = GET.replace(b"\r\n\r\n", b"\r\nPrefer: handling=strict\r\n\r\n")
        queue = model_server.queue
        queue._is_scheduled = True  # no turn is taken meanwhile
        waiting = [asyncio.create_task(request(port, GET)) for _ in range(2)]
        while len(queue) < 2:
            await asyncio.sleep(0.01)
        refused = await request(port, strict)
        lenient = await request(port, GET)
        batch = await request(port, post(b"[]"))
        healthy = await request(port, HEALTH)
        queue._schedule()
        scored = await asyncio.gather(*waiting)
        again = await request(port, strict)
        for _, _, _, writer in (refused, lenient, batch, healthy, *scored, again):
            writer.close()
        listener.close()
        return refused, lenient, batch, healthy, scored, again

    refused, lenient, batch, healthy, scored, again = asyncio.run(run())
    message = {"error": "2 requests are waiting; try again later"}
    for head, body, *_ in (refused, batch):
        assert head.startswith(b"HTTP/1.1 503 ")
        assert b"\r\nRetry-After: 1\r\n" in head
        assert json.loads(body) == message
    assert lenient[0].startswith(b"HTTP/1.1 200 ")
    assert json.loads(lenient[1]) == message
    assert healthy[0].startswith(b"HTTP/1.1 200 ")
    assert all(json.loads(body)["y"] == 5.0 for _, body, *_ in (*scored, again))
    assert model_server.counters.records == {"ok": 3, "invalid": 0, "declined": 0, "failed": 0, "busy": 3}


def test_a_request_that_waited_too_long_is_refused(model_server):
    async def run():
        listener, port = await listen(model_server)
        model_server.queue._seconds = -1.0
        head, body, _, writer = await request(port, GET.replace(b"\r\n\r\n", b"\r\nPrefer: handling=strict\r\n\r\n"))
        writer.close()
        listener.close()
        return head, body

    head, body = asyncio.run(run())
    assert head.startswith(b"HTTP/1.1 503 ")
    assert b"\r\nPreference-Applied: handling=strict\r\n" in head
    assert json.loads(body) == {"error": "not scored within -1 s; try again later"}


def test_an_error_of_the_program_fails_its_record_only(model_server, monkeypatch, caplog):
    score = model_server.served.model.score
    monkeypatch.setattr(model_server.served.model, "score", lambda record: 1 / 0 if record["x"] == 3 else score(record))

    async def run():
        listener, port = await listen(model_server)
        *_, body, _, writer = await request(port, post(b'[{"x": 1}, {"x": 3}, {"x": 2}]'))
        writer.close()
        listener.close()
        return json.loads(body)

    first, failed, last = asyncio.run(run())
    assert (first["y"], last["y"]) == (10.0, 12.0)
    assert failed == {"error": "internal error; the log of the model has the reason"}
    assert "ZeroDivisionError" in caplog.text


def test_an_error_of_the_program_closes_its_connection_only(model_server, monkeypatch, caplog):
    monkeypatch.setattr(BatchTask, "advance", lambda self, until: 1 / 0)

    async def run():
        listener, port = await listen(model_server)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(post(b"[]"))
        failed = await reader.read()
        *_, body, _, other = await request(port, GET)
        for each in (writer, other):
            each.close()
        listener.close()
        return failed, json.loads(body)

    failed, result = asyncio.run(run())
    assert failed == b""
    assert result["y"] == 5.0
    assert "ZeroDivisionError" in caplog.text


def test_a_connection_beyond_the_limit_gets_the_reason(model_server):
    async def run():
        listener, port = await listen(model_server)
        model_server.most_connections = 1
        _, _, _, first = await request(port, HEALTH)
        head, _, reader, second = await request(port, b"")
        closed = await reader.read()
        for writer in (first, second):
            writer.close()
        listener.close()
        return head, closed

    head, closed = asyncio.run(run())
    assert head.startswith(b"HTTP/1.1 503 ")
    assert b"Connection: close" in head
    assert closed == b""


@pytest.mark.parametrize(
    ("data", "seconds", "status"),
    [
        (b"", IDLE_SECONDS, b""),
        (b"GET /apply HTTP/1.1\r\nHost: a\r\n", REQUEST_SECONDS, b"408"),
        (post(b"[", length=2), REQUEST_SECONDS, b"408"),
        (HEALTH, IDLE_SECONDS, b"200"),
    ],
    ids=["nothing", "half a head", "half a body", "after a response"],
)
def test_a_slow_client_is_disconnected(model_server, data, seconds, status):
    async def run():
        listener, port = await listen(model_server)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(data)
        await asyncio.sleep(0.2)
        (connection,) = model_server.connections
        connection.check_time(time.monotonic() + seconds - 1)
        assert not connection._transport.is_closing()
        connection.check_time(time.monotonic() + seconds)
        received = await reader.read()
        writer.close()
        listener.close()
        return received

    assert asyncio.run(run())[9:12] == status
