"""The command `stellar-pipeline alerts`: its options, its errors, and the process it starts."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys

import httpx
import pytest

from stellar.pipeline.cli import main
from stellar.web.alerts.sqlite_source import SqliteSource

from .conftest import list_links, make_alert

PROGRAM = "import sys; from stellar.pipeline.cli import main; sys.exit(main())"


@pytest.mark.parametrize(
    ("options", "status", "message"),
    [
        (
            ["--listen", "0.0.0.0:0"],
            2,
            "other machines can connect to 0.0.0.0, so users must log in; pass --token-file",
        ),
        (["--listen", "[::]:0"], 2, "other machines can connect to ::, so users must log in"),
        (["--proxy-user-header", "X-User"], 2, "requires --trusted-proxy ADDRESS and --allowed-host NAME"),
        (["--trusted-proxy", "127.0.0.1"], 2, "--trusted-proxy has an effect only with --proxy-user-header"),
        (["--token-file", "x", "--proxy-user-header", "X-User"], 2, "exclude each other"),
        (["--token-file", "missing"], 1, "missing: No such file or directory"),
        (["--notes", "OUT"], 2, "--notes must be another file than the documents"),
        (["--notes", "missing/notes"], 1, "its directory does not exist; create it, or pass --notes FILE"),
        (["--listen", "127.0.0.1:1x"], 2, "invalid address '127.0.0.1:1x': expected HOST:PORT"),
        (["--listen", "256.1.1.1:80", "--token-file", "TOKEN"], 1, "cannot listen on 256.1.1.1:80"),
        (["--trusted-proxy", "10.0.0.1/8"], 2, "invalid address: 10.0.0.1/8 has host bits set"),
        (["--root-path", "alerts"], 2, "invalid path 'alerts': expected /NAME"),
        (["--query-seconds", "0"], 2, "expected 0.1 to 600 seconds"),
        (["--index", "x"], 2, "--index has an effect only with opensearch:URL or elasticsearch:URL"),
        (["--config", "missing"], 2, "no such directory: missing"),
    ],
)
def test_options_that_cannot_work_end_the_command(
    write_documents, tmp_path, monkeypatch, capsys, options, status, message
):
    monkeypatch.chdir(tmp_path)
    path = write_documents(make_alert())
    (tmp_path / "token").write_text("x" * 40)
    words = [{"OUT": path, "TOKEN": "token"}.get(each, each) for each in options]
    try:
        ended = main(["alerts", path, *words])
    except SystemExit as error:
        ended = error.code
    assert (ended, message in (printed := capsys.readouterr().err)) == (status, True), printed


def make_other(kind, path):
    if kind == "missing":
        return
    if kind == "text":
        path.write_text("a line of text that is long enough to be no header\n" * 20)
        return
    statements = {
        "empty": "SELECT 1",
        "no table": "CREATE TABLE errors (a)",
        "other columns": "CREATE TABLE records (guid, document)",
        "view": ("CREATE VIEW records AS SELECT 1 guid, 1 timestamp, 1 source_type, 1 is_alert, 1 score, 1 document"),
    }
    with sqlite3.connect(path) as connection:
        connection.execute(statements[kind])
    connection.close()


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("missing", "no such database: 'x.sqlite'; write one with `stellar-pipeline run --output FILE.sqlite`"),
        ("text", "it is not a SQLite database"),
        ("empty", "has no table records (its tables: 'none')"),
        ("no table", "has no table records (its tables: 'errors')"),
        ("other columns", "no column timestamp, source_type, is_alert, score"),
        ("view", "was not written by a pipeline: it is a view"),
    ],
)
def test_a_file_without_documents_is_an_error_with_the_fix(tmp_path, monkeypatch, capsys, kind, message):
    monkeypatch.chdir(tmp_path)
    make_other(kind, tmp_path / "x.sqlite")
    assert main(["alerts", "x.sqlite"]) == 1
    error = capsys.readouterr().err
    assert (message in error, error.count("\n")) == (True, 1), error
    assert not (tmp_path / "x.notes.sqlite").exists()


def test_a_port_in_use_is_an_error_with_the_fix(write_documents, tmp_path, capsys):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        assert main(["alerts", write_documents(make_alert()), "--listen", address]) == 1
    assert f"cannot listen on {address}" in capsys.readouterr().err


def start(*words, cwd):
    command = [sys.executable, "-c", PROGRAM, "alerts", *words, "--listen", "127.0.0.1:0"]
    return subprocess.Popen(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_serves_the_page_until_it_is_stopped(write_documents, tmp_path, number):
    path = write_documents(make_alert(1))
    (tmp_path / "token").write_text("x" * 40)
    with start(path, "--token-file", "token", cwd=tmp_path) as process:
        try:
            url = process.stdout.readline().split()[-1]
            page = httpx.get(url, headers={"Authorization": "Bearer " + "x" * 40}, timeout=60)
            assert len(list_links(page.text)) == 1
            assert httpx.get(url, timeout=60).status_code == 303
        finally:
            process.send_signal(number)
        assert (process.wait(60), process.stderr.read()) == (0, "")
    assert (tmp_path / "out.notes.sqlite").exists()


def test_missing_indexes_are_created_on_request(write_documents, tmp_path, capsys, monkeypatch):
    path = write_documents(make_alert(1))
    with sqlite3.connect(path) as connection:
        connection.execute("DROP INDEX records_alerts_by_time")
    connection.close()
    source = SqliteSource(path)
    assert not source.has_indexes
    source.close()
    monkeypatch.setattr("stellar.web.alerts.command._serve", lambda site, address: None)
    assert main(["alerts", path]) == 0
    assert "has no indexes for alerts, so they can't be sorted" in capsys.readouterr().err
    assert main(["alerts", path, "--create-indexes"]) == 0
    assert capsys.readouterr().err == "stellar-pipeline: created indexes: records_alerts_by_time\n"


def test_indexes_are_not_created_while_a_pipeline_writes(write_documents, capsys):
    path = write_documents(make_alert(1))
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    try:
        assert main(["alerts", path, "--create-indexes"]) == 1
    finally:
        writer.close()
    assert "a writer has locked it for more than 2 s" in capsys.readouterr().err
