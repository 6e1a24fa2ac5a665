"""The results of a run as JSON, for charts and other programs: `python -m benchmarks --json FILE`.

    python, machine, cores    where the benchmarks ran
    load                      the load average at the end: above the number of cores, wall-clock times are too long
    date                      the day, as 2026-11-30
    quick                     true for a run with --quick, which is less precise
    peers                     the version of each peer; null if it is not installed
    groups                    for each group: tables, notes and figures
        tables                title, headings and rows; a measured cell has a value and a unit
        notes                 why something was not measured
        figures               name, value, unit, the limits `must` and `aim`, and whether they are met

All values are exact, where the printed tables have three digits.
"""

from __future__ import annotations

import datetime
import json
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.report import Finding, GroupResult, Table


def describe_run(
    groups: Mapping[str, GroupResult], peers: Mapping[str, str | None], *, quick: bool = False
) -> dict[str, Any]:
    """Return the results of a run as a JSON object.

    peers: the version of each peer; None if it is not installed
    """
    return {
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[1], 1),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "quick": quick,
        "peers": dict(peers),
        "groups": {name: _describe_group(group) for name, group in groups.items()},
    }


def write_results(file: Path, results: Mapping[str, Any]) -> None:
    """Write the results of a run to a file, which they replace as a whole."""
    written = file.with_name(f".{file.name}.new")
    written.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    written.replace(file)


def _describe_group(group: GroupResult) -> dict[str, Any]:
    return {
        "tables": [table.to_data() for table in group.tables if isinstance(table, Table)],
        "notes": [note.strip() for note in group.tables if not isinstance(note, Table)],
        "figures": [_describe_figure(finding) for finding in group.findings],
    }


def _describe_figure(finding: Finding) -> dict[str, Any]:
    limit = finding.limit
    return {
        "name": limit.what,
        "value": finding.figure,
        "unit": limit.unit,
        "must": limit.must,
        "aim": limit.aim,
        "verdict": finding.verdict,
    }
