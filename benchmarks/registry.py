"""How soon clients know of a change of the registry, by a real ZooKeeper on loopback."""

from __future__ import annotations

import statistics
import threading
import time

from benchmarks.language import Part
from benchmarks.peers import Compile
from benchmarks.report import Finding, Limit, number, table
from engines.daemon import missing
from engines.zookeeper.server import ZooKeeper
from stellar.maas import Model, ServiceInstance, ZooKeeperRegistry
from stellar.maas.schema import Endpoint

SEEN = Limit("median until a client knows of a change", must=50, aim=10, unit="ms")


def registry(peers: dict[str, Compile | None], changes: int) -> Part:
    """Instances come and go; each time it is measured how long another client takes to hear of it."""
    if why := missing():
        return Part(f"A change of the registry: not measured, as {why}\n", [])
    with (
        ZooKeeper() as zookeeper,
        ZooKeeperRegistry(zookeeper.hosts) as writer,
        ZooKeeperRegistry(zookeeper.hosts) as other,
    ):
        delays = sorted(1000 * delay for delay in _delays(writer, other, changes))
    median = statistics.median(delays)
    rows = [["median", f"{number(median)} ms"], ["99 of 100", f"{number(delays[len(delays) * 99 // 100])} ms"]]
    return Part(
        table(f"{len(delays)} changes of the registry, until another client knows", ["", "after"], rows),
        [Finding(SEEN, median)],
    )


def _delays(writer: ZooKeeperRegistry, other: ZooKeeperRegistry, changes: int) -> list[float]:
    heard = threading.Event()
    moments: list[float] = []

    def listen(*_: object) -> None:
        moments.append(time.perf_counter())
        heard.set()

    other.listen(listen)
    delays = []
    for number_ in range(changes):
        endpoint = Endpoint(url=f"http://127.0.0.1:{number_ + 1}")
        instance = ServiceInstance.of(Model("dga", "1.0"), str(number_), endpoint)
        for change in (lambda: writer.register(instance), lambda: writer.unregister("dga", instance.id)):  # noqa: B023
            heard.clear()
            begin = time.perf_counter()
            change()
            if not heard.wait(10):
                raise RuntimeError("a change was not heard of")
            delays.append(moments[-1] - begin)
    return delays
