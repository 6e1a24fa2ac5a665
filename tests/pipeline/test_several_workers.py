"""`stellar-pipeline run --workers N`: the output of one process, in several ones, whatever ends early."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from model_servers import ModelHandler

from scripts.fuzz.pipelines import make_message, make_pair
from stellar.maas import FileRegistry, Model, ServiceInstance
from stellar.maas.schema import Endpoint
from stellar.pipeline.cli import main
from stellar.pipeline.connectors import lines

from .killing import LIMIT, kill_repeatedly, wait_for

pytestmark = pytest.mark.serial
PROGRAM = "import sys; from stellar.pipeline.cli import main; sys.exit(main())"
COUNTS = [1, 2, 3]

# Names of stages that a configuration may name
PLUGINS = '''
import os, signal
from stellar.pipeline import Invalid  # noqa: F401
from stellar.functions import LIBRARY
from stellar.language.library import Library, stellar

class Numbering:
    """A parser that numbers its records."""

    is_stateful = True

    def __init__(self, settings):
        self.count = 0

    def __call__(self, text):
        self.count += 1
        return [{"n": self.count, "timestamp": 0}]

    def complaint(self, record):
        return None

@stellar("KILL")
def kill(name: str) -> str:
    """End the process for one name."""
    if name == "bad":
        os.kill(os.getpid(), signal.SIGKILL)
    return name

FUNCTIONS = Library.of(LIBRARY, kill)
'''


@pytest.fixture(autouse=True)
def fixed_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let all processes have the same time and identifiers, read little at once, and work in an empty directory."""
    monkeypatch.setattr(time, "time_ns", lambda: 1_571_163_620_306_000_000)
    for module in ("stellar.pipeline.pipeline", "stellar.pipeline.compiled.pipelines", "stellar.pipeline.records"):
        monkeypatch.setattr(f"{module}.make_guid", lambda: "guid")
    monkeypatch.setattr("stellar.pipeline.records.now", lambda: 1_571_163_620_306)
    monkeypatch.setattr(lines, "READ_BYTES", 2000)
    monkeypatch.chdir(tmp_path)


WriteConfig = Callable[..., Path]
ARGUMENTS = ["run", "--config", "config", "--sensor", "squid", "--registry", "none"]


def read_outputs(folder: str) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in Path(folder).rglob("*") if file.is_file()}


def run_with(workers: int, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, dict[str, bytes]]:
    """Return the exit status, what was printed, and the files in `out`, in which arguments have their targets."""
    folder = Path("out")
    folder.mkdir()
    status = main([*ARGUMENTS, "--workers", str(workers), *arguments])
    outputs = read_outputs("out")
    folder.rename(f"out{workers}-{time.monotonic_ns()}")
    return status, capsys.readouterr().err, outputs


def normalize(result: tuple[int, str, dict[str, bytes]]) -> tuple[int, list[str], dict[str, str]]:
    """Return a result without what may differ: the stacks of errors, and the line after which a warning is printed.

    A stack depends on the functions that a process has compiled so far, and a warning is printed with its block.
    """
    status, printed, outputs = result
    return status, sorted(printed.splitlines()), {name: remove_stacks(name, each) for name, each in outputs.items()}


def remove_stacks(name: str, content: bytes) -> str:
    if name.endswith(".db"):
        with closing(sqlite3.connect(":memory:")) as connection:
            connection.deserialize(content)
            content = "\n".join(connection.iterdump()).encode()
    return re.sub(r'"stack":"(?:\\.|[^"\\])*"', '"stack":""', content.decode())


def write_messages(rnd: random.Random, name: str, count: int, parser: str = "JSONMap") -> str:
    content = b"\n".join(make_message(rnd, parser).content for _ in range(count))
    Path(name).write_bytes(content + b"\n")
    return name


TARGETS = {
    "two files": ("--output", "out/records.jsonl", "--errors", "out/errors.jsonl"),
    "one file": ("--output", "out/all.jsonl", "--errors", "out/all.jsonl"),
    "a database": ("--output", "out/all.db", "--errors", "out/all.db"),
    "a directory": ("--output", "out/", "--errors", "out/"),
    "only records": ("--output", "out/records.jsonl"),
    "in flight": ("--output", "out/all.jsonl", "--errors", "out/all.jsonl", "--in-flight", "5"),
    "resumable": ("--output", "out/records.jsonl", "--errors", "out/errors.jsonl", "--resume"),
}


@pytest.mark.parametrize("targets", TARGETS)
def test_the_number_of_processes_changes_no_output(
    targets: str, write_config: WriteConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    rnd = random.Random(targets)
    made = 0
    while made < 4:
        *_, config = make_pair(rnd)
        write_config(config["parser"], config["enrichment"], config["global"])
        parser = config["parser"]["parserClassName"]
        names = [write_messages(rnd, f"{name}.log", 150, parser) for name in "ab"]
        expected = normalize(run_with(1, capsys, *TARGETS[targets], *names))
        if expected[0] == 0:  # otherwise the configuration is invalid
            made += 1
            assert expected[2]
        for count in (2, 3):
            assert normalize(run_with(count, capsys, *TARGETS[targets], *names)) == expected


def test_rows_of_a_parquet_file_are_the_same(write_config: WriteConfig, capsys: pytest.CaptureFixture[str]) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    write_config()
    name = write_messages(random.Random(1), "a.log", 200)
    tables = []
    for count in COUNTS:
        targets = ("--output", f"{count}.parquet", "--errors", "out/errors.jsonl")
        tables.append((run_with(count, capsys, *targets, name), parquet.read_table(f"{count}.parquet").to_pylist()))
    assert tables[0] == tables[1] == tables[2]


def test_documents_that_no_directory_takes_are_rejected_in_their_order(
    write_config: WriteConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_config()
    (config / "indexing").mkdir()
    writer = {"hdfs": {"outputPathFunction": "to"}}
    (config / "indexing" / "squid.json").write_text(json.dumps(writer), encoding="utf-8")
    # A name that is too long, one outside, one that is a file, and an expression that returns no string
    folders: list[Any] = ["a", "b/c", "..", "x" * 300, "file/d", 5, None]
    rnd = random.Random(1)
    content = "".join(json.dumps({"n": n, "to": rnd.choice(folders)}) + "\n" for n in range(400))
    Path("a.log").write_text(content, encoding="utf-8")
    found = []
    for count in COUNTS:
        Path("out").mkdir()
        Path("out/error").mkdir()
        Path("out/file").write_bytes(b"")
        found.append(run_existing(count, capsys, "--output", "out/", "--errors", "errors.jsonl", "a.log"))
    assert found[0] == found[1] == found[2]
    messages = {error["message"].partition(":")[0] for error in found[0][3] if error["stage"] == "write"}
    assert len(messages) == 4


def run_existing(workers: int, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[Any, ...]:
    status = main([*ARGUMENTS, "--workers", str(workers), *arguments])
    outputs, errors = read_outputs("out"), [strip(each) for each in read_documents("errors.jsonl")]
    Path("out").rename(f"out-{workers}")
    return status, capsys.readouterr().err, outputs, errors


def test_a_damaged_file_is_reported_between_the_others(
    write_config: WriteConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    import gzip

    write_config()
    rnd = random.Random(1)
    whole = gzip.compress(b"\n".join(make_message(rnd, "JSONMap").content for _ in range(300)))
    Path("damaged.gz").write_bytes(whole[: len(whole) // 2])
    names = [write_messages(rnd, "a.log", 50), "damaged.gz", write_messages(rnd, "b.log", 50), "damaged.gz"]
    targets = ("--output", "out/records.jsonl", "--errors", "out/errors.jsonl", "--max-line-bytes", "150")
    expected = run_with(1, capsys, *targets, *names)
    assert expected[0] == 0
    assert "damaged.gz after line" in expected[1]
    assert b"line is longer than 150 bytes" in expected[2]["errors.jsonl"]
    assert [run_with(count, capsys, *targets, *names) for count in (2, 3)] == [expected] * 2


def test_warnings_are_printed_once(write_config: WriteConfig, capsys: pytest.CaptureFixture[str]) -> None:
    parser = {"parserClassName": "CSV", "parserConfig": {"columns": {"timestamp": 0}, "timestampFormat": "yyyy"}}
    write_config(parser)
    Path("a.log").write_text("".join(f"no year {n}\n" for n in range(1000)), encoding="utf-8")
    expected = run_with(1, capsys, "--output", "out/records.jsonl", "a.log")
    assert expected[1].count("warning: timestamp is not converted: invalid date 'no year 0'") == 1
    assert [run_with(count, capsys, "--output", "out/records.jsonl", "a.log") for count in (2, 3)] == [expected] * 2


def test_processes_have_identifiers_of_their_own(write_config: WriteConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.chdir(write_config().parent)
    Path("a.log").write_text('{"a": 1}\n' * 20_000, encoding="utf-8")
    assert main([*ARGUMENTS, "--workers", "3", "--quiet", "--output", "out.jsonl", "a.log"]) == 0
    documents = [json.loads(line) for line in Path("out.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len({document["guid"] for document in documents}) == 20_000


# -- What cannot be done ----------------------------------------------------------------------------------------------


def test_profiles_need_one_process(write_config: WriteConfig, capsys: pytest.CaptureFixture[str]) -> None:
    config = write_config()
    (config / "profiler.json").write_text('{"profiles": []}', encoding="utf-8")
    Path("a.log").write_bytes(b"")
    assert main([*ARGUMENTS, "--workers", "2", "--output", "out.jsonl", "a.log"]) == 2
    assert capsys.readouterr().err == (
        "stellar-pipeline: the values of profiles need all records in one process; remove --workers or "
        "config/profiler.json, and apply the records with stellar-profiler\n"
    )
    assert not Path("out.jsonl").exists()


def test_a_parser_with_a_state_needs_one_process(
    write_config: WriteConfig, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "numbering.py").write_text(PLUGINS, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    write_config({"parserClassName": "numbering.Numbering"})
    Path("a.log").write_text("a\n" * 10, encoding="utf-8")
    assert main([*ARGUMENTS, "--workers", "2", "--output", "out.jsonl", "a.log"]) == 2
    assert capsys.readouterr().err == (
        "stellar-pipeline: Numbering: the result for a record depends on the records before, which other processes may "
        "have; remove --workers\n"
    )
    assert main([*ARGUMENTS, "--workers", "1", "--output", "out.jsonl", "a.log"]) == 0


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_look_up_of_a_field_that_no_record_has_is_warned_of_at_the_end(
    workers: str, write_config: WriteConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_config({"parserClassName": "JSONMap"})
    rest = [
        {"endpointTemplate": "http://127.0.0.1:9/${usr}/${ip}", "prefix": "a"},
        {"endpointTemplate": "http://127.0.0.1:9/${name}", "prefix": "b", "sources": ["squid"]},
    ]
    enrichment = {"enrichment": {"fieldMap": {"host": ["ip", "hst"], "rest": {"config": rest}}}}
    (config / "enrichments").mkdir(exist_ok=True)
    (config / "enrichments" / "squid.json").write_text(json.dumps(enrichment), encoding="utf-8")
    (config / "global.json").write_text(json.dumps({"enrichment.host.known_hosts": "[]"}), encoding="utf-8")
    Path("a.log").write_text('{"user": "mary"}\n' * 2000 + '{"ip": "10.0.0.1"}\n', encoding="utf-8")
    run = [*ARGUMENTS, "--workers", workers, "--output", "out.jsonl", "--errors", "errors.jsonl"]
    assert main([*run, "a.log"]) == 0
    assert [line for line in capsys.readouterr().err.splitlines() if "warning" in line] == [
        "stellar-pipeline: warning: squid: the adapter host in enrichment has enriched nothing, because no record had "
        "the field 'hst'; check the names",
        "stellar-pipeline: warning: squid: the adapter rest in enrichment has enriched nothing, because no record had "
        "the fields 'ip' and 'usr'; check the names",
    ]
    Path("a.log").write_bytes(b"")
    assert main([*run, "a.log"]) == 0
    assert "warning" not in capsys.readouterr().err


def test_missing_services_are_reported_once(write_config: WriteConfig, capsys: pytest.CaptureFixture[str]) -> None:
    write_config(enrichment={"enrichment": {"fieldMap": {"geo": ["ip"]}}})
    Path("a.log").write_text("{}\n", encoding="utf-8")
    one, two = (main([*ARGUMENTS, "--workers", count, "--output", "out.jsonl", "a.log"]) for count in "12")
    printed = capsys.readouterr().err.splitlines()
    assert (one, two) == (1, 1)
    assert printed[: len(printed) // 2] == printed[len(printed) // 2 :]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the device /dev/full")
def test_an_output_that_cannot_be_written_ends_all_processes(
    write_config: WriteConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    write_config()
    before = list_children(os.getpid())
    Path("a.log").write_text('{"a": 1}\n' * 5000, encoding="utf-8")
    statuses = [main([*ARGUMENTS, "--workers", str(n), "--quiet", "--output", "/dev/full", "a.log"]) for n in COUNTS]
    printed = capsys.readouterr().err.splitlines()
    assert statuses == [1, 1, 1]
    assert printed == ["stellar-pipeline: /dev/full: No space left on device"] * 3
    assert list_children(os.getpid()) == before


# -- Processes that end early -----------------------------------------------------------------------------------------


def list_children(process: int) -> list[int]:
    """Return the children of a process that run."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent, *_ = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended meanwhile
            continue
        if int(parent) == process and state != "Z":
            found.append(int(stat.parent.name))
    return found


def test_a_process_that_dies_ends_the_run_with_an_error_and_it_continues_from_there(
    write_config: WriteConfig, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "killing_functions.py").write_text(PLUGINS, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    write_config(
        enrichment={"enrichment": {"fieldMap": {"stellar": {"config": {"b": "KILL(a)"}}}}},
        globals={"stellar.function.library": "killing_functions:FUNCTIONS"},
    )
    good = [json.dumps({"n": n, "a": "good"}) for n in range(2000)]
    Path("a.log").write_text("\n".join([*good[:1000], '{"a": "bad"}', *good[1000:], ""]), encoding="utf-8")
    given = [*ARGUMENTS, "--workers", "2", "--resume", "--output", "out.jsonl", "--errors", "errors.jsonl", "a.log"]
    before = list_children(os.getpid())
    assert main(given) == 1
    assert "was ended by SIGKILL before its work was done" in capsys.readouterr().err
    assert list_children(os.getpid()) == before
    monkeypatch.setattr(os, "kill", lambda process, number: None)
    assert main(given) == 0
    numbers = [json.loads(line).get("n") for line in Path("out.jsonl").read_text(encoding="utf-8").splitlines()]
    assert numbers == [*range(1000), None, *range(1000, 2000)]


@pytest.mark.parametrize("target", ["out.jsonl", "out.sqlite"])
def test_runs_that_are_killed_lose_no_document_and_write_none_twice(target: str, write_config: WriteConfig) -> None:
    write_config()
    Path("a.log").write_text("".join(f'{{"n": {n}}}\n' for n in range(4000)), encoding="utf-8")
    position = Path("out.jsonl.position")

    def read_progress() -> object:
        if target == "out.sqlite":
            return Path(target).exists() and Path(target).stat().st_mtime_ns
        return position.exists() and position.read_bytes()

    given = [*ARGUMENTS, "--workers", "2", "--resume", "--output", target, "a.log"]
    printed = kill_repeatedly(given, read_progress, 3)
    assert printed.endswith("4,000 lines read, 4,000 parsed = 4,000 out + 0 dropped + 0 rejected; 0 reports\n")
    assert [document["n"] for document in read_documents(target)] == list(range(4000))


def read_documents(target: str) -> list[Any]:
    if target.endswith(".jsonl"):
        return [json.loads(line) for line in Path(target).read_text(encoding="utf-8").splitlines()]
    import sqlite3

    connection = sqlite3.connect(target)
    try:
        return [json.loads(text) for (text,) in connection.execute("SELECT document FROM records ORDER BY rowid")]
    finally:
        connection.close()


@pytest.fixture
def follower(write_config: WriteConfig) -> Iterator[Callable[[], subprocess.Popen[str]]]:
    """Starts a run in two processes that follows `a.log`, as the leader of its own group."""
    write_config()
    started = []

    def start() -> subprocess.Popen[str]:
        given = [*ARGUMENTS, "--workers", "2", "--follow", "--resume", "--output", "out.jsonl", "a.log"]
        started.append(
            subprocess.Popen(
                [sys.executable, "-c", PROGRAM, *given], stderr=subprocess.PIPE, text=True, start_new_session=True
            )
        )
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def append(first: int, last: int) -> None:
    with open("a.log", "a", encoding="utf-8") as file:
        file.write("".join(f'{{"n": {n}}}\n' for n in range(first, last)))


def count_written() -> int:
    return Path("out.jsonl").read_bytes().count(b"\n") if Path("out.jsonl").exists() else 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_all_processes_ends_them_with_everything_stored(
    number: signal.Signals, follower: Callable[[], subprocess.Popen[str]]
) -> None:
    append(0, 1000)
    process = follower()
    wait_for(lambda: count_written() == 1000)  # without more lines: a quiet file delays no document
    append(1000, 1500)
    wait_for(lambda: b'"read":1500' in Path("out.jsonl.position").read_bytes())
    children = list_children(process.pid)
    assert len(children) == 2
    os.killpg(process.pid, number)  # as a terminal or a service manager does
    _, printed = process.communicate(timeout=LIMIT)
    assert process.returncode == 0
    assert printed.splitlines() == [
        "stellar-pipeline: interrupted; the records so far are stored",
        "stellar-pipeline: squid: 1,500 lines read, 1,500 parsed = 1,500 out + 0 dropped + 0 rejected; 0 reports",
    ]
    wait_for(lambda: not any(map(is_running, children)))
    assert [document["n"] for document in read_documents("out.jsonl")] == list(range(1500))


def test_no_process_survives_a_run_that_is_killed(follower: Callable[[], subprocess.Popen[str]]) -> None:
    append(0, 100)
    process = follower()
    wait_for(lambda: count_written() == 100)
    children = list_children(process.pid)
    process.kill()
    wait_for(lambda: not any(map(is_running, children)))


def test_a_process_that_is_killed_while_files_are_quiet_ends_the_run(
    follower: Callable[[], subprocess.Popen[str]],
) -> None:
    append(0, 100)
    process = follower()
    wait_for(lambda: count_written() == 100)
    os.kill(list_children(process.pid)[0], signal.SIGKILL)
    _, printed = process.communicate(timeout=LIMIT)
    assert process.returncode == 1
    assert "was ended by SIGKILL" in printed
    assert [document["n"] for document in read_documents("out.jsonl")] == list(range(100))


def is_running(process: int) -> bool:
    """Return False for a process that has ended, also if its parent has not read its status."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


# -- Models -----------------------------------------------------------------------------------------------------------


def test_processes_call_models_and_report_their_failures(write_config: WriteConfig, tmp_path: Path) -> None:
    call = "MAP_GET('is_malicious', MAAS_MODEL_APPLY(MAAS_GET_ENDPOINT('dga'), {'host': host}))"
    write_config(enrichment={"enrichment": {"fieldMap": {"stellar": {"config": {"m": call}}}}})
    for name, hosts in (("a.log", ("yahoo.com", "cnn.com")), ("failing.log", ("fails.com",))):
        content = "".join(json.dumps({"n": n, "host": hosts[n % len(hosts)]}) + "\n" for n in range(500))
        Path(name).write_text(content, encoding="utf-8")
    (tmp_path / "registry").mkdir()
    outputs = []
    with ThreadingHTTPServer(("127.0.0.1", 0), ModelHandler) as server, FileRegistry(tmp_path / "registry") as registry:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        registry.register(ServiceInstance.of(Model("dga", "1.0"), "one", Endpoint(url=url)))
        try:
            outputs = [run_with_models(count, tmp_path / "registry", "a.log") for count in COUNTS]
            _, failures, log = run_with_models(2, tmp_path / "registry", "failing.log")
        finally:
            server.shutdown()
            thread.join()
    documents, errors, printed = outputs[0]
    assert outputs == [(documents, errors, printed)] * 3
    assert ([document["m"] for document in documents], errors) == (["legit", "malicious"] * 250, [])
    assert [error["stage"] for error in failures] == ["model"] * 500
    assert log.count("details are logged at DEBUG") == len({error["model_failure"] for error in failures})
    assert log.splitlines()[-1] == (
        "stellar-pipeline: squid: 500 lines read, 500 parsed = 500 out + 0 dropped + 0 rejected; 500 reports"
    )


def run_with_models(workers: int, registry: Path, name: str) -> tuple[list[Any], list[Any], str]:
    """Run in a process of its own, because this one has threads."""
    targets = ["--output", "out.jsonl", "--errors", "errors.jsonl"]
    given = [*ARGUMENTS[:-2], "--registry", str(registry), "--workers", str(workers), *targets, name]
    done = subprocess.run([sys.executable, "-c", PROGRAM, *given], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    documents, errors = ([strip(each) for each in read_documents(name)] for name in targets[1::2])
    return documents, errors, done.stderr


def strip(document: dict[str, Any]) -> dict[str, Any]:
    """Return a document without its identifier, times, and the stack, which depends on connections."""
    return {
        name: value
        for name, value in document.items()
        if name not in ("guid", "timestamp", "stack") and not name.endswith(".ts")
    }
