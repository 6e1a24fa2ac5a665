"""A server with the protocol of Redis, started once for the tests of stores."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from engines.daemon import free_ports

SECONDS = 60.0


@dataclass
class RedisServer:
    """A running redis-server on loopback, without files."""

    process: subprocess.Popen[bytes]
    port: int

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(SECONDS)


def start_redis(directory: Path, *options: str, port: int | None = None) -> RedisServer:
    """Start a redis-server, on a free port by default, and wait until it accepts connections."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.fail("redis-server not found; run scripts/engines to install it")
    port = port or free_ports(1)[0]
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(directory), *options]
    server = RedisServer(subprocess.Popen(command, stdout=subprocess.DEVNULL), port)
    deadline = time.monotonic() + SECONDS
    while not _accepts_connections(port):
        assert server.process.poll() is None, "redis-server has ended"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return server


def _accepts_connections(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


@pytest.fixture(scope="session")
def running_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = start_redis(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


@pytest.fixture
def redis_server(running_redis: RedisServer) -> RedisServer:
    """The running server, without data."""
    import redis

    with redis.Redis.from_url(running_redis.url) as client:
        client.flushall()
    return running_redis
