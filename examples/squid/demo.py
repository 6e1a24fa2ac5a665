"""The walkthrough, from nothing to a table of alerts: it types the commands that a user would, and checks what they do.

    python examples/squid/demo.py               # all in a temporary folder, which is gone afterwards
    python examples/squid/demo.py --keep demo   # in a new folder, which stays

Exit status: 0 if all came out as it should, 1 if not.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from string import Template
from typing import IO, Any
from urllib.parse import urlsplit

SQUID = Path(__file__).resolve().parent
CONSOLE_SCRIPTS = ("maas", "stellar-pipeline")
ROWS = 8
PATIENCE = 20  # seconds

Record = dict[str, Any]


def main() -> int:
    options = _options()
    started = time.monotonic()
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        with ExitStack() as stack:
            terminal = Terminal(stack.enter_context(folder(options.keep)))
            walk(terminal)
            terminal.say("And all is tidied up")
        terminal.check_nothing_is_left(kept=options.keep is not None)
    except KeyboardInterrupt:
        print("\ninterrupted; all that was started is ended", file=sys.stderr)
        return 130
    except Failed as error:
        print(f"\ndemo: {error}", file=sys.stderr)
        return 1
    print(f"\nthe walkthrough took {time.monotonic() - started:.1f} s")
    return terminal.verdict()


def walk(terminal: Terminal) -> None:
    """The walkthrough. What it starts is ended when it returns or raises."""
    terminal.say("A log of a Squid proxy, and a service that runs models")
    terminal.type("python $SQUID/make_log.py --output access.log")
    with terminal.background("maas serve --registry registry"):
        terminal.type_until("maas status --registry registry", "service: running")
        ask_the_mock(terminal)
        if importlib.util.find_spec("sklearn"):
            ask_the_classifier(terminal)
        else:
            terminal.say("The classifier is left out, for scikit-learn is not installed: pip install scikit-learn")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="The Squid walkthrough, as `make demo` runs it.")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="work in this new folder, and leave it there")
    return parser.parse_args()


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


# --- the two models


def ask_the_mock(terminal: Terminal) -> None:
    """Two instances of the mock score the log; one of them is killed on the way."""
    terminal.say("Two instances of a mock model: yahoo.com and amazon.com are legit, all else is malicious")
    terminal.type(
        "maas deploy --registry registry -mo ADD -n dga -v 1.0 -ni 2 -m 512 "
        "-lmp $SQUID/models/mock_dga -hmp models/mock_dga --wait"
    )
    listed = terminal.type("maas deploy --registry registry -mo LIST")
    terminal.check("LIST shows two instances of dga @ 1.0, as Metron's would", is_listing(listed, "dga", "1.0", 2))

    terminal.say("The log goes through the pipeline; when half of it is through, one of the two is killed")
    lines = (terminal.folder / "access.log").read_bytes().splitlines(keepends=True)
    half = len(lines) // 2
    with terminal.feeding(
        "stellar-pipeline run --config $SQUID/config --sensor squid --registry registry "
        "--output squid.jsonl --errors errors.jsonl"
    ) as pipeline:
        pipeline.writelines(lines[:half])
        pipeline.flush()
        terminal.kill_an_instance()
        pipeline.writelines(lines[half:])

    records = terminal.records("squid.jsonl")
    before, after = (Counter(domain(record) for record in part) for part in (records[:half], records[half:]))
    whole = len(records) == len(lines) and not terminal.records("errors.jsonl")
    terminal.check(f"all {len(lines):,} lines came out as records, and nothing was reported", whole)
    terminal.check(
        f"each has its is_malicious, also the {len(after - before):,} domains that were met after the kill",
        all("is_malicious" in record for record in records) and bool(after.keys() - before.keys()),
    )
    show(records, "is_malicious", always=("yahoo.com", "cnn.com"))
    check_verdicts(terminal, records)


def check_verdicts(terminal: Terminal, records: Sequence[Record]) -> None:
    """What Metron's documentation promises of these two."""
    yahoo, cnn = ([record for record in records if domain(record) == name] for name in ("yahoo.com", "cnn.com"))
    terminal.check(
        "yahoo.com: is_malicious legit, and no is_alert",
        all_have(yahoo, {"is_malicious": "legit", "is_alert": None, "threat.triage.score": None}),
    )
    terminal.check(
        'cnn.com: is_malicious malicious, is_alert "true", threat.triage.score 100.0, threat.triage.level 100',
        all_have(
            cnn,
            {
                "is_malicious": "malicious",
                "is_alert": "true",
                "threat.triage.score": 100.0,
                "threat.triage.level": 100,
            },
        ),
    )


def ask_the_classifier(terminal: Terminal) -> None:
    """A random forest, trained here, scores the same log."""
    terminal.say("A real classifier: a random forest that learns here what generated names look like")
    shutil.copytree(SQUID / "models" / "dga", terminal.folder / "dga")
    terminal.show_typed("cp -r $SQUID/models/dga .")
    terminal.type("python -B dga/train.py")
    accuracy = json.loads((terminal.folder / "dga" / "accuracy.json").read_text())["accuracy"]
    terminal.check(f"it is right about {accuracy:.1%} of names that it never saw; 90% are wanted", accuracy > 0.9)
    terminal.type(
        "maas deploy --registry registry -mo ADD -n dga_classifier -v 1.0 -ni 1 -m 1024 "
        "-lmp dga -hmp models/dga_classifier --wait"
    )
    terminal.type(
        "stellar-pipeline run --config $SQUID/config --sensor squid_dga --registry registry "
        "--output squid_dga.jsonl --errors errors.jsonl access.log"
    )
    records = terminal.records("squid_dga.jsonl")
    show(records, "dga_status", always=("yahoo.com", "cnn.com"))
    asked = [record for record in records if record.get("domain_without_tld")]
    whole = all("dga_status" in record for record in asked) and not terminal.records("errors.jsonl")
    terminal.check("each record with a name has its dga_status, and nothing was reported", whole)
    terminal.check("it tells apart what the log's sites are called and what malware asks for", tells_apart(asked))
    listed = terminal.type("maas deploy --registry registry -mo LIST")
    ours = is_listing(listed, "dga", "1.0", 2) and is_listing(listed, "dga_classifier", "1.0", 1)
    terminal.check("meanwhile the service has started another mock in place of the killed one", ours)


def tells_apart(asked: Sequence[Record]) -> bool:
    """Whether no well-known site is an alert, and nine in ten machine-made names are; only these get status 503."""
    machine_made = [record["dga_status"] == "dga" for record in asked if record["code"] == 503]
    false_alarms = [record["dga_status"] == "dga" for record in asked if record["code"] != 503]
    return sum(machine_made) > 0.9 * len(machine_made) and not any(false_alarms)


# --- reading what came out


def domain(record: Mapping[str, Any]) -> str:
    """The registered domain; a tunnel's address is no URL, so it has none."""
    return str(record.get("domain_without_subdomains", "(none: a tunnel)"))


def all_have(records: Sequence[Record], fields: Mapping[str, object]) -> bool:
    """Whether there are records, and each has these values of these types; None for no such field."""
    shown = [[repr(record.get(name)) for name in fields] for record in records]
    return bool(shown) and all(row == [repr(value) for value in fields.values()] for row in shown)


def is_listing(text: str, model: str, version: str, instances: int) -> bool:
    """Whether in a listing the model stands with so many instances, byte for byte as Metron writes it."""
    name, number = re.escape(model), re.escape(version)
    instance = rf"{name}:{number} @ http://127\.0\.0\.1:\d+ serving:\n\tapply=apply\n"
    return bool(re.search(rf"^Model {name} @ {number}\n({instance}){{{instances}}}(?=Model |\Z)", text, re.MULTILINE))


def show(records: Sequence[Record], verdict: str, always: Sequence[str]) -> None:
    """A table of domains, the most frequent alerts first."""
    counts = Counter(
        (domain(record), *(str(record.get(field, "")) for field in (verdict, "is_alert", *SCORES)))
        for record in records
    )
    rows = sorted(counts, key=lambda row: (row[2] != "true", -counts[row], row))
    chosen = [row for row in rows if row in rows[:ROWS] or row[0] in always]
    table(
        ("domain", "lines", verdict, "is_alert", "score", "level"),
        [(row[0], f"{counts[row]:,}", *row[1:]) for row in chosen],
    )
    alerts = [row for row in rows if row[2] == "true"]
    print(
        f"  {len(rows):,} domains, {len(alerts):,} of them with alerts: {sum(counts[row] for row in alerts):,} records"
    )


SCORES = ("threat.triage.score", "threat.triage.level")


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table, with rich if it is installed."""
    try:
        from rich import box
        from rich.console import Console
        from rich.table import Table
    except ImportError:
        widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
        for row in (header, *rows):
            print("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        return
    drawn = Table(*header, box=box.SIMPLE_HEAD)
    for row in rows:
        drawn.add_row(*row, style="red" if row[3] == "true" else None)
    Console().print(drawn)


# --- the terminal at which all this is typed


class Failed(Exception):
    """A command that did not do what it was to do; str() says which."""


class Terminal:
    """Types commands in a folder, prints them with what they say, and keeps account of what is claimed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._failed: list[str] = []
        self._urls: set[str] = set()
        self._others = processes()
        print(f"$ cd {folder}\n$ SQUID={SQUID}\n$ export PYTHON={sys.executable}", flush=True)

    def say(self, text: str) -> None:
        print(f"\n# {text}", flush=True)

    def show_typed(self, command: str) -> None:
        print(f"$ {command}", flush=True)

    def check(self, claim: str, holds: bool) -> None:
        print(f"{'  [ok]' if holds else '  [FAILED]'} {claim}", flush=True)
        if not holds:
            self._failed.append(claim)

    def verdict(self) -> int:
        """The exit status: 0 if every claim held."""
        for claim in self._failed:
            print(f"demo: this did not come out: {claim}", file=sys.stderr)
        return 1 if self._failed else 0

    def type(self, command: str) -> str:
        """Run a command to its end; returns what it printed."""
        self.show_typed(command)
        said = self._run(command)
        print(said, end="", flush=True)
        self._urls.update(re.findall(r"http://\S+", said))
        return said

    def type_until(self, command: str, wanted: str) -> None:
        """Run a command again and again, until it prints what is wanted; show it once."""
        self.show_typed(command)
        deadline = time.monotonic() + PATIENCE
        while wanted not in (said := self._run(command)):
            if time.monotonic() > deadline:
                raise Failed(f"{command} does not say {wanted!r} within {PATIENCE} seconds, but:\n{said}")
        print(said, end="", flush=True)

    def _run(self, command: str) -> str:
        words = self._words(command)
        done = subprocess.run(words, cwd=self.folder, env=self._environment(), stdout=subprocess.PIPE, text=True)
        if done.returncode:
            raise Failed(f"{command} ended with status {done.returncode}{self._last_log()}")
        return done.stdout

    @contextmanager
    def feeding(self, command: str) -> Iterator[IO[bytes]]:
        """Run a command; yields its standard input."""
        self.show_typed(f"{command} < access.log")
        with subprocess.Popen(
            self._words(command), cwd=self.folder, env=self._environment(), stdin=subprocess.PIPE
        ) as process:
            assert process.stdin is not None
            yield process.stdin
        if process.returncode:
            raise Failed(f"{command} ended with status {process.returncode}")

    @contextmanager
    def background(self, command: str) -> Iterator[None]:
        """Run a command meanwhile; it is asked to end, and then waited for."""
        self.show_typed(f"{command} 2> service.log &")
        with (self.folder / "service.log").open("wb") as log:
            process = subprocess.Popen(self._words(command), cwd=self.folder, env=self._environment(), stderr=log)
        try:
            yield
        finally:
            with uninterrupted():
                process.terminate()
                process.wait()
        if process.returncode:
            raise Failed(f"{command} ended with status {process.returncode}{self._last_log()}")

    def kill_an_instance(self) -> None:
        """Kill the runner of one of the instances, with no time to say goodbye."""
        lock = next(self.folder.glob("registry/containers/*/lock"))
        runner = int(lock.read_text())
        self.show_typed(f"kill -9 {runner}   # $(cat {lock.relative_to(self.folder)})")
        os.killpg(runner, signal.SIGKILL)  # it leads a process group of its own

    def records(self, name: str) -> list[Record]:
        return [json.loads(line) for line in (self.folder / name).read_text().splitlines()]

    def check_nothing_is_left(self, kept: bool) -> None:
        """Check that neither a process nor a port is left, nor the folder if it was not to be kept."""
        self.check(
            f"nothing listens at the {len(self._urls)} addresses that models had", not any(map(listens, self._urls))
        )
        left = [found for process in processes() - self._others if (found := concerned_with(self.folder, process))]
        self.check(f"no process is left{': ' + ', '.join(left) if left else ''}", not left)
        if not kept:
            self.check(f"{self.folder} is gone", not self.folder.exists())

    def _words(self, command: str) -> list[str]:
        program, *words = (Template(word).substitute(SQUID=SQUID) for word in shlex.split(command))
        return [sys.executable if program == "python" else console_script(program), *words]

    def _environment(self) -> dict[str, str]:
        """Models are run by this Python, for which all is installed."""
        return {**os.environ, "PYTHON": sys.executable}

    def _last_log(self) -> str:
        with suppress(OSError):
            return "\n" + (self.folder / "service.log").read_text(errors="replace")[-2000:]
        return ""


def console_script(name: str) -> str:
    """Where one of our commands is, beside this Python."""
    found = shutil.which(name, path=sysconfig.get_path("scripts"))
    if found is None:
        raise Failed(f"{name} is not installed for {sys.executable}; in the project's folder: pip install '.[demo]'")
    return found


@contextmanager
def folder(kept: Path | None) -> Iterator[Path]:
    """A new folder: one that stays, or one that is gone afterwards."""
    if kept is not None:
        try:
            kept.mkdir(parents=True)
        except FileExistsError:
            raise Failed(f"{kept} is there already; name a new folder") from None
        yield kept.resolve()
        return
    made = Path(tempfile.mkdtemp(prefix="squid-demo-")).resolve()
    try:
        yield made
    finally:
        with uninterrupted():
            shutil.rmtree(made)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """No second Ctrl-C while we tidy up."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def listens(url: str) -> bool:
    parts = urlsplit(url)
    with socket.socket() as probe:
        return probe.connect_ex((parts.hostname or "", parts.port or 80)) == 0


def processes() -> set[Path]:
    """All processes; none where there is no /proc to tell."""
    return set(Path("/proc").glob("[0-9]*"))


def concerned_with(place: Path, process: Path) -> str:
    """A process's number and command, if it runs in a folder or was given it; else nothing."""
    with suppress(OSError):  # it has just ended
        where, command = os.readlink(process / "cwd"), (process / "cmdline").read_bytes()
        if Path(where.removesuffix(" (deleted)")).is_relative_to(place) or os.fsencode(place) in command:
            return f"{process.name} {os.fsdecode(command.replace(bytes(1), b' '))}".strip()
    return ""


if __name__ == "__main__":
    sys.exit(main())
