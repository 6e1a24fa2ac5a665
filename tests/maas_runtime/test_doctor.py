"""What `maas doctor` finds, each with the thing itself broken in that way."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from maas_runtime.cli.main import main
from maas_runtime.state.store import DirectoryStateStore
from stellar.maas import FileRegistry, Model, ServiceInstance
from stellar.maas.schema import Endpoint

NOBODY = 65534


@pytest.fixture
def doctor(place, capsys):
    """The status, and what was found by each check: `doctor("--host", "node1")`."""

    def run(*options):
        status = main(["doctor", "--registry", str(place), *map(str, options)])
        lines = capsys.readouterr().out.splitlines()
        found = [
            f"{line} — {after.strip()}" if after.startswith("     ") else line
            for line, after in zip(lines, [*lines[1:], ""], strict=True)
            if not line.startswith("     ")
        ]
        return status, found

    return run


def said(found, about, state):
    return [line for line in found if line.split()[:2] == [state, about]]


@contextmanager
def as_nobody(*folders):
    """Root may do everything, so the test goes on as somebody who may not."""
    if os.geteuid() != 0:
        yield
        return
    for folder in folders:
        folder.chmod(0o755)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def closed_to_others(folder):
    return [place for place in (folder, *folder.parents) if not place.stat().st_mode & stat.S_IXOTH]


def test_where_all_is_there_nothing_fails_and_nothing_is_left(doctor, place):
    place.mkdir(mode=0o700)
    with DirectoryStateStore(place).lead(lambda: False):
        status, found = doctor()
    assert status == 0
    assert {line.split()[0] for line in found} == {"ok"}
    assert {line.split()[1] for line in found} == {
        "Python", "directory", "scripts", "store", "room", "ports", "service", "models"
    }  # fmt: skip
    assert [entry.name for entry in place.iterdir()] == ["maas"]  # the lock of who led


def test_a_place_that_is_not_there_yet_is_none_the_worse(doctor, place):
    status, found = doctor()
    assert status == 0
    assert "will be made when it is needed" in said(found, "directory", "ok")[0]
    assert not place.exists()


def test_missing_programs_are_named(doctor, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    status, found = doctor()
    assert status == 1
    assert "there is no sh" in said(found, "Python", "fail")[0]
    assert [line.split(";")[0].split()[-1] for line in said(found, "Python", "warn")] == ["bash", "python3"]


def test_a_directory_that_others_own_fails(doctor, place, tmp_path):
    place.mkdir(mode=0o755)
    (place / "store").mkdir(mode=0o755)
    for folder in (place, place / "store"):
        os.chmod(folder, 0o555)
    with as_nobody(*closed_to_others(tmp_path)):
        status, found = doctor()
    assert status == 1
    assert f"{place} can't be written to" in said(found, "directory", "fail")[0]
    assert f"mend: chown {NOBODY if os.geteuid() == 0 else os.geteuid()} {place}" in said(found, "directory", "fail")[0]
    assert "can't be read and written" in said(found, "store", "fail")[0]


def test_a_directory_to_which_others_may_write_is_warned_of(doctor, place):
    place.mkdir()
    place.chmod(0o777)
    status, found = doctor()
    assert status == 0
    assert "who does can have programs run" in said(found, "directory", "warn")[0]
    assert f"mend: chmod go-w {place}" in said(found, "directory", "warn")[0]


def test_a_file_in_the_way_fails(doctor, place):
    place.write_text("")
    status, found = doctor()
    assert status == 1
    assert "is in the way" in said(found, "directory", "fail")[0]


def test_a_place_where_no_program_may_run_fails(doctor, place):
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "noexec,size=1m", "none", str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount anything")
    try:
        status, found = doctor()
    finally:
        subprocess.run(["umount", str(place)], check=True)
    assert status == 1
    assert "no script can be run there" in said(found, "scripts", "fail")[0]
    assert "1 MB are free" in said(found, "room", "fail")[0]


def test_a_disk_without_room_fails(doctor, monkeypatch):
    monkeypatch.setattr("maas_runtime.cli.doctor.TOO_LITTLE_MB", 1 << 50)
    status, found = doctor()
    assert status == 1
    assert "MB are free" in said(found, "room", "fail")[0]


def test_a_name_that_is_none_fails(doctor):
    status, found = doctor("--host", "no-such-host.invalid")
    assert status == 1
    assert "no-such-host.invalid is no name or address" in said(found, "ports", "fail")[0]


def test_a_name_of_another_machine_fails(doctor):
    status, found = doctor("--host", "192.0.2.1")  # kept for documentation: nobody has it
    assert status == 1
    assert "a server on this machine is not reached as 192.0.2.1" in said(found, "ports", "fail")[0]


def lasting(url, id):
    return ServiceInstance.of(Model("dga", "1.0"), id, Endpoint(url=url), lasting=True)


@pytest.fixture
def entries(place):
    """Lasting entries: one that listens, one that refuses, one on a machine that is not there."""
    with FileRegistry(place) as registry, socket.create_server(("127.0.0.1", 0)) as server:
        with socket.create_server(("127.0.0.1", 0)) as other:
            closed = other.getsockname()[1]
        urls = [f"http://127.0.0.1:{server.getsockname()[1]}", f"http://127.0.0.1:{closed}", "http://no-host.invalid:1"]
        for url in urls:
            registry.register(lasting(url, str(urls.index(url))))
        yield urls


def test_entries_at_which_nobody_listens_are_found(doctor, entries):
    status, found = doctor()
    assert status == 0
    assert "1 of 3 registered instances listen" in said(found, "models", "ok")[0]
    (line,) = said(found, "models", "warn")
    assert f"dga @ 1.0 at {entries[1]} (refused), dga @ 1.0 at {entries[2]} (unreachable)" in line
    assert "mend: maas deploy --prune removes those that refuse" in line


def test_pruning_takes_away_what_refuses_and_says_so(maas, entries, place):
    ended = maas("deploy", "--prune")
    assert ended.returncode == 0
    assert ended.stdout.splitlines() == [
        f"dga @ 1.0 at {entries[1]}: refused; unregistered",
        f"dga @ 1.0 at {entries[2]}: unreachable from here; stays, but for --prune=unreachable",
        "1 of 3 lasting entries are unregistered",
    ]
    with FileRegistry(place) as registry:
        assert {instance.url for instance in registry.instances()} == {entries[0], entries[2]}
        assert maas("deploy", "-mo", "LIST", "--prune=unreachable").stdout.endswith(
            "1 of 2 lasting entries are unregistered\n"
        )
    with FileRegistry(place) as registry:
        assert [instance.url for instance in registry.instances()] == [entries[0]]


@pytest.mark.usefixtures("entries")
def test_pruning_keeps_to_the_model_that_is_named(maas):
    assert maas("deploy", "--prune", "-n", "other").stdout == "0 of 0 lasting entries are unregistered\n"


def test_pruning_leaves_what_ends_by_itself(maas, place):
    with FileRegistry(place) as registry:
        registry.register(ServiceInstance.of(Model("dga", "1.0"), "1", Endpoint(url="http://127.0.0.1:9")))
        assert maas("deploy", "--prune").stdout == "0 of 0 lasting entries are unregistered\n"
        assert registry.instances()


def test_pruning_goes_with_no_other_mode(maas):
    ended = maas("deploy", "--prune", "-mo", "REMOVE", "-n", "a", "-v", "1", "-ni", 1)
    assert (ended.returncode, ended.stderr) == (1, "maas: --prune does not go with REMOVE\n")


# --- YARN, of which only what it says matters here; the real one is asked in tests/integration

INFO = {"clusterInfo": {"state": "STARTED", "haState": "ACTIVE", "hadoopVersion": "3.4.2"}}
NODES = {"nodes": {"node": [{"availMemoryMB": 3000, "usedMemoryMB": 1000}, {"availMemoryMB": 100, "usedMemoryMB": 0}]}}
LEAF = {"queueName": "models", "state": "RUNNING", "maximumAllocation": {"memory": 8192}}
TREE = {"queueName": "root", "queues": {"queue": [{"queueName": "a", "queues": {"queue": [LEAF]}}, {"queueName": "b"}]}}
ALL = {
    "/ws/v1/cluster/info": INFO,
    "/app/v1/services/version": {"hadoop_version": "3.4.2"},
    "/ws/v1/cluster/scheduler": {"scheduler": {"schedulerInfo": TREE}},
    "/ws/v1/cluster/nodes": NODES,
}


@pytest.fixture
def manager():
    """A server that answers like YARN's resource manager: `manager(changed)`; its address."""
    servers = []

    def start(changed=None):
        answers = ALL | (changed or {})

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                told = answers.get(self.path.partition("?")[0])
                self.send_response(200 if told is not None else 404)
                self.end_headers()
                self.wfile.write(b"<html>" if told is None else json.dumps(told).encode())

            def log_message(self, *_):
                """Say nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        servers.append((server, thread))
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server, thread in servers:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_yarn_with_all_that_is_needed_is_well(doctor, manager):
    url = manager()
    status, found = doctor("--yarn", url, "-q", "models")
    assert status == 0
    assert [line.split(None, 2)[2] for line in said(found, "YARN", "ok")] == [
        f"Hadoop 3.4.2 at {url}",
        "it runs services",
        "queue models: 2 nodes, and 4,000 MB for the largest container (-m)",
    ]


STOPPED = {"scheduler": {"schedulerInfo": {"queueName": "models", "state": "STOPPED"}}}
BROKEN_YARN = {
    "no services": ({"/app/v1/services/version": None}, "set yarn.webapp.api-service.enable to true"),
    "no such queue": ({"/ws/v1/cluster/scheduler": {"scheduler": {"schedulerInfo": {"queueName": "x"}}}}, "with -q: x"),
    "a queue that is stopped": ({"/ws/v1/cluster/scheduler": STOPPED}, "its queue models is STOPPED"),
    "no nodes": ({"/ws/v1/cluster/nodes": {"nodes": {"node": None}}}, "it has no node that runs"),
    "somebody else": ({"/ws/v1/cluster/info": ["x"]}, "it answers 200, and not as YARN does"),
}


@pytest.mark.parametrize("trouble", BROKEN_YARN)
def test_what_yarn_lacks_fails_with_the_mend(trouble, doctor, manager):
    changed, message = BROKEN_YARN[trouble]
    status, found = doctor("--yarn", manager(changed), "-q", "models")
    assert status == 1
    assert message in said(found, "YARN", "fail")[0]


def test_a_manager_on_standby_is_well(doctor, manager):
    standby = {"clusterInfo": {"state": "STARTED", "haState": "STANDBY"}}
    status, found = doctor("--yarn", manager({"/ws/v1/cluster/info": standby}))
    assert status == 0
    assert "is STANDBY and STARTED" in said(found, "YARN", "ok")[0]


def test_a_yarn_that_is_not_there_fails(doctor):
    status, found = doctor("--yarn", "http://127.0.0.1:9", "--yarn", "ftp://x")
    assert status == 1
    assert "http://127.0.0.1:9: it can't be reached" in said(found, "YARN", "fail")[0]
    assert "'ftp://x' is not an address of YARN" in said(found, "YARN", "fail")[1]
