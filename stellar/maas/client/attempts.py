"""The state of a call and of its attempts at instances."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf
from time import monotonic
from typing import Any, NamedTuple, Protocol

from stellar.maas.errors import ModelTimeOut, RecordRefused
from stellar.maas.schema import Model
from stellar.maas.transport.base import Response
from stellar.maas.transport.http import ModelExchange
from stellar.net.limits import ServerLoad

Result = dict[str, Any]


class Decoded(NamedTuple):
    """A decoded result, and the bytes it was decoded from.

    refusal: the error instead of a result, for a record of a batch that the model rejected
    """

    result: Result
    data: bytes
    refusal: RecordRefused | None = None


Read = Callable[[str, Response], list[Decoded]]


class InstanceSilent(ModelTimeOut):
    """An instance that stopped responding to all callers; another one is called without costing a retry."""


@dataclass(slots=True)
class ModelCall:
    """A request for any instance of a version.

    model: None for an endpoint written by hand
    given: the URL of the endpoint
    rest: path and query, appended to the URL
    body: of a POST; None for a GET
    until: deadline of the whole call, monotonic; infinity for none
    read: decodes a response; raises ModelRefused, InstanceBusy
    hedged: True if a second instance may be called concurrently
    chosen: True if any version of the model may be called

    retries: how many are left
    charged: True if the last failure costs a retry; the failure of a trial does not
    unreachable: the URLs that could not be reached, since the last wait
    first_unread: time at which an instance first left the request unread, monotonic; infinity if none did
    reported: True if a failed attempt was counted for the reports of the client
    """

    model: Model | None
    given: str
    rest: str
    body: bytes | None
    until: float
    read: Read
    hedged: bool
    chosen: bool
    retries: int
    charged: bool = True
    began: float = field(default_factory=monotonic)
    unreachable: frozenset[str] = frozenset()
    first_unread: float = inf
    reported: bool = False


@dataclass(slots=True)
class Attempt:
    """A request to one instance, which holds one of its slots.

    until: deadline of the attempt, monotonic
    avoided: True if the circuit of the instance is open, and there was no other instance
    trial: True if it is the trial call of a half-open circuit
    settled: True if its outcome was reported
    """

    url: str
    load: ServerLoad
    began: float
    until: float
    avoided: bool
    trial: bool
    exchange: ModelExchange | None = None
    settled: bool = False


class Counting(Protocol):
    """A set of named counters."""

    def count_request(self) -> None:
        """Add 1 to the counter of requests."""

    def count(self, what: str) -> None:
        """Add 1 to a counter."""


def exchange_of(attempt: Attempt) -> ModelExchange:
    """Return the exchange of an attempt that was begun."""
    assert attempt.exchange is not None
    return attempt.exchange


def request_url(url: str, call: ModelCall) -> str:
    """Return the URL of a call, with path and query, at one instance."""
    return f"{url.removesuffix('/')}/{call.rest}"
