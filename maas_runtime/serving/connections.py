"""Connections of clients: requests in, responses out in their order, within limits of time."""

from __future__ import annotations

import asyncio
from math import inf
from time import monotonic
from typing import Protocol

from maas_runtime.serving.http import (
    CONTINUE,
    MAX_BODY,
    MAX_HEAD,
    HttpError,
    RequestParser,
    ServedReply,
    ServedRequest,
    encode_reply,
)
from maas_runtime.serving.metrics import ServingCounters
from maas_runtime.serving.routes import ServingRoutes
from maas_runtime.serving.tasks import make_error
from maas_runtime.serving.work_queue import WorkQueue

IDLE_SECONDS = 120.0  # between requests
REQUEST_SECONDS = 10.0  # for a request to arrive completely
READ_SECONDS = 30.0  # for a client to read its responses
LINGER_SECONDS = 2.0  # for a client to read the reason, while it is still sending
MOST_TOGETHER = 64  # responses to pipelined requests that are sent together
MOST_BUFFERED = MAX_HEAD + MAX_BODY


class ServerState(Protocol):
    """The state that all connections of a server share.

    is_ending: no further requests are accepted
    """

    routes: ServingRoutes
    queue: WorkQueue
    counters: ServingCounters
    connections: set[ModelConnection]
    most_connections: int
    is_ending: bool


class ModelConnection(asyncio.Protocol):
    """A connection of a client. One of its requests at a time is scored; pipelined ones wait in its buffer.

    is_lost: True once it is closed
    """

    __slots__ = (
        "_ended_by_client",
        "_is_blocked",
        "_is_closing",
        "_is_reading",
        "_out",
        "_parser",
        "_request",
        "_server",
        "_transport",
        "_until",
        "is_lost",
    )

    _transport: asyncio.Transport

    def __init__(self, server: ServerState) -> None:
        self._server = server
        self._parser = RequestParser()
        self._request: ServedRequest | None = None  # that waits for its response
        self._out: list[bytes] = []
        self._is_reading = True
        self._is_blocked = self._is_closing = self._ended_by_client = self.is_lost = False
        self._until = monotonic() + IDLE_SECONDS

    # -- Events of the transport --------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        server = self._server
        is_full = len(server.connections) >= server.most_connections
        server.connections.add(self)
        if is_full:
            message = f"{server.most_connections:,} connections are open; try again later"
            self._close_with(make_error(503, message, ("Retry-After", "1")))

    def connection_lost(self, error: Exception | None) -> None:
        self.is_lost = True
        self._server.connections.discard(self)

    def data_received(self, data: bytes) -> None:
        if self._is_closing:
            return  # what a client sends after an error is discarded
        parser = self._parser
        if parser.is_idle:
            self._until = monotonic() + REQUEST_SECONDS
        parser.feed(data)
        if self._request is None:
            self._read_requests()
        elif parser.size > MOST_BUFFERED:
            self._is_reading = False
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        self._ended_by_client = True
        return self._request is not None  # then the connection is closed after the response

    def pause_writing(self) -> None:
        self._is_blocked, self._until = True, monotonic() + READ_SECONDS

    def resume_writing(self) -> None:
        self._is_blocked = False
        if not self._is_closing:
            self._until = monotonic() + (IDLE_SECONDS if self._parser.is_idle else REQUEST_SECONDS)
            self._read_requests()

    # -- Requests -----------------------------------------------------------------------------------------------------

    def _read_requests(self) -> None:
        """Begin the requests that have arrived, until one of them has to wait."""
        while self._request is None and not (self._is_blocked or self._is_closing):
            try:
                request = self._parser.read_request()
            except HttpError as error:
                self._close_with(make_error(error.status, str(error)))
                return
            if request is None:
                self._await_bytes()
                break
            self._begin(request)
        if self._out and (self._request is None or len(self._out) >= MOST_TOGETHER):
            self._flush()

    def _await_bytes(self) -> None:
        if self._parser.awaits_continue:
            self._parser.awaits_continue = False
            self._out.append(CONTINUE)
        if not self._is_reading:
            self._is_reading = True
            self._transport.resume_reading()

    def _begin(self, request: ServedRequest) -> None:
        outcome = self._server.routes.respond(request)
        if isinstance(outcome, ServedReply):
            self._finish(request, outcome)
            return
        self._request, self._until = request, inf
        if (refusal := self._server.queue.submit(self, outcome)) is not None:
            self._request = None
            self._finish(request, refusal)

    def reply(self, reply: ServedReply, arrived: float) -> None:
        """Send the response to the request that was waiting, and begin the next one."""
        request, self._request = self._request, None
        assert request is not None
        self._server.counters.seconds.observe(monotonic() - arrived)
        self._finish(request, reply)
        self._read_requests()

    def _finish(self, request: ServedRequest, reply: ServedReply) -> None:
        server = self._server
        path = request.path if server.routes.is_known(request.path) else ""
        server.counters.requests[path, reply.status] += 1
        keeps_alive = request.keeps_alive and not (server.is_ending or self._ended_by_client)
        self._out.append(encode_reply(reply, keeps_alive=keeps_alive, is_head=request.method == "HEAD"))
        if keeps_alive:
            self._until = monotonic() + (IDLE_SECONDS if self._parser.is_idle else REQUEST_SECONDS)
        else:
            self._is_closing, self._until = True, monotonic() + READ_SECONDS
            self._flush()
            self._transport.close()

    def _flush(self) -> None:
        out, self._out = self._out, []
        self._transport.write(out[0] if len(out) == 1 else b"".join(out))

    def _close_with(self, reply: ServedReply) -> None:
        """Send a last response, and close the connection once the client has had time to read it."""
        self._server.counters.requests["", reply.status] += 1
        self._out.append(encode_reply(reply, keeps_alive=False))
        self._is_closing, self._until = True, monotonic() + LINGER_SECONDS
        self._flush()
        self._transport.write_eof()  # closing now could reset the connection before the client has read the reason

    # -- Time ---------------------------------------------------------------------------------------------------------

    def check_time(self, now: float) -> None:
        """Close the connection if its client takes too long."""
        if now <= self._until:
            return
        if self._is_closing or self._is_blocked or self._parser.is_idle:
            self._transport.abort()
        else:
            self._close_with(make_error(408, f"the request was not complete after {REQUEST_SECONDS:g} s"))

    def end_if_idle(self) -> None:
        """Close the connection unless a request is on it, whose response will close it."""
        if self._request is None and self._parser.is_idle and not self._is_closing:
            self._transport.close()

    def abort(self) -> None:
        """Close the connection at once."""
        self._transport.abort()
