"""Serves Python functions as a model over HTTP, on a free port that it writes to endpoint.dat for the runner.

It needs only Python's standard library. Each model has its own copy, because a model is deployed as one directory.
"""

from __future__ import annotations

import inspect
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

ENDPOINT = Path("endpoint.dat")
Function = Callable[..., Mapping[str, Any]]


class Handler(BaseHTTPRequestHandler):
    """Responds to `GET /path?name=value` with the result of the function at the path, as JSON."""

    functions: Mapping[str, Function] = {}
    protocol_version = "HTTP/1.1"  # connections are reused
    disable_nagle_algorithm = True  # Nagle's algorithm would delay a response until the previous one is acknowledged
    wbufsize = -1  # sends header and body together
    timeout = 60

    def do_GET(self) -> None:
        path, query = urlsplit(self.path)[2:4]
        function = self.functions.get(path)
        if function is None:
            self.respond(
                HTTPStatus.NOT_FOUND, {"error": f"unknown path {path}; available: {', '.join(self.functions)}"}
            )
        else:
            self.respond(HTTPStatus.OK, function(**parse_parameters(function, query)))

    def respond(self, status: HTTPStatus, value: Mapping[str, Any]) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Log nothing: one line per request would fill the log."""


def parse_parameters(function: Function, query: str) -> dict[str, str]:
    """Return the parameters of a query that the function accepts; a name without a value means null and is omitted."""
    known = inspect.signature(function).parameters
    return {name: value for name, value in parse_qsl(query) if name in known}


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], OSError):  # a client that disconnects is not an error
            super().handle_error(request, client_address)


def serve(functions: Mapping[str, Function]) -> None:
    """Serve functions at their paths until SIGTERM or SIGINT."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    Handler.functions = functions
    try:
        host = os.environ.get("MODEL_HOST", "127.0.0.1")
        with Server((host, 0), Handler) as server:
            announce(f"http://{host}:{server.server_port}")
            server.serve_forever()
    except KeyboardInterrupt:
        pass
    finally:
        ENDPOINT.unlink(missing_ok=True)


def announce(url: str) -> None:
    """Write endpoint.dat atomically, so that the runner never reads an incomplete file."""
    draft = Path(f"{ENDPOINT}.{os.getpid()}")
    draft.write_text(json.dumps({"url": url}))
    draft.replace(ENDPOINT)
