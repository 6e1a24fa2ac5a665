"""The command stellar-profiler on files, with definitions of Metron."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import stellar
from stellar.language.context import Context, GlobalSettings
from stellar.pipeline.profiler.cli import main
from stellar.profiles.periods import Period

START = 1_700_000_100_000  # of a period of 15 minutes
QUARTER = 900_000
HELLO: dict[str, Any] = {
    "profile": "hello-world",
    "onlyif": "exists(ip_src_addr)",
    "foreach": "ip_src_addr",
    "init": {"count": "0"},
    "update": {"count": "count + 1"},
    "result": "count",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, HELLO)
    (tmp_path / "global.json").write_text('{"profiler.store": "sqlite:profiles.db"}')
    messages = [{"ip_src_addr": f"10.0.0.{n % 2}", "timestamp": START + n * 60_000} for n in range(40)]
    (tmp_path / "messages.jsonl").write_text("".join(json.dumps(each) + "\n" for each in messages))
    return tmp_path


def write(folder: Path, *profiles: dict[str, Any], **more: Any) -> None:
    document = {"profiles": list(profiles), "timestampField": "timestamp", **more}
    (folder / "profiler.json").write_text(json.dumps(document, indent=1))


def look_up(profile: str, entity: str, count: int = 4) -> Any:
    periods = [Period(START // QUARTER + n, QUARTER) for n in range(count)]
    context = Context({GlobalSettings: GlobalSettings({"profiler.store": "sqlite:profiles.db"})})
    return stellar.evaluate(f"PROFILE_GET('{profile}', '{entity}', periods)", {"periods": periods}, context)


def test_values_can_be_looked_up_after_a_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--config", ".", "messages.jsonl"]) == 0
    assert [look_up("hello-world", f"10.0.0.{n}") for n in (0, 1)] == [[8, 7, 5], [7, 8, 5]]
    assert capsys.readouterr().err == (
        "stellar-profiler: 40 messages, 0 of them without time, 40 routes, 6 values stored; 0 late, 0 stored early, "
        "0 failures, 0 lines unreadable, 0 messages for triage\n"
    )


def test_a_run_can_be_repeated_or_continued(folder: Path) -> None:
    for _ in range(2):
        assert main(["run", "--config", ".", "messages.jsonl", "--quiet"]) == 0
        assert look_up("hello-world", "10.0.0.0") == [8, 7, 5]
    for expected in ([8, 7, 5], [16, 14, 10]):
        assert main(["run", "--config", ".", "--store", "sqlite:parts.db", "--continue", "x", "messages.jsonl"]) == 0
        (folder / "profiles.db").write_bytes((folder / "parts.db").read_bytes())
        assert look_up("hello-world", "10.0.0.0") == expected


def test_values_of_triage_are_messages(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(folder, {**HELLO, "result": {"profile": "count", "triage": {"twice": "count * 2", "list": "[1]"}}})
    assert main(["run", "--config", ".", "messages.jsonl", "--output", "out.jsonl", "--errors", "errors.jsonl"]) == 0
    sent = [json.loads(line) for line in (folder / "out.jsonl").read_text().splitlines()]
    assert len(sent) == 6
    first_period = START // QUARTER
    (first,) = [each for each in sent if (each["entity"], each["period"]) == ("10.0.0.0", first_period)]
    assert isinstance(first.pop("timestamp"), int)
    assert len(first.pop("guid")) == 36
    assert first == {
        "profile": "hello-world",
        "entity": "10.0.0.0",
        "period": first_period,
        "period.start": first_period * QUARTER,
        "period.end": (first_period + 1) * QUARTER,
        "source.type": "profiler",
        "is_alert": "true",
        "twice": 16,
    }
    errors = [json.loads(line) for line in (folder / "errors.jsonl").read_text().splitlines()]
    assert {(error["stage"], error["failed_sensor_type"]) for error in errors} == {("profile", "profiler")}
    assert {error["message"].partition(": ")[2] for error in errors} == {
        "triage of 'list' must be a string, a number or a boolean, got the list [1]"
    }


def test_the_limit_of_a_line_is_an_option(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--config", ".", "messages.jsonl", "--max-line-bytes", "10"]) == 0
    first, *_, counts = capsys.readouterr().err.splitlines()
    assert first == (
        "stellar-profiler: messages.jsonl:1: line is longer than 10 bytes; increase --max-line-bytes if such lines are "
        "expected"
    )
    assert ", 40 lines unreadable" in counts


def test_unreadable_lines_are_reported_with_their_location(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "bad.jsonl").write_text('{"ip_src_addr": "a", "timestamp": 1}\n{\n\n[1]\n' + "[" * 100_000 + "\n")
    assert main(["run", "--config", ".", "bad.jsonl"]) == 0
    first, second, third, counts = capsys.readouterr().err.splitlines()
    assert first.startswith("stellar-profiler: bad.jsonl:2: invalid JSON: ")
    assert second == "stellar-profiler: bad.jsonl:4: expected a JSON object in each line"
    assert third.startswith("stellar-profiler: bad.jsonl:5: invalid JSON: ")
    assert ", 1 values stored; " in counts
    assert ", 3 lines unreadable" in counts


@pytest.mark.parametrize(
    ("profile", "settings", "message"),
    [
        ({"profile": "p", "foreach": "ip"}, {}, "profiler.json:3:3: profiles[0].result: missing key 'result'"),
        ({**HELLO, "update": {"n": "TO_UPER(x)"}}, {}, "profiles[0].update.n: unknown function TO_UPER"),
        ({**HELLO, "result": {"triage": {}}}, {}, "profiles[0].result: missing key 'profile'"),
        (HELLO, {"profiler.store": None}, "no store of profiles configured; set profiler.store"),
        (HELLO, {"profiler.store": "sqlite:/nowhere/x.db"}, "/nowhere/x.db: unable to open database file"),
        (HELLO, {"profiler.period.duration": -1}, "invalid profiler.period.duration: expected an integer of 1 or more"),
        (HELLO, {"profiler.max.routes.per.bolt": "x"}, "invalid profiler.max.routes.per.bolt: expected an integer"),
    ],
)
def test_an_invalid_configuration_is_reported(
    folder: Path, capsys: pytest.CaptureFixture[str], profile: dict[str, Any], settings: dict[str, Any], message: str
) -> None:
    write(folder, profile)
    (folder / "global.json").write_text(json.dumps({"profiler.store": "sqlite:profiles.db", **settings}))
    assert main(["run", "--config", ".", "messages.jsonl"]) == 1
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--store", "sqlite:p.db"], "no profiles selected; pass --profiles FILE, or --config DIR with profiler.json"),
        (["--config", ".", "missing.jsonl"], "missing.jsonl: No such file or directory"),
        (["--profiles", "profiler.json", "--config", "confg"], "confg: not a directory; create it, or check the path"),
        (["--profiles", "missing.json"], "missing.json: cannot read the file: No such file or directory"),
    ],
)
def test_what_is_missing_is_reported(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main(["run", *arguments]) == (2 if "no profiles selected" in message else 1)
    assert message in capsys.readouterr().err


def test_the_field_of_the_time_is_required(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(folder, HELLO, timestampField=None)
    assert main(["run", "--config", ".", "messages.jsonl"]) == 1
    assert "profiler.json: no timestampField; add it, or pass --timestampfield" in capsys.readouterr().err
    assert main(["run", "--config", ".", "-t", "timestamp", "messages.jsonl"]) == 0
    assert look_up("hello-world", "10.0.0.0") == [8, 7, 5]


CONFIGS = Path(__file__).parents[2] / "conformance" / "data" / "metron-configs"


@pytest.mark.parametrize(
    ("name", "profile", "entity", "value"),
    [
        ("metron-profiler-common/doc-01.json", "hello-world", "10.0.0.1", 2),
        ("metron-profiler-common/doc-04.json", "avg-http-length", "10.0.0.1", 15.0),
        ("metron-profiler-client/doc-01.json", "snort-alerts", "10.0.0.1", 1.0),
        ("metron-profiler-storm/doc-01.json", "hello-world", "10.0.0.1", 2),
        ("use-cases/geographic_login_outliers/doc-02.json", "locations_by_user", "jane", {"ezs": 2}),
    ],
)
def test_a_profile_of_metron_is_computed(folder: Path, name: str, profile: str, entity: str, value: object) -> None:
    message = {"ip_src_addr": "10.0.0.1", "protocol": "HTTP", "source.type": "snort", "user": "jane", "hash": "ezs"}
    lines = [json.dumps({**message, "length": 10 * n, "timestamp": START}) for n in (1, 2)]
    (folder / "own.jsonl").write_text("\n".join(lines))
    arguments = ["--profiles", str(CONFIGS / name), "--globals", "global.json", "-t", "timestamp", "own.jsonl"]
    assert main(["run", *arguments]) == 0
    assert look_up(profile, entity) == [value]


@pytest.mark.parametrize("name", ["metron-profiler-common/doc-02.json", "metron-statistics/doc-04.json"])
def test_a_broken_example_of_metron_is_rejected_with_its_location(
    folder: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert main(["run", "--profiles", str(CONFIGS / name), "messages.jsonl"]) == 1
    assert ": invalid JSON: " in capsys.readouterr().err
