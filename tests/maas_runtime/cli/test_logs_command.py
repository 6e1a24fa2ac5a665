"""maas logs, with instances of this machine, of other hosts and of YARN."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import maas_runtime
from maas_runtime.cli.main import main
from stellar.maas import FileRegistry, Model, ServiceInstance
from stellar.maas.schema import Endpoint

PACKAGES = Path(maas_runtime.__file__).parents[1]
TALKS = f"#!/bin/bash\necho to stdout; echo to stderr >&2\nexec {sys.executable} -S server.py\n"
ONE = Model("dga", "1.0")
DGA = ("-n", "dga", "-v", "1.0")


@pytest.fixture
def logs(registry_dir, capsys):
    """Run the command: `logs("dga")` returns status, output lines and errors."""

    def run(*words):
        try:
            status = main(["logs", "--registry", str(registry_dir), *map(str, words)])
        except SystemExit as ended:
            status = ended.code
        output, errors = capsys.readouterr()
        return status, output.splitlines(), errors

    return run


@pytest.fixture
def make_container(registry_dir):
    """Make the directory of an instance: `make_container("a1b2", stdout="text")`."""

    def make(id, model=ONE, *, failed=False, started=1.0, **files):
        folder = registry_dir / "containers" / ("failed" if failed else "") / id
        folder.mkdir(parents=True)
        (folder / "instance.json").write_text(json.dumps({**model._asdict(), "started": started}))
        for name in ("stdout", "stderr"):
            (folder / name).write_text(files.get(name, ""))
        (folder / "runner.log").write_text(files.get("runner", ""))
        return folder

    return make


def register(registry, id, url="http://node7:8080", model=ONE):
    registry.register(ServiceInstance.of(model, id, Endpoint(url=url)))


def test_one_instance_is_shown_without_a_prefix(logs, make_container):
    make_container("a1b2c3", stdout="one\ntwo", stderr="three\n", runner="started\n")
    assert sorted(logs("dga")[1]) == ["one", "three", "two"]
    assert logs("dga", "--runner") == (0, ["started"], "")
    assert sorted(logs("dga", "--tail", 1)[1]) == ["three", "two"]


def test_several_instances_are_shown_with_a_prefix_and_failed_ones_are_marked(logs, make_container):
    make_container("a1b2c3", stdout="one\n")
    make_container("d4e5f6", stderr="two\n", failed=True)
    make_container("other1", Model("other", "1.0"), stdout="three\n")
    status, output, errors = logs("dga")
    assert sorted(output) == ["a1b2c3 stdout | one", "d4e5f6 (failed) stderr | two"]
    assert (status, errors) == (0, "")
    assert logs("other@1.0")[1] == ["three"]


def test_an_instance_is_selected_by_number_id_or_its_begin(logs, make_container):
    make_container("a1b2c3", stdout="first\n", started=1.0)
    make_container("a1b2d4", stdout="second\n", started=2.0)
    make_container("123456", stdout="third\n", failed=True)
    for text, expected in ((1, "first"), (2, "second"), ("a1b2d", "second"), ("a1b2c3", "first"), (123456, "third")):
        assert logs("dga", "--instance", text)[:2] == (0, [expected])
    assert "instance 'a1b2' is ambiguous: a1b2c3, a1b2d4" in logs("dga", "--instance", "a1b2")[2]
    for text in (0, 3, "x", "-1"):
        assert f"unknown instance '{text}': known are 123456, a1b2c3, a1b2d4" in logs("dga", f"--instance={text}")[2]


def test_json_has_one_document_a_line(logs, make_container):
    make_container("a1b2c3", stdout="\x1b[31mred\x1b[0m \u00e9\n")
    _, (line,), _ = logs("dga", "--output", "json")
    assert json.loads(line) == {
        "name": "dga", "version": "1.0", "instance": "a1b2c3", "failed": False, "stream": "stdout",
        "line": "\x1b[31mred\x1b[0m \u00e9",
    }  # fmt: skip


def test_a_terminal_gets_no_control_characters(logs, make_container, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    make_container("a1b2c3", stdout="\x1b[31mred\x1b[0m\x1b]0;title\x07\n")
    assert logs("dga")[1] == ["red?]0;title?"]


def test_an_instance_of_another_host_names_the_host_and_the_command(logs, registry_dir, make_container):
    with FileRegistry(registry_dir) as registry:
        register(registry, "7")
        hint = f"dga @ 1.0 instance 7 runs on node7, and not in {registry_dir}/containers; "
        hint += "run there: maas logs dga --instance 7"
        assert logs("dga") == (1, [], f"maas: {hint}\n")
        make_container("a1b2c3", stdout="one\n")
        status, output, _ = logs("dga")
        assert (status, output) == (0, ["one"])


def test_the_host_of_the_agent_is_named_if_the_instance_has_one(logs, registry_dir, state_store):
    state_store.write("assigned/dga/7", {"version": "1.0", "owner": "agent1"})
    file = registry_dir / "maas/ext/agents/agent1"
    file.parent.mkdir(parents=True)
    file.write_text('{"host": "bigbox"}')
    with FileRegistry(registry_dir) as registry, file.open("rb") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)  # as a living agent
        register(registry, "7")
        assert "dga @ 1.0 instance 7 runs on bigbox, and not in" in logs("dga")[2]


WRONG = [
    (["dgs"], 1, "unknown model dgs: did you mean dga?"),
    (["dga@2.0"], 1, "unknown version 2.0 of dga: did you mean 1.0?"),
    (["dga", "--tail", "x"], 2, "invalid number of lines 'x'"),
    (["dga", "--principal", "p"], 2, "--principal has no effect without --yarn"),
]


@pytest.mark.parametrize(("words", "expected", "reason"), WRONG)
def test_invalid_arguments_are_rejected(words, expected, reason, logs, make_container):
    make_container("a1b2c3")
    status, output, errors = logs(*words)
    assert (status, output) == (expected, [])
    assert reason in errors


def test_a_damaged_directory_is_reported_and_the_others_are_shown(logs, make_container, caplog):
    make_container("a1b2c3", stdout="one\n")
    (make_container("d4e5f6") / "instance.json").write_text("{")
    assert logs("dga")[:2] == (0, ["one"])
    assert "d4e5f6/instance.json, ignored" in caplog.text


def test_a_model_that_never_started_is_an_error(logs, state_store):
    state_store.write("wanted/dga/1.0", {"instances": 1, "path": "/x", "memory": 0})
    status, output, errors = logs("dga")
    assert (status, output) == (1, [])
    assert "no instance of dga has logs in" in errors


# --- real instances


def test_the_output_of_real_instances_is_shown(maas, logs, collateral):
    maas("serve", "--drain-seconds", 0)
    maas("deploy", "-mo", "ADD", "-lmp", collateral(TALKS), "-hmp", "/dga", "-m", 0, "-ni", 2, *DGA, "--wait")
    ids = [each["id"] for each in json.loads(maas("status", "-n", "dga", "--output", "json").stdout)["instances"]]
    assert sorted(logs("dga")[1]) == sorted(
        f"{id} {stream} | to {stream}" for id in ids for stream in ("stdout", "stderr")
    )
    assert any("dga @ 1.0 is ready at" in line for line in logs("dga", "--runner", "--instance", 2)[1])


def test_following_shows_an_instance_that_replaces_a_killed_one(maas, collateral, registry_dir, eventually, tmp_path):
    maas("serve", "--drain-seconds", 0)
    maas("deploy", "-mo", "ADD", "-lmp", collateral(TALKS), "-hmp", "/dga", "-m", 0, "-ni", 1, *DGA, "--wait")
    words = ["logs", "--registry", str(registry_dir), "dga", "-f", "--output", "json"]
    with (tmp_path / "followed").open("wb") as output:
        follower = subprocess.Popen([sys.executable, "-m", "maas_runtime.cli", *words], cwd=PACKAGES, stdout=output)
    try:
        read = lambda: [json.loads(line) for line in (tmp_path / "followed").read_text().splitlines()]  # noqa: E731
        eventually(lambda: len(read()) == 2)
        document = json.loads(maas("status", "-n", "dga", "--output", "json").stdout)
        os.kill(document["instances"][0]["pid"], signal.SIGKILL)
        eventually(lambda: len({each["instance"] for each in read()}) == 2)
        eventually(lambda: [each["line"] for each in read()].count("to stderr") == 2)
    finally:
        follower.send_signal(signal.SIGINT)
        assert follower.wait(20) == 130


def test_a_closed_pipe_ends_the_command_quietly(make_container, registry_dir):
    make_container("a1b2c3", stdout="line\n" * 100_000)
    line = [sys.executable, "-m", "maas_runtime.cli", "logs", "--registry", str(registry_dir), "dga"]
    with subprocess.Popen(line, cwd=PACKAGES, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"line\n"
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


# --- YARN, faked here; tests/integration has a real one

CONTAINER = "container_1571163620277_0001_01_000002"
LOG = "Container: x on node7\nLogType:model-stdout\nLogContents:\n%sEnd of LogType:model-stdout\n***\n\n"


@pytest.fixture
def yarn():
    """Start a server that is a resource manager and the node manager of node7."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            path = self.path.partition("?")[0]
            port = self.server.server_port
            nodes = {"node": [{"nodeHostName": "node7", "nodeHTTPAddress": f"127.0.0.1:{port}", "state": "RUNNING"}]}
            found = {
                "/ws/v1/cluster/nodes": json.dumps({"nodes": nodes}),
                f"/ws/v1/node/containers/{CONTAINER}/logs/model-stdout": LOG % "one\ntwo\n",
            }.get(path)
            self.send_response(404 if found is None else 200)
            self.end_headers()
            self.wfile.write((found or "").encode())

        def log_message(self, *_):
            """Log nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_the_output_of_an_instance_on_yarn_is_read_from_its_node(logs, yarn, registry_dir):
    with FileRegistry(registry_dir) as registry:
        register(registry, CONTAINER)
        assert logs("dga", "--yarn", yarn) == (0, ["one", "two"], "")
        assert logs("dga", "--yarn", yarn, "--tail", 1)[1] == ["two"]
        assert "-f cannot follow instances on YARN" in logs("dga", "--yarn", yarn, "-f")[2]
        hint = f"yarn logs -applicationId application_1571163620277_0001 -containerId {CONTAINER}"
        assert f"in a container of YARN; add --yarn URL, or run: {hint}" in logs("dga")[2]


def test_a_node_that_yarn_does_not_know_is_an_error(logs, yarn, registry_dir):
    with FileRegistry(registry_dir) as registry:
        register(registry, CONTAINER, "http://node8:8080")
        status, output, errors = logs("dga", "--yarn", yarn)
    assert (status, output) == (1, [])
    assert "YARN has no running node node8" in errors
    assert "yarn logs -applicationId" in errors
