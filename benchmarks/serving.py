"""Requests to servers of a logistic regression of ten numbers, 32 in flight: the CPU time of each server.

The peers are a plain application of aiohttp around our model, and one around scikit-learn's. Each server runs in a
process of its own and writes `endpoint.dat`, as models do.
"""

from __future__ import annotations

import json
import math
import os
import random
import selectors
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.measure import ROOT
from benchmarks.peers import Compile
from benchmarks.report import Finding, GroupResult, Limit, Quantity, Table, ratio

FEATURES = [f"x{number}" for number in range(10)]
IN_FLIGHT = 32
OURS, AIOHTTP, SKLEARN = "maas serve-model", "aiohttp, our model", "aiohttp, scikit-learn"
NEEDED = {OURS: "stellar", AIOHTTP: "aiohttp", SKLEARN: "sklearn"}

REQUEST = Limit("CPU of one of 32 requests in flight to a model server", must=45, aim=35, unit="µs")
RELATIVE = Limit("CPU of one of 32 requests in flight, to aiohttp with our model", must=0.8, aim=0.6)
START = Limit("CPU from the start of a model server to its first response", must=700, aim=500, unit="ms")
MEMORY = Limit("memory of a model server", must=45, aim=35, unit="MB")

_chance = random.Random(1)
WEIGHTS = [_chance.uniform(-1, 1) for _ in FEATURES]
VALUES = {name: round(_chance.uniform(0, 2), 3) for name in FEATURES}
EXPECTED = 1 / (
    1 + math.exp(-0.5 - sum(weight * value for weight, value in zip(WEIGHTS, VALUES.values(), strict=True)))
)
TARGET = "/apply?" + "&".join(f"{name}={value}" for name, value in VALUES.items())


class ServerProcess(NamedTuple):
    """A server in a process of its own.

    started: CPU time until its first response, in milliseconds
    """

    id: int
    port: int
    started: float


def serving(peers: dict[str, Compile | None], seconds: float) -> GroupResult:
    """Measure the CPU time of requests to each server.

    seconds: duration of the measurement of each server
    """
    if not Path("/proc/self/stat").exists():
        return GroupResult(["Model servers: not measured, because the system has no /proc\n"], [])
    with ExitStack() as stack, tempfile.TemporaryDirectory() as folder:
        names = [name for name, module in NEEDED.items() if find_spec(module) is not None]
        servers = {name: stack.enter_context(_start_server(name, Path(folder, str(n)))) for n, name in enumerate(names)}
        single = _measure(servers, 1, seconds)
        many = _measure(servers, IN_FLIGHT, seconds)
        memory = {name: _read_memory(server) for name, server in servers.items()}
    return GroupResult([_make_table(servers, single, many, memory)], _find(servers, many, memory))


def _make_table(
    servers: Mapping[str, ServerProcess],
    single: Mapping[str, float],
    many: Mapping[str, float],
    memory: Mapping[str, float],
) -> Table:
    rows: list[list[str]] = [
        [
            name,
            Quantity(single[name], "µs"),
            Quantity(many[name], "µs"),
            ratio(many[name] / many[AIOHTTP]),
            Quantity(server.started, "ms"),
            Quantity(memory[name], "MB"),
        ]
        for name, server in servers.items()
    ]
    rows += [[name, *["not installed"] * 5] for name in NEEDED if name not in servers]
    headings = ["", "1 in flight", f"{IN_FLIGHT} in flight", "to aiohttp", "start", "memory"]
    return Table("A request to a server of a logistic regression, CPU of the server", headings, rows)


def _find(
    servers: Mapping[str, ServerProcess], many: Mapping[str, float], memory: Mapping[str, float]
) -> list[Finding]:
    return [
        Finding(REQUEST, many[OURS]),
        Finding(RELATIVE, many[OURS] / many[AIOHTTP]),
        Finding(START, servers[OURS].started),
        Finding(MEMORY, memory[OURS]),
    ]


# -- The client


def _measure(servers: Mapping[str, ServerProcess], in_flight: int, seconds: float) -> dict[str, float]:
    """Return the least CPU time of a request to each server, in microseconds, of interleaved rounds."""
    rounds = 12
    least = dict.fromkeys(servers, math.inf)
    for _ in range(rounds):
        for name, server in servers.items():
            least[name] = min(least[name], _measure_round(server, in_flight, seconds / rounds))
    return least


def _measure_round(server: ServerProcess, in_flight: int, seconds: float) -> float:
    before = _read_cpu(server.id)
    count = _send_requests(server.port, in_flight, seconds)
    return 1e6 * (_read_cpu(server.id) - before) / count


def _send_requests(port: int, in_flight: int, seconds: float) -> int:
    """Send requests on as many connections as are in flight. Return their number."""
    with ExitStack() as stack, selectors.DefaultSelector() as selector:
        request = f"GET {TARGET} HTTP/1.1\r\nHost: 127.0.0.1\r\nPrefer: handling=strict\r\n\r\n".encode()
        for _ in range(in_flight):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            selector.register(connection, selectors.EVENT_READ)
            connection.sendall(request)
        count, waiting, until = 0, in_flight, time.monotonic() + seconds
        while waiting:
            for key, _ in selector.select():
                connection = key.fileobj  # type: ignore[assignment]
                check_response(connection.recv(65_536))
                count += 1
                if time.monotonic() < until:
                    connection.sendall(request)
                else:
                    waiting -= 1
        return count


def check_response(response: bytes) -> None:
    """Raise RuntimeError for a response without the expected probability."""
    head, _, body = response.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200 ") or not math.isclose(json.loads(body)["probability(1)"], EXPECTED):
        raise RuntimeError(f"a wrong response of a server: {response[:300]!r}")


def _read_cpu(id: int) -> float:
    """Return the CPU time of a process, in seconds, by its clock in Linux: /proc would have it in units of 10 ms."""
    return time.clock_gettime(~id << 3 | 2)


def _read_memory(server: ServerProcess) -> float:
    """Return the resident memory of a process, in MB."""
    lines = Path(f"/proc/{server.id}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1024


# -- The servers


@contextmanager
def _start_server(name: str, folder: Path) -> Iterator[ServerProcess]:
    folder.mkdir()
    (folder / "model.pmml").write_text(write_model())
    module = ["maas_runtime.serving", "."] if name == OURS else ["benchmarks.serving", name]
    paths = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    with subprocess.Popen(
        [sys.executable, "-m", *module], cwd=folder, env={**os.environ, "PYTHONPATH": paths}, stderr=subprocess.DEVNULL
    ) as process:
        try:
            endpoint = folder / "endpoint.dat"
            while not (endpoint.exists() and endpoint.stat().st_size):
                if process.poll() is not None:
                    raise RuntimeError(f"{name} ended with status {process.returncode} before it was ready")
                time.sleep(0.01)
            port = int(json.loads(endpoint.read_bytes())["url"].rpartition(":")[2])
            _send_requests(port, 1, 0)
            yield ServerProcess(process.pid, port, 1000 * _read_cpu(process.pid))
        finally:
            process.kill()


def write_model() -> str:
    """Return the PMML document of the regression."""
    data = "".join(f'<DataField name="{name}" optype="continuous" dataType="double"/>' for name in FEATURES)
    schema = "".join(f'<MiningField name="{name}"/>' for name in FEATURES)
    terms = "".join(
        f'<NumericPredictor name="{name}" coefficient="{weight!r}"/>'
        for name, weight in zip(FEATURES, WEIGHTS, strict=True)
    )
    return f"""<PMML version="4.4" xmlns="http://www.dmg.org/PMML-4_4"><DataDictionary>{data}
<DataField name="y" optype="categorical" dataType="string"><Value value="1"/><Value value="0"/></DataField>
</DataDictionary><RegressionModel functionName="classification" normalizationMethod="logit"><MiningSchema>{schema}
<MiningField name="y" usageType="target"/></MiningSchema><RegressionTable targetCategory="1" intercept="0.5">{terms}
</RegressionTable><RegressionTable targetCategory="0" intercept="0"/></RegressionModel></PMML>"""


def _make_our_score() -> Callable[[Mapping[str, str]], dict[str, Any]]:
    from stellar.models.loading import read_pmml

    model = read_pmml(write_model().encode())
    model.compile()
    return lambda query: model.score({name: float(query[name]) for name in FEATURES})


def _make_sklearn_score() -> Callable[[Mapping[str, str]], dict[str, Any]]:
    import numpy
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression()
    model.classes_, model.coef_ = numpy.array(["0", "1"]), numpy.array([WEIGHTS])
    model.intercept_, model.n_features_in_ = numpy.array([0.5]), len(FEATURES)

    def score(query: Mapping[str, str]) -> dict[str, Any]:
        zero, one = model.predict_proba([[float(query[name]) for name in FEATURES]])[0].tolist()
        return {"y": "1" if one > zero else "0", "probability(1)": one, "probability(0)": zero}

    return score


def _serve_peer(name: str) -> None:
    from aiohttp import web

    score = _make_our_score() if name == AIOHTTP else _make_sklearn_score()

    async def apply(request: web.Request) -> web.Response:
        return web.json_response(score(request.query))

    listener = socket.create_server(("127.0.0.1", 0))
    application = web.Application()
    application.router.add_get("/apply", apply)
    Path("endpoint.dat").write_text(json.dumps({"url": f"http://127.0.0.1:{listener.getsockname()[1]}"}))
    web.run_app(application, sock=listener, access_log=None, print=None)


if __name__ == "__main__":
    _serve_peer(sys.argv[1])
