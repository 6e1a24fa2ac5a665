"""A call, and its attempts at instances."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf
from time import monotonic
from typing import Any, Protocol

from stellar.maas.errors import (
    ModelTimeOut,
)
from stellar.maas.schema import Model
from stellar.maas.transport.base import Response
from stellar.maas.transport.http import ModelExchange
from stellar.net.limits import ServerLoad

Result = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Decoded:
    """An answer, and the bytes that decode to it."""

    result: Result
    data: bytes


Read = Callable[[str, Response], list[Decoded]]


class InstanceSilent(ModelTimeOut):
    """An instance answers nobody, so a call gives it up; another one is called at no cost."""


@dataclass(slots=True)
class Call:
    """A request for any instance of a version.

    model: None for an endpoint written by hand
    given: the URL of the endpoint
    rest: what follows the URL; body: of a POST
    until: when the whole call must have ended, monotonic; infinity for no limit
    read: decodes a response; raises ModelRefused, InstanceBusy
    hedged: whether a second instance may be called besides
    chosen: whether another version would do

    retries: how many are left
    charged: whether the last failure costs a retry; that of a trial does not
    unreachable: the URLs that could not be reached, since the last wait
    first_unread: when the request was not read for the first time; infinity if it always was
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
    unreachable: set[str] = field(default_factory=set)
    first_unread: float = inf


@dataclass(slots=True)
class Attempt:
    """A request to one instance, which holds a slot of it.

    until: when it has taken too long
    avoided: whether the circuit of the instance is open, and there was no other
    trial: whether it decides about a half-open circuit
    settled: whether its outcome was reported
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
    def count(self, what: str) -> None:
        """Add 1 to a counter of the client."""


def exchange_of(attempt: Attempt) -> ModelExchange:
    assert attempt.exchange is not None
    return attempt.exchange


def request_url(url: str, call: Call) -> str:
    return f"{url.removesuffix('/')}/{call.rest}"
