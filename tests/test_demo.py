"""The Squid walkthrough as a user runs it, and its two models on their own."""

from __future__ import annotations

import http.client
import importlib.util
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest

SQUID = Path(__file__).parents[1] / "examples" / "squid"
MODELS = SQUID / "models"

needs_scikit_learn = pytest.mark.skipif(
    importlib.util.find_spec("sklearn") is None, reason="scikit-learn is not installed; it is in the extra `demo`"
)


class Sandbox(NamedTuple):
    """The directories of a run: an empty home, an empty directory for temporary files, and the working directory."""

    home: Path
    temporary: Path
    start: Path

    @classmethod
    def create(cls, within: Path) -> Sandbox:
        sandbox = cls(within / "home", within / "temporary", within / "start")
        for folder in sandbox:
            folder.mkdir()
        return sandbox

    def begin(
        self, *arguments: str, squid: Path = SQUID, script: str = "demo.py", **environment: str
    ) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, squid / script, *arguments],
            cwd=self.start,
            env={**os.environ, "HOME": str(self.home), "TMPDIR": str(self.temporary), **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def assert_clean(self, output: str) -> None:
        """Assert that no process, open port or file remains."""
        assert find_processes(self.temporary.parent) == []
        assert [url for url in find_urls(output) if is_listening(url)] == []
        assert list(self.temporary.iterdir()) == []
        assert list(self.home.iterdir()) == []


def find_processes(folder: Path) -> list[str]:
    """Return the processes that run in a folder or have it in their command."""
    return [found for found in map(describe, Path("/proc").glob("[0-9]*")) if str(folder) in found]


def describe(process: Path) -> str:
    try:
        return f"{os.readlink(process / 'cwd')} {(process / 'cmdline').read_bytes().decode(errors='replace')}"
    except OSError:  # the process has ended
        return ""


def find_urls(output: str) -> list[str]:
    return re.findall(r"http://127\.0\.0\.1:\d+", output)


def is_listening(url: str) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", urlsplit(url).port or 0)) == 0


# --- the walkthrough


class Run(NamedTuple):
    sandbox: Sandbox
    folder: Path
    output: str
    errors: str
    status: int
    files_before: set[Path]

    def records(self, name: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / name).read_text().splitlines()]


def files() -> set[Path]:
    return {file for file in SQUID.rglob("*") if "__pycache__" not in file.parts}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The demo, run once with --keep."""
    before = files()
    sandbox = Sandbox.create(tmp_path_factory.mktemp("demo"))
    folder = sandbox.start / "demo"
    process = sandbox.begin("--keep", str(folder))
    output, errors = process.communicate(timeout=120)
    return Run(sandbox, folder, output, errors, process.returncode, before)


def test_the_demo_succeeds_with_all_checks(run: Run) -> None:
    assert run.status == 0, run.output + run.errors
    assert "[FAILED]" not in run.output
    assert run.output.count("[ok]") >= 7
    assert re.search(r"the walkthrough took \d+\.\d s\n$", run.output)


def test_the_demo_lists_two_instances_byte_for_byte(run: Run) -> None:
    listed = run.output.partition("-mo LIST\n")[2].partition("  [ok]")[0]
    one, other = find_urls(listed)
    assert one != other
    assert listed == (
        "Model dga @ 1.0\n"
        f"dga:1.0 @ {one} serving:\n\tapply=apply\n"
        f"dga:1.0 @ {other} serving:\n\tapply=apply\n"
    )  # fmt: skip


def test_every_line_of_the_log_is_scored_though_an_instance_is_killed(run: Run) -> None:
    lines = (run.folder / "access.log").read_text().splitlines()
    records = run.records("squid.jsonl")
    assert "$ kill -9 " in run.output
    assert len(records) == len(lines) >= 2000
    assert [record["original_string"] for record in records] == lines
    assert {record.get("is_malicious") for record in records} == {"legit", "malicious"}


@pytest.mark.parametrize(
    ("name", "verdict"),
    [
        ("yahoo.com", ("legit", None, None, None)),
        ("amazon.com", ("legit", None, None, None)),
        ("cnn.com", ("malicious", "true", 100.0, 100)),
    ],
)
def test_the_result_of_the_mock_becomes_an_alert(run: Run, name: str, verdict: tuple[object, ...]) -> None:
    fields = ("is_malicious", "is_alert", "threat.triage.score", "threat.triage.level")
    records = [record for record in run.records("squid.jsonl") if record.get("domain_without_subdomains") == name]
    assert records
    assert {tuple(record.get(field) for field in fields) for record in records} == {verdict}
    assert all(type(record.get("threat.triage.level")) in (int, type(None)) for record in records)


def test_the_table_counts_records_by_domain(run: Run) -> None:
    of_cnn = sum(record.get("domain_without_subdomains") == "cnn.com" for record in run.records("squid.jsonl"))
    assert re.search(rf"^ *cnn\.com +{of_cnn} +malicious +true +100\.0 +100 *$", run.output, re.MULTILINE)
    assert re.search(r"^ *yahoo\.com +\d+ +legit *$", run.output, re.MULTILINE)
    assert len(run.output.splitlines()) < 120


@needs_scikit_learn
def test_the_classifier_raises_alerts_for_generated_names_only(run: Run) -> None:
    records = run.records("squid_dga.jsonl")
    alarms = [record for record in records if record.get("dga_status") == "dga"]
    assert len(alarms) > 100
    assert {record["code"] for record in alarms} == {503}  # only generated names have no host
    assert {(record["is_alert"], record["threat.triage.score"]) for record in alarms} == {("true", 60.0)}


def test_the_demo_leaves_only_its_output_folder(run: Run) -> None:
    run.sandbox.assert_clean(run.output)
    assert list(run.sandbox.start.iterdir()) == [run.folder]
    assert files() == run.files_before


def test_a_failed_check_is_named_and_the_status_is_1(tmp_path: Path) -> None:
    """The mock is changed to classify yahoo.com as malicious, and scikit-learn and rich are hidden."""
    sandbox = Sandbox.create(tmp_path)
    changed = shutil.copytree(SQUID, tmp_path / "squid")
    mock = changed / "models" / "mock_dga" / "dga.py"
    mock.write_text(mock.read_text().replace('"yahoo.com", ', ""))
    hiding = tmp_path / "hiding"
    hiding.mkdir()
    (hiding / "sitecustomize.py").write_text("import sys\nsys.modules['sklearn'] = sys.modules['rich'] = None\n")

    path = os.pathsep.join(filter(None, (str(hiding), os.environ.get("PYTHONPATH"))))
    process = sandbox.begin(squid=changed, PYTHONPATH=path)
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    claims = [line.removeprefix("demo: ") for line in errors.splitlines() if line.startswith("demo: ")]
    assert claims == ["check failed: yahoo.com: is_malicious legit, and no is_alert"]
    assert output.count("[FAILED]") == 1
    assert "scikit-learn is not installed: pip install" in output
    assert re.search(r"^  yahoo\.com +\d+ +malicious +true +100\.0 +100$", output, re.MULTILINE)
    sandbox.assert_clean(output)


@pytest.mark.parametrize(
    ("at", "stop"),
    [
        ("$ maas deploy ", lambda process: os.kill(process.pid, signal.SIGTERM)),
        ("# The pipeline processes ", lambda process: os.killpg(process.pid, signal.SIGINT)),  # as Ctrl-C does
    ],
    ids=["TERM", "Ctrl-C"],
)
def test_an_interrupted_demo_cleans_up(tmp_path: Path, at: str, stop: Callable[[subprocess.Popen[str]], None]) -> None:
    sandbox = Sandbox.create(tmp_path)
    process = sandbox.begin()
    assert process.stdout is not None
    output = ""
    for line in process.stdout:
        output += line
        if line.startswith(at):
            break
    time.sleep(0.2)
    stop(process)
    rest, errors = process.communicate(timeout=60)
    assert process.returncode == 130, output + rest + errors
    assert "interrupted; all started processes are stopped" in errors
    sandbox.assert_clean(output + rest)


def test_a_failing_command_ends_the_demo_and_is_named(tmp_path: Path) -> None:
    sandbox = Sandbox.create(tmp_path)
    changed = shutil.copytree(SQUID, tmp_path / "squid")
    (changed / "config" / "parsers" / "squid.json").write_text("{")
    process = sandbox.begin(squid=changed)
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    assert re.search(r"squid\.json.*invalid JSON", errors)
    assert re.search(r"^demo: stellar-pipeline run .* ended with status 1$", errors, re.MULTILINE)
    assert "Traceback" not in errors
    sandbox.assert_clean(output)


def test_an_existing_folder_is_not_used(tmp_path: Path) -> None:
    sandbox = Sandbox.create(tmp_path)
    process = sandbox.begin("--keep", str(tmp_path))
    _, errors = process.communicate(timeout=20)
    assert (process.returncode, errors.strip()) == (1, f"demo: {tmp_path} exists already; choose a new folder")


# --- the models


class ServedModel(NamedTuple):
    process: subprocess.Popen[bytes]
    connection: http.client.HTTPConnection
    folder: Path

    def get(self, path: str) -> tuple[int, Any]:
        self.connection.request("GET", path)
        response = self.connection.getresponse()
        body = response.read()
        assert response.version == 11
        assert response.getheader("Content-Length") == str(len(body))
        return response.status, json.loads(body)


@contextmanager
def serve(folder: Path) -> Iterator[ServedModel]:
    """Run a model as its runner does, and connect to it when it has written its endpoint."""
    with start(folder) as process:
        try:
            connection = connect(folder, process)
            yield ServedModel(process, connection, folder)
            connection.close()
        finally:
            process.kill()


def start(folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [folder / "rest.sh"],
        cwd=folder,
        env={**os.environ, "PYTHON": sys.executable},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def connect(folder: Path, process: subprocess.Popen[bytes]) -> http.client.HTTPConnection:
    deadline = time.monotonic() + 20
    while not (folder / "endpoint.dat").exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    url = urlsplit(json.loads((folder / "endpoint.dat").read_text())["url"])
    assert url.hostname == "127.0.0.1"
    return http.client.HTTPConnection("127.0.0.1", url.port, timeout=10)


@pytest.fixture
def mock(tmp_path: Path) -> Iterator[ServedModel]:
    with serve(shutil.copytree(MODELS / "mock_dga", tmp_path / "mock")) as model:
        yield model


LEGIT, MALICIOUS = {"is_malicious": "legit"}, {"is_malicious": "malicious"}


def test_the_mock_classifies_two_domains_as_legit_and_reuses_its_connection(mock: ServedModel) -> None:
    for query, result in (
        ("host=yahoo.com", LEGIT),
        ("host=amazon.com", LEGIT),
        ("other=1&host=yahoo.com", LEGIT),
        ("host=www.yahoo.com", MALICIOUS),
        ("host=YAHOO.COM", MALICIOUS),
        ("host=cnn.com", MALICIOUS),
        ("host=%C3%A9+%26", MALICIOUS),
        ("host", MALICIOUS),  # null
        ("host=", MALICIOUS),
        ("", MALICIOUS),
    ):
        assert mock.get(f"/apply?{query}") == (200, result)
        open_socket = mock.connection.sock
        assert mock.get("/apply") == (200, MALICIOUS)
        assert mock.connection.sock is open_socket is not None


def test_an_unknown_path_is_404(mock: ServedModel) -> None:
    assert mock.get("/score?host=yahoo.com") == (404, {"error": "unknown path /score; available: /apply"})


def test_the_mock_responds_without_delay(mock: ServedModel) -> None:
    times = [time.monotonic()]
    for number in range(100):
        mock.get(f"/apply?host={number}.com")
        times.append(time.monotonic())
    # With Nagle's algorithm most take 40 ms. On a busy host some do anyway, so only the fastest 30 count.
    assert sorted(after - before for before, after in pairwise(times))[30] < 0.03


def test_the_mock_logs_nothing_and_exits_cleanly_on_sigterm(mock: ServedModel) -> None:
    mock.get("/apply?host=yahoo.com")
    mock.process.terminate()
    output, errors = mock.process.communicate(timeout=10)
    assert (mock.process.returncode, output, errors) == (0, b"", b"")
    assert sorted(file.name for file in mock.folder.iterdir() if file.is_file()) == ["dga.py", "rest.sh", "serving.py"]


def test_a_client_that_disconnects_is_not_logged(mock: ServedModel) -> None:
    endpoint = mock.connection.host, mock.connection.port
    for request in (b"", b"GET /apply HTTP/1.1\r\n", b"GET /apply HTTP/1.1\r\n\r\n"):
        with socket.create_connection(endpoint) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, bytes([1, 0, 0, 0, 0, 0, 0, 0]))
            connection.sendall(request)
    assert mock.get("/apply?host=yahoo.com") == (200, LEGIT)
    mock.process.terminate()
    assert mock.process.communicate(timeout=10)[1] == b""


def test_the_models_are_served_by_the_same_code() -> None:
    first, second = ((MODELS / model / "serving.py").read_text() for model in ("mock_dga", "dga"))
    assert first == second


@pytest.fixture
def classifier(run: Run, tmp_path: Path) -> Path:
    """The folder of the model that the demo has trained."""
    return shutil.copytree(run.folder / "dga", tmp_path / "dga")


@needs_scikit_learn
def test_the_classifier_is_accurate_on_held_out_names(classifier: Path) -> None:
    report = json.loads((classifier / "accuracy.json").read_text())
    assert report["held_out"] > 1000
    assert report["accuracy"] > 0.9
    assert min(report["accuracy_by_kind"].values()) > 0.85


@needs_scikit_learn
def test_training_again_gives_the_same_model(classifier: Path) -> None:
    before = [(classifier / name).read_bytes() for name in ("accuracy.json", "model.pickle")]
    subprocess.run([sys.executable, "-B", classifier / "train.py"], check=True, capture_output=True)
    assert [(classifier / name).read_bytes() for name in ("accuracy.json", "model.pickle")] == before


@needs_scikit_learn
def test_the_classifier_classifies_the_name_without_its_suffix(classifier: Path) -> None:
    with serve(classifier) as model:
        for query, status in (
            ("host=yahoo", "legit"),
            ("host=wikipedia", "legit"),
            ("host=www.google", "legit"),
            ("host=GitHub", "legit"),
            ("host=xkqzjwvhbtrpw", "dga"),
            ("host=b546qqy06yrlqisr3yzq6", "dga"),
            ("host=9d3f41c07ab2e6589d3f41c0", "dga"),
            ("host=.", "legit"),
            ("host", None),
            ("", None),
        ):
            assert (query, model.get(f"/apply?{query}")) == (query, (200, {"dga_status": status}))


@needs_scikit_learn
def test_an_untrained_classifier_suggests_training(tmp_path: Path) -> None:
    folder = shutil.copytree(MODELS / "dga", tmp_path / "dga")
    with start(folder) as process:
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 1
    assert f"model.pickle does not exist; create it with: python {folder / 'train.py'}" in errors.decode()
