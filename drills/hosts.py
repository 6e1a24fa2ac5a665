"""Drills of several services with one ZooKeeper: killed, paused, and with their data deleted."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from drills.calls import Calls, records, stream
from drills.deployments import STARTER
from drills.drill import Finding, drill
from drills.models import ROOT
from drills.services import SESSION_SECONDS, Cluster, await_true, delete_all, open_cluster
from stellar.language.context import Context
from stellar.maas import ClientSettings, ModelClient, ModelRequest, Registry, ZooKeeper, ZooKeeperQueue
from stellar.maas.requests import make_note

ENVIRONMENT = ("-e", f"PYTHON={sys.executable}", "-e", f"ROOT={ROOT}")
KILLER = """
import os, sys
from stellar.maas.zookeeper import ZooKeeper
from maas_runtime.cli.main import main
left = int(sys.argv[1])
armed = sys.argv[2]
def wrap(access):
    def call(*arguments, **options):
        global left
        if os.path.exists(armed):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), 9)
        return access(*arguments, **options)
    return call
ZooKeeper.begin, ZooKeeper.transact = wrap(ZooKeeper.begin), wrap(ZooKeeper.transact)
sys.exit(main(sys.argv[3:]))
"""


def _call_during(cluster: Cluster, seconds: float, act: Callable[[], object]) -> Calls:
    """Call the model for so many seconds in another thread, and act after one; return the outcomes.

    This thread acts, because an engine ends with the thread that started it.
    """
    with (
        ModelClient(cluster.registry, ClientSettings(cache_size=0)) as client,
        ThreadPoolExecutor(1, "calls") as pool,
    ):
        context = Context({Registry: cluster.registry, ModelClient: client})
        calls = pool.submit(stream, context, records(10_000_000), seconds=seconds)
        time.sleep(1)
        act()
        return calls.result()


@drill("hosts-pause")
def pause_leader() -> Iterator[Finding]:
    """Pause the leader of two services, remove half of the instances, and let it go on."""
    with open_cluster(STARTER) as cluster:
        for _ in range(2):
            cluster.add_host(*ENVIRONMENT)
        cluster.add(4, "--wait")
        before, leader = cluster.ids(), cluster.leader()
        leader.service.send_signal(signal.SIGSTOP)
        time.sleep(SESSION_SECONDS * 2 + 30)
        after = cluster.ids()
        yield Finding(
            "leader of two services paused",
            "4 instances",
            "the same 4, 30 s after its session has ended",
            f"{len(after)}, {len(after - before)} new",
            after == before,
        )
        cluster.deploy("-mo", "REMOVE", "-ni", 2, "--wait")
        removed = cluster.ids()
        leader.service.send_signal(signal.SIGCONT)
        time.sleep(10)
        yield Finding(
            "2 removed while it is paused, then it goes on",
            "2 instances",
            "2 registered before it goes on, the same 2 run 10 s later",
            f"{len(removed)} registered, {len(cluster.running())} run",
            len(removed) == 2 and cluster.ids() == cluster.running() == removed,
        )


@drill("hosts-delete")
def delete_nodes() -> Iterator[Finding]:
    """Delete our nodes in ZooKeeper, and then all of its data, while the model is called."""
    with open_cluster(STARTER) as cluster, ZooKeeper(cluster.engine.hosts) as zookeeper:
        for _ in range(2):
            cluster.add_host(*ENVIRONMENT)
        cluster.add(4, "--wait")
        before = cluster.ids()
        acts = (
            ("`/maas/ext` deleted under load", lambda: delete_all(zookeeper, "/maas/ext"), 12.0),
            ("ZooKeeper's data deleted under load", cluster.lose_data, 25.0),
        )
        for name, act, seconds in acts:
            calls = _call_during(cluster, seconds, act)
            await_true(lambda: _is_restored(zookeeper) and cluster.ids() == before)
            ended = before - cluster.running()
            yield Finding(
                name,
                f"{calls.count:,} calls in {seconds:.0f} s",
                "0 of 4 instances ended, 0 null",
                f"{len(ended)} ended, {calls.null + calls.wrong} null",
                not ended and not calls.null + calls.wrong,
            )
        cluster.add(1, "--wait")
        kept = len(before & cluster.ids())
        yield Finding("then one added", "5 instances", "the same 4 and 1", f"{kept} and {len(cluster.ids()) - kept}",
                      before < cluster.ids() and len(cluster.ids()) == 5)  # fmt: skip


def _is_restored(zookeeper: ZooKeeper) -> bool:
    with suppress(ConnectionError):
        return zookeeper.read("/maas/ext/wanted/dga/1.0") is not None
    return False


@drill("hosts-lost")
def lose_host() -> Iterator[Finding]:
    """Kill all processes of one of three hosts while the model is called."""
    with open_cluster(STARTER) as cluster:
        for _ in range(3):
            cluster.add_host(*ENVIRONMENT, "--memory", 100_000)
        cluster.add(6, "--wait")
        victim = next(host for host in cluster.hosts if not host.leads())
        lost, moved = victim.instances(), []

        def kill() -> None:
            victim.signal_all(signal.SIGKILL)
            victim.service.wait()
            began = time.monotonic()
            await_true(lambda: len(ids := cluster.ids()) == 6 and not ids & lost)
            moved.append(time.monotonic() - began)

        calls = _call_during(cluster, 20, kill)
        yield Finding(
            "one of three hosts killed",
            f"{calls.count:,} calls in 20 s, {len(lost)} of 6 instances there",
            "run elsewhere within 10 s, 0 null",
            f"after {moved[0]:.1f} s, {calls.null + calls.wrong} null",
            moved[0] <= 10 and not calls.null + calls.wrong,
        )


@drill("hosts-kill")
def kill_at_each_step() -> Iterator[Finding]:
    """Kill -9 the service at each access to ZooKeeper, counted from the moment at which a request is sent."""
    request = ModelRequest(name="dga", version="1.0", num_instances=1, memory=512, action="ADD", path="dga/1.0")
    lost = doubled = 0
    with open_cluster("#!/bin/sh\n") as cluster, ZooKeeperQueue(cluster.engine.hosts) as queue:
        host = cluster.add_host("--memory", 1, "--max-instances", 1000)  # too small for any instance
        cluster.add(1, "-m", 512)
        content, expected, survived = _wanted(cluster)["content"], 1, False
        while not survived:
            host.service.kill()
            host.service.wait()
            armed = cluster.folder / f"armed{expected}"
            victim = host.start((sys.executable, "-c", KILLER, str(expected), str(armed)))
            await_true(host.leads)
            await_true(lambda: not queue.items())  # what the last one left is handled
            found = _wanted(cluster)["instances"]
            lost, doubled, expected = lost + (found < expected), doubled + (found > expected), found + 1
            armed.touch()
            queue.enqueue(request, make_note(content=content))
            survived = not _ends(victim, 5.0)
    yield Finding(
        "service killed at each access to ZooKeeper",
        f"{expected - 1} requests",
        "0 lost, 0 doubled",
        f"{lost} lost, {doubled} doubled",
        not lost and not doubled,
    )


def _ends(process: subprocess.Popen[bytes], seconds: float) -> bool:
    with suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
        return True
    return False


def _wanted(cluster: Cluster) -> dict[str, Any]:
    with ZooKeeper(cluster.engine.hosts) as zookeeper:
        return dict(json.loads(zookeeper.read("/maas/ext/wanted/dga/1.0") or b"{}"))
