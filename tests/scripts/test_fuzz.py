"""The fuzzer: a short run without faults, and the faults that it finds."""

from __future__ import annotations

import json
import mmap
import re
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from scripts.fuzz import __main__ as fuzz
from scripts.fuzz import models, pipelines, worker
from scripts.fuzz.inputs import Source, generate_record, generate_source, list_functions, load_corpus
from scripts.fuzz.worker import Fault, compile_source, run_input
from stellar.language.library import Library, stellar
from stellar.language.ordered_set import OrderedSet
from stellar.models.scoring import ScoringModel
from stellar.util.abbreviate import abbreviate_value

SEED, INPUTS = 7, 3_000


def test_a_short_run_finds_no_fault(tmp_path, capsys):
    arguments = ["--inputs", str(INPUTS), "--seed", str(SEED), "--workers", "1", "--out", str(tmp_path)]
    status = fuzz.main(arguments)
    printed = capsys.readouterr().out
    assert printed.startswith(f"seed {SEED}, {INPUTS:,} inputs from number 0\n")
    assert (status, list(tmp_path.iterdir())) == (0, []), printed
    counts = re.findall(r"([\d,]+) (error|rejected|value)", printed)
    assert {result for _, result in counts} == {"error", "rejected", "value"}
    assert sum(int(count.replace(",", "")) for count, _ in counts) == INPUTS


def test_a_worker_that_is_forked_from_a_large_process_has_its_own_memory(tmp_path):
    with mmap.mmap(-1, 8 * 2**30, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, prot=mmap.PROT_READ):
        arguments = ["--inputs", "300", "--seed", str(SEED), "--workers", "1", "--out", str(tmp_path)]
        assert fuzz.main(arguments) == 0


def test_a_short_run_finds_no_difference_between_both_forms_of_pipelines(tmp_path, capsys):
    arguments = ["--kind", "pipelines", "--inputs", "8", "--seed", "1", "--workers", "1", "--out", str(tmp_path)]
    assert fuzz.main(arguments) == 0
    assert "\n8 equal; 0 faults; " in capsys.readouterr().out


def test_a_difference_between_both_forms_of_a_pipeline_is_a_fault(monkeypatch):
    monkeypatch.setattr("stellar.pipeline.compiled.pipelines.make_guid", str)
    monkeypatch.setattr(pipelines, "fix_identity", nullcontext)
    result, fault = pipelines.compare(SEED, 3)
    assert fault is not None
    assert (result, fault.kind, fault.problem) == ("different", "pipeline", "both forms differ")
    assert fault.source == pipelines.show(SEED, 3)


def test_an_input_depends_on_the_seed_and_its_number():
    sources = [generate_source(SEED, number) for number in range(100)]
    assert sources == [generate_source(SEED, number) for number in range(100)]
    assert sources != [generate_source(SEED + 1, number) for number in range(100)]
    assert {source.kind for source in sources} == {"grammar", "call", "mutation", "signs"}
    source = Source("mutation", "x", '{"x": {"$set": [1]}}')
    records = [generate_record(SEED, number, source, {"x", "y"}) for number in range(20)]
    assert all(set(record) == {"x", "y"} for record in records)
    assert any(isinstance(record["x"], OrderedSet) and list(record["x"]) == [1] for record in records)
    assert len({abbreviate_value(record["y"]) for record in records}) > 10


def test_all_functions_without_access_to_files_and_networks_are_called():
    functions = list_functions()
    assert {"JOIN", "REGEXP_REPLACE", "STATS_ADD", "HASH", "OBJECT_GET"} <= {*functions}
    assert not {"LOCAL_RM", "HDFS_WRITE", "REST_GET", "MAAS_MODEL_APPLY"} & {*functions}
    assert len(load_corpus()) > 15_000


@stellar("LEAK")
def leak(x: Any) -> Any:
    """Return an attribute of null."""
    return x.nothing


@stellar("SPIN")
def spin(x: Any) -> Any:
    """Compute for more than a second."""
    end = time.process_time() + 1.2
    while time.process_time() < end:
        pass
    return x


@stellar("GROW")
def grow(x: Any) -> Any:
    """Allocate more than 256 MiB, in little time."""
    pages = mmap.mmap(-1, 2**29, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE)
    return len(pages)


@stellar("EXIT")
def leave(x: Any) -> Any:
    """End the process."""
    raise SystemExit(3)


@pytest.fixture
def run_call(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Fault | None]:
    """Return a function that runs an input with one of the functions above."""
    library = Library.of(leak, spin, grow, leave)
    monkeypatch.setattr(worker, "LIBRARY", library)

    def run(name: str) -> Fault | None:
        monkeypatch.setattr(worker, "generate_source", lambda *_: Source("call", f"{name}(x)"))
        compile_source.cache_clear()
        Path("/proc/self/clear_refs").write_text("5")  # forget how large other tests have made this process
        return run_input(SEED, 1)[1]

    yield run
    compile_source.cache_clear()


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("LEAK", r"AttributeError: .*has no attribute .*nothing.*"),
        ("SPIN", r"took [1-9]\.\d s of processor time"),
        ("GROW", r"memory grew by \d+ MiB"),
        ("EXIT", r"SystemExit: '3'"),
    ],
)
def test_a_fault_is_found(name, problem, run_call, tmp_path):
    fault = run_call(name)
    assert fault is not None
    assert re.fullmatch(problem, fault.problem)
    written = json.loads(fault.write(tmp_path / "faults").read_text())
    assert (written["seed"], written["number"], written["source"]) == (SEED, 1, f"{name}(x)")


def test_a_worker_that_ends_or_does_not_end_is_a_fault(monkeypatch):
    def run_one(seed: int, number: int) -> tuple[str, None]:
        if number == 3:
            raise SystemExit(5)
        while number == 5:
            pass
        return "value", None

    kind = fuzz.Kind(run_one, "{} {}".format)
    monkeypatch.setattr(fuzz, "STUCK_SECONDS", 0.5)
    monkeypatch.setattr(fuzz, "load_corpus", tuple)
    summary = fuzz.Summary()
    faults = list(fuzz.run(range(8), SEED, 2, summary, kind))
    assert [(fault.number, fault.problem) for fault in faults] == [
        (3, "the process ended with 5"),
        (5, "did not end within 0.5 s"),
    ]
    assert (summary.results, summary.faults) == ({"value": 6, "ended": 2}, faults)


def test_an_input_is_repeated_by_its_number(capsys):
    assert fuzz.main(["--seed", str(SEED), "--only", "3"]) == 0
    text, result = capsys.readouterr().out.rsplit("\n", 2)[:2]
    assert text == worker.find_source(SEED, 3).text
    assert result in ("value", "error", "rejected")
    with pytest.raises(SystemExit):
        fuzz.main(["--only", "3"])


def test_faults_are_written_where_the_run_says(tmp_path: Path):
    fault = Fault(1, 2, "call", "x", "F()", "")
    assert fault.write(tmp_path / "a").relative_to(tmp_path).as_posix() == "a/1-2.json"


@pytest.mark.parametrize("kind", ["pmml", "boosters"])
def test_a_short_run_of_model_files_finds_no_fault(kind, tmp_path, capsys):
    arguments = ["--kind", kind, "--inputs", "400", "--seed", "1", "--workers", "1", "--out", str(tmp_path)]
    status = fuzz.main(arguments)
    printed = capsys.readouterr().out
    assert (status, list(tmp_path.iterdir())) == (0, []), printed
    assert set(re.findall(r"[\d,]+ (invalid|refused|scored)", printed)) == {"invalid", "refused", "scored"}


def find_scored(kind: str) -> int:
    """Return the number of an input that is scored in all ways."""
    run = fuzz.KINDS[kind].run
    return next(number for number in range(0, 8000, models.COMPARED) if run(SEED, number)[0] == "scored")


@pytest.mark.parametrize("kind", ["pmml", "boosters"])
def test_a_leak_and_a_difference_of_a_model_are_faults(kind, monkeypatch):
    number, run = find_scored(kind), fuzz.KINDS[kind].run
    with monkeypatch.context() as patch:
        patch.setattr(ScoringModel, "score", lambda self, record: {"y": 1})
        result, fault = run(SEED, number)
        assert fault is not None
        assert (result, fault.problem) == ("scored", "the compiled function gives [{'y': 1}, {'y': 1}]")
        assert fault.source == fuzz.KINDS[kind].show(SEED, number)
    with monkeypatch.context() as patch:
        patch.setattr(ScoringModel, "score_completely", lambda self, record: record["absent"])
        assert run(SEED, number)[1].problem.startswith("KeyError: ")
    with monkeypatch.context() as patch:
        patch.setattr(models, "SECONDS", 0.0)
        assert re.fullmatch(r"took 0\.\d s of processor time", run(SEED, number)[1].problem)
