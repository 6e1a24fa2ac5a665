"""Several processes (-p) extract, transform and summarize rows, with the same result as one process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from stellar.pipeline.loaders.batches import MAX_ROWS

from .conftest import Loader
from .test_stix import address, document

PROGRAM = "import sys; from stellar.pipeline.loaders.cli{} import {} as main; sys.exit(main())"
FUNCTIONS = '''
import os, signal
from stellar.functions import LIBRARY
from stellar.language.library import Library, stellar

@stellar("PROCESS")
def process() -> str:
    """Return the process."""
    return str(os.getpid())

@stellar("KILL")
def kill(name: str) -> str:
    """End the process for one name."""
    if name == "bad":
        os.kill(os.getpid(), signal.SIGKILL)
    return name

FUNCTIONS = Library.of(LIBRARY, process, kill)
'''


def start(
    loader: Loader, *arguments: str, module: str = "", name: str = "main", **options: Any
) -> subprocess.Popen[str]:
    """Start a command in a process of its own, because the tests' process has threads."""
    path = os.pathsep.join([str(loader.directory), *sys.path])
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(module, name), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=loader.directory,
        env={**os.environ, "PYTHONPATH": path},
        **options,
    )


def run(loader: Loader, *arguments: str, module: str = "", name: str = "main") -> tuple[int, str, str]:
    with start(loader, *arguments, module=module, name=name) as process:
        out, err = process.communicate(timeout=300)
    return process.returncode, out, err


def load(loader: Loader, processes: int, *arguments: str) -> tuple[Any, str, list[Any]]:
    """Load with a number of processes, and return the rows, the counts and the rejected lines."""
    loader.path.unlink(missing_ok=True)
    rejected = loader.directory / "rejected.json"
    rejected.unlink(missing_ok=True)
    given = ["load", "-e", "extractor.json", "-t", "enrichment", "--store", f"sqlite:{loader.path}"]
    status, _, printed = run(loader, *given, "-p", str(processes), "--rejected", str(rejected), *arguments)
    assert status == 0, printed
    lines = rejected.read_text(encoding="utf-8").splitlines() if rejected.exists() else []
    return loader.rows(), printed.splitlines()[-1], sorted(map(json.dumps, map(json.loads, lines)))


MANY = 2 * MAX_ROWS + 7
CSV = "".join(f"{number % 5000},v{number},é\n" if number % 1000 else f"#{number}\nshort\n" for number in range(MANY))
JSON = "".join(json.dumps({"a": str(number), "b": [number, {"c": None}]}) + "\n" for number in range(MANY))
WHOIS = "domainName,registrant\n" + "".join(f'd{number}.example,"two\nlines"\n' for number in range(MANY))
STIX = document(*(address(f"10.0.{number // 250}.{number % 250}") for number in range(MANY)))

CASES: dict[str, tuple[dict[str, Any], str | bytes]] = {
    "csv": ({"extractor": "CSV", "config": {"columns": ["a", "b", "c"], "type": "t"}}, CSV),
    "transforms": (
        {
            "extractor": "CSV",
            "config": {
                "columns": ["a", "b"],
                "type": "t",
                "value_transform": {"n": "TO_INTEGER(a) / (TO_INTEGER(a) - 17)"},
                "indicator_transform": {"indicator": "FORMAT('%s-%s', a, b)"},
                "value_filter": "not ENDS_WITH(b, '3')",
            },
        },
        CSV,
    ),
    "header": ({"extractor": "CSV", "config": {"header": True, "type": "t"}}, "\n#a,b,c\n" + CSV),
    "only a header": ({"extractor": "CSV", "config": {"header": True, "type": "t"}}, "a,b\n1,2"),
    "unreadable lines": (
        {"extractor": "CSV", "config": {"columns": ["a", "b"], "type": "t"}},
        b"a,b\n\xff,b\n" + b"c,d\n" * MANY + b"\xfe,b\n",
    ),
    "json": ({"extractor": "JSON", "config": {"indicator_column": "a", "type": "t"}}, JSON + "no\n"),
    "json document": (
        {
            "extractor": "JSON",
            "config": {"indicator_column": "a", "type": "t", "value_transform": {"d": "LENGTH(b)"}},
            "inputFormat": "WHOLE_FILE",
        },
        "[" + ",".join(JSON.splitlines()) + ", 5, 1e999]",
    ),
    "whois": ({"extractor": "WHOIS", "config": {"value_filter": "domainName != 'd7.example'"}}, WHOIS),
    "stix": ({"extractor": "STIX", "config": {"value_transform": {"p": "'x'"}}}, STIX),
}


@pytest.mark.parametrize("case", CASES)
def test_the_number_of_processes_changes_no_result(loader: Loader, case: str) -> None:
    extractor, content = CASES[case]
    loader.write("extractor.json", extractor)
    path = loader.write("input", content.encode() if isinstance(content, str) else content)
    expected = load(loader, 1, path)
    assert expected[0]
    assert load(loader, 3, path) == expected


def write_functions(loader: Loader, **options: Any) -> list[str]:
    """Write an extractor whose expressions call functions of a test, and return the option for them."""
    loader.write("our_functions.py", FUNCTIONS)
    loader.write("config/global.json", {"stellar.function.library": "our_functions:FUNCTIONS"})
    loader.write("extractor.json", {"extractor": "CSV", "config": {"columns": ["a"], "type": "t"} | options})
    return ["--config", str(loader.directory / "config")]


def test_the_rows_are_transformed_in_as_many_processes(loader: Loader) -> None:
    option = write_functions(loader, value_transform={"process": "PROCESS()"})
    path = loader.write("a.csv", "".join(f"{number}\n" for number in range(MANY)))
    rows, _, _ = load(loader, 3, *option, path)
    assert len({row["process"] for row in rows.values()}) == 3
    given = ["-e", "extractor.json", "-t", "enrichment", "-c", "t", "--store", f"sqlite:{loader.path}", "-i", path]
    status, _, printed = run(loader, *given, *option, "-p", "2", module=".metron", name="flatfile_loader")
    assert status == 0, printed
    assert len({row["process"] for row in loader.rows().values()}) == 2


def test_a_process_that_is_killed_ends_the_load_with_an_error(loader: Loader) -> None:
    option = write_functions(loader, value_transform={"b": "KILL(a)"})
    path = loader.write("a.csv", "a\n" * 3 * MAX_ROWS + "bad\n" + "a\n" * 3 * MAX_ROWS)
    given = [
        "load",
        "-e",
        "extractor.json",
        "-t",
        "t",
        "--store",
        f"sqlite:{loader.path}",
        "-p",
        "2",
        "--replace",
        path,
    ]
    status, _, printed = run(loader, *given, *option)
    assert status == 1
    assert "was ended by SIGKILL" in printed
    assert loader.rows("t") == {}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_the_processes_end_with_their_parent(loader: Loader, number: signal.Signals) -> None:
    option = write_functions(loader, value_transform={"process": "PROCESS()"})
    given = [
        "load",
        "-e",
        "extractor.json",
        "-t",
        "t",
        "--store",
        f"sqlite:{loader.path}",
        "-p",
        "2",
        "-b",
        "1000",
        *option,
    ]
    with start(loader, *given, "-", stdin=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdin is not None
        process.stdin.write("".join(f"{each}\n" for each in range(10 * MAX_ROWS)))
        process.stdin.flush()
        deadline = time.monotonic() + 120
        while not loader.path.exists() or not loader.rows("t"):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        if number == signal.SIGINT:
            os.killpg(process.pid, number)  # as a terminal does
        else:
            process.kill()
        _, printed = process.communicate(timeout=300)
    assert process.returncode == (130 if number == signal.SIGINT else -number)
    assert "Traceback" not in printed
    workers = {int(row["process"]) for row in loader.rows("t").values()}
    assert workers
    while any(Path(f"/proc/{worker}/cmdline").exists() and is_running(worker) for worker in workers):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_running(process: int) -> bool:
    """Return False for a process that has ended, also if its parent has not read its status."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_too_many_rejected_lines_fail(loader: Loader) -> None:
    loader.write("extractor.json", {"extractor": "CSV", "config": {"columns": ["a", "b"], "type": "t"}})
    path = loader.write("a.csv", "a\n" * MANY)
    given = ["load", "-e", "extractor.json", "-t", "t", "--store", f"sqlite:{loader.path}", "-p", "2"]
    status, _, printed = run(loader, *given, "--max-rejected", "10", path)
    assert status == 1
    assert "more than 10 rows rejected" in printed


COUNT = {
    "columns": ["a"],
    "state_init": "0",
    "state_update": {"state": "state + 1"},
    "state_merge": "REDUCE(states, (s, x) -> s + x, 0)",
}


def summarize(loader: Loader, options: dict[str, Any], processes: int, *arguments: str) -> tuple[int, str, str]:
    loader.write("extractor.json", {"extractor": "CSV", "config": options})
    given = ["-e", "extractor.json", "-om", "CONSOLE", "-i", loader.write("a.csv", CSV), "-p", str(processes)]
    return run(loader, *given, *arguments, module=".metron", name="flatfile_summarizer")


def test_the_states_of_several_processes_are_merged(loader: Loader) -> None:
    status, counted, printed = summarize(loader, COUNT, 1)
    assert (status, int(counted)) == (0, MANY)
    assert summarize(loader, COUNT, 3) == (0, counted, printed)


def test_a_summary_is_made_by_as_many_processes(loader: Loader) -> None:
    option = write_functions(loader)
    options = COUNT | {"state_init": "SET_INIT()", "state_update": {"state": "SET_ADD(state, PROCESS())"}}
    status, out, _ = summarize(loader, options | {"state_merge": "SET_MERGE(states)"}, 3, *option)
    assert status == 0
    assert len(out.split(",")) == 3


def test_a_summary_without_a_merge_is_made_by_one_process_with_a_warning(loader: Loader) -> None:
    options = {name: value for name, value in COUNT.items() if name != "state_merge"}
    status, counted, printed = summarize(loader, options, 3)
    assert (status, int(counted)) == (0, MANY)
    assert "warning: extractor.json: one process reads the files; several need state_merge" in printed


def test_states_that_cannot_be_sent_are_an_error(loader: Loader) -> None:
    status, _, printed = summarize(loader, COUNT | {"state_update": {"state": "x -> x"}}, 2)
    assert status == 1
    assert "several processes cannot merge their states: " in printed


def test_a_merge_that_fails_is_an_error_at_its_key(loader: Loader) -> None:
    status, _, printed = summarize(loader, COUNT | {"state_merge": "1 / 0"}, 2)
    assert status == 1
    assert "config.state_merge: division by zero" in printed


def test_what_several_processes_cannot_do_is_done_by_one_with_a_warning(loader: Loader) -> None:
    loader.write("extractor.json", {"extractor": "WHOIS", "config": {}})
    path = loader.write("a.csv", "domainName\na.example\n")
    given = ["load", "-e", "extractor.json", "-t", "t", "--store", f"sqlite:{loader.path}", "-p", "2", path]
    status, _, printed = run(loader, *given)
    assert (status, len(loader.rows("t"))) == (0, 1)
    assert "warning: extractor.json: one process reads the files; without expressions" in printed
    loader.write(
        "own.py",
        "from stellar.pipeline.loaders.rows import ExtractedRow, extract_lines\n"
        "def words(options, location, form):\n"
        "    return lambda source: extract_lines(\n"
        "        source.lines(), lambda line: ExtractedRow('t', line.text, {}, line.number, line.text)\n"
        "    )\n",
    )
    loader.write("extractor.json", {"extractor": "own.words", "config": {"type": "t"}})
    status, _, printed = run(loader, *given)
    assert (status, len(loader.rows("t"))) == (0, 3)
    assert "warning: extractor.json: one process reads the files; extractors in Python" in printed
