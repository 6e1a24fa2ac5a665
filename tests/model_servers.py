"""Models that respond over HTTP, for tests."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit


class ModelHandler(BaseHTTPRequestHandler):
    """Responds as a model, with invalid responses for some hosts."""

    protocol_version = "HTTP/1.1"
    odd: ClassVar = {
        "fails.com": (500, b"out of order"),
        "page.com": (200, b"<html>welcome</html>"),
        "list.com": (200, b'["malicious"]'),
    }

    def do_GET(self) -> None:
        host = parse_qs(urlsplit(self.path).query).get("host", [""])[0]
        result = "legit" if host in ("yahoo.com", "amazon.com") else "malicious"
        status, body = self.odd.get(host, (200, json.dumps({"is_malicious": result}).encode()))
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def serve_model() -> Iterator[str]:
    """Yield the URL of a running model."""
    with ThreadingHTTPServer(("127.0.0.1", 0), ModelHandler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()
