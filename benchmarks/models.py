"""Records that ask a model over HTTP, beside plain HTTP clients; the model runs in a process of its own."""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from typing import Any
from urllib.parse import parse_qs, quote_plus, urlsplit

import httpx

from benchmarks.language import Part
from benchmarks.measure import ROOT, interleaved
from benchmarks.peers import Compile
from benchmarks.report import Finding, Limit, number, table
from stellar import compile, evaluate_many
from stellar.context import Context
from stellar.maas import ClientSettings, MemoryRegistry, Model, ModelClient, Registry, ServiceInstance
from stellar.maas.schema import Endpoint

# How long the model thinks about a request
SECONDS = 0.005
# So many records are in the air at once
IN_FLIGHT = 64

CALL = Limit("CPU of one model call, to httpx.Client", must=0.25, aim=0.2)
STREAM = Limit("time of a stream that asks a model, to one after the other by httpx", must=1 / 15, aim=1 / 20)
REPEATS = Limit("requests for repeated records, to the different ones among them", must=1, aim=1)

EXPRESSION = compile("MAP_GET('score', MAAS_MODEL_APPLY(MAAS_GET_ENDPOINT('dga'), {'host': host}))")

Records = Sequence[dict[str, str]]
Ask = Callable[[Records], list[Any]]


def models(peers: dict[str, Compile | None], seconds: float) -> Part:
    """Single calls by their CPU, and streams of records by the clock.

    seconds: how long each figure is measured
    """
    with _serving(0) as quick, _serving(SECONDS) as slow:
        calls = _calls(quick, seconds)
        rates, requests = _streams(slow, seconds)
    httpx_call, sequential = calls["httpx.Client"], rates["httpx.Client, one after the other"][0]
    text = table(
        "One call to a model, kept-alive http",
        ["", "CPU", "to httpx"],
        [[name, f"{number(taken / 1000)} µs", number(taken / httpx_call)] for name, taken in calls.items()],
    )
    text += "\n" + table(
        f"Records through a model that takes {SECONDS * 1000:.0f} ms for a request",
        ["", "records/s", "to one by one", "requests a record"],
        [[name, number(rate), f"{number(rate / sequential)}×", number(asked)] for name, (rate, asked) in rates.items()],
    )
    found = [
        Finding(CALL, calls["stellar.maas"] / httpx_call),
        Finding(STREAM, sequential / rates["evaluate_many"][0]),
        Finding(REPEATS, requests),
    ]
    return Part(text, found)


def _calls(url: str, seconds: float) -> dict[str, float]:
    """The nanoseconds of CPU that one call takes here, without those of the model."""
    endpoint = {"name": "dga", "version": "1.0", "url": url}
    with ModelClient(MemoryRegistry(), ClientSettings(cache_size=0)) as ours, httpx.Client() as theirs:
        return interleaved(
            {
                "httpx.Client": lambda: theirs.get(f"{url}/apply", params={"host": "yahoo.com"}).json(),
                "stellar.maas": lambda: ours.apply(endpoint, None, {"host": "yahoo.com"}),
            },
            seconds,
        )


def _streams(url: str, seconds: float) -> tuple[dict[str, tuple[float, float]], float]:
    """Records a second and requests a record, for each way; and how often repeated records were asked for."""
    rates = {}
    with ExitStack() as stack:
        http = stack.enter_context(httpx.Client())
        rates["httpx.Client, one after the other"] = _rate(lambda each: _one_by_one(http, url, each), seconds), 1.0
        if find_spec("aiohttp"):
            rates[f"aiohttp, {IN_FLIGHT} at a time"] = (
                _rate(lambda each: asyncio.run(_gathered(url, each)), seconds),
                1.0,
            )
        rates["evaluate_many"] = _stream(url, seconds, _different, ClientSettings(cache_size=0))
        rates["evaluate_many, with a function batch"] = _stream(
            url, seconds, _different, ClientSettings(cache_size=0), batch="batch"
        )
        rates["evaluate_many, records that repeat"] = _stream(url, seconds, _repeating, ClientSettings())
    repeats = _repeating(5000, 0)
    asked = _requests(url, repeats) / len({record["host"] for record in repeats})
    return rates, asked


def _stream(
    url: str, seconds: float, make: Callable[[int, int], Records], settings: ClientSettings, **functions: str
) -> tuple[float, float]:
    with _context(url, settings, **functions) as (context, client):
        rate = _rate(
            lambda records: list(evaluate_many(EXPRESSION, records, context, in_flight=IN_FLIGHT)), seconds, make
        )
        counters = client.counters()
    return rate, counters.requests / counters.calls


def _requests(url: str, records: Records) -> int:
    with _context(url, ClientSettings()) as (context, client):
        list(evaluate_many(EXPRESSION, records, context, in_flight=IN_FLIGHT))
        return client.counters().requests


@contextmanager
def _context(url: str, settings: ClientSettings, **functions: str) -> Iterator[tuple[Context, ModelClient]]:
    registry = MemoryRegistry()
    endpoint = Endpoint(url=url, functions={"apply": "apply", **functions})
    registry.register(ServiceInstance.of(Model("dga", "1.0"), "1", endpoint))
    with ModelClient(registry, settings) as client:
        yield Context({Registry: registry, ModelClient: client}), client


def _different(count: int, turn: int) -> Records:
    return [{"host": f"{turn}-{index}.example.com"} for index in range(count)]


def _repeating(count: int, turn: int) -> Records:
    """Hosts as a log has them: the n-th most frequent is there one n-th as often as the most frequent."""
    ranks = range(1, 2001)
    chosen = random.Random(turn).choices(ranks, [1 / rank for rank in ranks], k=count)
    return [{"host": f"{rank}.example.com"} for rank in chosen]


def _rate(ask: Ask, seconds: float, make: Callable[[int, int], Records] = _different) -> float:
    """The most records a second of several turns by the clock. Every answer is looked at."""
    best, count, turn, until = 0.0, 32, 0, time.perf_counter() + seconds
    while turn < 3 or time.perf_counter() < until:
        records = make(count, turn)
        begin = time.perf_counter()
        scores = ask(records)
        taken = time.perf_counter() - begin
        if scores != [len(record["host"]) for record in records]:
            raise RuntimeError("a record has a score that is not its own")
        best, turn = max(best, count / taken), turn + 1
        if taken < seconds / 4:
            count *= 2
    return best


def _one_by_one(http: httpx.Client, url: str, records: Records) -> list[Any]:
    return [http.get(f"{url}/apply", params={"host": record["host"]}).json()["score"] for record in records]


async def _gathered(url: str, records: Records) -> list[Any]:
    import aiohttp

    places = asyncio.Semaphore(IN_FLIGHT)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=IN_FLIGHT)) as http:

        async def ask(record: dict[str, str]) -> Any:
            async with places, http.get(f"{url}/apply?host={quote_plus(record['host'])}") as response:
                return (await response.json(content_type=None))["score"]

        return await asyncio.gather(*map(ask, records))


# -- The model


class Scoring(asyncio.Protocol):
    """Scores a host by its length, some seconds after it was asked; batches likewise, in one go."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (request := self._next()) is not None:
            body = json.dumps(request).encode()
            answer = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (
                len(body),
                body,
            )
            if self._seconds:
                asyncio.get_running_loop().call_later(self._seconds, self._transport.write, answer)
            else:
                self._transport.write(answer)

    def _next(self) -> Any:
        """The answer to the next request that is whole; None if there is none."""
        head, end, rest = self._received.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
        if not end or len(rest) < length:
            return None
        self._received = rest[length:]
        if length:
            return [{"score": len(each["host"])} for each in json.loads(rest[:length])]
        host = parse_qs(urlsplit(head.split(b" ", 2)[1].decode()).query).get("host", [""])[0]
        return {"score": len(host)}


async def _serve(seconds: float) -> None:
    server = await asyncio.get_running_loop().create_server(lambda: Scoring(seconds), "127.0.0.1", 0, backlog=256)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@contextmanager
def _serving(seconds: float) -> Iterator[str]:
    """The address of a model in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.models", str(seconds)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


if __name__ == "__main__":
    asyncio.run(_serve(float(sys.argv[1])))
