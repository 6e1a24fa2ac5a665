"""Rollouts with a real service, real models and real clients: samples, and versions that fail their calls."""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from stellar import compile
from stellar.language.context import Context
from stellar.maas import ClientSettings, FileRegistry, ModelClient, Registry

CALL = compile("MAP_GET('is_malicious', MAAS_MODEL_APPLY(MAAS_GET_ENDPOINT('dga'), {'host': host}))")

# Listens, and responds with status 500
FAILING = """
import socket
with socket.create_server(("127.0.0.1", 0), backlog=128) as server:
    with open("endpoint.dat", "w") as file:
        file.write('{"url" : "http://127.0.0.1:%d"}' % server.getsockname()[1])
    while True:
        connection, _ = server.accept()
        with connection:
            if connection.recv(10_000):
                connection.sendall(b"HTTP/1.1 500 No\\r\\nContent-Length: 0\\r\\nConnection: close\\r\\n\\r\\n")
"""


def version(number, *more):
    return ("-mo", "ADD", "-n", "dga", "-v", number, "-m", "0", "-hmp", f"/dga/{number}", *more)


@contextmanager
def calls(registry_dir) -> Iterator[Counter]:
    """Call the model from another thread during the block; yield the number of calls by result."""
    results: Counter = Counter()
    done = threading.Event()

    def run() -> None:
        with FileRegistry(registry_dir) as registry, ModelClient(registry, ClientSettings(cache_size=0)) as client:
            context = Context({Registry: registry, ModelClient: client})
            while not done.wait(0.002):
                results[CALL({"host": f"{results.total()}.com"}, context)] += 1

    caller = threading.Thread(target=run)
    caller.start()
    try:
        yield results
    finally:
        done.set()
        caller.join()


@pytest.fixture
def deployed(maas, collateral):
    """A service with one instance of 1.0."""
    maas("serve")
    assert maas("deploy", *version("1.0", "-ni", 1, "-lmp", collateral(), "--wait")).returncode == 0


def versions(registry_dir):
    with FileRegistry(registry_dir) as registry:
        return Counter(instance.model.version for instance in registry.instances())


def test_a_version_that_fails_its_calls_is_rolled_back_and_no_call_is_lost(
    maas, deployed, collateral, registry_dir, eventually
):
    failing = collateral(folder="failing", **{"server.py": FAILING})
    with calls(registry_dir) as results:
        eventually(lambda: results.total() > 20)
        done = maas("deploy", *version("2.0", "-ni", 1, "-lmp", failing, "--replace", "--wait"))
        before = results.total()
        eventually(lambda: results.total() > before + 50)
    assert done.returncode == 1
    assert re.search(r"2\.0 failed (\d+) of \1 calls \(100 %\), and the previous instances 0 of ", done.stderr)
    assert "rolled back to the previous instances" in done.stderr
    assert versions(registry_dir) == {"1.0": 1}
    assert results.keys() == {"malicious"}
    assert maas("traffic").stdout == ""


def test_a_version_without_failures_replaces_the_previous_one(maas, deployed, collateral, registry_dir, eventually):
    with calls(registry_dir) as results:
        eventually(lambda: results.total() > 20)
        done = maas("deploy", *version("2.0", "-ni", 1, "-lmp", collateral(), "--replace", "--wait"))
        before = results.total()
        eventually(lambda: results.total() > before + 50)
    assert (done.returncode, done.stderr) == (0, "")
    assert versions(registry_dir) == {"2.0": 1}
    assert results.keys() == {"malicious"}


def test_new_files_of_the_same_version_that_fail_their_calls_are_rolled_back(
    maas, deployed, collateral, registry_dir, eventually
):
    failing = collateral(folder="failing", **{"server.py": FAILING})
    with calls(registry_dir) as results:
        eventually(lambda: results.total() > 20)
        done = maas("deploy", *version("1.0", "-ni", 1, "-lmp", failing, "--replace", "--wait"))
        before = results.total()
        eventually(lambda: results.total() > before + 50)
    assert done.returncode == 1
    assert "failed" in done.stderr
    assert results.keys() == {"malicious"}
    assert versions(registry_dir) == {"1.0": 1}


def test_a_version_that_fails_its_samples_never_receives_a_call(maas, deployed, collateral, registry_dir):
    wrong = '{"args": {"host": "yahoo.com"}, "result": {"is_malicious": "malicious"}}\n'
    files = collateral(folder="wrong", **{"samples.jsonl": wrong})
    done = maas("deploy", *version("2.0", "-ni", 1, "-lmp", files, "--replace", "--wait"))
    assert done.returncode == 1
    assert 'samples.jsonl line 1: expected is_malicious "malicious", got "legit"' in done.stderr
    assert versions(registry_dir) == {"1.0": 1}


def test_warm_up_requests_are_sent_to_each_instance(maas, deployed, collateral, registry_dir):
    failing = collateral(folder="failing", **{"server.py": FAILING})
    for more in (["--replace"], []):
        options = version("2.0", "-ni", 1, "-lmp", failing, "--warm-up", "host=a.com", "--wait", 10, *more)
        done = maas("deploy", *options)
        assert done.returncode == 1
        assert "warm-up 'host=a.com': http://127.0.0.1:" in done.stderr
        assert "status 500, not 200" in done.stderr
        assert versions(registry_dir) == {"1.0": 1}


REFUSED = {
    "samples": (
        1,
        [],
        {"samples.jsonl": '{"args": 1}'},
        "invalid samples.jsonl line 1: expected a JSON object such as",
    ),
    "warm-up": (2, ["--warm-up", "=1"], {}, "invalid warm-up request '=1'"),
    "limit without a rollout": (2, ["--max-error-increase", "1"], {}, "--max-error-increase requires --replace"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_invalid_options_and_samples_are_rejected_before_the_upload(kind, maas, collateral, registry_dir):
    status, more, files, reason = REFUSED[kind]
    done = maas("deploy", *version("1.0", "-ni", 1, "-lmp", collateral(**files), *more))
    assert done.returncode == status
    assert reason in done.stderr
    assert not (registry_dir / "store").exists()


@pytest.mark.parametrize("limit", ["101", "-1", "nan", "1e1", "", "x"])
def test_an_invalid_limit_is_rejected(limit, maas, registry_dir):
    with pytest.raises(SystemExit) as error:
        maas("deploy", *version("1.0", "-ni", 1, "--replace", f"--max-error-increase={limit}"))
    assert error.value.code == 2
    assert not registry_dir.exists()


def test_warm_up_is_for_new_instances_only(maas):
    done = maas("deploy", "-mo", "REMOVE", "-n", "dga", "-v", "1.0", "-ni", 1, "--warm-up", "host=a")
    assert "--warm-up requires ADD, got REMOVE" in done.stderr
