"""Serves Python functions as a model: over HTTP, on a free port of this machine, told to the runner in endpoint.dat.

It needs nothing but Python, and stands whole in each model's folder, for a model takes along all that it needs.
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
    """Answers `GET /path?name=value` with what the path's function gives for the parameters it knows, as JSON."""

    functions: Mapping[str, Function] = {}
    protocol_version = "HTTP/1.1"  # connections are kept
    disable_nagle_algorithm = True  # or an answer waits until the client's system has confirmed the one before
    wbufsize = -1  # head and body leave together
    timeout = 60

    def do_GET(self) -> None:
        path, query = urlsplit(self.path)[2:4]
        function = self.functions.get(path)
        if function is None:
            self.answer(HTTPStatus.NOT_FOUND, {"error": f"there is no {path}; there is {', '.join(self.functions)}"})
        else:
            self.answer(HTTPStatus.OK, function(**parameters(function, query)))

    def answer(self, status: HTTPStatus, value: Mapping[str, Any]) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Be silent: a line for each request would fill the log."""


def parameters(function: Function, query: str) -> dict[str, str]:
    """The query's parameters that the function takes; a bare name, which is how null is sent, is left out."""
    known = inspect.signature(function).parameters
    return {name: value for name, value in parse_qsl(query) if name in known}


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], OSError):  # a client that went away is nobody's fault
            super().handle_error(request, client_address)


def serve(functions: Mapping[str, Function]) -> None:
    """Serve functions by their paths until TERM comes, or INT."""
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
    """Write endpoint.dat so that nobody reads half of it."""
    draft = Path(f"{ENDPOINT}.{os.getpid()}")
    draft.write_text(json.dumps({"url": url}))
    draft.replace(ENDPOINT)
