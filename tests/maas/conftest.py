"""Fixtures: models as small HTTP servers on loopback, registries and instances."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from stellar.maas.registries.memory import MemoryRegistry
from stellar.maas.schema import Endpoint, Model, ServiceInstance


class Server(ThreadingHTTPServer):
    request_queue_size = 256  # concurrent connections


class ModelServer:
    """A server whose behaviour is a function of the request; `paths` records the requests."""

    def __init__(self, behaviour: Callable[[BaseHTTPRequestHandler], None]) -> None:
        self.paths: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.connections: set[int] = set()
        paths, headers, connections = self.paths, self.headers, self.connections

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # headers and body in one packet

            def do_GET(self) -> None:
                paths.append(self.path)
                connections.add(self.client_address[1])
                headers.append({name.lower(): value for name, value in self.headers.items()})
                behaviour(self)

            def log_message(self, *_: Any) -> None:
                """Log nothing."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign] - clients may disconnect
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def respond(status: int = 200, body: bytes = b'{"is_malicious": "legit"}', **headers: str) -> Callable[..., None]:
    def behaviour(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    return behaviour


def echo(handler: BaseHTTPRequestHandler) -> None:
    """Respond with the path and query of the request, as received."""
    path, _, query = handler.path.partition("?")
    respond(body=json.dumps({"path": path, "query": query}).encode())(handler)


@pytest.fixture
def serve() -> Iterator[Callable[..., ModelServer]]:
    """Return a function that starts a model: `serve(respond(500))`."""
    servers: list[ModelServer] = []

    def start(behaviour: Callable[[BaseHTTPRequestHandler], None] | None = None) -> ModelServer:
        servers.append(ModelServer(behaviour or respond()))
        return servers[-1]

    start.respond, start.echo = respond, echo  # type: ignore[attr-defined]
    yield start
    for server in servers:
        server.close()


def instance(name: str, version: str, id: str, url: str, **options: Any) -> ServiceInstance:
    return ServiceInstance.of(Model(name, version), id, Endpoint(url=url), **options)


@pytest.fixture
def make_instance() -> Callable[..., ServiceInstance]:
    return instance


@pytest.fixture
def registry() -> Iterator[MemoryRegistry]:
    with MemoryRegistry() as registry:
        yield registry


def wait_for(condition: Callable[[], Any], seconds: float = 60.0) -> Any:
    """Return the result of a condition as soon as it is true."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "the condition was not met in time"
        time.sleep(0.01)
    return found


@pytest.fixture
def eventually() -> Callable[..., Any]:
    return wait_for
