"""The server of the alerts page."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from stellar.web.alerts.pages import Site, make_app


def make_server(site: Site) -> uvicorn.Server:
    """Return a server of the pages, for a socket that `open_listener` returns."""
    return uvicorn.Server(
        uvicorn.Config(
            make_app(site),
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,  # the address of the client is that of the connection, not that in a header
            limit_concurrency=200,
            timeout_keep_alive=20,
            timeout_graceful_shutdown=5,
            lifespan="off",
            ws="none",
        )
    )


@contextmanager
def stop_by_signals(server: uvicorn.Server) -> Iterator[None]:
    """End the server, not the process, at SIGINT and SIGTERM, also before it serves.

    uvicorn handles these signals itself while it serves, and raises them again afterwards.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_: object) -> None:
        server.should_exit = True

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def open_listener(host: str, port: int) -> socket.socket:
    """Return a socket that listens on an address. Raises OSError with the fix."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=200)
    except OSError as error:
        reason = error.strerror or error
        raise OSError(f"cannot listen on {host}:{port}: {reason}; pass another --listen HOST:PORT") from error


def format_url(site: Site, listener: socket.socket) -> str:
    """Return the URL of the list of alerts."""
    name, port = listener.getsockname()[:2]
    return f"http://{f'[{name}]' if ':' in name else name}:{port}{site.root}/"
