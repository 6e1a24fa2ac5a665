"""The Squid walkthrough: runs the commands from an empty folder to a table of alerts, and checks their results.

    python examples/squid/demo.py               # in a temporary folder, which is removed at the end
    python examples/squid/demo.py --keep demo   # in a new folder, which remains

The exit status is 0 if all checks pass, otherwise 1.
"""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from terminal import SQUID, Record, Terminal, run_walkthrough

ROWS = 8
SCORES = ("threat.triage.score", "threat.triage.level")


def main() -> int:
    return run_walkthrough("The Squid walkthrough, as `make demo` runs it.", walk)


def walk(terminal: Terminal) -> None:
    """Run the walkthrough. All processes that it starts are stopped when it returns or raises."""
    terminal.comment("A log of a Squid proxy, and a service that runs models")
    terminal.type("python $SQUID/make_log.py --output access.log")
    with terminal.run_in_background("maas serve --registry registry --drain-seconds 0.1"):
        terminal.type_until("maas status --registry registry", "service: running")
        run_mock(terminal)
        if importlib.util.find_spec("sklearn"):
            run_classifier(terminal)
        else:
            terminal.comment(
                "The classifier is skipped because scikit-learn is not installed: pip install scikit-learn"
            )


# --- the two models


def run_mock(terminal: Terminal) -> None:
    """Score the log with two instances of the mock model, one of which is killed during the run."""
    terminal.comment("Two instances of a mock model: yahoo.com and amazon.com are legit, all others are malicious")
    terminal.type(
        "maas deploy --registry registry -mo ADD -n dga -v 1.0 -ni 2 -m 512 "
        "-lmp $SQUID/models/mock_dga -hmp models/mock_dga --wait"
    )
    listed = terminal.type("maas deploy --registry registry -mo LIST")
    terminal.check("LIST shows two instances of dga @ 1.0, as in Metron", is_listing(listed, "dga", "1.0", 2))

    terminal.comment("The pipeline processes the log; after half of it, one of the two instances is killed")
    lines = (terminal.folder / "access.log").read_bytes().splitlines(keepends=True)
    half = len(lines) // 2
    with terminal.feed(
        "stellar-pipeline run --config $SQUID/config --sensor squid --registry registry "
        "--output squid.jsonl --errors errors.jsonl"
    ) as pipeline:
        pipeline.writelines(lines[:half])
        pipeline.flush()
        terminal.kill_instance()
        pipeline.writelines(lines[half:])

    records = terminal.read_records("squid.jsonl")
    before, after = (Counter(domain(record) for record in half) for half in (records[:half], records[half:]))
    whole = len(records) == len(lines) and not terminal.read_records("errors.jsonl")
    terminal.check(f"all {len(lines):,} lines are records, without reports", whole)
    terminal.check(
        f"each record has is_malicious, also the {len(after - before):,} domains that occur only after the kill",
        all("is_malicious" in record for record in records) and bool(after.keys() - before.keys()),
    )
    show(records, "is_malicious", always=("yahoo.com", "cnn.com"))
    check_results(terminal, records)


def check_results(terminal: Terminal, records: Sequence[Record]) -> None:
    """Check the results that Metron's documentation gives for two domains."""
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


def run_classifier(terminal: Terminal) -> None:
    """Train a random forest, and score the same log with it."""
    terminal.comment("A real classifier: a random forest that is trained on generated names")
    shutil.copytree(SQUID / "models" / "dga", terminal.folder / "dga")
    terminal.print_command("cp -r $SQUID/models/dga .")
    terminal.type("python -B dga/train.py")
    accuracy = json.loads((terminal.folder / "dga" / "accuracy.json").read_text())["accuracy"]
    terminal.check(f"its accuracy on held-out names is {accuracy:.1%}; at least 90% expected", accuracy > 0.9)
    terminal.type(
        "maas deploy --registry registry -mo ADD -n dga_classifier -v 1.0 -ni 1 -m 1024 "
        "-lmp dga -hmp models/dga_classifier --wait"
    )
    terminal.type(
        "stellar-pipeline run --config $SQUID/config --sensor squid_dga --registry registry "
        "--output squid_dga.jsonl --errors errors.jsonl access.log"
    )
    records = terminal.read_records("squid_dga.jsonl")
    show(records, "dga_status", always=("yahoo.com", "cnn.com"))
    named = [record for record in records if record.get("domain_without_tld")]
    whole = all("dga_status" in record for record in named) and not terminal.read_records("errors.jsonl")
    terminal.check("each record with a name has dga_status, without reports", whole)
    found, generated, false_alarms = count_detections(named)
    terminal.check(
        f"{found} of {generated} generated names are classified as dga, and {false_alarms} of the well-known ones",
        found > 0.9 * generated > 0 == false_alarms,
    )
    listed = terminal.type("maas deploy --registry registry -mo LIST")
    ours = is_listing(listed, "dga", "1.0", 2) and is_listing(listed, "dga_classifier", "1.0", 1)
    terminal.check("meanwhile the service has replaced the killed instance", ours)


def count_detections(records: Sequence[Record]) -> tuple[int, int, int]:
    """Return the numbers of detected generated names, of all generated names, and of false alarms."""
    generated = [
        record["dga_status"] == "dga" for record in records if record["code"] == 503
    ]  # these hosts do not exist
    others = [record["dga_status"] == "dga" for record in records if record["code"] != 503]
    return sum(generated), len(generated), sum(others)


# --- results


def domain(record: Mapping[str, Any]) -> str:
    """Return the registered domain; a URL whose host is an address has none."""
    return str(record.get("domain_without_subdomains", "(none)"))


def all_have(records: Sequence[Record], fields: Mapping[str, object], without: Sequence[str] = ()) -> bool:
    """Return True if there are records, and each has these values, with these types, and none of the other fields."""
    return bool(records) and all(
        not record.keys() & set(without) and all(repr(record.get(name)) == repr(fields[name]) for name in fields)
        for record in records
    )


def is_listing(text: str, model: str, version: str, instances: int) -> bool:
    """Return True if a listing has the model with a number of instances, byte for byte as Metron writes it."""
    name, number = re.escape(model), re.escape(version)
    instance = rf"{name}:{number} @ http://127\.0\.0\.1:\d+ serving:\n\tapply=apply\n"
    return bool(re.search(rf"^Model {name} @ {number}\n({instance}){{{instances}}}(?=Model |\Z)", text, re.MULTILINE))


def show(records: Sequence[Record], verdict: str, always: Sequence[str]) -> None:
    """Print a table of domains, the most frequent alerts first."""
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
