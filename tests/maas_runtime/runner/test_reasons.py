"""Why an instance is not ready or has failed: each reason is provoked with a real model, and has a fix."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from maas_runtime.deployers import Deployment
from maas_runtime.runner.limits import Limits
from maas_runtime.runner.reasons import explain_end, find_full_disk
from maas_runtime.state.phases import read_phases
from stellar.maas import Model

DGA = Model("dga", "1.0")
LIMITS = Limits(start=60.0, drain=0.0, end=1.0, probe=0.1, misses=3)
PYTHON = f"{sys.executable} -S"


@pytest.fixture
def deploy(make_local_deployer, store, collateral):
    """Deploy an instance of a script; its deployer is returned."""

    def deploy(script, limits=LIMITS, memory=0, instances=1, **files):
        store.upload(collateral(f"#!/bin/sh\n{script}\n", **files), "/dga")
        deployer = make_local_deployer(limits)
        deployer.scale(Deployment(DGA, "/dga", memory=memory), instances)
        return deployer

    return deploy


@pytest.fixture
def await_phase(state_store, eventually):
    """Wait until the phase of an instance contains a text, and return its description."""

    def await_phase(text):
        def find():
            found = [phase.describe() for phase in read_phases(state_store, "dga")]
            return next((each for each in found if text in each), None)

        return eventually(find)

    return await_phase


@pytest.fixture
def await_failure(state_store, eventually):
    def await_failure(deployer):
        eventually(lambda: deployer.running(DGA) == 0)
        return state_store.read("failures/dga/1.0")["last"]

    return await_failure


# --- while it starts


def write(text):
    return f"echo '{text}' > endpoint.dat\nsleep 60"


STARTING = {
    "it writes nothing": (
        "sleep 60",
        "it wrote no endpoint.dat yet (",
        'the script must write {"url": "http://0.0.0.0:P',
    ),
    "it writes a broken endpoint.dat": (write("{url"), "invalid endpoint.dat: Expecting", "the script must write"),
    "it writes no url": (write("{}"), "invalid endpoint.dat: ", "the script must write"),
    "it writes an invalid health path": (
        write('{"url": "http://127.0.0.1:1", "health": 7}'),
        "invalid endpoint.dat: invalid health 7: expected a path such as /health, or false",
        "the script must write",
    ),
    "nobody listens": (
        write('{"url": "http://127.0.0.1:9"}'),
        "no server is listening at http://127.0.0.1:9 (",
        "the server must listen on the host and port that endpoint.dat names",
    ),
}


@pytest.mark.parametrize("case", STARTING)
def test_a_starting_instance_says_why_it_is_not_ready(case, deploy, await_phase):
    script, reason, fix = STARTING[case]
    deploy(script)
    description = await_phase(reason)
    assert description.startswith("starting: ")
    assert fix in description


def test_a_server_on_another_port_is_named(deploy, await_phase):
    server = "import socket, time; s = socket.create_server(('127.0.0.1', 0)); time.sleep(60)"
    deploy(f'{PYTHON} -c "{server}" &\n{write(json_url(9))}')
    assert "; the model listens on port " in await_phase("no server is listening at http://127.0.0.1:9; the model")


def json_url(port):
    return f'{{"url": "http://127.0.0.1:{port}"}}'


def test_the_status_of_a_health_check_is_named(deploy, await_phase):
    server = (
        "import json, socket\n"
        "with socket.create_server(('127.0.0.1', 0)) as server:\n"
        "    url = 'http://127.0.0.1:%d' % server.getsockname()[1]\n"
        "    open('endpoint.dat', 'w').write(json.dumps({'url': url, 'health': '/health'}))\n"
        "    while True:\n"
        "        with server.accept()[0] as connection:\n"
        "            connection.recv(10_000) and connection.sendall(b'HTTP/1.0 503 X\\r\\n\\r\\n')\n"
    )
    deploy(f"exec {PYTHON} server.py", **{"server.py": server})
    assert "the path must return a 2xx status" in await_phase("the health check returns 503 at http://127.0.0.1:")


FIXED_PORT = """
import socket, sys
with socket.create_server(("127.0.0.1", int(sys.argv[1]))) as server:
    while True:
        with server.accept()[0] as connection:
            connection.recv(10_000) and connection.sendall(b"HTTP/1.0 200 OK\\r\\n\\r\\n{}")
"""


def find_free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def test_a_port_that_another_instance_uses_is_named_with_its_process(deploy, registry, await_phase, eventually):
    port = find_free_port()
    script = f"echo '{json_url(port)}' > endpoint.dat\n{PYTHON} server.py {port}\nsleep 60"
    deployer = deploy(script, instances=1, **{"server.py": FIXED_PORT})
    eventually(lambda: registry.instances())
    deployer.scale(Deployment(DGA, "/dga"), 2)
    description = await_phase(f"port {port} is in use by ")
    assert "of another instance" in description
    assert "bind port 0" in description
    assert len(registry.instances()) == 1


def test_a_port_of_a_server_that_is_no_instance_is_accepted(deploy, registry, eventually):
    with socket.create_server(("127.0.0.1", 0)) as server:  # as of a container that the script controls
        deploy(write(json_url(server.getsockname()[1])))
        assert eventually(lambda: registry.instances())


def test_a_registry_that_cannot_be_written_is_named(deploy, registry_dir, await_phase, state_store, eventually):
    registry_dir.joinpath("maas").mkdir(parents=True)
    registry_dir.joinpath("maas/service").write_text("in the way")
    deploy(f"exec {PYTHON} server.py")
    assert "check the registry with: maas doctor" in await_phase("cannot register it: ")
    registry_dir.joinpath("maas/service").unlink()
    assert await_phase("ready") == "ready"


# --- when it ends

ENDED = {
    "it fails": ("echo no luck >&2; exit 3", "rest.sh ended with status 3 before it wrote endpoint.dat: no luck", ""),
    "it ends well": (
        "exit 0",
        "rest.sh ended with status 0 before it wrote endpoint.dat",
        "must stay in the foreground",
    ),
    "a command is missing": ("no-such-command", "rest.sh ended with status 127 before", "check the `#!` line and the"),
    "a module is missing": (f"{PYTHON} -c 'import no_such'", "No module named 'no_such'", "; install the module"),
    "it is killed": ("kill -9 $$", "rest.sh ended by signal 9 before it wrote endpoint.dat", ""),
}


@pytest.mark.parametrize("case", ENDED)
def test_a_script_that_ends_too_early_is_explained(case, deploy, await_failure):
    script, reason, fix = ENDED[case]
    failure = await_failure(deploy(script))
    assert reason in failure
    assert fix in failure


def test_a_script_that_starts_a_daemon_is_told_to_stay_in_the_foreground(deploy, await_failure, is_alive, tmp_path):
    has_started = "until [ $(cat /proc/$!/comm) = sleep ]; do sleep 0.01; done"  # not still a copy of the script
    deployer = deploy(f"sleep 60 & echo $! > {tmp_path}/daemon; {has_started}")
    failure = await_failure(deployer)
    daemon = int((tmp_path / "daemon").read_text())
    assert f"rest.sh ended with status 0 before it wrote endpoint.dat, but left sleep (process {daemon}) run" in failure
    assert "; start the server in the foreground, without & or a daemon option" in failure
    assert not is_alive(daemon)


def test_a_port_in_use_that_ends_the_script_is_explained(deploy, await_failure):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        failure = await_failure(deploy(f"{PYTHON} server.py {port}", **{"server.py": FIXED_PORT}))
    assert "Address already in use" in failure
    assert "; bind port 0" in failure


def test_a_memory_limit_is_explained(deploy, await_failure):
    hungry = "import time; much = b'1' * 150_000_000; time.sleep(60)"
    failure = await_failure(deploy(f'{PYTHON} -c "{hungry}"', memory=100))
    assert "memory" in failure
    assert "100 MB; raise its limit with -m" in failure


def test_a_missing_interpreter_is_explained(make_local_deployer, store, collateral, await_failure):
    store.upload(collateral("#!/no/such/interpreter\n"), "/dga")
    deployer = make_local_deployer(LIMITS)
    deployer.scale(Deployment(DGA, "/dga"), 1)
    assert "No such file or directory: " in (failure := await_failure(deployer))
    assert "check the `#!` line" in failure


def test_a_time_out_has_the_reason_and_the_fix(deploy, await_failure):
    failure = await_failure(deploy("sleep 60", Limits(start=0.5, drain=0.0, end=1.0)))
    assert "it was not ready in time: it wrote no endpoint.dat yet; the script must write" in failure


def test_a_ready_instance_that_does_not_respond_says_so(deploy, registry, await_phase, eventually, tmp_path):
    port = find_free_port()
    script = f"echo $$ > {tmp_path}/pid\necho '{json_url(port)}' > endpoint.dat\nexec {PYTHON} server.py {port}"
    deploy(script, **{"server.py": FIXED_PORT})
    eventually(lambda: registry.instances())
    assert await_phase("ready") == "ready"
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGSTOP)
    assert "ready: no response from http://127.0.0.1:" in await_phase("no response")


# --- a full disk


@pytest.fixture
def full_disk(tmp_path):
    """Mount a disk of 1 MB, fill it, and return it."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("needs the permission to mount a disk")
    try:
        fill = ["dd", "if=/dev/zero", f"of={disk / 'big'}", "bs=64k", "count=32"]
        assert b"No space left" in subprocess.run(fill, capture_output=True, check=False).stderr
        yield disk
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_full_disk_is_found(full_disk, tmp_path):
    problem = find_full_disk(full_disk)
    assert problem.reason == f"the disk of {full_disk} is full"
    assert "free space" in problem.fix
    (full_disk / "big").unlink()
    assert find_full_disk(full_disk) is None


def test_a_disk_that_cannot_be_measured_is_not_full():
    assert find_full_disk(Path("/no/such/folder")) is None


def test_an_instance_on_a_full_disk_says_so(deploy, state_store, await_phase, full_disk, registry_dir, eventually):
    (full_disk / "big").unlink()
    (registry_dir / "containers").parent.mkdir(parents=True, exist_ok=True)
    (full_disk / "containers").mkdir()
    (registry_dir / "containers").symlink_to(full_disk / "containers")
    deploy("while ! test -e ../go; do sleep 0.1; done; head -c 2000000 /dev/zero > big; sleep 60")
    await_phase("it wrote no endpoint.dat yet")
    (instance,) = (full_disk / "containers").glob("*/work")
    (instance.parent / "go").touch()
    assert "free space, or use another directory by --registry" in await_phase("is full (")


# --- the explanation of an end


@pytest.mark.parametrize(
    ("last_line", "fix"),
    [
        ("OSError: [Errno 98] Address already in use", "bind port 0"),
        ("cp: error writing 'x': No space left on device", "free space"),
        ("sh: 1: pyton: command not found", "check the `#!` line"),
        ("MemoryError", "raise its limit"),
        ("bash: ./x: Permission denied", "check the permissions"),
        ("something else", ""),
    ],
)
def test_known_errors_in_the_output_have_a_fix(last_line, fix):
    problem = explain_end("rest.sh", 1, "while it served", last_line, [])
    assert problem.reason == f"rest.sh ended with status 1 while it served: {last_line}"
    assert problem.fix.startswith(fix)
    assert bool(problem.fix) == bool(fix)


def test_the_phase_of_a_killed_runner_is_removed(deploy, state_store, registry_dir, await_phase, eventually):
    deployer = deploy("sleep 60")
    await_phase("it wrote no endpoint.dat yet")
    (lock,) = (registry_dir / "containers").glob("[!.f]*/lock")
    os.kill(int(lock.read_text()), signal.SIGKILL)
    eventually(lambda: deployer.running(DGA) == 0)
    eventually(lambda: state_store.names("phases/dga") == [])
