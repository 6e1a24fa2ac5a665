"""The walkthrough, from nothing to a table of alerts: it types the commands that a user would, and checks what they do.

    python examples/squid/demo.py               # all in a temporary folder, which is gone afterwards
    python examples/squid/demo.py --keep demo   # in a new folder, which stays

Exit status: 0 if all came out as it should, 1 if not.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import re
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from terminal import SQUID, Failed, Record, Terminal, folder

ROWS = 8
SCORES = ("threat.triage.score", "threat.triage.level")


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
    with terminal.background("maas serve --registry registry --drain-seconds 0.1"):
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
        all_have(yahoo, {"is_malicious": "legit"}, without=("is_alert", *SCORES)),
    )
    terminal.check(
        'cnn.com: is_malicious malicious, is_alert "true", threat.triage.score 100.0, threat.triage.level 100',
        all_have(
            cnn, {"is_malicious": "malicious", "is_alert": "true", **dict(zip(SCORES, (100.0, 100), strict=True))}
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
    found, machine_made, false_alarms = sorted_out(asked)
    terminal.check(
        f"{found} of {machine_made} machine-made names are called dga, and {false_alarms} of the well-known ones",
        found > 0.9 * machine_made > 0 == false_alarms,
    )
    listed = terminal.type("maas deploy --registry registry -mo LIST")
    ours = is_listing(listed, "dga", "1.0", 2) and is_listing(listed, "dga_classifier", "1.0", 1)
    terminal.check("meanwhile the service has started another mock in place of the killed one", ours)


def sorted_out(asked: Sequence[Record]) -> tuple[int, int, int]:
    """How many machine-made names were found, of how many, and how many other records are alerts for nothing."""
    machine_made = [record["dga_status"] == "dga" for record in asked if record["code"] == 503]  # they lead nowhere
    others = [record["dga_status"] == "dga" for record in asked if record["code"] != 503]
    return sum(machine_made), len(machine_made), sum(others)


# --- reading what came out


def domain(record: Mapping[str, Any]) -> str:
    """The registered domain; a tunnel's address is no URL, so it has none."""
    return str(record.get("domain_without_subdomains", "(none: a tunnel)"))


def all_have(records: Sequence[Record], fields: Mapping[str, object], without: Sequence[str] = ()) -> bool:
    """Whether there are records, and each has these values, of these types, and none of the other fields."""
    return bool(records) and all(
        not record.keys() & set(without) and all(repr(record.get(name)) == repr(fields[name]) for name in fields)
        for record in records
    )


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


if __name__ == "__main__":
    sys.exit(main())
