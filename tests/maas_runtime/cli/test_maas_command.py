"""The command maas, as users run it."""

from __future__ import annotations

import fcntl
import importlib.metadata
import json
import os
import signal
import socket
import time
import urllib.request

import pytest

from maas_runtime.cli.deploy import format_listing
from maas_runtime.cli.main import main
from maas_runtime.cli.waiting import WaitReport
from maas_runtime.state.store import DirectoryStateStore
from stellar.maas import FileQueue, FileRegistry, MemoryRegistry, Model, ServiceInstance
from stellar.maas.schema import Endpoint

ADD = b'{"name":"dga","version":"1.0","numInstances":1,"memory":512,"action":"ADD","path":"/user/root/models"}'
REMOVE = b'{"name":"dga","version":"1.0","numInstances":1,"memory":0,"action":"REMOVE","path":null}'


@pytest.fixture
def run(registry_dir, capsys):
    """Run the command in this process: `run("deploy", "-mo", "LIST")` returns status, output and errors."""

    def run(command, *arguments):
        try:
            status = main([command, "--registry", str(registry_dir), *map(str, arguments)])
        except SystemExit as ended:
            status = ended.code
        return (status, *capsys.readouterr())

    return run


def registered(*rows):
    registry = MemoryRegistry()
    for name, version, id, url, functions in rows:
        endpoint = Endpoint(url=url, functions=functions)
        registry.register(ServiceInstance.of(Model(name, version), id, endpoint, lasting=True))
    return registry.instances()


def test_the_listing_has_metrons_bytes():
    assert format_listing(()) == ""
    rows = [
        ("dga", "10.0", "2", "http://node1:36162", {"apply": "apply", "score": "s/x"}),
        ("dga", "9.0", "4", "http://node1:36164", {}),
        ("dga", "9.0", "3", "http://node1:36163", {"apply": "apply"}),
        ("abc", "1.0", "5", "http://node1:36165", {"apply": "echo"}),
    ]
    assert format_listing(registered(*rows)) == (
        "Model abc @ 1.0\nabc:1.0 @ http://node1:36165 serving:\n\tapply=echo\n"
        "Model dga @ 9.0\ndga:9.0 @ http://node1:36163 serving:\n\tapply=apply\n"
        "dga:9.0 @ http://node1:36164 serving:\n\t\n"
        "Model dga @ 10.0\ndga:10.0 @ http://node1:36162 serving:\n\tapply=apply\n\tscore=s/x\n"
    )


def test_list_filters_by_name_and_version_and_sends_no_request(run, registry_dir):
    for instance in registered(*((n, v, n + v, "http://h:1", {"apply": "a"}) for n in ("a", "b") for v in ("1", "2"))):
        FileRegistry(registry_dir).register(instance)
    headers = {
        (): ["Model a @ 1", "Model a @ 2", "Model b @ 1", "Model b @ 2"],
        ("-n", "a"): ["Model a @ 1", "Model a @ 2"],
        ("--version", "2"): ["Model a @ 2", "Model b @ 2"],
        ("-n", "a", "-v", "2"): ["Model a @ 2"],
        ("-n", "c"): [],
    }
    for arguments, models in headers.items():
        status, output, errors = run("deploy", "-mo", "list", *arguments)
        assert [line for line in output.splitlines() if line.startswith("Model")] == models
        assert (status, errors) == (0, "")
    assert FileQueue(registry_dir).take(0) is None


@pytest.mark.parametrize(
    "options",
    [
        "-lmp {dir} -hmp /user/root/models -mo ADD -m 512 -n dga -v 1.0 -ni 1",
        "--local_model_path {dir} --hdfs_model_path /user/root/models --mode add --memory 512 --name dga --version 1.0 "
        "--num_instances 1",
    ],
)
def test_add_uploads_and_sends_metrons_bytes(options, run, registry_dir, collateral):
    status, output, errors = run("deploy", *options.format(dir=collateral()).split())
    assert (status, output) == (0, "uploaded rest.sh\nuploaded server.py\n")
    start = f"start one with: maas serve --registry {registry_dir}"
    assert errors == f"dga @ 1.0: the request is queued, but no service is running; {start}\n"
    assert FileQueue(registry_dir).take(0).data == ADD


@pytest.mark.parametrize("options", ["-mo REMOVE -m 512 -n dga -v 1.0 -ni 1", "-mo remove -n dga -ni 1 -v 1.0"])
def test_remove_sends_metrons_bytes(options, run, registry_dir):
    registry_dir.mkdir()
    assert run("deploy", *options.split())[0] == 0
    assert FileQueue(registry_dir).take(0).data == REMOVE


REFUSED = [
    ("", "the following arguments are required: -mo/--mode"),
    ("-mo BOGUS", "invalid choice: 'BOGUS' (choose from 'ADD', 'REMOVE', 'LIST')"),
    (
        "-mo ADD",
        "ADD needs -n (--name), -v (--version), -ni (--num_instances), -m (--memory), -hmp (--hdfs_model_path)",
    ),
    ("-mo ADD -n dga -v 1.0 -ni 1 -m 512 -lmp {dir}", "ADD needs -hmp (--hdfs_model_path)"),
    ("-mo REMOVE -n dga -v 1.0", "REMOVE needs -ni (--num_instances)"),
    ("-mo REMOVE -n dga -v 1.0 -ni one", "invalid int value: 'one'"),
    ("-mo REMOVE -n dga -v 1.0 -ni 0", "invalid -ni 0: expected at least 1"),
    ("-mo REMOVE -n dga -v 1.0 -ni -1", "invalid -ni -1: expected at least 1"),
    ("-mo LIST -lmp {dir}", "LIST needs -hmp (--hdfs_model_path)"),
    ("-mo ADD -n dga -v 1 -ni 1 -m -5 -hmp /x -lmp {dir}", "invalid -m -5: expected at least 0"),
    ("-mo ADD -n dga -v 1 -ni 1 -m 5 -hmp /x --script a.sh", "--script requires -lmp"),
    ("-mo LIST --nam dga", "unrecognized arguments: --nam dga"),
    ("-mo LIST --wait", "--wait has no effect with LIST"),
    ("--prune --wait 1", "--wait has no effect with --prune"),
    ("-mo LIST --strict", "--strict has no effect with LIST"),
    ("-mo LIST --store /x", "--store has no effect with LIST"),
    ("--prune --model-mb 5", "--model-mb has no effect with --prune"),
    ("-mo ADD -n dga -v 1 -ni 1 -m 5 -hmp /x --strict", "--strict has no effect with ADD"),
    ("-mo ADD -n dga -v 1 -ni 1 -m 5 -hmp /x --keytab k", "--keytab has no effect because the model store is not in"),
    ("-mo LIST --zk-client {dir}/none", "--zk-client has no effect without -zq"),
    ("-mo REMOVE -n a/b -v 1.0 -ni 1", "the model's name 'a/b' is invalid"),
    ("-mo REMOVE -n dga -v .. -ni 1", "the model's version '..' is invalid"),
    ("-mo LIST -n . -v 1.0", "the model's name '.' is invalid"),
    ("-mo ADD -n dga -v 1 -ni 1 -m 5 -hmp /x -lmp {dir} --warm-up =x", "--warm-up: invalid warm-up request '=x'"),
]
# Valid options, but an invalid path, a missing file or registry
FAILED = [
    (
        "-mo ADD -n dga -v 1 -ni 1 -m 5 -hmp /x",
        "unknown path /x in the model store; upload the model's files with -lmp",
    ),
    ("-mo ADD -n dga -v 1 -ni 1 -m 5 -hmp hdfs://n/x -lmp {dir}", "invalid path 'hdfs://n/x'"),
    ("-mo ADD -n dga -v 1 -ni 1 -m 5 -hmp /../x -lmp {dir}", "expected a path such as"),
    ("-mo ADD -n dga -v 1 -ni 1 -m 5 -hmp /x -lmp {dir}/none", "none is not a directory"),
    ("-mo ADD -n dga -v 1 -ni 1 -m 5 -hmp /x -lmp {dir} --script a.sh", "unknown script 'a.sh' in"),
    ("-mo LIST -zq node1:x", "invalid hosts 'node1:x': expected HOST:PORT,HOST:PORT"),
    ("-mo LIST -zq node1 --zk-client {dir}/none", "No such file or directory"),
    (
        "-mo ADD -n dga -v 1 -ni 1 -m 5 -hmp /x -lmp {dir} -zr nowhere/../..",
        "expected an absolute path such as /metron/maas/config",
    ),
    ("-mo LIST", "registry does not exist; maas serve creates it, or the first maas deploy"),
    ("-mo REMOVE -n dga -v 1 -ni 1", "registry does not exist"),
    ("--prune", "registry does not exist"),
]


@pytest.mark.parametrize(("options", "message"), REFUSED)
def test_invalid_options_are_rejected_before_any_change(options, message, run, registry_dir, collateral):
    status, output, errors = run("deploy", *options.format(dir=collateral()).split())
    assert (status, output) == (2, "")
    assert message in errors
    assert "Traceback" not in errors
    assert not registry_dir.exists()


@pytest.mark.parametrize(("options", "message"), FAILED)
def test_a_command_that_fails_early_changes_nothing(options, message, run, registry_dir, collateral):
    status, output, errors = run("deploy", *options.format(dir=collateral()).split())
    assert (status, output) == (1, "")
    assert message in errors
    assert "Traceback" not in errors
    assert not registry_dir.exists()


def test_debug_prints_the_traceback(run):
    with pytest.raises(ValueError, match="invalid -ni"):
        run("deploy", "--debug", "-mo", "REMOVE", "-n", "a", "-v", "1", "-ni", 0)


def test_the_version_is_printed(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == "maas " + importlib.metadata.version("stellar-maas") + "\n"


OTHER_COMMANDS = [["traffic"], ["status"], ["call", "dga"], ["export"], ["logs", "dga"]]


@pytest.mark.parametrize("command", OTHER_COMMANDS)
def test_a_registry_that_does_not_exist_is_an_error(command, run, registry_dir):
    status, output, errors = run(*command)
    assert (status, output) == (1, "")
    assert errors == (
        f"maas: the registry directory {registry_dir} does not exist; maas serve creates it, or the first maas deploy\n"
    )
    assert not registry_dir.exists()
    registry_dir.write_text("")
    assert f"{registry_dir} is not a directory" in run(*command)[2]


@pytest.mark.parametrize("command", OTHER_COMMANDS)
def test_a_default_registry_that_does_not_exist_names_the_options(command, registry_dir, monkeypatch, capsys):
    monkeypatch.setenv("MAAS_HOME", str(registry_dir))
    assert main(command) == 1
    assert "select a registry with --registry DIR or -zq HOST:PORT" in capsys.readouterr().err


@pytest.mark.parametrize("command", OTHER_COMMANDS[:-1])
@pytest.mark.parametrize("option", ["--store=/x", "--model-files=1", "--model-mb=1", "--principal=p", "--keytab=k"])
def test_options_of_the_model_store_are_unknown_to_other_commands(command, option, run):
    status, _, errors = run(*command, option)
    assert status == 2
    assert "unrecognized arguments" in errors


def test_a_directory_is_rejected_where_zookeeper_has_everything(run):
    status, _, errors = run("traffic", "-zq", "127.0.0.1:1")
    assert (status, errors) == (2, "maas: --registry has no effect with -zq\n")


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["status", "-n", ".."], "the model's name '..' is invalid"),
        (["traffic", "-n", " "], "the model's name is empty"),
        (["export", "-n", "a/b"], "the model's name 'a/b' is invalid"),
        (["logs", "a/b"], "the model's name 'a/b' is invalid"),
    ],
)
def test_invalid_names_in_options_are_usage_errors(command, message, run, registry_dir):
    registry_dir.mkdir()
    status, _, errors = run(*command)
    assert status == 2
    assert message in errors


COMMANDS = [
    [],
    ["serve"],
    ["serve-model"],
    ["deploy"],
    ["status"],
    ["traffic"],
    ["doctor"],
    ["call"],
    ["logs"],
    ["apply"],
    ["export"],
]


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("ask", ["-h", "--help"])
def test_help_alone_prints_the_usage(command, ask, capsys):
    with pytest.raises(SystemExit) as ended:
        main([*command, ask])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("usage: maas")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-e", "=x"], "invalid variable '=x': expected NAME=VALUE"),
        (["--drain-seconds", "nan"], "expected a number from 0 to 31,536,000, got 'nan'"),
        (["-zq", "node1:2181,"], "invalid hosts 'node1:2181,': expected HOST:PORT,HOST:PORT"),
        (["--zk-client", "file"], "--zk-client has no effect without -zq"),
        (["--yarn-python", "python3.12"], "--yarn-python has no effect without --yarn or --on-yarn"),
        (["--yarn-node-seconds", "1"], "--yarn-node-seconds has no effect without --yarn or --on-yarn"),
        (["--yarn", "http://h:1", "--host", "h"], "--host has no effect on YARN, where each node's own name is used"),
        (["--on-yarn", "--leave-running"], "--leave-running has no effect with --on-yarn"),
        (
            ["--store", "hdfs://h:1", "--file-root", "/x"],
            "--file-root has no effect because the model store is in",
        ),
        (["--principal", "me@REALM"], "--principal has no effect without HDFS and YARN"),
    ],
)
def test_serve_rejects_invalid_options(options, message, run):
    status, _, errors = run("serve", *options)
    assert status == (1 if "invalid hosts" in message else 2)
    assert message in errors


def test_the_status_of_an_empty_registry_is_one_line(run, registry_dir):
    registry_dir.mkdir()
    assert run("status") == (0, f"service: not running on {registry_dir}\n", "")


def test_a_model_is_added_called_and_removed(maas, collateral, registry_dir, eventually):
    maas("serve", "--drain-seconds", "0", "-e", "GREETING=hello", "-q", "default")
    at = ("-n", "dga", "-v", "1.0")
    added = maas("deploy", "-mo", "ADD", "-lmp", collateral(), "-hmp", "/dga", "-m", 512, "-ni", 1, *at, "--wait")
    assert added.stdout.endswith("dga @ 1.0: 1 desired\ndga @ 1.0: 1 ready\n"), added
    assert added.returncode == 0
    assert maas("deploy", "-mo", "ADD", "-hmp", "/dga", "-m", 512, "-ni", 2, *at, "--wait").stdout.endswith("3 ready\n")
    urls = [instance.url for instance in FileRegistry(registry_dir).instances()]
    listed = maas("deploy", "-mo", "LIST", "-n", "dga").stdout
    assert listed == "Model dga @ 1.0\n" + "".join(f"dga:1.0 @ {url} serving:\n\tapply=apply\n" for url in urls)
    with urllib.request.urlopen(f"{urls[0]}/apply?host=caseystella.com", timeout=5) as answer:
        assert answer.read() == b'{"is_malicious": "malicious"}'
    status = maas("status").stdout.splitlines()
    assert status[0] == f"service: running on {registry_dir}"
    assert status[1:] == ["model      desired  ready  failures  last failure", "dga @ 1.0  3        3      0"]
    assert (
        maas("deploy", "-mo", "REMOVE", "-ni", 1, *at, "--wait").stdout == "dga @ 1.0: 2 desired\ndga @ 1.0: 2 ready\n"
    )
    assert (
        maas("deploy", "-mo", "REMOVE", "-ni", 5, *at, "--wait").stdout == "dga @ 1.0: 0 desired\ndga @ 1.0: 0 ready\n"
    )
    assert maas("deploy", "-mo", "LIST").stdout == ""
    for url in urls:
        eventually(lambda url=url: is_closed(url))


def is_closed(url):
    host, _, port = url.removeprefix("http://").partition(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) != 0


def test_removing_an_unknown_model_reports_it(maas):
    maas("serve")
    options = ("deploy", "-mo", "REMOVE", "-n", "dga", "-v", "1.0", "-ni", 1)
    ended = maas(*options)
    assert (ended.returncode, ended.stderr) == (0, "maas: dga @ 1.0 is not deployed\n")
    assert maas(*options, "--strict").returncode == 1


def test_waiting_for_a_failing_model_times_out_with_the_reason(maas, collateral):
    maas("serve")
    bad = collateral("#!/bin/sh\necho out of luck >&2\nexit 3\n")
    ended = maas(
        "deploy", "-mo", "ADD", "-lmp", bad, "-hmp", "/x", "-m", 0, "-ni", 1, "-n", "x", "-v", "1", "--wait", 5
    )
    assert ended.returncode == 1
    assert "x @ 1: 0 of 1 ready after 5 seconds; the last failure: rest.sh ended with status 3" in ended.stderr
    assert "out of luck" in ended.stderr


def test_waiting_reports_why_an_instance_is_not_ready_yet(maas, collateral):
    maas("serve")
    slow = collateral("#!/bin/sh\nsleep 60\n")
    options = ("-lmp", slow, "-hmp", "/x", "-m", 0, "-ni", 2, "-n", "x", "-v", "1", "--wait", 5)
    ended = maas("deploy", "-mo", "ADD", *options)
    assert ended.returncode == 1
    assert "x @ 1: 0 of 2 ready after 5 seconds; starting: it wrote no endpoint.dat yet (" in ended.stderr
    assert "; the script must write" in ended.stderr


def test_waiting_at_a_terminal_prints_each_reason_once(state_store, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    now = [0.0]
    entry = {"version": "1", "phase": "starting", "reason": "why", "fix": "fix it", "since": 0}
    state_store.publish("phases/x/1", entry)
    state_store.publish("phases/x/2", {**entry, "reason": "new", "since": int(time.time() * 1000) + 60_000})
    report = WaitReport(state_store, Model("x", "1"), 0, lambda: now[0])
    for now[0] in (1.0, 1.1, 2.0):
        report.update()
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("x @ 1: starting: why (")
    assert line.endswith(" s); fix it")
    for id in "12":
        state_store.unpublish(f"phases/x/{id}")


def test_waiting_without_a_service_fails(maas, registry_dir):
    registry_dir.mkdir()
    ended = maas("deploy", "-mo", "REMOVE", "-ni", 1, "-n", "x", "-v", "1", "--wait")
    assert ended.returncode == 1
    assert "no service is running" in ended.stderr


def test_a_new_service_adopts_the_instances_of_a_killed_one(maas, collateral, registry_dir, eventually):
    first = maas("serve")
    at = ("-n", "dga", "-v", "1.0")
    maas("deploy", "-mo", "ADD", "-lmp", collateral(), "-hmp", "/dga", "-m", 0, "-ni", 2, *at, "--wait")
    registry = FileRegistry(registry_dir)
    before = registry.instances()
    assert len(before) == 2
    first.kill()
    first.wait()
    maas("deploy", "-mo", "ADD", "-hmp", "/dga", "-m", 0, "-ni", 1, *at)  # queued
    second = maas("serve", "--drain-seconds", 0)
    eventually(lambda: len(registry.instances()) == 3)
    assert set(map(str, before)) < set(map(str, registry.instances()))
    second.send_signal(signal.SIGTERM)
    second.wait(15)
    assert second.returncode == 0
    assert registry.instances() == ()
    assert not [entry for entry in os.listdir(registry_dir / "containers") if entry != "failed"]


def test_models_can_be_left_running_when_the_service_ends(maas, collateral, registry_dir, eventually):
    at = ("-n", "dga", "-v", "1.0")
    first = maas("serve", "--leave-running")
    maas("deploy", "-mo", "ADD", "-lmp", collateral(), "-hmp", "/dga", "-m", 0, "-ni", 1, *at, "--wait")
    before = FileRegistry(registry_dir).instances()
    first.terminate()
    assert first.wait(15) == 0
    assert FileRegistry(registry_dir).instances() == before
    maas("serve", "--drain-seconds", 0)
    maas("deploy", "-mo", "REMOVE", "-ni", 1, *at, "--wait")
    assert FileRegistry(registry_dir).instances() == ()


def test_a_second_service_is_a_stand_by(maas, collateral, registry_dir, tmp_path, eventually):
    at = ("-n", "dga", "-v", "1.0")
    first = maas("serve")
    maas("deploy", "-mo", "ADD", "-lmp", collateral(), "-hmp", "/dga", "-m", 0, "-ni", 1, *at, "--wait")
    second = maas("serve")
    log = tmp_path / "serve.log"
    eventually(lambda: "another service runs the instances in" in log.read_text())
    assert second.poll() is None
    before = FileRegistry(registry_dir).instances()
    first.kill()
    first.wait()
    eventually(DirectoryStateStore(registry_dir).is_led)
    assert maas("deploy", "-mo", "ADD", "-hmp", "/dga", "-m", 0, "-ni", 1, *at, "--wait").stdout.endswith("2 ready\n")
    assert set(map(str, before)) < set(map(str, FileRegistry(registry_dir).instances()))


def test_options_for_yarn_are_reported_to_have_no_effect(maas, tmp_path):
    maas("serve", "-ma", "2", "-mm", "512", "-c")
    log = (tmp_path / "serve.log").read_text()
    assert "-mm (--master_memory) has no effect: YARN is not used" in log
    assert "-c (--create) has no effect" in log
    assert "-ma is for modify_acls; the number of cores is -mc" in log


# --- status


def test_requests_that_wait_are_shown(run, run_json, registry_dir):
    queue = FileQueue(registry_dir)
    for data in (ADD, b"null", b"{", REMOVE.replace(b"dga", b"\\u001b[2J")):
        queue.put(data)
    _, output, _ = run("status")
    assert output.splitlines()[1:] == [
        "waiting: qn-0000000000: ADD 1 of dga @ 1.0 from /user/root/models",
        "waiting: qn-0000000002: invalid request: Expecting property name enclosed in double quotes: "
        "line 1 column 2 (char 1)",
        "waiting: qn-0000000003: REMOVE 1 of ?[2J @ 1.0",
    ]
    assert [each["id"] for each in run_json("status", "-n", "dga")["pending"]] == ["qn-0000000000"]
    assert len(queue.items()) == 4


@pytest.fixture
def run_json(run):
    """Run the command with JSON output: `run_json("status")` returns the document."""

    def run_json(*words):
        status, output, _ = run(*words, "--output", "json")
        return {"status": status, **json.loads(output)}

    return run_json


def test_an_unknown_model_is_an_error_with_a_suggestion(run, registry_dir):
    registry_dir.mkdir()
    with FileRegistry(registry_dir) as registry:
        assert run("status", "-n", "dga")[::2] == (1, "maas: unknown model dga: none exists\n")
        for instance in registered(("dga", "1.0", "1", "http://127.0.0.1:1", {})):
            registry.register(instance)
        assert run("status", "-n", "dgs")[::2] == (1, "maas: unknown model dgs: did you mean dga?\n")


def test_instances_of_other_hosts_are_shown_without_their_processes(run_json, registry_dir):
    with FileRegistry(registry_dir) as registry, socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        for instance in registered(("dga", "1.0", "7", url, {})):
            registry.register(instance)
        (found,) = run_json("status", "-n", "dga")["instances"]
    assert found["uptime"] < 600
    assert {name: found[name] for name in ("id", "state", "url", "probe", "pid", "memory")} == {
        "id": "7", "state": "ready", "url": url, "probe": "listens", "pid": None, "memory": None
    }  # fmt: skip


def test_instances_of_this_machine_are_shown_with_their_processes(maas, collateral, registry_dir, is_alive):
    maas("serve", "--drain-seconds", 0)
    at = ("-n", "dga", "-v", "1.0")
    maas("deploy", "-mo", "ADD", "-lmp", collateral(), "-hmp", "/dga", "-m", 0, "-ni", 2, *at, "--wait")
    document = json.loads(maas("status", "-n", "dga", "--output", "json").stdout)
    assert document["service"] == {"running": True, "registry": str(registry_dir)}
    (model,) = document["models"]
    assert (model["desired"], model["ready"], model["path"], model["memory"]) == (2, 2, "/dga", 0)
    first, second = document["instances"]
    assert (first["restarts"], second["restarts"]) == (0, 0)
    assert (first["number"], second["number"]) == (1, 2)
    for instance in (first, second):
        assert is_alive(instance["pid"])
        assert is_alive(instance["runner_pid"])
        assert instance["memory"] > 1_000_000
        assert (instance["state"], instance["probe"], instance["host"]) == ("ready", "listens", "127.0.0.1")
    table = maas("status", "-n", "dga").stdout.splitlines()[3:]
    assert [line.split()[:4] for line in table] == [
        ["no", "instance", "version", "state"],
        ["1", first["id"], "1.0", "ready"],
        ["2", second["id"], "1.0", "ready"],
    ]


@pytest.fixture
def publish(registry_dir):
    """Publish an object as a living process does, which holds its file locked."""
    handles = []

    def publish(path, entry):
        file = registry_dir / "maas/ext" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(entry))
        handles.append(file.open("rb"))
        fcntl.flock(handles[-1], fcntl.LOCK_EX)

    yield publish
    for handle in handles:
        handle.close()


def test_what_runners_and_clients_publish_is_shown(run, run_json, registry_dir, publish):
    with FileRegistry(registry_dir) as registry:
        for instance in registered(("dga", "1.0", "7", "http://127.0.0.1:1", {})):
            registry.register(instance)
        phase = {"version": "2.0", "phase": "starting", "reason": "no endpoint.dat", "fix": "write it", "host": "node1"}
        publish("phases/dga/8", {**phase, "since": int(time.time() * 1000) + 5000, "pid": 4711})
        counts = {"calls": 5, "failures": 2, "circuit": "open"}
        for client in ("c1", "c2"):
            publish(
                f"reports/{client}", {"at": 5, "models": {"dga": {"versions": {"1.0": {"http://127.0.0.1:1": counts}}}}}
            )
        document = run_json("status", "-n", "dga")
        lines = run("status", "-n", "dga")[1].splitlines()
    first, second = document["instances"]
    assert (first["id"], first["state"], first["breaker"], first["probe"]) == ("7", "ready", {"open": 2}, "refused")
    assert (second["id"], second["version"], second["state"], second["host"]) == ("8", "2.0", "starting", "node1")
    assert (second["reason"], second["fix"], second["runner_pid"]) == ("no endpoint.dat", "write it", 4711)
    url = "http://127.0.0.1:1"
    assert document["reports"][0] == {"client": "c1", "at": 5, "version": "1.0", "url": url, **counts}
    assert lines[-3:] == [
        "8: starting: no endpoint.dat; write it",
        f"report of c1: 1.0 at {url}: 2 of 5 calls failed, circuit open",
        f"report of c2: 1.0 at {url}: 2 of 5 calls failed, circuit open",
    ]


def test_damaged_phases_and_reports_are_shown_as_far_as_possible(run, state_store, publish):
    state_store.write("wanted/dga/1.0", {"instances": 1, "path": "/x", "memory": 0})
    publish("phases/dga/8", {"version": 5, "phase": "\x1b[2J", "since": "now", "pid": True})
    for number, models in enumerate([None, [], {"dga": 5}, {"dga": {"versions": []}}, {"dga": {"versions": {"1": 5}}}]):
        publish(f"reports/{number}", {"models": models})
    publish("reports/9", {"models": {"dga": {"versions": {"1": {"u": {"calls": "x"}}}}}})
    status, output, _ = run("status", "-n", "dga")
    assert status == 0
    assert "?[2J" in output
    assert output.splitlines()[-1] == "report of 9: 1 at u: 0 of 0 calls failed, circuit unknown"


# --- JSON


def test_each_command_prints_one_json_document(run_json, registry_dir, collateral):
    add = ["-mo", "ADD", "-m", "0", "-n", "dga", "-v", "1.0", "-ni", "1", "-hmp", "/dga", "-lmp"]
    assert run_json("deploy", *add, collateral()) == {
        "status": 0, "uploaded": ["rest.sh", "server.py"], "name": "dga", "version": "1.0", "queued": True
    }  # fmt: skip
    assert run_json("deploy", "-mo", "LIST") == {"status": 0, "instances": []}
    assert run_json("deploy", "--prune")["unregistered"] == []
    assert run_json("traffic") == {"status": 0, "plans": []}
    assert run_json("status")["service"] == {"running": False, "registry": str(registry_dir)}
    assert {each["state"] for each in run_json("doctor")["checks"]} <= {"ok", "warn"}


def test_a_failure_is_a_json_document_too(run_json, registry_dir):
    reason = f"the registry directory {registry_dir} does not exist; maas serve creates it, or the first maas deploy"
    assert run_json("status") == {"status": 1, "error": reason}


def test_the_listing_has_its_fields_in_json(run_json, registry_dir):
    with FileRegistry(registry_dir) as registry:
        for instance in registered(("dga", "1.0", "7", "http://h:8080", {"apply": "score"})):
            registry.register(instance)
        (found,) = run_json("deploy", "-mo", "LIST")["instances"]
    assert found.pop("registered") > 1_600_000_000_000
    assert found == {
        "name": "dga", "version": "1.0", "id": "7", "url": "http://h:8080", "host": "h", "port": 8080,
        "functions": {"apply": "score"}, "ephemeral": False,
    }  # fmt: skip


def test_the_service_logs_json_documents(maas, tmp_path):
    maas("serve", "--output", "json")
    documents = [json.loads(line) for line in (tmp_path / "serve.log").read_text().splitlines()]
    assert documents[0]["level"] == "INFO"
    assert documents[0]["message"].startswith("serving ")
