"""Models for drills, each in a process of its own: `python -m drills.models KIND SECONDS [PORT]` prints its port.

A model responds with {"host": <the requested host>, "pid": …}, so a caller can check that a response is its own.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

ROOT = Path(__file__).parents[1]


def encode_response(request: bytes, status: str = "200 OK") -> bytes:
    """Return the HTTP/1.1 response to a request."""
    query = urlsplit(request.split(b" ", 2)[1].decode()).query
    host = parse_qs(query).get("host", [""])[0]
    body = json.dumps({"host": host, "pid": os.getpid()}).encode()
    return b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (status.encode(), len(body), body)


class Concurrent(asyncio.Protocol):
    """A model that serves any number of concurrent requests, each after some seconds."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            request, self._received = self._received[:end], self._received[end + 4 :]
            asyncio.get_running_loop().call_later(self._seconds, self.respond, request)

    def respond(self, request: bytes) -> None:
        """Send the response to a request."""
        self.transport.write(encode_response(request))


class Failing(Concurrent):
    """A model that is ready, and responds to each request with status 500."""

    def respond(self, request: bytes) -> None:
        self.transport.write(encode_response(request, "500 Internal Server Error"))


class Hanging(Concurrent):
    """A model that is ready, and never responds."""

    def respond(self, request: bytes) -> None:
        """Ignore the request."""


class Faulty(Concurrent):
    """A model that also sends stray bytes: before, within and after its responses, and on idle connections."""

    earlier = b""

    def respond(self, request: bytes) -> None:
        own = encode_response(request)
        write, later = self.transport.write, asyncio.get_running_loop().call_later
        fault = random.choice(("none",) * 6 + FAULTS)
        if fault == "twice":
            write(own + own)
        elif fault == "twice, in two writes":
            write(own)
            later(random.choice((0, 0.0005)), write, own)
        elif fault == "a timeout while idle":
            write(own)
            later(0, write, b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            later(0.0001, self.transport.close)
        elif fault == "garbage while idle":
            write(own)
            later(0, write, b"\x16\x03\x01 not HTTP")
        elif fault == "an earlier response while idle" and Faulty.earlier:
            write(own)
            later(0, write, Faulty.earlier)
        elif fault == "surplus bytes":
            write(own + b" and more")
        elif fault == "closed without a response":
            self.transport.close()
        elif fault == "closed within":
            write(own[: len(own) // 2])
            self.transport.close()
        elif fault == "interim responses":
            write(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 3 + own)
        else:
            write(own)
        Faulty.earlier = own


FAULTS = (
    "twice",
    "twice, in two writes",
    "a timeout while idle",
    "garbage while idle",
    "an earlier response while idle",
    "surplus bytes",
    "closed without a response",
    "closed within",
    "interim responses",
)


def serve_sequentially(seconds: float, port: int) -> None:
    """Serve one request after the other, each on a connection of its own, like a single-threaded model."""
    with socket.create_server(("127.0.0.1", port), backlog=128) as listening:
        print(listening.getsockname()[1], flush=True)
        while True:
            connection, _ = listening.accept()
            with connection, suppress(OSError):
                request = connection.recv(65_536)
                if request:
                    time.sleep(seconds)
                    connection.sendall(encode_response(request).replace(b"\r\n", b"\r\nConnection: close\r\n", 1))


def serve_between_calls(seconds: float, port: int) -> None:
    """Listen only between two calls, like `nc -l` in a loop."""
    while True:
        with socket.create_server(("127.0.0.1", port)) as listening:
            if not port:
                port = listening.getsockname()[1]
                print(port, flush=True)
            connection, _ = listening.accept()
        with connection, suppress(OSError):
            connection.sendall(
                encode_response(connection.recv(65_536)).replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
            )
        time.sleep(seconds)


async def _serve(kind: type[Concurrent], seconds: float, port: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: kind(seconds), "127.0.0.1", port, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


class Model:
    """A model in a process of its own.

    kind: "concurrent", "faulty", "one by one" or "between calls"
    seconds: time for each request
    """

    def __init__(self, kind: str = "concurrent", seconds: float = 0.0, port: int = 0) -> None:
        command = [sys.executable, "-m", "drills.models", kind, str(seconds), str(port)]
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())
        self.url = f"http://127.0.0.1:{self.port}"

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process."""
        os.kill(self.process.pid, number)

    def close(self) -> None:
        """Kill the process."""
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@contextmanager
def models(count: int, kind: str = "concurrent", seconds: float = 0.0) -> Iterator[list[Model]]:
    """Start a number of models; kill them at the end of the block."""
    started: list[Model] = []
    try:
        for _ in range(count):
            started.append(Model(kind, seconds))
        yield started
    finally:
        for each in started:
            each.close()


def main(kind: str, seconds: float, port: int) -> None:
    """Serve a model of a kind; print its port."""
    if kind == "one by one":
        serve_sequentially(seconds, port)
    elif kind == "between calls":
        serve_between_calls(seconds, port)
    else:
        asyncio.run(_serve({"concurrent": Concurrent, "faulty": Faulty}[kind], seconds, port))


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), int(sys.argv[3]))
