"""The server that forks runners."""

from __future__ import annotations

import fcntl
import json
import os
import resource
import select
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

import maas_runtime
from maas_runtime.runner.fork_server import ForkServer
from maas_runtime.runner.runner import ENVIRONMENT
from stellar.maas import FileRegistry

pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs descriptors of processes")

PACKAGES = Path(maas_runtime.__file__).parents[1]
SCRIPT = """
echo "{\\"url\\": \\"http://127.0.0.1:$PORT\\", \\"health\\": false}" > endpoint.dat
exec sleep 600
"""


class Folder:
    """The directory of an instance, and the descriptors for its runner."""

    def __init__(self, root, id):
        self.id, self.root, self.path = id, root, root / id
        (self.path / "work").mkdir(parents=True)
        (self.path / "work" / "run.sh").write_text(SCRIPT)
        for name in ("stdout", "stderr"):
            (self.path / name).touch()
        self.log = self.path / "runner.log"

    def start(self, server, *more, **environment):
        """Start a runner; return its process id, and the descriptor of the process."""
        arguments = [
            "--name=dga",
            "--version=1.0",
            "--script=run.sh",
            f"--container_id={self.id}",
            f"--registry={self.root / 'registry'}",
            f"--container={self.path}",
            "--drain-seconds=0",
            *more,
        ]
        with self.log.open("ab") as output, (self.path / "lock").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            variables = {ENVIRONMENT: json.dumps(environment)}
            return server.start_runner(arguments, variables, output.fileno(), lock.fileno())


@pytest.fixture
def port(listening):
    return str(listening.getsockname()[1])


@pytest.fixture
def listening():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


@pytest.fixture
def server():
    server = ForkServer()
    yield server
    server.close()


@pytest.fixture
def registry(tmp_path):
    with FileRegistry(tmp_path / "registry") as registry:
        yield registry


@pytest.fixture
def begin(tmp_path, server, port):
    """Start a runner with an id: `begin("1")`; all end with the test."""
    started = []

    def begin(id, *more, by=server):
        child = Folder(tmp_path, id).start(by, *more, PORT=port)
        started.append(child)
        return child

    yield begin
    for _, exited in started:
        signal.pidfd_send_signal(exited, signal.SIGTERM) if not has_ended(exited) else None
    for _, exited in started:
        assert has_ended(exited, 60)
        os.close(exited)


def has_ended(exited, seconds=0.0):
    return bool(select.select([exited], [], [], seconds)[0])


def ids(registry):
    return [instance.id for instance in registry.instances()]


def test_a_forked_runner_registers_its_instance_and_ends_on_a_stop_signal(begin, registry, tmp_path, eventually):
    pid, exited = begin("1")
    eventually(lambda: ids(registry) == ["1"])
    assert (tmp_path / "1/lock").read_text() == f"{pid}\n"
    assert not has_ended(exited)
    os.kill(pid, signal.SIGTERM)
    assert has_ended(exited, 60)
    eventually(lambda: ids(registry) == [])
    assert json.loads((tmp_path / "1/outcome.json").read_text()) == {"failure": None}


def list_opened(pid):
    """Return what the descriptors of a process refer to."""
    opened = set()
    for file in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            opened.add(os.readlink(file))
    return opened


def test_a_runner_has_its_own_session_title_and_no_descriptors_of_the_server(begin, server, registry, eventually):
    first, second = begin("1").pid, begin("2").pid
    eventually(lambda: ids(registry) == ["1", "2"])
    assert (os.getsid(first), os.getsid(second)) == (first, second)
    title = Path(f"/proc/{second}/cmdline").read_bytes().split(b"\0")
    assert title[1:4] == [b"-m", b"maas_runtime.runner.runner", b"--name=dga"]
    assert b"--container_id=2" in title
    assert not [file for file in list_opened(second) if "/1/" in file]
    shared = list_opened(second) & list_opened(server._process._process.pid)
    assert not [file for file in shared if not file.startswith("/")]  # sockets, pipes, processes


def test_variables_are_passed_to_the_script_and_invisible_in_the_command(begin, registry, port, eventually):
    pid = begin("1").pid
    eventually(lambda: ids(registry) == ["1"])
    assert registry.instances()[0].url == f"http://127.0.0.1:{port}"
    assert b"PORT" not in Path(f"/proc/{pid}/cmdline").read_bytes()


def test_invalid_arguments_are_in_the_log_and_end_the_runner(begin, tmp_path):
    _, exited = begin("1", "--unknown")
    assert has_ended(exited, 60)
    assert "unrecognized arguments: --unknown" in (tmp_path / "1/runner.log").read_text()


def test_runners_survive_the_server(begin, server, registry, eventually):
    begin("1")
    eventually(lambda: ids(registry) == ["1"])
    server.close()
    _, exited = begin("2")
    eventually(lambda: ids(registry) == ["1", "2"])
    assert not has_ended(exited)


def test_a_killed_server_is_started_again(begin, server, registry, eventually):
    begin("1")
    process = server._process._process
    process.kill()
    process.wait()
    begin("2")
    eventually(lambda: ids(registry) == ["1", "2"])


SERVICE = """
import os, sys, time
from maas_runtime.runner.fork_server import ForkServer
server = ForkServer()
with open(sys.argv[1], "ab") as output, open(sys.argv[2], "wb") as lock:
    child = server.start_runner(sys.argv[3:], {"MAAS_ENVIRONMENT": "{}"}, output.fileno(), lock.fileno())
print(child.pid, server._process._process.pid, flush=True)
time.sleep(600)
"""


def test_runners_survive_a_killed_service_and_their_server_does_not(tmp_path, registry, is_alive, port, eventually):
    folder = Folder(tmp_path, "1")
    (folder.path / "work/run.sh").write_text(f"PORT={port}\n{SCRIPT}")
    arguments = ["--name=dga", "--version=1.0", "--script=run.sh", "--container_id=1", f"--container={folder.path}"]
    command = [sys.executable, "-c", SERVICE, folder.log, folder.path / "lock", *arguments]
    with subprocess.Popen(
        [*command, f"--registry={tmp_path / 'registry'}"], stdout=subprocess.PIPE, cwd=PACKAGES
    ) as service:
        runner, server = map(int, service.stdout.readline().split())
        service.kill()
    eventually(lambda: not is_alive(server))
    eventually(lambda: ids(registry) == ["1"])
    os.kill(runner, signal.SIGTERM)
    eventually(lambda: not is_alive(runner))


def test_ended_runners_are_reaped(begin, server, eventually):
    pids = [begin(str(id), "--unknown").pid for id in range(5)]
    for pid in pids:
        eventually(lambda pid=pid: not Path(f"/proc/{pid}").exists())


def test_a_runner_that_cannot_be_started_is_an_error_and_the_server_goes_on(begin, server, registry, eventually):
    begin("1")
    pid = server._process._process.pid
    opened = Path(f"/proc/{pid}/fd")
    eventually(lambda: not any("/1/" in os.readlink(file) for file in opened.iterdir()))
    free = [number for number in range(100) if not (opened / str(number)).is_symlink()]
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    for room in (0, 2):  # for the descriptors of the request, then for that of the process
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (free[room], before[1]))
        with pytest.raises(OSError, match=r"cannot start a runner:.* Too many open files"):
            begin("2" if room else "3")
    resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
    begin("4")
    eventually(lambda: ids(registry) == ["1", "4"])
