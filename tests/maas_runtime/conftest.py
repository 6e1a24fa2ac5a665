"""Fixtures: models that use only the standard library, deployers and commands."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout, suppress
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

import maas_runtime
from maas_runtime.cli.main import main
from maas_runtime.deployers import Deployment
from maas_runtime.deployers.assigning import AssigningDeployer
from maas_runtime.deployers.local import LocalInstances
from maas_runtime.runner.limits import Limits
from maas_runtime.service.agent import Agent
from maas_runtime.state.store import DirectoryStateStore, StateStore, record_failure
from maas_runtime.store.base import LocalStore
from stellar.maas import FileRegistry, Model

PACKAGES = Path(maas_runtime.__file__).parents[1]  # may be the installed distribution
DGA = Model("dga", "1.0")
QUICK = Limits(start=10.0, drain=0.0, end=2.0, probe=0.1)

# Returns {"is_malicious": …} at /apply?host=…, and a variable of its environment at /environment?name=…
# Uses sockets only, because importing http.server takes longer than the rest of a test.
SERVER = """
import os, socket

def answer(target):
    path, _, query = target.partition("?")
    if path == "/environment":
        value = os.environ.get(query.partition("=")[2])
        value = "null" if value is None else '"' + value + '"'
        return '{"value": %s, "pid": %d, "parent": %d}' % (value, os.getpid(), os.getppid())
    return '{"is_malicious": "%s"}' % ("legit" if query == "host=yahoo.com" else "malicious")

with socket.create_server(("0.0.0.0", 0), backlog=128) as server:
    with open("endpoint.dat", "w") as file:
        file.write('{"url" : "http://0.0.0.0:%d"}' % server.getsockname()[1])
    while True:
        connection, _ = server.accept()
        with connection:
            if request := connection.recv(10_000).decode():
                body = answer(request.split()[1])
                head = "HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\nConnection: close\\r\\n\\r\\n" % len(body)
                connection.sendall((head + body).encode())
"""

SCRIPT = f"#!/bin/bash\n{sys.executable} -S server.py\n"


@pytest.fixture
def collateral(tmp_path: Path) -> Callable[..., Path]:
    """Make a model's directory: `collateral(script)`; by default the model serves."""

    def make(script: str = SCRIPT, folder: str = "collateral", **files: str) -> Path:
        directory = tmp_path / folder
        directory.mkdir(exist_ok=True)
        (directory / "server.py").write_text(SERVER)
        (directory / "rest.sh").write_text(script)
        for name, text in files.items():
            (directory / name).write_text(text)
        return directory

    return make


@pytest.fixture
def registry_dir(tmp_path: Path) -> Path:
    """Return the directory of the registry."""
    return tmp_path / "registry"


@pytest.fixture
def store(registry_dir: Path) -> LocalStore:
    return LocalStore(registry_dir / "store")


@pytest.fixture
def state_store(registry_dir: Path) -> DirectoryStateStore:
    return DirectoryStateStore(registry_dir)


@pytest.fixture
def registry(registry_dir: Path) -> Iterator[FileRegistry]:
    with FileRegistry(registry_dir) as registry:
        yield registry


class LocalHost:
    """A deployer with the agent of this machine, which runs in a thread."""

    def __init__(self, instances: LocalInstances, deployer: AssigningDeployer, state_store: StateStore) -> None:
        self._deployer, self._stopping, ready = deployer, threading.Event(), threading.Event()
        report = partial(record_failure, state_store)
        agent = Agent("host", instances, state_store, report, memory=100_000)
        options = {"leave_running": True}
        self._thread = threading.Thread(target=agent.run, args=(self._stopping.is_set, ready), kwargs=options)
        self._thread.start()
        assert ready.wait(60)
        self.scale, self.running = deployer.scale, deployer.running

    def leave(self) -> None:
        """End the agent; the instances go on."""
        self._stopping.set()
        self._thread.join()
        self._deployer.close()


@pytest.fixture
def make_local_deployer(
    registry_dir: Path, store: LocalStore, registry: FileRegistry
) -> Iterator[Callable[[], LocalHost]]:
    """Make a deployer for this machine; each call ends the last one and returns a new one, as after a restart."""
    directory, hosts = registry_dir / "containers", []

    def make(limits: Limits = QUICK, **variables: str) -> LocalHost:
        for host in hosts:
            host.leave()
        hosts.clear()
        state_store = DirectoryStateStore(registry_dir)
        words = [f"--registry={registry_dir}"]
        variables = {"GREETING": "hello; $HOME", **variables}
        instances = LocalInstances(directory, words, store, variables, limits=limits)
        hosts.append(LocalHost(instances, AssigningDeployer(state_store, registry, store), state_store))
        return hosts[0]

    yield make
    for host in hosts:
        host.leave()
    for lock in directory.glob("*/lock"):  # left running by a failed test
        with suppress(ValueError, ProcessLookupError):
            os.kill(int(lock.read_text()), signal.SIGTERM)


@pytest.fixture
def make_yarn_deployer(
    yarn: Any, registry_dir: Path, store: LocalStore, registry: FileRegistry, state_store: DirectoryStateStore
) -> Iterator[Callable[[], Any]]:
    """Make a deployer for YARN; each call returns a new one with the same registry, as after a restart."""
    from maas_runtime.deployers.yarn.deployer import YarnDeployer, YarnSettings
    from maas_runtime.deployers.yarn.rest import YarnServices

    with YarnServices([yarn.url]) as services:
        yield lambda: YarnDeployer(
            services,
            [f"--registry={registry_dir}"],
            store,
            registry,
            state_store,
            lambda model, reason: record_failure(state_store, model, reason),
            limits=QUICK,
            settings=YarnSettings(python=sys.executable),
        )


@pytest.fixture
def deployment(store: LocalStore, collateral: Callable[..., Path]) -> Deployment:
    store.upload(collateral(), "/dga")
    return Deployment(DGA, "/dga", environment={"GREETING": "hello; $HOME"})


@pytest.fixture
def eventually() -> Callable[..., Any]:
    def wait_for(condition: Callable[[], Any], seconds: float = 60.0) -> Any:
        deadline = time.monotonic() + seconds
        while not (found := condition()):
            assert time.monotonic() < deadline, "condition not met in time"
            time.sleep(0.01)
        return found

    return wait_for


def is_running(pid: int) -> bool:
    """Return whether a process runs; a zombie does not."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


@pytest.fixture
def is_alive() -> Callable[[int], bool]:
    return is_running


@pytest.fixture
def maas(registry_dir: Path, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Run the command: `maas("deploy", "-mo", "LIST")`; "serve" starts a process that goes on."""
    services = []

    def run(command: str, *arguments: Any, wait: bool = True) -> Any:
        words = [command, "--registry", str(registry_dir), *map(str, arguments)]
        line = [sys.executable, "-m", "maas_runtime.cli", *words]
        if command == "serve" and wait:
            log = (tmp_path / "serve.log").open("ab")
            process = subprocess.Popen(line, cwd=PACKAGES, stdout=log, stderr=log)
            log.close()
            services.append(process)
            deadline = time.monotonic() + 60
            while not DirectoryStateStore(registry_dir).is_led():
                assert time.monotonic() < deadline
                time.sleep(0.02)
            return process
        if command == "serve":
            return subprocess.run(line, cwd=PACKAGES, capture_output=True, text=True, timeout=30, check=False)
        with redirect_stdout(StringIO()) as output, redirect_stderr(StringIO()) as errors:
            status = main(words)
        return subprocess.CompletedProcess(words, status, output.getvalue(), errors.getvalue())

    yield run
    for process in services:
        process.terminate()
        process.wait(15)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Make a model's directory for upload: with subdirectories, modes, and a stale endpoint.dat."""
    folder = tmp_path / "model"
    (folder / "data/deep").mkdir(parents=True)
    (folder / "rest.sh").write_text("#!/bin/sh\n")
    (folder / "rest.sh").chmod(0o750)
    (folder / "data/deep/weights").write_bytes(b"\0\1")
    (folder / "endpoint.dat").write_text("of another run")
    return folder
