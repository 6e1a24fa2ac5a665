"""Services on several hosts of one ZooKeeper; a directory represents a host."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from drills.models import ROOT
from engines.zookeeper.server import ZooKeeper as Engine
from stellar.maas import ZooKeeper, ZooKeeperRegistry

PROC = Path("/proc")
SESSION_SECONDS = 2.0
AT = ("-n", "dga", "-v", "1.0")


class Host:
    """A service with a registry directory of its own, as on another machine.

    program: the command that runs `maas`, without arguments
    """

    def __init__(
        self, hosts: str, folder: Path, store: Path, options: Sequence[object] = (), program: Sequence[str] = ()
    ) -> None:
        self.folder, self.log, self._hosts = folder, folder.with_suffix(".log"), hosts
        self.options = ("--store", store, "--drain-seconds", 0, *options)
        self.service = self.start(program)

    def start(self, program: Sequence[str] = ()) -> subprocess.Popen[bytes]:
        """Start the service, and wait until its host is known or it has ended."""
        command = [*(program or (sys.executable, "-m", "maas_runtime.cli")), "serve", "-zq", self._hosts]
        self._led_before = self._count_elections()
        words = [*command, "--registry", str(self.folder), *map(str, self.options)]
        with self.log.open("ab") as log:
            self.service = subprocess.Popen(words, cwd=ROOT, stdout=log, stderr=log)
        with ZooKeeper(self._hosts) as zookeeper:
            await_true(lambda: self.service.poll() is not None or self.id in zookeeper.children("/maas/ext/agents"))
        return self.service

    @property
    def id(self) -> str | None:
        """The id of its agent; None before the first start."""
        with suppress(FileNotFoundError):
            return (self.folder / "agent").read_text().strip()
        return None

    def leads(self) -> bool:
        """Return whether its service has led since it was started."""
        return self._count_elections() > self._led_before

    def _count_elections(self) -> int:
        return self.log.read_text().count("this service leads") if self.log.exists() else 0

    def instances(self) -> set[str]:
        """Return the ids of the instances that run here."""
        return {file.parent.name for file in self.folder.glob("containers/*/lock") if file.parent.name != "failed"}

    def processes(self) -> set[int]:
        """Return all processes of this host: the service, runners and models."""
        return {self.service.pid, *(pid for pid in _list_processes() if self._owns(pid))}

    def _owns(self, pid: int) -> bool:
        with suppress(OSError):
            words = (PROC / f"{pid}/cmdline").read_text()
            return str(self.folder) in words or Path(os.readlink(PROC / f"{pid}/cwd")).is_relative_to(self.folder)
        return False

    def signal_all(self, number: signal.Signals) -> None:
        """Send a signal to all processes; SIGKILL is what they see of a power failure."""
        for pid in self.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def end(self) -> None:
        """End the service and all instances."""
        self.signal_all(signal.SIGCONT)
        self.service.terminate()
        self.service.wait(60)
        self.signal_all(signal.SIGKILL)


def _list_processes() -> Iterator[int]:
    return (int(entry.name) for entry in PROC.iterdir() if entry.name.isdecimal() and int(entry.name) != os.getpid())


class Cluster:
    """Hosts with one ZooKeeper and one model store, and a model to deploy."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        self.engine, self.folder, self.hosts = engine, folder, list[Host]()
        self.model = folder / "dga"
        self.registry = ZooKeeperRegistry(engine.hosts)

    def add_host(self, *options: object, program: Sequence[str] = ()) -> Host:
        """Start a service on one more host."""
        folder = self.folder / f"host{len(self.hosts)}"
        self.hosts.append(Host(self.engine.hosts, folder, self.folder / "store", options, program))
        return self.hosts[-1]

    def deploy(self, *arguments: object, model: bool = False) -> str:
        """Run `maas deploy`; return its output."""
        files = ("-lmp", self.model, "-hmp", "dga/1.0") if model else ()
        command = (sys.executable, "-m", "maas_runtime.cli", "deploy", "-zq", self.engine.hosts)
        words = [*command, "--store", self.folder / "store", *AT, *files, *arguments]
        return subprocess.run(
            [str(word) for word in words], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True
        ).stdout

    def add(self, instances: int, *arguments: object) -> str:
        """Upload the model and add instances of it."""
        return self.deploy("-mo", "ADD", "-m", 0, "-ni", instances, *arguments, model=True)

    def ids(self) -> set[str]:
        """Return the ids of the registered instances."""
        return {instance.id for instance in self.registry.instances("dga")}

    def running(self) -> set[str]:
        """Return the ids of all instances that run, registered or not."""
        return {id for host in self.hosts for id in host.instances()}

    def leader(self) -> Host:
        return next(host for host in self.hosts if host.leads())

    def lose_data(self) -> None:
        """Stop ZooKeeper, delete its data, and start it again."""
        self.engine.stop()
        for data in self.engine.folder.glob("*/data/version-2"):
            shutil.rmtree(data)
        self.engine.start()

    def close(self) -> None:
        for host in self.hosts:
            host.end()
        self.registry.close()


@contextmanager
def open_cluster(script: str) -> Iterator[Cluster]:
    """Start ZooKeeper; yield a cluster without hosts, with a model that runs a script."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (folder / "zk.json").write_text(json.dumps({"session_seconds": SESSION_SECONDS}))
        os.environ["MAAS_ZK_CLIENT"] = str(folder / "zk.json")
        stack.callback(os.environ.pop, "MAAS_ZK_CLIENT")
        (folder / "dga").mkdir()
        (folder / "dga/dga.sh").write_text(script)
        cluster = Cluster(stack.enter_context(Engine()), folder)
        stack.callback(cluster.close)
        yield cluster


def await_true(condition: Callable[[], object], seconds: float = 120.0) -> None:
    """Wait until a condition holds; raise TimeoutError if it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("condition not met in time")
        time.sleep(0.05)


def delete_all(zookeeper: ZooKeeper, path: str) -> None:
    """Delete a node and all below it, although others create nodes there meanwhile."""
    for name in zookeeper.children(path):
        delete_all(zookeeper, f"{path}/{name}")
    with suppress(OSError):  # not empty any more
        zookeeper.delete(path)
