"""Models for drills, each in a process of its own: `python -m drills.models KIND SECONDS [PORT]` prints its port.

A model answers {"host": <what it was asked>, "pid": …}, so a caller sees whether an answer is its own.
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


def response(request: bytes, status: str = "200 OK") -> bytes:
    """The response to a request, by HTTP/1.1."""
    query = urlsplit(request.split(b" ", 2)[1].decode()).query
    host = parse_qs(query).get("host", [""])[0]
    body = json.dumps({"host": host, "pid": os.getpid()}).encode()
    return b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (status.encode(), len(body), body)


class Concurrent(asyncio.Protocol):
    """Answers any number of requests at the same time, each after some seconds."""

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
            asyncio.get_running_loop().call_later(self._seconds, self.answer, request)

    def answer(self, request: bytes) -> None:
        self.transport.write(response(request))


class Lying(Concurrent):
    """Answers, and sends what nobody asked for: before, within and after its answers, and while nothing is asked."""

    earlier = b""

    def answer(self, request: bytes) -> None:
        own = response(request)
        write, later = self.transport.write, asyncio.get_running_loop().call_later
        lie = random.choice(("none",) * 6 + LIES)
        if lie == "twice":
            write(own + own)
        elif lie == "twice, in two writes":
            write(own)
            later(random.choice((0, 0.0005)), write, own)
        elif lie == "a timeout while idle":
            write(own)
            later(0, write, b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            later(0.0001, self.transport.close)
        elif lie == "garbage while idle":
            write(own)
            later(0, write, b"\x16\x03\x01 not HTTP")
        elif lie == "an earlier answer while idle" and Lying.earlier:
            write(own)
            later(0, write, Lying.earlier)
        elif lie == "more bytes than said":
            write(own + b" and more")
        elif lie == "closed without an answer":
            self.transport.close()
        elif lie == "closed within":
            write(own[: len(own) // 2])
            self.transport.close()
        elif lie == "interim responses":
            write(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 3 + own)
        else:
            write(own)
        Lying.earlier = own


LIES = (
    "twice",
    "twice, in two writes",
    "a timeout while idle",
    "garbage while idle",
    "an earlier answer while idle",
    "more bytes than said",
    "closed without an answer",
    "closed within",
    "interim responses",
)


def one_by_one(seconds: float, port: int) -> None:
    """A model of one thread: it answers one request after the other, on a connection each."""
    with socket.create_server(("127.0.0.1", port), backlog=128) as listening:
        print(listening.getsockname()[1], flush=True)
        while True:
            connection, _ = listening.accept()
            with connection, suppress(OSError):
                request = connection.recv(65_536)
                if request:
                    time.sleep(seconds)
                    connection.sendall(response(request).replace(b"\r\n", b"\r\nConnection: close\r\n", 1))


def between_calls(seconds: float, port: int) -> None:
    """A model like `nc -l` in a loop: it listens only between two calls."""
    while True:
        with socket.create_server(("127.0.0.1", port)) as listening:
            if not port:
                port = listening.getsockname()[1]
                print(port, flush=True)
            connection, _ = listening.accept()
        with connection, suppress(OSError):
            connection.sendall(response(connection.recv(65_536)).replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
        time.sleep(seconds)


async def _serve(kind: type[Concurrent], seconds: float, port: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: kind(seconds), "127.0.0.1", port, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


class Model:
    """A model in a process of its own."""

    def __init__(self, kind: str = "concurrent", seconds: float = 0.0, port: int = 0) -> None:
        command = [sys.executable, "-m", "drills.models", kind, str(seconds), str(port)]
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())
        self.url = f"http://127.0.0.1:{self.port}"

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.process.pid, number)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@contextmanager
def models(count: int, kind: str = "concurrent", seconds: float = 0.0) -> Iterator[list[Model]]:
    """So many models, which end with this."""
    started: list[Model] = []
    try:
        for _ in range(count):
            started.append(Model(kind, seconds))
        yield started
    finally:
        for each in started:
            each.close()


def main(kind: str, seconds: float, port: int) -> None:
    if kind == "one by one":
        one_by_one(seconds, port)
    elif kind == "between calls":
        between_calls(seconds, port)
    else:
        asyncio.run(_serve({"concurrent": Concurrent, "lying": Lying}[kind], seconds, port))


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), int(sys.argv[3]))
