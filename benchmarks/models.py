"""Records that call a model over HTTP, compared with plain HTTP clients; the model runs in a process of its own."""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from math import inf
from typing import Any, NamedTuple
from urllib.parse import parse_qs, quote_plus, urlsplit

import aiohttp
import httpx

from benchmarks.local_calls import measure_local_calls
from benchmarks.measure import ROOT, interleave
from benchmarks.peers import Compile
from benchmarks.report import Finding, GroupResult, Limit, Quantity, Table, ratio
from stellar import compile, evaluate_many
from stellar.language.context import Context
from stellar.maas import ClientSettings, MemoryRegistry, Model, ModelClient, Registry, ServiceInstance
from stellar.maas.schema import Endpoint

# Latency of the model
SECONDS = 0.005
# Records in flight; four times as many with a function `batch`, for which a request has up to 64 records
IN_FLIGHT, IN_BATCHES = 64, 256
# Hosts with the distribution of a log: the n-th most frequent is n ** -ZIPF times as frequent as the first
KEYS, ZIPF, REPEATING = 10_000, 1.1, 100_000

CALL = Limit("CPU of one model call, to httpx.Client", must=0.25, aim=0.2)
STREAM = Limit("time of a stream, to httpx.Client one after the other", must=100 / 15, aim=100 / 20, unit="%")
GATHER = Limit("time of a stream, to gathers of 64 by aiohttp", must=100 / 1.5, aim=100 / 2, unit="%")
BATCH = Limit("time of a stream in batches, to httpx.Client", must=100 / 100, aim=100 / 120, unit="%")
WINDOW = Limit("CPU of one of 64 calls in flight, to aiohttp, 64 at a time", must=0.7, aim=0.5)
CACHED = Limit("time of a stream that repeats, to httpx.Client", must=100 / 40, aim=100 / 100, unit="%")
REPEATS = Limit("requests for repeated records, to the different ones among them", must=1, aim=1)

EXPRESSION = compile("MAP_GET('score', MAAS_MODEL_APPLY(MAAS_GET_ENDPOINT('dga'), {'host': host}))")

Records = Sequence[dict[str, str]]
Client = Callable[[Records], list[Any]]

SEQUENTIAL = "httpx.Client, one after the other"
GATHERED = f"aiohttp, gathers of {IN_FLIGHT}"
SLIDING = f"aiohttp, {IN_FLIGHT} at a time"
OURS = f"evaluate_many, {IN_FLIGHT} in flight"
BATCHED = f"evaluate_many, {IN_BATCHES} in flight, with a function batch"
CACHING = "evaluate_many, records that repeat"


class Rate(NamedTuple):
    """The speed of a client on a stream of records.

    per_second: records per second, by the wall clock
    cpu: CPU time per record in nanoseconds, without that of the model
    requests: requests per record
    """

    per_second: float
    cpu: float
    requests: float = 1.0


def models(peers: dict[str, Compile | None], seconds: float) -> GroupResult:
    """Measure the CPU time of single calls, and the wall-clock time of streams of records.

    seconds: duration of each measurement
    """
    with _serve_model(0) as quick, _serve_model(SECONDS) as slow:
        calls = _measure_calls(quick, seconds)
        rates, requests = _measure_streams(slow, seconds)
    local, local_finding = measure_local_calls(seconds)
    httpx_call, sequential = calls["httpx.Client"], rates[SEQUENTIAL].per_second
    table = Table(
        "One call to a model, kept-alive http",
        ["", "CPU", "to httpx"],
        [[name, Quantity(taken / 1000, "µs"), Quantity(taken / httpx_call)] for name, taken in calls.items()],
    )
    streams = Table(
        f"Records through a model that takes {SECONDS * 1000:.0f} ms for a request",
        ["", "records/s", "to one by one", "CPU a record", "requests a record"],
        [
            [
                name,
                Quantity(rate.per_second),
                ratio(rate.per_second / sequential),
                Quantity(rate.cpu / 1000, "µs"),
                Quantity(rate.requests),
            ]
            for name, rate in rates.items()
        ],
    )
    found = [
        Finding(CALL, calls["stellar.maas"] / httpx_call),
        Finding(WINDOW, rates[OURS].cpu / rates[SLIDING].cpu),
        Finding(STREAM, 100 * sequential / rates[OURS].per_second),
        Finding(GATHER, 100 * rates[GATHERED].per_second / rates[OURS].per_second),
        Finding(BATCH, 100 * sequential / rates[BATCHED].per_second),
        Finding(CACHED, 100 * sequential / rates[CACHING].per_second),
        Finding(REPEATS, requests),
        local_finding,
    ]
    return GroupResult([table, local, streams], found)


def _measure_calls(url: str, seconds: float) -> dict[str, float]:
    """Return the CPU time of one call in nanoseconds, without that of the model."""
    endpoint = {"name": "dga", "version": "1.0", "url": url}
    with ModelClient(MemoryRegistry(), ClientSettings(cache_size=0)) as ours, httpx.Client() as theirs:
        return interleave(
            {
                "httpx.Client": lambda: theirs.get(f"{url}/apply", params={"host": "yahoo.com"}).json(),
                "stellar.maas": lambda: ours.apply(endpoint, None, {"host": "yahoo.com"}),
            },
            seconds,
        )


def _measure_streams(url: str, seconds: float) -> tuple[dict[str, Rate], float]:
    """Return the rate of each client, and requests per different repeated record."""
    with httpx.Client() as http:
        theirs: dict[str, Client] = {
            SEQUENTIAL: lambda records: _call_one_by_one(http, url, records),
            GATHERED: lambda records: asyncio.run(_gather(url, records)),
            SLIDING: lambda records: asyncio.run(_slide(url, records)),
        }
        rates = {name: _measure_rate(client, seconds) for name, client in theirs.items()}
    rates[OURS] = _measure_stream(url, seconds, IN_FLIGHT)
    rates[BATCHED] = _measure_stream(url, seconds, IN_BATCHES, batch="batch")
    repeats = _make_repeating(REPEATING if seconds >= 1 else 1000)
    with _open_context(url, ClientSettings()) as (context, client):
        taken, cpu = _measure_time(lambda records: _evaluate(records, context, IN_FLIGHT), repeats)
        requests = client.counters().requests
    rates[CACHING] = Rate(len(repeats) / taken, 1e9 * cpu / len(repeats), requests / len(repeats))
    return rates, requests / len({record["host"] for record in repeats})


def _measure_stream(url: str, seconds: float, in_flight: int, **functions: str) -> Rate:
    with _open_context(url, ClientSettings(cache_size=0), **functions) as (context, client):
        rate = _measure_rate(lambda records: _evaluate(records, context, in_flight), seconds)
        counters = client.counters()
    return rate._replace(requests=counters.requests / counters.calls)


def _evaluate(records: Records, context: Context, in_flight: int) -> list[Any]:
    return list(evaluate_many(EXPRESSION, records, context, in_flight=in_flight))


@contextmanager
def _open_context(url: str, settings: ClientSettings, **functions: str) -> Iterator[tuple[Context, ModelClient]]:
    registry = MemoryRegistry()
    endpoint = Endpoint(url=url, functions={"apply": "apply", **functions})
    registry.register(ServiceInstance.of(Model("dga", "1.0"), "1", endpoint))
    with ModelClient(registry, settings) as client:
        yield Context({Registry: registry, ModelClient: client}), client


def _make_different(count: int, turn: int) -> Records:
    return [{"host": f"{turn}-{index}.example.com"} for index in range(count)]


def _make_repeating(count: int) -> Records:
    ranks = range(1, KEYS + 1)
    chosen = random.Random(1).choices(ranks, [rank**-ZIPF for rank in ranks], k=count)
    return [{"host": f"{rank}.example.com"} for rank in chosen]


def _measure_rate(client: Client, seconds: float) -> Rate:
    """Return the maximum records per second and the minimum CPU time per record of several turns."""
    best, least, count, turn, until = 0.0, inf, 32, 0, time.perf_counter() + seconds
    while turn < 3 or time.perf_counter() < until:
        taken, cpu = _measure_time(client, _make_different(count, turn))
        best, least, turn = max(best, count / taken), min(least, cpu / count), turn + 1
        if taken < seconds / 4:
            count *= 2
    return Rate(best, 1e9 * least)


def _measure_time(client: Client, records: Records) -> tuple[float, float]:
    """Return wall-clock time and CPU time of a stream, and check every result."""
    begin, cpu = time.perf_counter(), time.process_time()
    scores = client(records)
    taken, cpu = time.perf_counter() - begin, time.process_time() - cpu
    if scores != [len(record["host"]) for record in records]:
        raise RuntimeError("a record has the score of another record")
    return taken, cpu


def _call_one_by_one(http: httpx.Client, url: str, records: Records) -> list[Any]:
    return [http.get(f"{url}/apply", params={"host": record["host"]}).json()["score"] for record in records]


async def _gather(url: str, records: Records) -> list[Any]:
    async with _session() as http:
        return [
            score
            for begin in range(0, len(records), IN_FLIGHT)
            for score in await asyncio.gather(*(_request(http, url, r) for r in records[begin : begin + IN_FLIGHT]))
        ]


async def _slide(url: str, records: Records) -> list[Any]:
    slots = asyncio.Semaphore(IN_FLIGHT)
    async with _session() as http:

        async def request(record: dict[str, str]) -> Any:
            async with slots:
                return await _request(http, url, record)

        return await asyncio.gather(*map(request, records))


def _session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=IN_FLIGHT))


async def _request(http: aiohttp.ClientSession, url: str, record: dict[str, str]) -> Any:
    async with http.get(f"{url}/apply?host={quote_plus(record['host'])}") as response:
        return (await response.json(content_type=None))["score"]


# -- The model


class ScoringModel(asyncio.Protocol):
    """A model that scores a host by its length after a latency; a batch has the latency of one request."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (request := self._next()) is not None:
            body = json.dumps(request).encode()
            response = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (
                len(body),
                body,
            )
            if self._seconds:
                asyncio.get_running_loop().call_later(self._seconds, self._transport.write, response)
            else:
                self._transport.write(response)

    def _next(self) -> Any:
        """Return the result of the next complete request; None if it is incomplete."""
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
    server = await asyncio.get_running_loop().create_server(lambda: ScoringModel(seconds), "127.0.0.1", 0, backlog=256)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@contextmanager
def _serve_model(seconds: float) -> Iterator[str]:
    """Run a model in a process of its own; yield its URL."""
    command = [sys.executable, "-m", "benchmarks.models", str(seconds)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


if __name__ == "__main__":
    asyncio.run(_serve(float(sys.argv[1])))
