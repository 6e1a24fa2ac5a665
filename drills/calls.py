"""Streams of calls, and their outcomes."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import stellar
from stellar.language.context import Context
from stellar.maas import ClientSettings, MemoryRegistry, Model, ModelClient, Registry, ServiceInstance
from stellar.maas.schema import Endpoint

EXPRESSION = stellar.compile("MAAS_MODEL_APPLY(MAAS_GET_ENDPOINT('dga'), {'host': host})")


@dataclass
class Calls:
    """Outcomes of calls.

    wrong, null: number of calls with the result of another record, and without a result
    ended: time at which each call ended, in seconds since the beginning
    instances: number of correct results by process id of the instance
    """

    wrong: int = 0
    null: int = 0
    ended: list[float] = field(default_factory=list)
    instances: Counter[int] = field(default_factory=Counter)

    @property
    def count(self) -> int:
        return len(self.ended)

    def add(self, record: dict[str, Any], result: Any, time: float) -> None:
        """Add the outcome of a call that ended at a time."""
        self.ended.append(time)
        if result is None:
            self.null += 1
        elif result["host"] != record["host"]:
            self.wrong += 1
        else:
            self.instances[result["pid"]] += 1

    def rates(self) -> list[int]:
        """Return the number of calls that ended in each full second."""
        counted = Counter(int(time) for time in self.ended)
        return [counted[second] for second in range(int(max(self.ended, default=0)))]


def records(count: int, tag: str = "") -> Iterator[dict[str, Any]]:
    """Yield records with distinct hosts."""
    return ({"host": f"{tag}{number}"} for number in range(count))


def stream(
    context: Context, source: Iterable[dict[str, Any]], in_flight: int = 64, seconds: float | None = None
) -> Calls:
    """Evaluate records for so many seconds, or all of them; return the outcomes."""
    calls, sent = Calls(), deque[dict[str, Any]]()
    begin = time.monotonic()

    def track() -> Iterator[dict[str, Any]]:
        for record in source:
            if seconds is not None and time.monotonic() - begin >= seconds:
                return
            sent.append(record)
            yield record

    for result in stellar.evaluate_many(EXPRESSION, track(), context, in_flight=in_flight):
        calls.add(sent.popleft(), result, time.monotonic() - begin)
    return calls


@contextmanager
def client_of(urls: Sequence[str], **settings: Any) -> Iterator[tuple[Context, ModelClient, MemoryRegistry]]:
    """Yield a context, a client without a cache, and a registry for these instances."""
    registry = MemoryRegistry()
    for url in urls:
        registry.register(ServiceInstance.of(Model("dga", "1.0"), url.rpartition(":")[2], Endpoint(url=url)))
    with ModelClient(registry, ClientSettings(cache_size=0, **settings)) as client:
        yield Context({Registry: registry, ModelClient: client}), client, registry


class Timed:
    """Synchronous calls, and the duration of each in seconds."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._lock = threading.Lock()
        self.calls = Calls()
        self.seconds: list[float] = []

    def call(self, host: str) -> None:
        """Evaluate one record, and record its outcome and duration."""
        record = {"host": host}
        begin = time.monotonic()
        result = EXPRESSION(record, self._context)
        end = time.monotonic()
        with self._lock:
            self.calls.add(record, result, end)
            self.seconds.append(end - begin)
