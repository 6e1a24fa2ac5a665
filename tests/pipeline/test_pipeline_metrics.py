"""The metrics of pipelines, requested from running commands."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from stellar.pipeline.cli import main
from stellar.pipeline.group_loading import load_pipelines
from stellar.pipeline.metrics import RESTART, PipelineMetrics
from stellar.pipeline.services import ServiceConnector, make_model_options

from .killing import wait_for

PROGRAM = "import sys; from stellar.pipeline.cli import main; sys.exit(main())"
WriteConfig = Callable[..., Path]


class Run:
    """A running command with a server of metrics.

    messages: what it has written to standard error so far
    """

    def __init__(self, process: subprocess.Popen[str], messages: Path) -> None:
        self.process, self._messages = process, messages

    @property
    def messages(self) -> str:
        return self._messages.read_text()

    def get(self, path: str = "/metrics") -> str:
        """Return the body of a response, after the server has started."""
        wait_for(lambda: "metrics at " in self.messages or self.process.poll() is not None)
        match = re.search(r"metrics at (http://\S+)/metrics", self.messages)
        assert match is not None, self.messages
        with urllib.request.urlopen(f"{match[1]}{path}", timeout=60) as response:
            return str(response.read().decode())

    def read(self, series: str) -> float:
        """Return the value of a series; 0 if it does not exist."""
        match = re.search(rf"^{re.escape(series)} (.+)$", self.get(), re.MULTILINE)
        return float(match[1]) if match else 0


@contextmanager
def running(*arguments: object, directory: Path) -> Iterator[Run]:
    """Run `stellar-pipeline` with a server of metrics, and end it."""
    messages = directory / "messages"
    command = [sys.executable, "-c", PROGRAM, *map(str, arguments), "--metrics", "127.0.0.1:0"]
    with messages.open("w") as file:
        process = subprocess.Popen(
            command, cwd=directory, stderr=file, text=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        )
    try:
        yield Run(process, messages)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(120)


def follow(
    write_config: WriteConfig, directory: Path, lines: list[object], *arguments: object, **configs: object
) -> list[object]:
    """Return the arguments of a run that follows a file with these lines."""
    path = directory / "input.jsonl"
    path.write_text("".join(f"{each if isinstance(each, str) else json.dumps(each)}\n" for each in lines))
    config = write_config(**configs)
    return [
        "run",
        "--config",
        config,
        "--sensor",
        "squid",
        "--follow",
        "--output",
        directory / "out.jsonl",
        *arguments,
        path,
    ]


def test_a_run_shows_its_records_by_outcome(
    write_config: WriteConfig, tmp_path: Path, check_metrics: Callable[[bytes], None]
) -> None:
    parser = {
        "parserClassName": "JSONMap",
        "filterClassName": "STELLAR",
        "parserConfig": {"filter.query": "n != 2"},
    }
    lines = [{"n": 1, "timestamp": 1, "is_alert": True}, {"n": 2, "timestamp": 1}, "garbage", {"n": 3, "timestamp": 1}]
    rules = [{"name": "first", "rule": "n == 1", "score": 5}, {"name": "broken", "rule": "n > 'x'", "score": 5}]
    enrichment = {"threatIntel": {"triageConfig": {"riskLevelRules": rules, "aggregator": "MAX"}}}
    arguments = follow(write_config, tmp_path, lines, parser=parser, enrichment=enrichment)
    with running(*arguments, directory=tmp_path) as run:
        wait_for(lambda: run.read('stellar_pipeline_messages_total{pipeline="squid"}') == 4)
        exposed = run.get()
        assert run.get("/healthz") == run.get("/readyz") == "ok\n"
    for outcome, count in (("out", 2), ("dropped", 1), ("rejected", 1)):
        assert f'stellar_pipeline_records_total{{pipeline="squid",outcome="{outcome}"}} {count}\n' in exposed
    assert 'stellar_pipeline_reports_total{pipeline="squid"} 1\n' in exposed
    assert 'stellar_pipeline_errors_total{sensor="squid",stage="parse"} 1\n' in exposed
    assert 'stellar_pipeline_errors_total{sensor="squid",stage="triage"} 1\n' in exposed
    assert 'stellar_rule_matches_total{sensor="squid",rule="first"} 1\n' in exposed
    assert 'stellar_rule_failures_total{sensor="squid",rule="broken",component="condition"} 1\n' in exposed
    for stage in ("parse", "transform", "filter", "validate", "enrich", "triage", "write"):
        assert f'stellar_pipeline_stage_seconds_count{{sensor="squid",stage="{stage}"}} 1\n' in exposed
    assert "process_resident_memory_bytes " in exposed
    check_metrics(exposed.encode())


CALL = "MAAS_MODEL_APPLY(MAAS_GET_ENDPOINT('dga'), {'host': host})"
CALLING = {
    "parserClassName": "JSONMap",
    "fieldTransformations": [{"transformation": "STELLAR", "output": ["score"], "config": {"score": CALL}}],
}


def test_a_run_shows_the_calls_of_models(
    write_config: WriteConfig, tmp_path: Path, models: Path, check_metrics: Callable[[bytes], None]
) -> None:
    lines = [{"host": host, "timestamp": 1} for host in ("a", "b", "a")]
    arguments = follow(write_config, tmp_path, lines, "--registry", models, "--in-flight", 1, parser=CALLING)
    with running(*arguments, directory=tmp_path) as run:
        wait_for(lambda: run.read('stellar_pipeline_messages_total{pipeline="squid"}') == 3)
        exposed = run.get()
    model = 'model="dga",version="1.0"'
    assert f'stellar_model_calls_total{{{model},outcome="ok"}} 2\n' in exposed
    assert f'stellar_model_calls_total{{{model},outcome="cached"}} 1\n' in exposed
    assert f"stellar_model_request_seconds_count{{{model}}} 2\n" in exposed
    assert f"stellar_model_instances{{{model}}} 1\n" in exposed
    check_metrics(exposed.encode())


def test_the_processes_of_a_run_are_shown_at_one_address(
    write_config: WriteConfig, tmp_path: Path, models: Path, check_metrics: Callable[[bytes], None]
) -> None:
    rules = [{"name": "first", "rule": "n >= 0", "score": 5}]
    enrichment = {"threatIntel": {"triageConfig": {"riskLevelRules": rules, "aggregator": "MAX"}}}
    lines = [{"n": n, "host": str(n), "timestamp": 1, "is_alert": True} for n in range(50)]
    more = ["--registry", models, "--workers", 2, "--in-flight", 1]
    arguments = follow(write_config, tmp_path, [*lines, "garbage"], *more, parser=CALLING, enrichment=enrichment)
    with running(*arguments, directory=tmp_path) as run:
        wait_for(lambda: run.read('stellar_pipeline_messages_total{pipeline="squid"}') == 51)
        exposed = run.get()
    check_metrics(exposed.encode())

    def add_up(series: str) -> float:
        return sum(float(value) for value in re.findall(rf"^{series},process=\"[12]\"}} (.+)$", exposed, re.MULTILINE))

    assert add_up('stellar_rule_matches_total{sensor="squid",rule="first"') == 50
    assert add_up('stellar_pipeline_errors_total{sensor="squid",stage="parse"') == 1
    assert add_up('stellar_model_calls_total{model="dga",version="1.0",outcome="ok"') == 50
    assert len(re.findall(r'^stellar_process_up{process="."} 1$', exposed, re.MULTILINE)) == 2


def run_with_json(arguments: list[object]) -> tuple[int, list[tuple[str, str]]]:
    """Return the status of a command, and the levels and messages that it has printed."""
    command = [sys.executable, "-c", PROGRAM, *map(str, arguments), "--log-format", "json"]
    done = subprocess.run(
        command, capture_output=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, check=False
    )
    found = map(json.loads, done.stderr.decode().splitlines())
    return done.returncode, [(each["level"], each["message"]) for each in found]


def test_messages_are_lines_of_json_on_request(write_config: WriteConfig, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"a": 1}\nbroken \x1b[31m\n')
    enrichment = {"enrichment": {"fieldMap": {"stellar": {"config": ["b := TO_UPPER(missing)", "c := 1"]}}}}
    arguments = ["run", "--config", write_config(enrichment=enrichment), "--sensor", "squid"]
    status, messages = run_with_json([*arguments, "--output", tmp_path / "out", tmp_path / "in.jsonl"])
    assert status == 0
    assert ("INFO", "squid: 2 lines read, 2 parsed = 1 out + 0 dropped + 1 rejected; 0 reports") in messages
    assert any("parse" in message and "\\x1b[31m" in message for _, message in messages)


def test_errors_and_warnings_have_their_level(write_config: WriteConfig, tmp_path: Path) -> None:
    rules = [{"rule": "a == 1", "score": 1}, {"rule": "a == 1", "score": 2}]
    enrichment = {"threatIntel": {"triageConfig": {"riskLevelRules": rules, "aggregator": "MAX"}}}
    arguments = ["run", "--config", write_config(enrichment=enrichment), "--sensor", "squid", tmp_path / "missing"]
    status, messages = run_with_json(arguments)
    assert status == 1
    (warning, error) = messages
    assert (warning[0], error) == ("WARNING", ("ERROR", f"{tmp_path / 'missing'}: No such file or directory"))
    assert "an earlier rule has the same condition" in warning[1]
    (tmp_path / "config" / "parsers" / "squid.json").write_text("{")
    status, [*_, (level, message)] = run_with_json(arguments)
    assert (status, level) == (1, "ERROR")
    assert "squid.json" in message


def test_an_address_that_cannot_be_used_ends_the_run(
    write_config: WriteConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = follow(write_config, tmp_path, [], "--metrics", "192.0.2.1:9100")
    assert main([str(each) for each in arguments]) == 1
    assert "cannot serve metrics on 192.0.2.1:9100: Cannot assign requested address" in capsys.readouterr().err


def test_an_invalid_address_is_an_invalid_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["run", "--config", ".", "--sensor", "squid", "--metrics", "9100"])
    assert "--metrics: invalid address '9100': expected HOST:PORT" in capsys.readouterr().err


def test_changes_that_need_a_restart_are_shown_until_they_are_reverted(write_config: WriteConfig) -> None:
    metrics, shown = PipelineMetrics(), []
    with ServiceConnector(make_model_options("none", None), metrics=metrics) as connector:
        for timeout in (1000, 2000, 1000):
            config = write_config(parser=CALLING, globals={"maas.http.timeout.ms": timeout})
            configs, group = load_pipelines(config, "squid")
            connector.connect(group, configs[0])
            shown += [each.value for each in metrics.collect() if each.metric is RESTART]
    assert shown == [0, 1, 0]
