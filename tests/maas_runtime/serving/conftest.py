"""Fixtures: servers of a small model, in this process and in their own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

import maas_runtime
from tests.models.sample_model import DOCUMENT

PACKAGES = Path(maas_runtime.__file__).parents[1]


class RunningServer(NamedTuple):
    """A server in a process of its own.

    folder: its working directory
    """

    process: subprocess.Popen[bytes]
    folder: Path
    url: str

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def connect(self) -> socket.socket:
        """Return a connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)

    def send(self, data: bytes) -> tuple[int, dict[str, str], bytes]:
        """Send bytes on a new connection. Return status, headers (lowercase) and body of the first response."""
        with self.connect() as connection:
            connection.sendall(data)
            return read_response(connection)

    def get(self, target: str, *headers: str) -> tuple[int, object]:
        """Return the status and the JSON of the response to a GET."""
        lines = [f"GET {target} HTTP/1.1", "Host: a", *headers]
        status, _, body = self.send("\r\n".join([*lines, "", ""]).encode())
        return status, json.loads(body)

    def post(self, target: str, body: bytes, *headers: str) -> tuple[int, object]:
        """Return the status and the JSON of the response to a POST."""
        lines = [f"POST {target} HTTP/1.1", "Host: a", f"Content-Length: {len(body)}", *headers]
        status, _, answer = self.send("\r\n".join([*lines, "", ""]).encode() + body)
        return status, json.loads(answer)


def read_response(connection: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """Return status, headers and body of the next response on a connection."""
    data = b""
    while b"\r\n\r\n" not in data:
        received = connection.recv(65_536)
        assert received, f"the connection was closed after {data!r}"
        data += received
    head, _, body = data.partition(b"\r\n\r\n")
    line, *lines = head.decode("ascii").split("\r\n")
    headers = {name.lower(): value for name, _, value in (each.partition(": ") for each in lines)}
    while len(body) < int(headers["content-length"]):
        body += connection.recv(65_536)
    return int(line.split(" ")[1]), headers, body


@contextmanager
def start_server(
    folder: Path,
    *arguments: str,
    command: tuple[str, ...] = (sys.executable, "-m", "maas_runtime.serving"),
    **more: str,
) -> Iterator[RunningServer]:
    """Run a server with its working directory in a folder, until the context is left."""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(PACKAGES), **more}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([*command, *arguments], cwd=folder, env=environment, stderr=log)
    try:
        endpoint = folder / "endpoint.dat"
        deadline = time.monotonic() + 60
        while not endpoint.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        assert endpoint.exists(), (folder / "log").read_text()
        yield RunningServer(process, folder, json.loads(endpoint.read_bytes())["url"])
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        finally:
            process.kill()


@pytest.fixture
def model_folder(tmp_path: Path) -> Path:
    """A folder with a model."""
    (tmp_path / "model.pmml").write_bytes(DOCUMENT)
    return tmp_path


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server that the tests of a module share."""
    folder = tmp_path_factory.mktemp("served")
    (folder / "model.pmml").write_bytes(DOCUMENT)
    with start_server(folder, ".") as running:
        yield running
