"""The command stellar-pipeline with files, a registry, and models that respond or fail over HTTP."""

from __future__ import annotations

import gzip
import importlib.metadata
import io
import json
import re
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
from model_servers import ModelHandler, serve_model

from stellar.functions.enrichments import StoreError
from stellar.java.jackson import without_comments
from stellar.maas import FileRegistry, Model, ServiceInstance, home
from stellar.maas.schema import Endpoint
from stellar.pipeline.cli import main
from stellar.pipeline.connectors.lines import LineBatch
from stellar.pipeline.connectors.sinks import Sinks
from stellar.pipeline.records import Raw, Record

CONFIG = Path(__file__).parents[2] / "examples" / "squid" / "config"
GOOD = "1571163620.277    192 127.0.0.1 TCP_MISS/301 366 GET http://{}/ - DIRECT/72.30.35.10 text/html\n"


@pytest.fixture
def model() -> Iterator[str]:
    """The URL of a running model."""
    with serve_model() as url:
        yield url


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[FileRegistry]:
    (tmp_path / "registry").mkdir()
    with FileRegistry(tmp_path / "registry") as registry:
        yield registry


def deploy(registry: FileRegistry, url: str) -> None:
    registry.register(ServiceInstance.of(Model("dga", "1.0"), "one", Endpoint(url=url)))


SQUID = ("--config", str(CONFIG), "--sensor", "squid", "--registry", "none")


def log_of(tmp_path: Path, *hosts: str) -> str:
    path = tmp_path / "access.log"
    path.write_text("".join(GOOD.format(host) for host in hosts), encoding="utf-8")
    return str(path)


def documents(path: Path) -> list[Record]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def run(tmp_path: Path, *arguments: str) -> tuple[list[Record], list[Record]]:
    """Run the command, and return the records and the error documents."""
    out, errors = tmp_path / "out.jsonl", tmp_path / "errors.jsonl"
    targets = ["--output", str(out), "--errors", str(errors)]
    registry = [] if {"--registry", "-z"} & set(arguments) or home().is_dir() else ["--registry", "none"]
    assert main(["run", "--config", str(CONFIG), "--sensor", "squid", *targets, *registry, *arguments]) == 0
    return documents(out), documents(errors)


def test_results_of_a_model_make_alerts(
    tmp_path: Path, model: str, registry: FileRegistry, capsys: pytest.CaptureFixture[str]
) -> None:
    deploy(registry, model)
    records, errors = run(
        tmp_path, "--registry", str(registry.directory), log_of(tmp_path, "yahoo.com", "cnn.com", "amazon.com")
    )
    assert errors == []
    assert [record["is_malicious"] for record in records] == ["legit", "malicious", "legit"]
    assert [record.get("threat.triage.score") for record in records] == [None, 100.0, None]
    assert capsys.readouterr().err == (
        "stellar-pipeline: squid: 3 lines read, 3 parsed = 3 out + 0 dropped + 0 rejected; 0 reports\n"
    )


def test_the_default_registry_needs_no_option(
    tmp_path: Path, model: str, registry: FileRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    deploy(registry, model)
    monkeypatch.setenv("MAAS_HOME", str(registry.directory))
    records, errors = run(tmp_path, log_of(tmp_path, "cnn.com"))
    assert errors == []
    assert records[0]["is_malicious"] == "malicious"


def test_the_pipeline_is_built_once(tmp_path: Path, model: str, registry: FileRegistry) -> None:
    deploy(registry, model)
    (tmp_path / "counting.py").write_text(
        "calls = []\n\ndef stage(config, location, builder):\n    calls.append(1)\n    return lambda record: record\n",
        encoding="utf-8",
    )
    config = tmp_path / "config"
    shutil.copytree(CONFIG, config)
    parser = json.loads(without_comments((config / "parsers" / "squid.json").read_text(encoding="utf-8")))
    parser["fieldTransformations"].append({"transformation": "counting.stage"})
    (config / "parsers" / "squid.json").write_text(json.dumps(parser), encoding="utf-8")
    program = (
        "import counting; from stellar.pipeline.cli import main; "
        f"main(['run', '--config', {str(config)!r}, '--sensor', 'squid', '--registry', {str(registry.directory)!r}, "
        f"{log_of(tmp_path, 'cnn.com')!r}]); print(len(counting.calls))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, check=True)
    record, made = done.stdout.splitlines()
    assert json.loads(record)["is_malicious"] == "malicious"
    assert made == b"1"


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("fails.com", "responded with status 500, not 200"),
        ("page.com", "responded with invalid JSON"),
        ("list.com", "responded with a JSON array, not an object"),
    ],
)
def test_an_invalid_model_result_is_null_and_reported(
    host: str, reason: str, tmp_path: Path, model: str, registry: FileRegistry
) -> None:
    deploy(registry, model)
    records, errors = run(tmp_path, "--registry", str(registry.directory), log_of(tmp_path, host, "cnn.com"))
    assert "is_malicious" not in records[0]
    assert records[1]["is_malicious"] == "malicious"
    (error,) = errors
    assert reason in error["message"]
    assert (error["stage"], error["line"], error["failed_sensor_type"]) == ("model", 1, "squid")
    assert error["raw_message"] == GOOD.format(host).rstrip("\n")


def test_a_failed_model_call_is_null_and_reported(
    tmp_path: Path, registry: FileRegistry, capsys: pytest.CaptureFixture[str]
) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), ModelHandler) as server:
        port = server.server_address[1]  # the port is free again, and no process listens
    deploy(registry, f"http://127.0.0.1:{port}")
    records, errors = run(tmp_path, "--registry", str(registry.directory), log_of(tmp_path, "cnn.com", "yahoo.com"))
    assert len(records) == len(errors) == 2
    assert not any("is_malicious" in record for record in records)
    assert all(error["message"].startswith("call to model dga 1.0 failed") for error in errors)
    assert "2 out + 0 dropped + 0 rejected; 2 reports" in capsys.readouterr().err


class ShadowHandler(ModelHandler):
    """Classifies a host as malicious that the other version classifies as legit."""

    odd: ClassVar = {"yahoo.com": (200, b'{"is_malicious": "malicious"}')}


def test_a_shadow_is_compared_and_disagreements_are_written(
    tmp_path: Path, model: str, registry: FileRegistry, capsys: pytest.CaptureFixture[str]
) -> None:
    deploy(registry, model)
    config, file = tmp_path / "config", tmp_path / "shadow.jsonl"
    shutil.copytree(CONFIG, config)
    settings = json.loads(without_comments((config / "global.json").read_text(encoding="utf-8")))
    settings |= {"maas.shadow.file": str(file), "maas.shadow.keys": ["is_malicious"], "maas.shadow.in.flight": 2}
    (config / "global.json").write_text(json.dumps(settings), encoding="utf-8")
    plan = registry.directory / "maas" / "ext" / "traffic" / "dga"
    plan.parent.mkdir(parents=True)
    plan.write_text('{"weights": {"1.0": 1}, "shadow": {"version": "2.0"}}', encoding="utf-8")
    with ThreadingHTTPServer(("127.0.0.1", 0), ShadowHandler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        registry.register(ServiceInstance.of(Model("dga", "2.0"), "two", Endpoint(url=url)))
        out = tmp_path / "out.jsonl"
        hosts = log_of(tmp_path, "yahoo.com", "cnn.com", "amazon.com", "cnn.com")
        where = ["--config", str(config), "--sensor", "squid", "--registry", str(registry.directory)]
        assert main(["run", *where, "--output", str(out), hosts]) == 0
        server.shutdown()
        thread.join()
    assert [record["is_malicious"] for record in documents(out)] == ["legit", "malicious", "legit", "malicious"]
    (line,) = documents(file)
    del line["at"]
    assert line == {
        "model": "dga",
        "version": "1.0",
        "shadow": "2.0",
        "function": "apply",
        "arguments": {"host": "yahoo.com"},
        "answer": {"is_malicious": "legit"},
        "shadow_answer": {"is_malicious": "malicious"},
    }
    said = capsys.readouterr().err
    assert "stellar-pipeline: shadows: 3 compared, 1 disagreed, 0 failed, 0 dropped\n" in said


def test_a_new_version_is_called_without_a_restart(tmp_path: Path, model: str, registry: FileRegistry) -> None:
    from stellar.language.context import Context
    from stellar.maas import ModelClient, Registry
    from stellar.pipeline import build_pipeline, load_config

    with ModelClient(registry) as client:
        pipeline = build_pipeline(load_config(CONFIG, "squid"), Context({Registry: registry, ModelClient: client}))
        (before,) = pipeline(Raw(GOOD.format("cnn.com").encode()))
        deploy(registry, model)
        (after,) = pipeline(Raw(GOOD.format("cnn.com").encode()))
    assert isinstance(before, dict)
    assert isinstance(after, dict)
    assert "is_malicious" not in before
    assert after["is_malicious"] == "malicious"


def test_a_line_that_does_not_parse_goes_to_the_errors_with_its_position(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    path.write_text(GOOD.format("cnn.com") + "garbage\n" + GOOD.format("cnn.com"), encoding="utf-8")
    records, errors = run(tmp_path, str(path))
    assert len(records) == 2
    (error,) = [each for each in errors if each["stage"] != "model"]
    assert (error["stage"], error["origin"], error["line"]) == ("parse", str(path), 2)
    assert error["message"].startswith("Grok statement produced a null message.")


def test_without_an_error_target_the_first_failures_are_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "access.log"
    path.write_text("garbage\n" * 25, encoding="utf-8")
    out = str(tmp_path / "out.jsonl")
    assert main(["run", *SQUID, "--output", out, str(path)]) == 0
    first, *others = capsys.readouterr().err.splitlines()
    assert first.startswith(f"{path}:1: parse: Grok statement produced a null message.")
    assert len(others) == 19 + 1 + 1
    assert others[-2] == "further failures are only counted; use --errors FILE to store all of them"
    assert others[-1].endswith("25 lines read, 25 parsed = 0 out + 0 dropped + 25 rejected; 0 reports")


def test_control_characters_of_a_line_do_not_reach_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "access.log"
    path.write_bytes(b"\x1b[2J\x07evil" + b"x" * 10_000 + b"\n")
    out = str(tmp_path / "out.jsonl")
    assert main(["run", *SQUID, "--output", out, str(path)]) == 0
    error = capsys.readouterr().err
    assert "\\x1b[2J\\x07evil" in error
    assert error.isascii() or "…" in error
    assert "\x1b" not in error
    assert len(error) < 1500


def test_records_and_errors_can_go_to_one_database(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    path.write_text(GOOD.format("cnn.com") + "garbage\n", encoding="utf-8")
    database = tmp_path / "out.sqlite"
    targets = ["--output", str(database), "--errors", str(database)]
    for _ in range(2):  # documents are appended
        assert (
            main(
                [
                    "run",
                    "--config",
                    str(CONFIG),
                    "--sensor",
                    "squid",
                    "--registry",
                    "none",
                    "--quiet",
                    *targets,
                    str(path),
                ]
            )
            == 0
        )
    connection = sqlite3.connect(database)
    records = connection.execute("SELECT timestamp, source_type, is_alert, document FROM records").fetchall()
    errors = connection.execute("SELECT source_type, document FROM errors WHERE document LIKE '%garbage%'").fetchall()
    connection.close()
    assert len(records) == len(errors) == 2
    assert records[0][:3] == (1571163620277, "squid", None)
    assert json.loads(records[0][3])["full_hostname"] == "cnn.com"
    assert json.loads(errors[0][1])["raw_message"] == "garbage"


def test_a_file_other_than_a_database_is_not_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "notes.db"
    path.write_text("my notes " * 100, encoding="utf-8")
    log = log_of(tmp_path, "cnn.com")
    assert main(["run", *SQUID, "--output", str(path), log]) == 1
    assert f"cannot use {path} as a SQLite database: file is not a database" in capsys.readouterr().err
    assert path.read_text(encoding="utf-8") == "my notes " * 100


def test_records_and_errors_can_go_to_one_file(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    path.write_text((GOOD.format("cnn.com") + "garbage\n") * 3, encoding="utf-8")
    out = tmp_path / "out.jsonl"
    targets = ["--output", str(out), "--errors", str(out)]
    assert main(["run", *SQUID, *targets, str(path)]) == 0
    written = [document["source.type"] for document in documents(out) if document.get("stage") != "model"]
    assert written == ["squid", "error"] * 3


@pytest.mark.parametrize("option", ["--output", "--errors"])
def test_an_input_file_is_not_overwritten(option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = log_of(tmp_path, "cnn.com")
    assert main(["run", *SQUID, option, log, log]) == 1
    assert "is both input and output; choose another file for the output" in capsys.readouterr().err
    assert Path(log).read_text(encoding="utf-8") == GOOD.format("cnn.com")


def test_a_missing_source_does_not_overwrite_the_last_output(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    out.write_text("of yesterday", encoding="utf-8")
    options = [*SQUID, "--output", str(out)]
    assert main(["run", *options, str(tmp_path / "no.log")]) == 1
    assert out.read_text(encoding="utf-8") == "of yesterday"


def test_unusual_values_can_be_stored_in_a_database(tmp_path: Path) -> None:
    with Sinks() as sinks:
        sink = sinks.open(str(tmp_path / "x.db"), "records")
        sink({"guid": "\ud800", "timestamp": 2**70, "is_alert": True, "threat.triage.score": float("-inf")})
        sink({"timestamp": 1.5})
    connection = sqlite3.connect(tmp_path / "x.db")
    rows = connection.execute("SELECT guid, timestamp, is_alert, score FROM records").fetchall()
    connection.close()
    assert rows == [("\\ud800", 2.0**70, "true", float("-inf")), (None, 1.5, None, None)]


def test_an_interrupted_run_stores_the_records_so_far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def yield_two_lines(names: Any, most: int) -> Iterator[LineBatch]:
        yield LineBatch("access.log", lines=[GOOD.format("cnn.com").encode()] * 2)
        raise KeyboardInterrupt

    monkeypatch.setattr("stellar.pipeline.cli.run.read_batches", yield_two_lines)
    out = tmp_path / "out.jsonl"
    assert main(["run", *SQUID, "--output", str(out)]) == 130
    assert len(documents(out)) == 2


def test_compressed_files_and_several_files_are_read(tmp_path: Path) -> None:
    packed = tmp_path / "old.log.gz"
    packed.write_bytes(gzip.compress(GOOD.format("old.com").encode()))
    records, errors = run(tmp_path, str(packed), log_of(tmp_path, "new.com"))
    assert [record["full_hostname"] for record in records] == ["old.com", "new.com"]
    assert {error["model_failure"] for error in errors} == {"no such model"}  # there is no registry


def piped(*arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    program = "import sys; from stellar.pipeline.cli import main; sys.exit(main())"
    return subprocess.run([sys.executable, "-c", program, *arguments], input=stdin, capture_output=True, check=False)


def test_standard_input_goes_to_standard_output_and_a_pipe_stays_clean() -> None:
    lines = (GOOD.format("cnn.com") * 2).encode()
    done = piped("run", *SQUID, "--quiet", stdin=lines)
    assert done.returncode == 0
    assert [json.loads(line)["full_hostname"] for line in done.stdout.splitlines()] == ["cnn.com", "cnn.com"]
    assert b"\r" not in done.stderr
    assert b"\x1b" not in done.stderr


def test_a_closed_pipe_is_not_an_error(tmp_path: Path) -> None:
    path = log_of(tmp_path, *["cnn.com"] * 2000)
    program = "import sys; from stellar.pipeline.cli import main; sys.exit(main())"
    command = [
        sys.executable,
        "-c",
        program,
        "run",
        "--config",
        str(CONFIG),
        "--sensor",
        "squid",
        "--registry",
        "none",
        path,
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert json.loads(process.stdout.readline())["full_hostname"] == "cnn.com"
        process.stdout.close()
        errors = process.stderr.read()
    assert process.returncode == 0
    assert b"Traceback" not in errors
    assert b"BrokenPipe" not in errors


def test_check_lists_the_functions_of_a_sensor(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", *SQUID]) == 0
    assert capsys.readouterr().out == (
        "squid: valid; functions called: DOMAIN_REMOVE_SUBDOMAINS, JOIN, MAAS_GET_ENDPOINT, MAAS_MODEL_APPLY, MAP_GET, "
        "URL_TO_HOST\n"
    )


def test_check_covers_every_sensor(write_config: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    config = write_config()
    (config / "enrichments").mkdir()
    (config / "enrichments" / "elsewhere.json").write_text('{"configuration": {}}', encoding="utf-8")
    assert main(["check", "--config", str(config)]) == 0
    assert capsys.readouterr().out == (
        "elsewhere: valid; functions called: none\nsquid: valid; functions called: none\n"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "--config", str(CONFIG), "--sensor", "squid", "no.log"], "no.log: No such file or directory"),
        (
            ["run", *SQUID, "--output", "no/dir.jsonl"],
            "no/dir.jsonl: No such file",
        ),
        (
            ["run", *SQUID, "--output", "no/dir.db"],
            "cannot use no/dir.db as a SQLite",
        ),
        (
            ["run", "--config", str(CONFIG), "--sensor", "squid", "--registry", "nowhere"],
            "the registry directory nowhere does not exist; `maas serve --registry nowhere` creates it",
        ),
        (["check", "--config", "nowhere"], "nowhere: no parsers/<sensor>.json"),
    ],
)
def test_an_error_is_a_message_and_status_1(
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


@pytest.mark.parametrize("arguments", [[], ["run"], ["check"], ["fly"], ["run", "--speed", "9"]])
def test_bad_usage_is_status_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage: stellar-pipeline" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["chek", "--config", "config"], "unknown command chek; did you mean check?"),
        (["--config", "config", "check"], "expected a command before --config: run, check, "),
        (["x", "run", "--sensor", "x"], "unknown command x; known are alerts, check, "),
    ],
)
def test_an_unknown_command_executes_no_other(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert f"stellar-pipeline: error: {message}" in capsys.readouterr().err


def test_help_describes_the_exit_status(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["run", "--help"])
    assert ended.value.code == 0
    assert "exit status: 0 if the run completed" in capsys.readouterr().out


def test_the_version_is_that_of_the_distribution(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"stellar-pipeline {importlib.metadata.version('stellar-maas')}\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
@pytest.mark.parametrize("hosts", [1, 2000])
def test_a_target_that_is_full_is_named(hosts: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = [*SQUID, "--quiet", "--output", "/dev/full"]
    assert main(["run", *options, log_of(tmp_path, *["cnn.com"] * hosts)]) == 1
    assert capsys.readouterr().err.splitlines()[-1] == "stellar-pipeline: /dev/full: No space left on device"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
def test_standard_output_that_is_full_is_named(tmp_path: Path) -> None:
    program = "import sys; from stellar.pipeline.cli import main; sys.exit(main())"
    options = [
        "--config",
        str(CONFIG),
        "--sensor",
        "squid",
        "--registry",
        "none",
        "--quiet",
        log_of(tmp_path, "cnn.com"),
    ]
    with open("/dev/full", "wb") as full:
        command = [sys.executable, "-c", program, "run", *options]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == b"stellar-pipeline: standard output: No space left on device"


@pytest.mark.parametrize(
    "damage",
    [b"not packed", gzip.compress(b"x" * 1000)[:-9], gzip.compress(b"x")[:10] + b"!" * 9],
    ids=["not packed", "cut off", "not deflated"],
)
def test_a_damaged_file_is_an_error_document_and_the_next_file_is_read(damage: bytes, tmp_path: Path) -> None:
    path = tmp_path / "bad.log.gz"
    path.write_bytes(damage)
    records, errors = run(tmp_path, str(path), log_of(tmp_path, "cnn.com"))
    assert [record["full_hostname"] for record in records] == ["cnn.com"]
    (error,) = [each for each in errors if each["stage"] == "read"]
    assert error["message"].startswith(f"cannot read {path} after line ")
    assert (error["origin"], error["error_type"]) == (str(path), "parser_error")


def test_model_calls_without_a_registry_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.jsonl"
    where = ["--config", str(CONFIG), "--sensor", "squid", "--output", str(out)]
    assert main(["run", *where, log_of(tmp_path, "cnn.com")]) == 1
    assert capsys.readouterr().err == (
        "stellar-pipeline: no model registry configured, but expressions call models; pass --registry DIR or "
        "-z HOST:PORT, or --registry none to run with null for all model results\n"
    )
    assert not out.exists()


THREATS = {
    "threatIntel": {
        "fieldMap": {"stellar": {"config": {"is_alert": "ENRICHMENT_EXISTS('ip', ip, 'threatintel', 't')"}}}
    }
}


def run_with_store(write_config: Callable[..., Path], tmp_path: Path, store: str) -> tuple[int, Path]:
    config = write_config(enrichment=THREATS, globals={"enrichment.store": store})
    path = tmp_path / "in.jsonl"
    path.write_text('{"ip": "1.2.3.4"}\n' * 3, encoding="utf-8")
    targets = ["--output", str(tmp_path / "out.jsonl"), "--errors", str(tmp_path / "errors.jsonl")]
    return main(["run", "--config", str(config), "--sensor", "squid", *targets, str(path)]), config


def test_a_mistyped_store_is_an_error_at_the_start_and_no_file_is_created(
    write_config: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, config = run_with_store(write_config, tmp_path, f"sqlite:{tmp_path}/threats.bd")
    assert status == 1
    assert capsys.readouterr().err == (
        f"stellar-pipeline: {config}/enrichments/squid.json:1:66: threatIntel.fieldMap.stellar.config.is_alert: "
        f"ENRICHMENT_EXISTS: cannot read the enrichment store {tmp_path}/threats.bd: the file does not exist; "
        "check enrichment.store\n"
    )
    assert not (tmp_path / "threats.bd").exists()


class Failing:
    """A store that answers at the start, and no more afterwards."""

    def __init__(self) -> None:
        self.calls = 0

    def get(self, table: str, family: str, kind: str, indicator: str) -> Record | None:
        self.calls += 1
        if self.calls > 1:
            raise StoreError("store.example: connection refused")
        return None


def test_a_store_that_fails_later_gives_an_error_document_for_each_record_and_one_warning(
    write_config: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    store = Failing()
    point = importlib.metadata.EntryPoint("failing", "unused", "stellar.enrichment_stores")
    monkeypatch.setattr(importlib.metadata.EntryPoint, "load", lambda _: lambda rest: store)
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda **_: [point])
    status, _ = run_with_store(write_config, tmp_path, "failing:x")
    assert status == 0
    assert len(documents(tmp_path / "out.jsonl")) == 3
    errors = documents(tmp_path / "errors.jsonl")
    assert {(each["error_type"], each["stage"]) for each in errors} == {("enrichments_error", "store")}
    assert [each["message"] for each in errors] == [
        "look-up in the enrichment store failed, result is no enrichment: store.example: connection refused"
    ] * 3
    warnings = [line for line in capsys.readouterr().err.splitlines() if "warning" in line]
    assert warnings == [
        "stellar-pipeline: warning: look-up in the enrichment store failed, result is no enrichment: "
        "store.example: connection refused; further failures are only counted"
    ]


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        main(
            [
                "run",
                "--config",
                str(CONFIG),
                "--sensor",
                "squid",
                "--registry",
                "none",
                "--quiet",
                "--debug",
                str(tmp_path / "no.log"),
            ]
        )


@pytest.mark.parametrize("with_rich", [True, False])
def test_a_terminal_shows_progress(with_rich: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    from stellar.pipeline.progress import display, summarize_counts
    from stellar.pipeline.run import Counts

    screen = io.StringIO()
    monkeypatch.setattr(sys, "stderr", screen)
    if not with_rich:
        monkeypatch.setitem(sys.modules, "rich.progress", None)
    else:
        monkeypatch.setenv("FORCE_COLOR", "1")
    counts = Counts(read=1234, out=1200, rejected=34)
    with display(lambda: summarize_counts(counts), 20, enabled=True) as shown:
        batches = [LineBatch("a", size=10), LineBatch("b", size=10)]
        assert list(shown.track(batches)) == batches
        shown.print_message("a separate line")
    assert "1,234 lines, 1,200 out, 34 rejected, 0 reports" in screen.getvalue()
    assert "100%" in screen.getvalue()
    assert "a separate line\n" in screen.getvalue()


def test_globs_and_files_of_the_configuration_are_read(
    tmp_path: Path, write_config: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("b", "a", "c"):
        (tmp_path / f"{name}.log").write_text(f'{{"from": "{name}"}}\n', encoding="utf-8")
    config = write_config(globals={"pipeline.inputs": {"squid": ["../[ab].log", "../c.log"], "other": "x"}})
    out = tmp_path / "out.jsonl"
    options = ["run", "--config", str(config), "--sensor", "squid", "--output", str(out)]
    assert main(options) == 0
    assert [document["from"] for document in documents(out)] == ["a", "b", "c"]
    assert main([*options, str(tmp_path / "[bc].log")]) == 0
    assert [document["from"] for document in documents(out)] == ["b", "c"]
    capsys.readouterr()
    assert main([*options, str(tmp_path / "*.csv")]) == 1
    assert "*.csv'; check the path and the pattern\n" in capsys.readouterr().err
    assert [document["from"] for document in documents(out)] == ["b", "c"]


def test_a_line_over_the_limit_is_an_error_document(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    path.write_text(GOOD.format("cnn.com") + "x" * 5000 + "\n" + GOOD.format("cnn.com"), encoding="utf-8")
    records, errors = run(tmp_path, "--max-line-bytes", "1000", str(path))
    assert len(records) == 2
    (error,) = [each for each in errors if each["stage"] == "read"]
    assert error["message"] == "line is longer than 1,000 bytes; increase --max-line-bytes if such lines are expected"
    assert (error["line"], error["raw_message"]) == (2, "x" * 1024)


def test_bad_files_of_all_kinds_are_accounted_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = GOOD.format("cnn.com").encode()
    packed = gzip.compress(good * 1000)
    contents = {
        "binary": bytes(range(256)) * 500 + b"\n",
        "long": b"x" * 10_000_000 + b"\n",
        "too long": b"y" * 17_000_000 + b"\n",
        "not UTF-8": b"\xff\xfe\xed\xa0\x80\n",
        "truncated.gz": packed[: len(packed) // 2],
        "bomb": gzip.compress(bytes(30_000_000)),
        "no Parquet": b"PAR1" * 100,
        "empty": b"",
    }
    for number, (name, content) in enumerate(contents.items()):
        body = content if content[:2] == b"\x1f\x8b" or content[:4] == b"PAR1" or not content else good + content + good
        (tmp_path / f"{number}-{name}").write_bytes(body)
    records, errors = run(tmp_path, str(tmp_path / "[0-9]-*"))
    (printed,) = re.findall(r".* lines read, .* parsed = .*", capsys.readouterr().err)
    _, parsed, out, dropped, rejected, _ = (int(count.replace(",", "")) for count in re.findall(r"\d[\d,]*", printed))
    assert parsed == out + dropped + rejected
    assert len(records) == out
    read = {Path(error["origin"]).name: error["message"] for error in errors if error["stage"] == "read"}
    assert {name: message.split(": ")[-1][:30] for name, message in read.items()} == {
        "2-too long": "line is longer than 16,777,216",
        "4-truncated.gz": read["4-truncated.gz"].split(": ")[-1][:30],
        "5-bomb": "line is longer than 16,777,216",
        "6-no Parquet": read["6-no Parquet"].split(": ")[-1][:30],
    }
    assert all("cannot read" in read[name] for name in ("4-truncated.gz", "6-no Parquet"))
    assert max(len(error["raw_message"]) for error in errors if error["stage"] == "read") <= 1024


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--stage", "index"], "--stage index needs the target of documents; pass --output TARGET"),
        (["--stage", "enrich", "--sensor", "squid"], "--sensor has no effect with --stage enrich"),
        ([], "no sensor selected; pass --sensor NAME"),
    ],
)
def test_options_of_a_worker_that_do_not_fit_are_usage_errors(
    options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["worker", "--config", "config", "-k", "localhost:9", *options]) == 2
    assert message in capsys.readouterr().err
