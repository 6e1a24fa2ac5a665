"""The models of examples/models, from deployment to removal."""

from __future__ import annotations

import os
import shutil
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from stellar.maas import FileRegistry, ModelClient
from stellar.maas.errors import ModelUnavailable, RecordRefused
from stellar.maas.transport.base import Timeouts
from stellar.maas.transport.http import HttpTransport

EXAMPLES = Path(__file__).parents[2] / "examples"
AT = ("-n", "sample", "-v", "1.0")

CLASSIFIERS = {
    "standard library": (EXAMPLES / "squid/models/mock_dga", ()),
    "Flask": (EXAMPLES / "models/mock_dga_flask", ()),
    "Perl": (EXAMPLES / "models/mock_dga_perl", ("perl",)),
}
VERDICTS = {"yahoo.com": "legit", "amazon.com": "legit", "caseystella.com": "malicious", "yahoo.com&x=ä ": "malicious"}


def deploy(maas, registry_dir, folder, *variables):
    maas("serve", "--drain-seconds", 0, *(word for each in variables for word in ("-e", each)))
    options = ("-lmp", folder, "-hmp", "/sample", "-m", 256, "-ni", 1)
    ended = maas("deploy", "-mo", "ADD", *options, *AT, "--wait")
    assert ended.returncode == 0, ended
    return FileRegistry(registry_dir).endpoint("sample")


def remove(maas):
    ended = maas("deploy", "-mo", "REMOVE", "-ni", 1, *AT, "--wait")
    assert ended.stdout == "sample @ 1.0: 0 desired\nsample @ 1.0: 0 ready\n"


def is_closed(url):
    host, _, port = url.removeprefix("http://").partition(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) != 0


@pytest.mark.parametrize("model", CLASSIFIERS)
def test_a_classifier_is_deployed_called_and_removed(model, maas, registry_dir, need, eventually):
    folder, programs = CLASSIFIERS[model]
    need(*programs)
    endpoint = deploy(maas, registry_dir, folder, f"PYTHON={sys.executable}")
    with FileRegistry(registry_dir) as registry, ModelClient(registry) as client:
        for host, verdict in VERDICTS.items():
            assert client.apply(endpoint.as_map(), None, {"host": host}) == {"is_malicious": verdict}
        assert client.apply(endpoint.as_map(), None, {}) == {"is_malicious": "malicious"}
        assert client.apply(endpoint.as_map(), None, {"host": None}) == {"is_malicious": "malicious"}
        with pytest.raises(RecordRefused, match="404"):
            client.apply(endpoint.as_map(), "nothing", {})
    remove(maas)  # unregistered; its processes end later
    assert eventually(lambda: is_closed(endpoint.url))


@pytest.fixture
def without_nc(tmp_path):
    """Return a PATH without nc."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for program in ("bash", "sh", "mv", "mkfifo", "sleep"):
        (folder / program).symlink_to(shutil.which(program))
    return f"PATH={folder}"


@pytest.fixture
def port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def processes_in(folder):
    """Return the ids of the processes that run in a directory."""
    found = set()
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended
            if Path(os.readlink(entry / "cwd")).is_relative_to(folder):
                found.add(int(entry.name))
    return found


@pytest.mark.parametrize(("means", "least"), [("nc", 3), ("Python", 1)])
def test_the_echo_model_is_deployed_called_and_removed_with_all_its_processes(
    means, least, maas, registry_dir, need, port, without_nc, is_alive, eventually
):
    if means == "nc":
        need("nc")
    variables = [f"MODEL_PORT={port}", f"PYTHON={sys.executable}"] + ([without_nc] if means == "Python" else [])
    endpoint = deploy(maas, registry_dir, EXAMPLES / "models/echo", *variables)
    assert endpoint.as_map() | {"url": None} == {
        "name": "sample", "version": "1.0", "url": None, "endpoint:apply": "echo"
    }  # fmt: skip
    assert endpoint.url == f"http://127.0.0.1:{port}"
    transport = HttpTransport(Timeouts(5.0, 5.0, 1000))
    answers = {"/echo/foobar": (200, b"foobar"), "/echo/": (200, b""), "/echo/%C3%A4": (200, b"%C3%A4")}
    answers |= dict.fromkeys(("/", "/echo", "/echo?text=foobar", "/other/foobar"), (404, b"not found\n"))
    for path, expected in answers.items():
        assert request(transport, endpoint.url + path) == expected
    transport.close()
    processes = eventually(
        lambda: enough if len(enough := processes_in(registry_dir / "containers")) >= least else None
    )
    remove(maas)  # unregistered; its processes end later
    assert eventually(lambda: is_closed(endpoint.url))
    assert eventually(lambda: not any(map(is_alive, processes)))


def request(transport, url):
    """Return status and body; retry, because nc accepts one connection at a time and restarts in between."""
    for _ in range(100):
        try:
            answer = transport.get(url)
        except ModelUnavailable:
            time.sleep(0.05)
        else:
            return answer.status, answer.body
    raise AssertionError(f"{url} got no response")
