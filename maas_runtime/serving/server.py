"""The server of one model: it loads and verifies the model, listens, and writes `endpoint.dat`."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import logging
import os
import resource
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from maas_runtime.serving.connections import ModelConnection
from maas_runtime.serving.detection import DetectedModel
from maas_runtime.serving.errors import ServingError
from maas_runtime.serving.http import ServedReply
from maas_runtime.serving.metrics import ServingCounters
from maas_runtime.serving.routes import ServingRoutes, read_document
from maas_runtime.serving.schema import describe_interface, describe_model
from maas_runtime.serving.tasks import RecordScorer
from maas_runtime.serving.verification import load_verified, read_content
from maas_runtime.serving.work_queue import MOST, WorkQueue
from stellar.maas.schema import Endpoint
from stellar.models.scoring import ScoringModel
from stellar.monitoring.address import ListenAddress
from stellar.monitoring.metrics import CONTENT_TYPE, render
from stellar.util.atomic_files import replace_content

log = logging.getLogger(__name__)

FUNCTIONS = {"apply": "apply", "batch": "batch"}
CONNECTIONS = 1000
BACKLOG = 512
DRAIN_SECONDS = 5.0
_SPARE_FILES = 64  # that the process opens beside its connections
_CHECK_SECONDS = 1.0  # between checks of the connections


@dataclass(frozen=True)
class ServedModel:
    """A model file that was loaded, verified and compiled.

    digest: SHA-256 of the file
    """

    found: DetectedModel
    digest: str
    model: ScoringModel


def load_served_model(found: DetectedModel) -> ServedModel:
    """Load the model of a file, score its verification records, and compile it.

    Raise ServingError, with the element and line at fault, if it cannot be served.
    """
    data = read_content(found)
    model = load_verified(found, data)
    model.compile()  # now, as it would delay the requests at that time
    return ServedModel(found, hashlib.sha256(data).hexdigest(), model)


class ModelServer:
    """The HTTP server of a model.

    most_waiting: requests that may wait to be scored
    is_ending: True once the server accepts no further requests
    """

    def __init__(self, served: ServedModel, most_waiting: int = MOST) -> None:
        self.served = served
        self.counters = ServingCounters()
        self.queue = WorkQueue(most_waiting)
        self.connections: set[ModelConnection] = set()
        self.most_connections = _limit_connections()
        self.is_ending = False
        name, kind = served.found.file.name, served.found.kind
        documents = {
            "/schema": read_document(describe_model(served.model, name, kind, served.digest)),
            "/openapi.json": read_document(describe_interface(served.model, name)),
            "/health": self._report_health,
            "/metrics": self._report_metrics,
        }
        self.routes = ServingRoutes(RecordScorer(served.model, self.counters), documents)

    def _report_health(self) -> ServedReply:
        if self.is_ending:
            return ServedReply(503, b'{"status":"ending"}')
        return ServedReply(200, b'{"status":"ok"}')

    def _report_metrics(self) -> ServedReply:
        samples = self.counters.collect(self.queue.__len__, self.connections.__len__)
        return ServedReply(200, render(samples), CONTENT_TYPE)

    async def run(self, listener: socket.socket, on_ready: Callable[[], None]) -> None:
        """Serve until SIGTERM or SIGINT; then finish the requests that have arrived.

        on_ready: called when the server accepts connections
        """
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        server = await loop.create_server(lambda: ModelConnection(self), sock=listener, backlog=BACKLOG)
        checks = asyncio.create_task(self._check_connections())
        try:
            on_ready()
            await stop.wait()
        finally:
            server.close()
            await self._drain()
            checks.cancel()

    async def _check_connections(self) -> None:
        while True:
            await asyncio.sleep(_CHECK_SECONDS)
            now = monotonic()
            for connection in tuple(self.connections):
                connection.check_time(now)

    async def _drain(self) -> None:
        self.is_ending = True
        until = monotonic() + DRAIN_SECONDS
        while self.connections and monotonic() < until:
            for connection in tuple(self.connections):
                connection.end_if_idle()
            await asyncio.sleep(0.02)
        for connection in tuple(self.connections):
            connection.abort()
        await asyncio.sleep(0)  # for the transports to close


def _limit_connections() -> int:
    """Return the number of connections that the limit of open files leaves room for, after raising that limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = CONNECTIONS + _SPARE_FILES
    if soft != resource.RLIM_INFINITY and soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return CONNECTIONS if soft == resource.RLIM_INFINITY else max(1, min(CONNECTIONS, soft - _SPARE_FILES))


def open_listener(address: ListenAddress) -> socket.socket:
    """Return a listening socket. Raise ServingError if the address cannot be used."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    try:
        return socket.create_server((address.host, address.port), family=family, backlog=BACKLOG)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ServingError(
            f"cannot listen on {address}: {reason}; choose another address with --host or --port"
        ) from None


def serve_model(
    found: DetectedModel, address: ListenAddress, endpoint_file: Path | None = None, most_waiting: int = MOST
) -> None:
    """Serve the model of a file until SIGTERM or SIGINT.

    address: port 0 for any free port
    endpoint_file: receives the URL and the functions once the model can be called; None for no file

    Raise ServingError if the model or the address cannot be used, OSError if the endpoint file cannot be written.
    """
    server = ModelServer(load_served_model(found), most_waiting)
    listener = open_listener(address)
    url = f"http://{ListenAddress(address.host or '0.0.0.0', listener.getsockname()[1])}"

    def announce() -> None:
        if endpoint_file is not None:
            replace_content(os.fspath(endpoint_file), Endpoint(url=url, functions=FUNCTIONS).to_json())
        log.info("serving %s at %s", found.file.name, url)

    gc.collect()
    gc.freeze()  # the objects of the model live as long as the process
    asyncio.run(server.run(listener, announce))
    log.info("ended")
