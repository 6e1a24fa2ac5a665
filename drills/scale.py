"""Drills of hundreds of instances on one machine: their cost while idle, and how fast a death is noticed.

Each instance is a shell script of one line, which announces a server of the drill and sleeps. Measured are our own
processes: the service, its fork server, and a runner with its guardian for each instance.
"""

from __future__ import annotations

import os
import random
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from drills.drill import Finding, drill
from drills.models import ROOT
from maas_runtime.state.store import DirectoryStateStore
from stellar.maas import FileRegistry, Model, ServiceInstance
from stellar.maas.registries.file_registrar import FileRegistrar
from stellar.maas.schema import Endpoint

INSTANCES, DEATHS = 400, 40
IDLE_SECONDS = 30.0
CORE_PERCENT, NOTICE_SECONDS, MEMORY_MB = 5.0, 1.0, 20.0
MODELS, PER_MODEL = 200, 5

OWNER = """
import sys, time
from drills import scale
registrar = scale.FileRegistrar(sys.argv[1])
registrar.register(scale._simulate(*sys.argv[2:]))
time.sleep(600)
"""

MARK = b"MAAS_CONTAINER_ID="  # in the environment of a model's processes
PROC = Path("/proc")


class Cost(NamedTuple):
    """The cost of our own processes.

    processes: their number
    core: processor time while idle, in percent of a core
    megabytes: proportional memory of each instance, with its share of the service
    """

    processes: int
    core: float
    megabytes: float


@dataclass
class Host:
    """A service that runs instances of a one-line model in a registry directory.

    process: the service
    directory: of the registry
    """

    process: subprocess.Popen[bytes]
    directory: Path

    def deploy(self, files: Path, instances: int) -> float:
        """Deploy instances of the model `one` and wait until they are ready; return the seconds it took."""
        began = time.monotonic()
        request = f"-mo ADD -n one -v 1.0 -ni {instances} -m 0 -lmp {files} -hmp one/1.0 --wait"
        command = _maas("deploy", "--registry", str(self.directory), *shlex.split(request))
        deployed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if deployed.returncode:
            raise RuntimeError(deployed.stdout + deployed.stderr)
        return time.monotonic() - began

    def list_own_processes(self) -> list[int]:
        """Return the processes of the service and the runners, without those of the models."""
        return [pid for pid in _list_descendants(self.process.pid) if not _is_of_model(pid)]

    def measure_cost(self, seconds: float, instances: int) -> Cost:
        """Measure processor time over some seconds, and memory."""
        own = self.list_own_processes()
        before, began = _add(_read_processor_seconds, own), time.monotonic()
        time.sleep(seconds)
        used, elapsed = _add(_read_processor_seconds, own) - before, time.monotonic() - began
        return Cost(len(own), 100 * used / elapsed, _add(_read_memory, own) / instances / (1 << 20))

    def find_runner(self, id: str) -> int:
        """Return the process id of an instance's runner."""
        return int((self.directory / "containers" / id / "lock").read_text())

    def find_model(self, id: str) -> int:
        """Return the process id of an instance's script."""
        return next(pid for pid in _list_children(self.find_runner(id)) if _is_of_model(pid))


def _maas(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "maas_runtime.cli", *arguments]


@contextmanager
def run_host(instances: int) -> Iterator[tuple[Host, Path]]:
    """Run a service and a server for models; yield it with the files of a model that announces that server."""
    with (
        tempfile.TemporaryDirectory() as folder,
        socket.create_server(("127.0.0.1", 0), backlog=1024) as server,
        (Path(folder) / "service.log").open("wb") as log,
    ):
        _accept_connections(server)
        files = Path(folder, "one")
        files.mkdir()
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        (files / "one.sh").write_text(f'echo \'{{"url": "{url}"}}\' > endpoint.dat; exec sleep infinity\n')
        directory = Path(folder, "registry")
        command = _maas("serve", "--registry", str(directory), "--max-instances", str(instances), "--drain-seconds=0")
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
        try:
            states = DirectoryStateStore(directory)
            await_true(states.is_led)
            yield Host(process, directory), files
        finally:
            process.send_signal(signal.SIGINT)
            process.wait()


def _accept_connections(server: socket.socket) -> None:
    """Accept the connections of health checks, until the server is closed."""

    def accept() -> None:
        with suppress(OSError):
            while True:
                server.accept()[0].close()

    threading.Thread(target=accept, name="models", daemon=True).start()


def await_true(condition: Callable[[], object], seconds: float = 120.0) -> None:
    """Wait until a condition holds. Raises TimeoutError."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("the condition was not met in time")
        time.sleep(0.02)


def time_deaths(host: Host, registry: FileRegistry, deaths: int) -> list[float]:
    """Kill scripts and runners by turns; return the seconds after which a client no longer saw each instance."""
    gone: dict[str, float] = {}
    stop = registry.listen(lambda _, removed: gone.update({each.id: time.monotonic() for each in removed}))
    seconds = []
    victims = random.sample([instance.id for instance in registry.instances("one")], deaths)
    for number, id in enumerate(victims):
        pid = host.find_runner(id) if number % 2 else host.find_model(id)
        began = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        await_true(lambda id=id: id in gone)  # type: ignore[misc]
        seconds.append(gone[id] - began)
    stop()
    return seconds


class Reads(NamedTuple):
    """The cost of one change for a reader of a registry directory.

    instances: registered when it happened
    files: number of files that the reader looked at
    passes: number of passes over all files
    """

    instances: int
    files: int
    passes: int


def count_reads(models: int = MODELS, per_model: int = PER_MODEL) -> Reads:
    """Register simulated instances, kill the owner of one of them, and count what a client reads to notice it."""
    keys = [(f"m{model}", str(number)) for model in range(models) for number in range(per_model)]
    with (
        tempfile.TemporaryDirectory() as folder,
        FileRegistry(folder) as registry,
        FileRegistrar(folder) as registrar,
        subprocess.Popen([sys.executable, "-c", OWNER, folder, *keys[-1]], cwd=ROOT) as owner,
    ):
        removed = threading.Event()
        registry.listen(lambda _, gone: removed.set() if gone else None)
        for name, id in keys[:-1]:
            registrar.register(_simulate(name, id))
        await_true(lambda: len(registry.instances()) == len(keys))
        counts = _Counts(registry)
        owner.kill()
        if not removed.wait(60):
            raise TimeoutError("the end of an instance was not noticed")
        time.sleep(2.0)  # registrations that were closed are checked again for a second
        return Reads(len(keys), counts.files, counts.passes)


class _Counts:
    """Counts the files that a registry looks at, and its passes over all files."""

    def __init__(self, registry: FileRegistry) -> None:
        self.files = self.passes = 0
        for tree in registry._trees:
            tree._read = self._count("files", tree._read)  # type: ignore[method-assign]
        registry._read_all = self._count("passes", registry._read_all)  # type: ignore[method-assign]

    def _count(self, name: str, function: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object) -> object:
            setattr(self, name, getattr(self, name) + 1)
            return function(*arguments)

        return call


def _simulate(name: str, id: str) -> ServiceInstance:
    return ServiceInstance.of(Model(name, "1.0"), id, Endpoint(url=f"http://127.0.0.1:{10_000 + int(id)}"))


def _list_children(pid: int) -> list[int]:
    found: list[int] = []
    with suppress(OSError):  # it has ended
        for task in (PROC / f"{pid}/task").iterdir():
            found += map(int, (task / "children").read_text().split())
    return found


def _list_descendants(pid: int) -> list[int]:
    found = [pid]
    for each in found:
        found += _list_children(each)
    return found


def _is_of_model(pid: int) -> bool:
    with suppress(OSError):
        return any(entry.startswith(MARK) for entry in (PROC / f"{pid}/environ").read_bytes().split(b"\0"))
    return True


def _read_processor_seconds(pid: int) -> float:
    """Return the processor time of all threads of a process; `stat` counts in ticks, which miss short runs."""
    nanoseconds = 0
    for task in (PROC / f"{pid}/task").iterdir():
        with suppress(OSError):  # the thread has ended
            nanoseconds += int((task / "schedstat").read_text().split()[0])
    return nanoseconds / 1e9


def _read_memory(pid: int) -> float:
    """Return the proportional memory of a process in bytes."""
    lines = (PROC / f"{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("Pss:"))


def _add(read: Callable[[int], float], pids: Sequence[int]) -> float:
    total = 0.0
    for pid in pids:
        with suppress(OSError):  # it has ended
            total += read(pid)
    return total


@drill("scale")
def run_hundreds() -> Iterator[Finding]:
    """Run 400 instances: start them, let them idle, kill some."""
    with run_host(INSTANCES) as (host, files):
        seconds = host.deploy(files, INSTANCES)
        time.sleep(5)
        cost = host.measure_cost(IDLE_SECONDS, INSTANCES)
        subject = f"{INSTANCES} instances of a one-line model"
        yield Finding(
            f"{subject}, idle",
            f"{cost.processes:,} processes of ours, ready after {seconds:.0f} s",
            f"under {CORE_PERCENT:g} % of a core",
            f"{cost.core:.1f} % over {IDLE_SECONDS:.0f} s",
            cost.core < CORE_PERCENT,
        )
        yield Finding(
            f"{subject}, memory",
            f"{INSTANCES} instances",
            f"at most {MEMORY_MB:g} MB for each",
            f"{cost.megabytes:.1f} MB",
            cost.megabytes <= MEMORY_MB,
        )
        with FileRegistry(host.directory) as registry:
            longest = max(time_deaths(host, registry, DEATHS))
        yield Finding(
            f"{subject}, script or runner killed",
            f"{DEATHS} deaths",
            f"noticed within {NOTICE_SECONDS:g} s",
            f"after at most {1000 * longest:.0f} ms",
            longest <= NOTICE_SECONDS,
        )


@drill("entries")
def change_one_among_many() -> Iterator[Finding]:
    """Kill the owner of one of a thousand simulated instances, and count what a client reads."""
    reads = count_reads()
    yield Finding(
        "the runner of one of many instances killed",
        f"{reads.instances:,} instances of {MODELS} models",
        "no pass over all files",
        f"files looked at: {reads.files}, passes: {reads.passes}",
        not reads.passes and reads.files <= 10,
    )
