"""The HTTP server of metrics and health: /metrics, /healthz and /readyz.

It runs in threads of its own, and requests nothing from the threads that work. A client that sends nothing, or reads
nothing, is disconnected after some seconds, and so many clients at once get the status 503.
"""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import monotonic
from types import TracebackType
from typing import Any, Self

from stellar.monitoring.address import ListenAddress
from stellar.monitoring.metrics import CONTENT_TYPE, Collect, FindProblem, render
from stellar.util.abbreviate import escape
from stellar.util.forks import reset_after_fork

log = logging.getLogger(__name__)

CLIENT_SECONDS = 10.0  # for a connection as a whole
_POLL_SECONDS = 0.25
_MOST_CONNECTIONS = 16
_TEXT = "text/plain; charset=utf-8"


def _is_fine() -> None:
    """Return None: there is no problem."""


class MonitoringServer:
    """Serves the metrics and the health of this process, until it is closed.

    collect: yields the samples; called in the threads of the server
    live: why the process should be restarted; None if it should not
    ready: why it cannot do its work now; None if it can
    labels: of all samples

    Raises OSError if the address cannot be used. The child of a fork closes its copy of the sockets.
    """

    def __init__(
        self,
        address: ListenAddress,
        collect: Collect,
        live: FindProblem = _is_fine,
        ready: FindProblem = _is_fine,
        labels: Mapping[str, str] | None = None,
    ) -> None:
        self._collect, self._labels = collect, labels
        self._problems = {"/healthz": live, "/readyz": ready}
        try:
            self._server = _LimitedServer(address, self._respond)
        except OSError as error:
            reason = error.strerror or str(error)
            raise OSError(f"cannot serve metrics on {address}: {reason}; choose another address") from error
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(_POLL_SECONDS,), name="metrics", daemon=True
        )
        self._thread.start()
        reset_after_fork(self)

    def after_fork(self) -> None:
        self._server.abandon()

    @property
    def address(self) -> ListenAddress:
        """The address, with the port that was chosen."""
        host, port = self._server.server_address[:2]
        return ListenAddress(str(host), int(port))

    def close(self) -> None:
        """End the server, and all connections."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _respond(self, path: str) -> tuple[int, str, bytes]:
        """Return status, content type and body of the response for a path."""
        if path == "/metrics":
            return 200, CONTENT_TYPE, render(self._collect(), self._labels)
        if (find := self._problems.get(path)) is None:
            return 404, _TEXT, b"not found; expected /metrics, /healthz or /readyz\n"
        problem = find()
        return (200, _TEXT, b"ok\n") if problem is None else (503, _TEXT, f"{problem}\n".encode("utf-8", "replace"))


_Respond = Callable[[str], tuple[int, str, bytes]]


class _LimitedServer(ThreadingHTTPServer):
    """A server with a limited number of connections, each for a limited time."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = _MOST_CONNECTIONS

    def __init__(self, address: ListenAddress, respond: _Respond) -> None:
        self.respond = respond
        if ":" in address.host:
            self.address_family = socket.AF_INET6
        self._opened: dict[Any, float] = {}
        self._lock = threading.Lock()
        super().__init__((address.host, address.port), _Handler)

    def server_bind(self) -> None:
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)  # that of the base class also looks up the name of the host
        self.server_address = self.socket.getsockname()

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            is_full = len(self._opened) >= _MOST_CONNECTIONS
            if not is_full:
                self._opened[request] = monotonic()
        if is_full:
            with suppress(OSError):
                request.sendall(b"HTTP/1.0 503 Service Unavailable\r\n\r\ntoo many connections; try again\n")
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._opened.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """End the connections that take too long; called several times a second."""
        if self._opened:
            oldest = monotonic() - CLIENT_SECONDS
            self._disconnect(lambda began: began < oldest)

    def _disconnect(self, is_ended: Callable[[float], bool]) -> None:
        with self._lock:
            ended = [request for request, began in self._opened.items() if is_ended(began)]
        for request in ended:
            with suppress(OSError):  # its own thread has closed it
                request.shutdown(socket.SHUT_RDWR)

    def server_close(self) -> None:
        super().server_close()
        self._disconnect(lambda began: True)

    def abandon(self) -> None:
        """Close the copies of the sockets in the child of a fork, which the parent continues to use."""
        self.socket.close()
        opened, self._opened = self._opened, {}
        for request in opened:
            request.close()
        self._lock = threading.Lock()

    def handle_error(self, request: Any, client_address: Any) -> None:
        log.warning("cannot respond to a request for metrics", exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    """Handles one request; the connection is closed after it."""

    server: _LimitedServer
    timeout = CLIENT_SECONDS
    server_version, sys_version = "stellar", ""

    def do_GET(self) -> None:
        with suppress(ConnectionError, TimeoutError):  # the client has gone
            self._send()

    do_HEAD = do_GET

    def _send(self) -> None:
        try:
            status, kind, body = self.server.respond(self.path.partition("?")[0])
        except Exception:
            log.exception("cannot collect metrics")
            status, kind, body = 500, _TEXT, b"cannot collect metrics; the log has the reason\n"
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def handle(self) -> None:
        with suppress(ConnectionError, TimeoutError):
            super().handle()

    def log_message(self, format: str, *values: Any) -> None:
        log.debug("%s", escape(format % values))
