"""The walkthrough: the whole of it as a user runs it, and its two models by themselves."""

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


class Surroundings(NamedTuple):
    """What a run of the demo may touch: an empty home, an empty folder for temporary files, and where it starts."""

    home: Path
    temporary: Path
    start: Path

    @classmethod
    def made(cls, within: Path) -> Surroundings:
        made = cls(within / "home", within / "temporary", within / "start")
        for folder in made:
            folder.mkdir()
        return made

    def begin(self, *arguments: str, squid: Path = SQUID, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, squid / "demo.py", *arguments],
            cwd=self.start,
            env={**os.environ, "HOME": str(self.home), "TMPDIR": str(self.temporary), **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def assert_clean(self, output: str) -> None:
        """Nothing runs, nothing listens and no file is left."""
        assert processes_of(self.temporary.parent) == []
        assert [address for address in addresses(output) if listens(address)] == []
        assert list(self.temporary.iterdir()) == []
        assert list(self.home.iterdir()) == []


def processes_of(folder: Path) -> list[str]:
    """The processes that run in the folder, or have it in their command."""
    return [found for found in map(described, Path("/proc").glob("[0-9]*")) if str(folder) in found]


def described(process: Path) -> str:
    try:
        return f"{os.readlink(process / 'cwd')} {(process / 'cmdline').read_bytes().decode(errors='replace')}"
    except OSError:  # it has just ended
        return ""


def addresses(output: str) -> list[str]:
    return re.findall(r"http://127\.0\.0\.1:\d+", output)


def listens(address: str) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", urlsplit(address).port or 0)) == 0


# --- the whole


class Run(NamedTuple):
    surroundings: Surroundings
    kept: Path
    output: str
    errors: str
    status: int
    files_before: set[Path]

    def records(self, name: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.kept / name).read_text().splitlines()]


def files() -> set[Path]:
    return {file for file in SQUID.rglob("*") if "__pycache__" not in file.parts}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The demo, run once, with its files kept."""
    before = files()
    surroundings = Surroundings.made(tmp_path_factory.mktemp("demo"))
    kept = surroundings.start / "kept"
    process = surroundings.begin("--keep", str(kept))
    output, errors = process.communicate(timeout=120)
    return Run(surroundings, kept, output, errors, process.returncode, before)


def test_the_demo_ends_well_and_every_claim_holds(run: Run) -> None:
    assert run.status == 0, run.output + run.errors
    assert "[FAILED]" not in run.output
    assert run.output.count("[ok]") >= 7
    assert re.search(r"the walkthrough took \d+\.\d s\n$", run.output)


def test_the_demo_lists_two_instances_byte_for_byte(run: Run) -> None:
    listed = run.output.partition("-mo LIST\n")[2].partition("  [ok]")[0]
    one, other = addresses(listed)
    assert one != other
    assert listed == (
        "Model dga @ 1.0\n"
        f"dga:1.0 @ {one} serving:\n\tapply=apply\n"
        f"dga:1.0 @ {other} serving:\n\tapply=apply\n"
    )  # fmt: skip


def test_every_line_of_the_log_has_its_verdict_though_an_instance_was_killed(run: Run) -> None:
    lines = (run.kept / "access.log").read_text().splitlines()
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
def test_the_mock_s_verdict_becomes_an_alert(run: Run, name: str, verdict: tuple[object, ...]) -> None:
    fields = ("is_malicious", "is_alert", "threat.triage.score", "threat.triage.level")
    records = [record for record in run.records("squid.jsonl") if record.get("domain_without_subdomains") == name]
    assert records
    assert {tuple(record.get(field) for field in fields) for record in records} == {verdict}
    assert all(type(record.get("threat.triage.level")) in (int, type(None)) for record in records)


def test_the_table_sums_up_by_domain(run: Run) -> None:
    of_cnn = sum(record.get("domain_without_subdomains") == "cnn.com" for record in run.records("squid.jsonl"))
    assert re.search(rf"^ *cnn\.com +{of_cnn} +malicious +true +100\.0 +100 *$", run.output, re.MULTILINE)
    assert re.search(r"^ *yahoo\.com +\d+ +legit *$", run.output, re.MULTILINE)
    assert len(run.output.splitlines()) < 120


@needs_scikit_learn
def test_the_classifier_raises_alarms_for_machine_made_names_alone(run: Run) -> None:
    records = run.records("squid_dga.jsonl")
    alarms = [record for record in records if record.get("dga_status") == "dga"]
    assert len(alarms) > 100
    assert {record["code"] for record in alarms} == {503}  # only machine-made names lead nowhere
    assert {(record["is_alert"], record["threat.triage.score"]) for record in alarms} == {("true", 60.0)}


def test_the_demo_leaves_nothing_but_what_was_to_be_kept(run: Run) -> None:
    run.surroundings.assert_clean(run.output)
    assert list(run.surroundings.start.iterdir()) == [run.kept]
    assert files() == run.files_before


def test_a_claim_that_does_not_hold_is_named_and_ends_the_demo_with_1(tmp_path: Path) -> None:
    """Here the mock knows yahoo.com no more; and neither scikit-learn nor rich are there."""
    surroundings = Surroundings.made(tmp_path)
    changed = shutil.copytree(SQUID, tmp_path / "squid")
    mock = changed / "models" / "mock_dga" / "dga.py"
    mock.write_text(mock.read_text().replace('"yahoo.com", ', ""))
    hiding = tmp_path / "hiding"
    hiding.mkdir()
    (hiding / "sitecustomize.py").write_text("import sys\nsys.modules['sklearn'] = sys.modules['rich'] = None\n")

    path = os.pathsep.join(filter(None, (str(hiding), os.environ.get("PYTHONPATH"))))
    process = surroundings.begin(squid=changed, PYTHONPATH=path)
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    claims = [line.removeprefix("demo: ") for line in errors.splitlines() if line.startswith("demo: ")]
    assert claims == ["this did not come out: yahoo.com: is_malicious legit, and no is_alert"]
    assert output.count("[FAILED]") == 1
    assert "scikit-learn is not installed: pip install" in output
    assert re.search(r"^  yahoo\.com +\d+ +malicious +true +100\.0 +100$", output, re.MULTILINE)
    surroundings.assert_clean(output)


@pytest.mark.parametrize(
    ("at", "stop"),
    [
        ("$ maas deploy ", lambda process: os.kill(process.pid, signal.SIGTERM)),
        ("# The log goes ", lambda process: os.killpg(process.pid, signal.SIGINT)),  # as Ctrl-C does
    ],
    ids=["TERM", "Ctrl-C"],
)
def test_an_interrupted_demo_tidies_up(tmp_path: Path, at: str, stop: Callable[[subprocess.Popen[str]], None]) -> None:
    surroundings = Surroundings.made(tmp_path)
    process = surroundings.begin()
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
    assert "interrupted; all that was started is ended" in errors
    surroundings.assert_clean(output + rest)


def test_a_command_that_fails_ends_the_demo_and_is_named(tmp_path: Path) -> None:
    surroundings = Surroundings.made(tmp_path)
    changed = shutil.copytree(SQUID, tmp_path / "squid")
    (changed / "config" / "parsers" / "squid.json").write_text("{")
    process = surroundings.begin(squid=changed)
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "squid.json: not JSON" in errors
    assert re.search(r"^demo: stellar-pipeline run .* ended with status 1$", errors, re.MULTILINE)
    assert "Traceback" not in errors
    surroundings.assert_clean(output)


def test_a_folder_that_is_there_is_not_used(tmp_path: Path) -> None:
    surroundings = Surroundings.made(tmp_path)
    process = surroundings.begin("--keep", str(tmp_path))
    _, errors = process.communicate(timeout=20)
    assert (process.returncode, errors.strip()) == (1, f"demo: {tmp_path} is there already; name a new folder")


# --- the models by themselves


class Served(NamedTuple):
    process: subprocess.Popen[bytes]
    connection: http.client.HTTPConnection
    folder: Path

    def ask(self, path: str) -> tuple[int, Any]:
        self.connection.request("GET", path)
        answer = self.connection.getresponse()
        body = answer.read()
        assert answer.version == 11
        assert answer.getheader("Content-Length") == str(len(body))
        return answer.status, json.loads(body)


@contextmanager
def served(folder: Path) -> Iterator[Served]:
    """A model, run as its runner would, and a connection to it once it has written where it is."""
    with started(folder) as process:
        try:
            connection = connection_to(folder, process)
            yield Served(process, connection, folder)
            connection.close()
        finally:
            process.kill()


def started(folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [folder / "rest.sh"],
        cwd=folder,
        env={**os.environ, "PYTHON": sys.executable},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def connection_to(folder: Path, process: subprocess.Popen[bytes]) -> http.client.HTTPConnection:
    deadline = time.monotonic() + 20
    while not (folder / "endpoint.dat").exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    url = urlsplit(json.loads((folder / "endpoint.dat").read_text())["url"])
    assert url.hostname == "127.0.0.1"
    return http.client.HTTPConnection("127.0.0.1", url.port, timeout=10)


@pytest.fixture
def mock(tmp_path: Path) -> Iterator[Served]:
    with served(shutil.copytree(MODELS / "mock_dga", tmp_path / "mock")) as model:
        yield model


LEGIT, MALICIOUS = {"is_malicious": "legit"}, {"is_malicious": "malicious"}


def test_the_mock_knows_two_domains_and_keeps_its_connection(mock: Served) -> None:
    for query, answer in (
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
        assert mock.ask(f"/apply?{query}") == (200, answer)
        socket_of_it = mock.connection.sock
        assert mock.ask("/apply") == (200, MALICIOUS)
        assert mock.connection.sock is socket_of_it is not None


def test_what_the_mock_does_not_have_is_404(mock: Served) -> None:
    assert mock.ask("/score?host=yahoo.com") == (404, {"error": "there is no /score; there is /apply"})


def test_the_mock_answers_at_once(mock: Served) -> None:
    moments = [time.monotonic()]
    for number in range(100):
        mock.ask(f"/apply?host={number}.com")
        moments.append(time.monotonic())
    # With Nagle's algorithm most would take 40 ms. On a busy machine some do, so the quickest ones show which it is.
    assert sorted(after - before for before, after in pairwise(moments))[30] < 0.03


def test_the_mock_is_silent_and_ends_cleanly_when_it_is_asked_to(mock: Served) -> None:
    mock.ask("/apply?host=yahoo.com")
    mock.process.terminate()
    output, errors = mock.process.communicate(timeout=10)
    assert (mock.process.returncode, output, errors) == (0, b"", b"")
    assert sorted(file.name for file in mock.folder.iterdir() if file.is_file()) == ["dga.py", "rest.sh", "serving.py"]


def test_a_client_that_breaks_off_is_not_in_the_log(mock: Served) -> None:
    address = mock.connection.host, mock.connection.port
    for rude in (b"", b"GET /apply HTTP/1.1\r\n", b"GET /apply HTTP/1.1\r\n\r\n"):
        with socket.create_connection(address) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, bytes([1, 0, 0, 0, 0, 0, 0, 0]))
            connection.sendall(rude)
    assert mock.ask("/apply?host=yahoo.com") == (200, LEGIT)
    mock.process.terminate()
    assert mock.process.communicate(timeout=10)[1] == b""


def test_the_models_are_served_by_the_same_code() -> None:
    first, second = ((MODELS / model / "serving.py").read_text() for model in ("mock_dga", "dga"))
    assert first == second


@pytest.fixture
def classifier(run: Run, tmp_path: Path) -> Path:
    """The model's folder, as the demo trained it."""
    return shutil.copytree(run.kept / "dga", tmp_path / "dga")


@needs_scikit_learn
def test_the_classifier_is_right_about_names_that_it_never_saw(classifier: Path) -> None:
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
def test_the_classifier_answers_for_the_name_without_its_suffix(classifier: Path) -> None:
    with served(classifier) as model:
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
            assert (query, model.ask(f"/apply?{query}")) == (query, (200, {"dga_status": status}))


@needs_scikit_learn
def test_a_classifier_that_was_not_trained_says_what_to_do(tmp_path: Path) -> None:
    folder = shutil.copytree(MODELS / "dga", tmp_path / "dga")
    with started(folder) as process:
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 1
    assert f"model.pickle is not there; make it with: python {folder / 'train.py'}" in errors.decode()
