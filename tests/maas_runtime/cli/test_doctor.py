"""`maas doctor`: each check, on an installation that is broken in that way."""

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
def doctor(registry_dir, capsys):
    """Run the command: `doctor("--host", "node1")` returns the status and the results of each check."""

    def run(*options):
        status = main(["doctor", "--registry", str(registry_dir), *map(str, options)])
        lines = capsys.readouterr().out.splitlines()
        found = [
            f"{line} — {after.strip()}" if after.startswith("     ") else line
            for line, after in zip(lines, [*lines[1:], ""], strict=True)
            if not line.startswith("     ")
        ]
        return status, found

    return run


def results(found, about, state):
    return [line for line in found if line.split()[:2] == [state, about]]


@contextmanager
def as_unprivileged_user(*folders):
    """Drop root's privileges, because root may do everything."""
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
    return [path for path in (folder, *folder.parents) if not path.stat().st_mode & stat.S_IXOTH]


def test_a_complete_installation_passes_and_is_left_unchanged(doctor, registry_dir):
    registry_dir.mkdir(mode=0o700)
    with DirectoryStateStore(registry_dir).lead(lambda: False):
        status, found = doctor()
    assert status == 0
    assert {line.split()[0] for line in found} == {"ok"}
    assert {line.split()[1] for line in found} == {
        "Python", "directory", "scripts", "store", "disk", "ports", "service", "models"
    }  # fmt: skip
    assert [entry.name for entry in registry_dir.iterdir()] == ["maas"]  # the lock of the leader election


def test_a_directory_that_does_not_exist_yet_passes(doctor, registry_dir):
    status, found = doctor()
    assert status == 0
    assert "will be created when it is needed" in results(found, "directory", "ok")[0]
    assert not registry_dir.exists()


def test_fixes_repeat_the_options_of_the_registry(doctor, registry_dir):
    _, found = doctor("-zr", "/other/config")
    options = f"--registry {registry_dir} -zr /other/config"
    assert f"fix: start one: maas serve {options}" in results(found, "service", "warn")[0]
    (registry_dir / "other").mkdir(parents=True)
    (registry_dir / "other/config").write_text("[]")
    _, found = doctor("-zr", "/other/config")
    assert f"fix: fix this error, and run maas doctor {options} again" in results(found, "registry", "fail")[0]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("-q models", "--queue has no effect without --yarn"),
        ("--zk-client file", "--zk-client has no effect without -zq"),
        ("--principal p", "--principal has no effect because the model store is not in HDFS"),
        ("--model-mb 5", "unrecognized arguments: --model-mb 5"),
    ],
)
def test_options_without_effect_are_rejected(words, reason, capsys):
    try:
        status = main(["doctor", *words.split()])
    except SystemExit as ended:
        status = ended.code
    assert status == 2
    assert reason in capsys.readouterr().err


def test_missing_programs_are_reported(doctor, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    status, found = doctor()
    assert status == 1
    assert "sh not found" in results(found, "Python", "fail")[0]
    assert [line.split()[2] for line in results(found, "Python", "warn")] == ["bash", "python3"]


def test_a_directory_of_another_user_fails(doctor, registry_dir, tmp_path):
    registry_dir.mkdir(mode=0o755)
    (registry_dir / "store").mkdir(mode=0o755)
    for folder in (registry_dir, registry_dir / "store"):
        os.chmod(folder, 0o555)
    with as_unprivileged_user(*closed_to_others(tmp_path)):
        status, found = doctor()
    assert status == 1
    assert f"{registry_dir} is not writable" in results(found, "directory", "fail")[0]
    assert (
        f"fix: chown {NOBODY if os.geteuid() == 0 else os.geteuid()} {registry_dir}"
        in results(found, "directory", "fail")[0]
    )
    assert "is not readable and writable" in results(found, "store", "fail")[0]


def test_a_directory_writable_by_others_is_a_warning(doctor, registry_dir):
    registry_dir.mkdir()
    registry_dir.chmod(0o777)
    status, found = doctor()
    assert status == 0
    assert "so run programs as user" in results(found, "directory", "warn")[0]
    assert f"fix: chmod go-w {registry_dir}" in results(found, "directory", "warn")[0]


def test_a_file_instead_of_a_directory_fails(doctor, registry_dir):
    registry_dir.write_text("")
    status, found = doctor()
    assert status == 1
    assert "is not a directory" in results(found, "directory", "fail")[0]


def test_a_noexec_directory_fails(doctor, registry_dir):
    registry_dir.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "noexec,size=1m", "none", str(registry_dir)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount anything")
    try:
        status, found = doctor()
    finally:
        subprocess.run(["umount", str(registry_dir)], check=True)
    assert status == 1
    assert "scripts cannot be executed there" in results(found, "scripts", "fail")[0]
    assert "1 MB free" in results(found, "disk", "fail")[0]


def test_a_full_disk_fails(doctor, monkeypatch):
    monkeypatch.setattr("maas_runtime.cli.doctor.TOO_LITTLE_MB", 1 << 50)
    status, found = doctor()
    assert status == 1
    assert "MB free" in results(found, "disk", "fail")[0]


def test_an_invalid_host_name_fails(doctor):
    status, found = doctor("--host", "no-such-host.invalid")
    assert status == 1
    assert "cannot resolve no-such-host.invalid" in results(found, "ports", "fail")[0]


def test_a_name_of_another_machine_fails(doctor):
    status, found = doctor("--host", "192.0.2.1")  # reserved for documentation: never assigned
    assert status == 1
    assert "a server on this machine is not reachable as 192.0.2.1" in results(found, "ports", "fail")[0]


def lasting(url, id):
    return ServiceInstance.of(Model("dga", "1.0"), id, Endpoint(url=url), lasting=True)


@pytest.fixture
def entries(registry_dir):
    """Register lasting entries: one that accepts connections, one that refuses, one on an unreachable host."""
    with FileRegistry(registry_dir) as registry, socket.create_server(("127.0.0.1", 0)) as server:
        with socket.create_server(("127.0.0.1", 0)) as other:
            closed = other.getsockname()[1]
        urls = [f"http://127.0.0.1:{server.getsockname()[1]}", f"http://127.0.0.1:{closed}", "http://no-host.invalid:1"]
        for url in urls:
            registry.register(lasting(url, str(urls.index(url))))
        yield urls


def test_lasting_entries_without_a_server_are_reported(doctor, entries, registry_dir):
    status, found = doctor()
    assert status == 0
    assert "1 of 3 registered instances accept connections" in results(found, "models", "ok")[0]
    (line,) = results(found, "models", "warn")
    assert f"dga @ 1.0 at {entries[1]} (refused), dga @ 1.0 at {entries[2]} (unreachable)" in line
    assert f"fix: run maas deploy --registry {registry_dir} --prune to remove those that refuse" in line


def test_prune_unregisters_and_prints_entries_that_refuse(maas, entries, registry_dir):
    ended = maas("deploy", "--prune")
    assert ended.returncode == 0
    assert ended.stdout.splitlines() == [
        f"dga @ 1.0 at {entries[1]}: refused; unregistered",
        f"dga @ 1.0 at {entries[2]}: unreachable from here; not removed (see --prune=unreachable)",
        "1 of 3 lasting entries unregistered",
    ]
    with FileRegistry(registry_dir) as registry:
        assert {instance.url for instance in registry.instances()} == {entries[0], entries[2]}
        assert maas("deploy", "-mo", "LIST", "--prune=unreachable").stdout.endswith(
            "1 of 2 lasting entries unregistered\n"
        )
    with FileRegistry(registry_dir) as registry:
        assert [instance.url for instance in registry.instances()] == [entries[0]]


@pytest.mark.usefixtures("entries")
def test_prune_applies_to_the_named_model_only(maas):
    assert maas("deploy", "--prune", "-n", "other").stdout == "0 of 0 lasting entries unregistered\n"


def test_prune_leaves_ephemeral_registrations(maas, registry_dir):
    with FileRegistry(registry_dir) as registry:
        registry.register(ServiceInstance.of(Model("dga", "1.0"), "1", Endpoint(url="http://127.0.0.1:9")))
        assert maas("deploy", "--prune").stdout == "0 of 0 lasting entries unregistered\n"
        assert registry.instances()


def test_prune_is_rejected_with_other_modes(maas):
    ended = maas("deploy", "--prune", "-mo", "REMOVE", "-n", "a", "-v", "1", "-ni", 1)
    assert (ended.returncode, ended.stderr) == (2, "maas: --prune cannot be used with REMOVE\n")


# --- YARN, faked here; tests/integration has a real one

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
    """Start a fake resource manager: `manager(changed)` returns its URL."""
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
                """Suppress the log."""

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


def test_a_complete_yarn_passes(doctor, manager):
    url = manager()
    status, found = doctor("--yarn", url, "-q", "models")
    assert status == 0
    assert [line.split(None, 2)[2] for line in results(found, "YARN", "ok")] == [
        f"Hadoop 3.4.2 at {url}",
        "YARN services are available",
        "queue models: 2 nodes, largest container 4,000 MB (-m)",
    ]


STOPPED = {"scheduler": {"schedulerInfo": {"queueName": "models", "state": "STOPPED"}}}
BROKEN_YARN = {
    "no services": ({"/app/v1/services/version": None}, "set yarn.webapp.api-service.enable to true"),
    "no such queue": ({"/ws/v1/cluster/scheduler": {"scheduler": {"schedulerInfo": {"queueName": "x"}}}}, "with -q: x"),
    "a queue that is stopped": ({"/ws/v1/cluster/scheduler": STOPPED}, "queue models is STOPPED"),
    "no nodes": ({"/ws/v1/cluster/nodes": {"nodes": {"node": None}}}, "no running node"),
    "somebody else": ({"/ws/v1/cluster/info": ["x"]}, "status 200, not a response of YARN"),
}


@pytest.mark.parametrize("trouble", BROKEN_YARN)
def test_a_missing_feature_of_yarn_fails_with_a_fix(trouble, doctor, manager):
    changed, message = BROKEN_YARN[trouble]
    status, found = doctor("--yarn", manager(changed), "-q", "models")
    assert status == 1
    assert message in results(found, "YARN", "fail")[0]


def test_a_standby_resource_manager_passes(doctor, manager):
    standby = {"clusterInfo": {"state": "STARTED", "haState": "STANDBY"}}
    status, found = doctor("--yarn", manager({"/ws/v1/cluster/info": standby}))
    assert status == 0
    assert "is STANDBY and STARTED" in results(found, "YARN", "ok")[0]


def test_an_unreachable_yarn_fails(doctor):
    status, found = doctor("--yarn", "http://127.0.0.1:9", "--yarn", "ftp://x")
    assert status == 1
    assert "http://127.0.0.1:9: connection failed" in results(found, "YARN", "fail")[0]
    assert "invalid YARN URL 'ftp://x'" in results(found, "YARN", "fail")[1]
