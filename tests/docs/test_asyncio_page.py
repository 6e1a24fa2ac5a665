"""The program that docs/models/asyncio.md shows runs, with concurrent requests to a real model."""

from __future__ import annotations

import asyncio
import json
import re
import sys
import threading
import types
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from stellar.maas import FileRegistry, Model, ServiceInstance
from stellar.maas.schema import Endpoint

PAGE = Path(__file__).parents[2] / "docs/models/asyncio.md"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        (host,) = parse_qs(urlsplit(self.path).query)["host"]
        body = json.dumps({"is_malicious": f"verdict on {host}"}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


class Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[types.ModuleType]:
    """The module `scoring` of the page, beside a registry with a model."""
    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("MAAS_HOME", str(tmp_path))
    source = next(
        block for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL) if "FastAPI" in block
    )
    module = types.ModuleType("scoring")
    monkeypatch.setitem(sys.modules, "scoring", module)
    exec(compile(source, "scoring.py", "exec"), module.__dict__)
    with FileRegistry(tmp_path) as registry:
        endpoint = Endpoint(url=f"http://127.0.0.1:{server.server_port}")
        registry.register(ServiceInstance.of(Model("dga", "1.0"), "1", endpoint))
        yield module
    server.shutdown()
    server.server_close()
    thread.join()


def test_each_request_gets_the_verdict_on_its_own_host(program: types.ModuleType) -> None:
    async def main() -> list[dict[str, str]]:
        async with (
            program.app.router.lifespan_context(program.app),
            httpx.AsyncClient(transport=httpx.ASGITransport(program.app), base_url="http://test") as client,
        ):
            calls = (client.get("/verdict", params={"host": f"h{number}.com"}) for number in range(100))
            return [response.json() for response in await asyncio.gather(*calls)]

    expected = [{"host": f"h{number}.com", "verdict": f"verdict on h{number}.com"} for number in range(100)]
    assert asyncio.run(main()) == expected
