"""The profiler inside a run of stellar-pipeline."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import stellar
from stellar.language.context import Context, GlobalSettings
from stellar.pipeline.cli import main
from stellar.profiles.periods import Period

MINUTE = 60_000
START = 1_700_000_040_000  # of a minute
HITS = {"profile": "hits", "foreach": "user", "init": {"n": 0}, "update": {"n": "n + 1"}, "result": "n"}
ENRICHMENT = {"enrichment": {"fieldMap": {"stellar": {"config": {
    "before": "GET_LAST(PROFILE_GET('hits', user, PROFILE_WINDOW('2 minutes', timestamp)))",
}}}}}  # fmt: skip
SETTINGS = {
    "profiler.store": "sqlite:profiles.db",
    "profiler.period.duration": 1,
    "profiler.client.period.duration": 1,
    "profiler.window.lag": 1,
    "profiler.window.lag.units": "SECONDS",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for path, content in {
        "parsers/auth.json": {"parserClassName": "JSONMap"},
        "enrichments/auth.json": ENRICHMENT,
        "profiler.json": {"profiles": [HITS], "timestampField": "timestamp"},
        "global.json": SETTINGS,
    }.items():
        write(tmp_path / path, content)
    messages = [{"user": "jane", "timestamp": START + seconds * 1000} for seconds in (0, 0, 0, 60, 90, 120)]
    (tmp_path / "log").write_text("".join(json.dumps(each) + "\n" for each in messages))
    return tmp_path


def write(path: Path, content: Any) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content))


def run(*arguments: str) -> list[dict[str, Any]]:
    assert main(["run", "--config", ".", "--sensor", "auth", "--output", "out", *arguments, "log"]) == 0
    return [json.loads(line) for line in Path("out").read_text().splitlines()]


def look_up(entity: str = "jane") -> Any:
    periods = [Period(START // MINUTE + n, MINUTE) for n in range(5)]
    context = Context({GlobalSettings: GlobalSettings(SETTINGS)})
    return stellar.evaluate("PROFILE_GET('hits', entity, periods)", {"periods": periods, "entity": entity}, context)


def test_records_are_profiled_and_enriched_by_earlier_periods(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert [record.get("before") for record in run()] == [None, None, None, None, None, 3]
    assert look_up() == [3, 2, 1]
    first, second = capsys.readouterr().err.splitlines()[-2:]
    assert "profiles: 6 messages, 0 of them without time, 6 routes, 3 values stored; 0 late" in first
    assert "6 parsed = 6 out + 0 dropped + 0 rejected" in second
    run()
    assert look_up() == [3, 2, 1]  # not counted twice


def test_a_run_without_a_timestamp_field_continues_the_period(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(folder / "profiler.json", {"profiles": [HITS]})
    monkeypatch.setattr("stellar.profiles.routing.now", lambda: START + 1)
    run()
    run()
    assert look_up() == [12]


def test_messages_of_triage_are_enriched_and_written(folder: Path) -> None:
    result = {"profile": "n", "triage": {"hits": "n"}}
    write(folder / "profiler.json", {"profiles": [{**HITS, "result": result}], "timestampField": "timestamp"})
    rules = [{"name": "many", "rule": "hits > 2", "score": 10}]
    write(folder / "enrichments" / "profiler.json", {"threatIntel": {"triageConfig": {"riskLevelRules": rules}}})
    sent = [record for record in run() if record["source.type"] == "profiler"]
    assert sorted((record["hits"], record.get("threat.triage.score")) for record in sent) == [
        (1, None),
        (2, None),
        (3, 10),
    ]
    assert {record["is_alert"] for record in sent} == {"true"}


def test_a_failing_profile_does_not_stop_records(folder: Path) -> None:
    failing = {**HITS, "profile": "failing", "update": {"n": "1 / 0"}}
    write(folder / "profiler.json", {"profiles": [failing, HITS], "timestampField": "timestamp"})
    assert len(run("--errors", "errors")) == 6
    assert look_up() == [3, 2, 1]
    errors = [json.loads(line) for line in Path("errors").read_text().splitlines()]
    assert len(errors) == 6
    assert {(error["error_type"], error["stage"]) for error in errors} == {("error", "profile")}
    assert errors[0]["message"].startswith("profile 'failing' of 'jane': update of 'n' failed: ")


@pytest.mark.parametrize(
    ("profiles", "settings", "message"),
    [
        ([HITS], {}, "no store of profiles configured; set profiler.store in the global configuration"),
        ([HITS], {"profiler.store": "sqlite:/nowhere/x"}, "/nowhere/x: unable to open database file"),
        ([HITS], {**SETTINGS, "profiler.period.duration": 0}, "invalid profiler.period.duration"),
        ([{**HITS, "foreach": "TO_UPER(user)"}], SETTINGS, "profiler.json:1:"),
        ([{**HITS, "foreach": "MAAS_GET_ENDPOINT('m')"}], SETTINGS, "models cannot be called by profiles"),
    ],
)
def test_an_invalid_configuration_stops_the_run_before_the_first_record(
    folder: Path, capsys: pytest.CaptureFixture[str], profiles: list[Any], settings: dict[str, Any], message: str
) -> None:
    write(folder / "enrichments" / "auth.json", {})
    write(folder / "profiler.json", {"profiles": profiles})
    write(folder / "global.json", settings)
    assert main(["run", "--config", ".", "--sensor", "auth", "--output", "out", "log"]) == 1
    assert message in capsys.readouterr().err


def test_check_reports_invalid_profiles(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(folder / "profiler.json", {"profiles": [{**HITS, "result": {"profile": "n", "triag": {}}}]})
    assert main(["check", "--config", ".", "--offline"]) == 1
    assert "unknown key 'triag'; did you mean triage?" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["check", "run"])
def test_a_missing_store_without_profiles_is_an_error_and_is_not_created(
    command: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "profiler.json").unlink()
    log = ["log"] if command == "run" else []
    assert main([command, "--config", ".", "--sensor", "auth", *log]) == 1
    printed = "".join(capsys.readouterr())
    assert "cannot read the store of profiles profiles.db: the file does not exist; check profiler.store" in printed
    assert not (folder / "profiles.db").exists()


def test_a_store_that_the_first_run_creates_is_not_missing(folder: Path) -> None:
    assert main(["check", "--config", "."]) == 0
    assert not (folder / "profiles.db").exists()
    assert main(["run", "--config", ".", "--sensor", "auth", "--output", "out", "log"]) == 0
    assert (folder / "profiles.db").exists()
