"""The runner: readiness, endpoint.dat, registration and termination."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from argparse import ArgumentTypeError
from pathlib import Path

import pytest

import maas_runtime
from maas_runtime.runner.runner import ModelFailed, make_reachable, parse_devices
from stellar.maas.schema import Endpoint

PACKAGES = Path(maas_runtime.__file__).parents[1]

ADDRESSES = [
    ("http://localhost:1500", "node1", "http://node1:1500"),
    ("http://127.0.0.1:15998/base?x=1", "nodeX", "http://nodeX:15998/base?x=1"),
    ("http://0.0.0.0:36161", "node1", "http://node1:36161"),
    ("https://0.0.0.0/base/", "node1", "https://node1/base/"),
    ("http://0.0.0.0:36161", "", "http://0.0.0.0:36161"),
    ("http://0.0.0.0:36161", "::1", "http://[::1]:36161"),
    ("http://[::1]:80/x", "node1", "http://[::1]:80/x"),
    ("http://other:80/x", "node1", "http://other:80/x"),
    ("http://127.0.0.2:80", "node1", "http://127.0.0.2:80"),
]


@pytest.mark.parametrize(("written", "host", "registered"), ADDRESSES)
def test_a_local_host_is_replaced_by_the_host_name(written, host, registered):
    endpoint = make_reachable(Endpoint(url=written, functions={"apply": "echo"}), host)
    assert (endpoint.url, endpoint.functions) == (registered, {"apply": "echo"})


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:1500",
        "ftp://localhost:1",
        "file:///x",
        "http://",
        "http://h:x",
        "http://[::1",
        "http://h/\x1b[2J",
        "http://h/\r\nX: y",
        "http://h:99999",
        "javascript:alert(1)",
    ],
)
def test_an_invalid_url_fails_the_model(url):
    with pytest.raises(ModelFailed, match="its url"):
        make_reachable(Endpoint(url=url), "node1")


def test_a_password_in_a_url_fails_the_model_and_is_not_logged():
    with pytest.raises(ModelFailed, match="contains a user name") as error:
        make_reachable(Endpoint(url="http://me:secret@localhost:1"), "node1")
    assert "secret" not in str(error.value)


@pytest.fixture
def run(collateral, registry_dir, tmp_path):
    """Start a runner by its command line: `run(script)`; `run.container` is its directory."""
    started = []

    def start(script=None, *more, **files):
        container = tmp_path / "container"
        container.mkdir()
        (collateral(script, **files) if script else collateral(**files)).rename(container / "work")
        line = ["-n", "dga", "-v", "1.0", "-s", "rest.sh", "-ci", "7", "-hn", "127.0.0.1", "--registry", registry_dir]
        line += ["--container", container, "--drain-seconds", 0, "--end-seconds", 1, *more]
        started.append(
            subprocess.Popen(
                [sys.executable, "-m", "maas_runtime.runner.runner", *map(str, line)],
                cwd=PACKAGES,
                stderr=subprocess.DEVNULL,
            )
        )
        return started[-1]

    start.container = tmp_path / "container"
    yield start
    for process in started:
        process.terminate()
        process.wait(10)


def failure(run):
    return json.loads((run.container / "outcome.json").read_text())["failure"]


BAD_MODELS = {
    "it ends": ("exit 3", "rest.sh ended with status 3 before it wrote endpoint.dat: no luck"),
    "it ends well": ("exit 0", "rest.sh ended with status 0 before it wrote endpoint.dat: no luck"),
    "it prints to a terminal": ("printf '\\033[2Jno luck\\n' >&2; exit 3", "endpoint.dat: ?[2Jno luck"),
    "it writes nothing": ("sleep 30", "it was not ready in time: it wrote no endpoint.dat"),
    "it writes half": ("printf '{\"url\"' > endpoint.dat; sleep 30", "invalid endpoint.dat: Expecting"),
    "it writes an invalid hedge": (
        'echo \'{"url": "http://h", "hedge": 7}\' > endpoint.dat; sleep 30',
        "invalid endpoint.dat: invalid hedge: expected true or false, got 7",
    ),
    "it writes nonsense": ("echo \"{'url': 'http://h'}\" > endpoint.dat; sleep 30", "invalid endpoint.dat"),
    "it writes no address": (
        'echo \'{"url": ""}\' > endpoint.dat; sleep 30',
        "its url '' is not an http or https URL",
    ),
    "nobody listens": (
        'echo \'{"url": "http://127.0.0.1:9"}\' > endpoint.dat; sleep 30',
        "no server is listening at http://127.0.0.1:9",
    ),
}


@pytest.mark.parametrize("bad", BAD_MODELS)
def test_a_model_that_is_never_ready_is_ended_with_the_reason(bad, run, registry):
    script, reason = BAD_MODELS[bad]
    runner = run(f"#!/bin/sh\necho no luck >&2\n{script}\n", "--start-seconds", 0.6)
    assert runner.wait(10) == 1
    assert reason in failure(run)
    assert registry.instances() == ()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_an_idle_runner_does_not_wake_up(run, registry, eventually):
    def count_wake_ups():
        statuses = [task / "status" for task in Path(f"/proc/{runner.pid}/task").iterdir()]
        lines = [line for status in statuses for line in status.read_text().splitlines()]
        return sum(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt_switches"))

    runner = run(f"#!/bin/sh\nexec {sys.executable} -S server.py\n", "--probe-seconds", 600)
    eventually(lambda: registry.instances())

    def sleeps():
        before = count_wake_ups()
        time.sleep(2.5)
        return count_wake_ups() == before

    eventually(sleeps)


def test_a_partial_endpoint_dat_is_read_again(run, registry, eventually):
    run(f"#!/bin/sh\nprintf '{{\"url\"' > endpoint.dat\nsleep 0.3\n{sys.executable} -S server.py\n")
    assert eventually(lambda: registry.instances())[0].id == "7"


def test_a_script_without_an_interpreter_line_is_run_by_the_shell(run, registry, eventually):
    run(f"{sys.executable} -S server.py\n")
    assert eventually(lambda: registry.instances())


def test_unknown_fields_of_endpoint_dat_are_not_registered(run, registry, registry_dir, eventually):
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        text = json.dumps({"url": url, "functions": {"apply": "echo"}, "extra": {"health": "/h"}})
        run(f"#!/bin/sh\necho '{text}' > endpoint.dat\nsleep 30\n")
        instance = eventually(lambda: registry.instances())[0]
    assert instance.payload.endpoint == Endpoint(url=url, functions={"apply": "echo"})
    assert b"extra" not in (registry_dir / "maas/service/dga/7").read_bytes()


def test_a_stop_signal_unregisters_the_instance_and_removes_its_files(run, registry, eventually):
    runner = run()
    eventually(lambda: registry.instances())
    runner.send_signal(signal.SIGTERM)
    assert runner.wait(10) == 0
    assert registry.instances() == ()
    assert failure(run) is None
    assert not (run.container / "work").exists()


def test_a_stop_signal_before_readiness_ends_the_instance(run, eventually):
    runner = run("#!/bin/sh\ntouch started\nsleep 30\n")
    eventually(lambda: (run.container / "work/started").exists())
    runner.send_signal(signal.SIGTERM)
    assert runner.wait(10) == 0
    assert failure(run) is None


def test_a_model_that_closed_its_port_is_unregistered_and_ended(run, registry, eventually):
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        runner = run(f'#!/bin/sh\necho \'{{"url": "{url}"}}\' > endpoint.dat\nsleep 30\n', "--probe-seconds", 0.05)
        eventually(lambda: registry.instances())
    assert runner.wait(10) == 1
    assert failure(run).startswith(f"no server is listening at {url}; the server must listen")
    assert registry.instances() == ()


GOOD_SAMPLE = '{"args": {"host": "yahoo.com"}, "result": {"is_malicious": "legit"}}\n'


def test_a_model_that_passes_its_samples_is_registered(run, registry, eventually):
    run(None, "--warm-up", "host=a.com", **{"samples.jsonl": GOOD_SAMPLE})
    assert eventually(lambda: registry.instances())


BAD_SAMPLES = {
    "another result": (
        GOOD_SAMPLE + '{"args": {"host": "evil.com"}, "result": {"is_malicious": "legit"}}',
        'samples.jsonl line 2: expected is_malicious "legit", got "malicious"',
    ),
    "a missing key": ('{"args": {}, "result": {"score": 1}}', "line 1: expected score 1, got no such key"),
    "not an object": ('{"args": {"host"}}', "invalid samples.jsonl line 1: Expecting"),
}


@pytest.mark.parametrize("kind", BAD_SAMPLES)
def test_a_model_that_fails_its_samples_is_ended_with_the_reason(kind, run, registry):
    samples, reason = BAD_SAMPLES[kind]
    runner = run(None, **{"samples.jsonl": samples})
    assert runner.wait(10) == 1
    assert reason in failure(run)
    assert registry.instances() == ()


RESPONDING = """
import socket, time
with socket.create_server(("127.0.0.1", 0), backlog=128) as server:
    open("endpoint.dat", "w").write('{"url" : "http://127.0.0.1:%d"}' % server.getsockname()[1])
    for count in range(100):
        connection, _ = server.accept()
        with connection:
            if request := connection.recv(10_000).decode():
                open("request", "w").write(request)
                respond(connection, count)
"""


def responding(body):
    return f"def respond(connection, count):\n    {body}\n{RESPONDING}"


BAD_RESPONSES = {
    "status 500": (
        r"connection.sendall(b'HTTP/1.1 500 X\r\nContent-Length: 4\r\n\r\nboom')",
        "status 500, not 200: boom",
    ),
    "an array": (
        r"connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]')",
        "a JSON array, not an object",
    ),
    "nothing": ("time.sleep(30)", "did not respond before the time to start was over"),
    "an early end": ("pass", "can't be reached"),
}


@pytest.mark.parametrize("kind", BAD_RESPONSES)
def test_a_model_that_fails_its_warm_up_is_not_registered(kind, run, registry):
    body, reason = BAD_RESPONSES[kind]
    runner = run(None, "--warm-up", "host=a~b.com", "--start-seconds", 3, **{"server.py": responding(body)})
    assert runner.wait(20) == 1
    assert failure(run).startswith("warm-up 'host=a~b.com': http://127.0.0.1:")
    assert reason in failure(run)
    assert registry.instances() == ()


def test_a_busy_model_is_called_again_with_the_request_of_a_client(run, registry, eventually):
    body = r"""connection.sendall(
        b'HTTP/1.1 503 X\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n' if count < 3 else
        b'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}')"""
    run(None, "--warm-up", "host=a~b.com&none", **{"server.py": responding(body)})
    assert eventually(lambda: registry.instances())
    request = (run.container / "work/request").read_text()
    assert request.startswith("GET /apply?host=a%7Eb.com&none HTTP/1.1\n")
    assert "accept: application/json\n" in request.lower()


def test_a_stop_signal_during_a_warm_up_ends_the_instance(run, eventually):
    runner = run(None, "--warm-up", "host=a.com", **{"server.py": responding("time.sleep(30)")})
    eventually(lambda: (run.container / "work/request").exists())
    runner.send_signal(signal.SIGTERM)
    assert runner.wait(20) == 0
    assert failure(run) is None


@pytest.mark.parametrize("registration", ["ephemeral", "static"])
def test_our_own_keys_are_published_next_to_the_registration_and_removed_with_it(
    registration, run, registry, registry_dir, eventually
):
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        says = json.dumps({"url": url, "hedge": False, "health": ""})
        runner = run(f"#!/bin/sh\necho '{says}' > endpoint.dat\nsleep 30\n", "--registration", registration)
        (instance,) = eventually(lambda: registry.instances())
        assert registry.version("dga", "1.0").settings == {url: {"hedge": False}}
        settings = registry_dir / "maas/ext/instances/dga/7"
        assert settings.read_bytes() == b'{"hedge":false}'
        assert b"hedge" not in (registry_dir / "maas/service/dga/7").read_bytes()
        assert instance.payload.endpoint == Endpoint(url=url)
        runner.send_signal(signal.SIGTERM)
        assert runner.wait(10) == 0
    assert registry.instances() == ()
    assert not settings.exists()


def test_a_model_without_our_own_keys_publishes_nothing(run, registry, registry_dir, eventually):
    run()
    eventually(lambda: registry.instances())
    assert not (registry_dir / "maas/ext/instances").exists()


@pytest.mark.parametrize("devices", ["0,1", "GPU-8932f937-d72c-4106-c12f-20bd9faed9f6", ""])
def test_the_devices_of_the_model_are_a_variable_of_its_script(devices, run, eventually):
    run('#!/bin/sh\necho "<$CUDA_VISIBLE_DEVICES>" > devices\nsleep 60\n', f"--devices={devices}")
    said = run.container / "work/devices"
    assert eventually(lambda: said.exists() and said.read_text()) == f"<{devices}>\n"


@pytest.mark.parametrize("devices", ["0 1", "0,", "$(id)", "0\n", "0;1", "é"])
def test_invalid_devices_are_rejected(devices):
    with pytest.raises(ArgumentTypeError, match="expected ids such as 0,1"):
        parse_devices(devices)


def test_a_lasting_registration_is_marked_static(run, registry, eventually):
    run(None, "--registration", "static")
    assert eventually(lambda: registry.instances())[0].service_type == "STATIC"


def test_a_script_that_cannot_be_started_is_reported(run):
    runner = run("#!/no/such/interpreter\n")
    assert runner.wait(10) == 1
    assert "cannot start rest.sh: [Errno 2] No such file or directory" in failure(run)


def test_registration_is_retried_while_the_registry_is_not_writable(run, registry, registry_dir, eventually):
    if os.geteuid() == 0:  # root can write anywhere, so a file blocks the directory
        registry_dir.mkdir()
        (registry_dir / "maas").write_text("in the way")
        runner = run()
        eventually(lambda: (run.container / "work/endpoint.dat").exists())
        assert runner.poll() is None
        (registry_dir / "maas").unlink()
        assert eventually(lambda: registry.instances())
