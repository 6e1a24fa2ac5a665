"""Streams of calls, and what became of each."""

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

    ended: when each ended, in seconds since the beginning
    """

    wrong: int = 0
    null: int = 0
    ended: list[float] = field(default_factory=list)
    instances: Counter[int] = field(default_factory=Counter)

    @property
    def count(self) -> int:
        return len(self.ended)

    def take(self, record: dict[str, Any], answer: Any, moment: float) -> None:
        self.ended.append(moment)
        if answer is None:
            self.null += 1
        elif answer["host"] != record["host"]:
            self.wrong += 1
        else:
            self.instances[answer["pid"]] += 1

    def rates(self) -> list[int]:
        """Calls in each whole second."""
        counted = Counter(int(moment) for moment in self.ended)
        return [counted[second] for second in range(int(max(self.ended, default=0)))]


def records(count: int, tag: str = "") -> Iterator[dict[str, Any]]:
    return ({"host": f"{tag}{number}"} for number in range(count))


def stream(
    context: Context, source: Iterable[dict[str, Any]], in_flight: int = 64, seconds: float | None = None
) -> Calls:
    """Evaluate records, for so many seconds or to their end."""
    calls, sent = Calls(), deque[dict[str, Any]]()
    begin = time.monotonic()

    def keeping() -> Iterator[dict[str, Any]]:
        for record in source:
            if seconds is not None and time.monotonic() - begin >= seconds:
                return
            sent.append(record)
            yield record

    for answer in stellar.evaluate_many(EXPRESSION, keeping(), context, in_flight=in_flight):
        calls.take(sent.popleft(), answer, time.monotonic() - begin)
    return calls


@contextmanager
def client_of(urls: Sequence[str], **settings: Any) -> Iterator[tuple[Context, ModelClient, MemoryRegistry]]:
    """A client of these instances, without a cache."""
    registry = MemoryRegistry()
    for url in urls:
        registry.register(ServiceInstance.of(Model("dga", "1.0"), url.rpartition(":")[2], Endpoint(url=url)))
    with ModelClient(registry, ClientSettings(cache_size=0, **settings)) as client:
        yield Context({Registry: registry, ModelClient: client}), client, registry


class Timed:
    """Calls by threads, each as long as it takes; the seconds of every one."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._lock = threading.Lock()
        self.calls = Calls()
        self.seconds: list[float] = []

    def call(self, host: str) -> None:
        record = {"host": host}
        begin = time.monotonic()
        answer = EXPRESSION(record, self._context)
        end = time.monotonic()
        with self._lock:
            self.calls.take(record, answer, end)
            self.seconds.append(end - begin)
