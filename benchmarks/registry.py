"""The delay until clients see a change of the registry, with a ZooKeeper on loopback."""

from __future__ import annotations

import statistics
import threading
import time

from benchmarks.peers import Compile
from benchmarks.report import Finding, GroupResult, Limit, Quantity, Table
from engines.daemon import missing
from engines.zookeeper.server import ZooKeeper
from stellar.maas import Model, ServiceInstance, ZooKeeperRegistry
from stellar.maas.schema import Endpoint

SEEN = Limit("median until a client knows of a change", must=50, aim=10, unit="ms")


def registry(peers: dict[str, Compile | None], changes: int) -> GroupResult:
    """Register and unregister instances, and measure the delay until another client is notified."""
    if why := missing():
        return GroupResult([f"A change of the registry: not measured, because {why}\n"], [])
    with (
        ZooKeeper() as zookeeper,
        ZooKeeperRegistry(zookeeper.hosts) as writer,
        ZooKeeperRegistry(zookeeper.hosts) as other,
    ):
        delays = sorted(1000 * delay for delay in _measure_delays(writer, other, changes))
    median = statistics.median(delays)
    rows = [["median", Quantity(median, "ms")], ["99 of 100", Quantity(delays[len(delays) * 99 // 100], "ms")]]
    return GroupResult(
        [Table(f"{len(delays)} changes of the registry, until another client knows", ["", "after"], rows)],
        [Finding(SEEN, median)],
    )


def _measure_delays(writer: ZooKeeperRegistry, other: ZooKeeperRegistry, changes: int) -> list[float]:
    seen = threading.Event()
    times: list[float] = []

    def listen(*_: object) -> None:
        times.append(time.perf_counter())
        seen.set()

    other.listen(listen)
    delays = []
    for number_ in range(changes):
        endpoint = Endpoint(url=f"http://127.0.0.1:{number_ + 1}")
        instance = ServiceInstance.of(Model("dga", "1.0"), str(number_), endpoint)
        for change in (lambda: writer.register(instance), lambda: writer.unregister("dga", instance.id)):  # noqa: B023
            seen.clear()
            begin = time.perf_counter()
            change()
            if not seen.wait(10):
                raise RuntimeError("a change was not seen within 10 s")
            delays.append(times[-1] - begin)
    return delays
