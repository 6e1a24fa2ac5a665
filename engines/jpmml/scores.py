"""Scores of JPMML-Evaluator, for comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from engines.daemon import JVM, jars, run

HERE = Path(__file__).parent
SECONDS = 300
Record = Mapping[str, Any]


def score_tables(tables: Mapping[str, tuple[Path, Sequence[Record]]], folder: Path) -> dict[str, list[Any]]:
    """Return the results of JPMML-Evaluator for records, by the name of a table.

    tables: a PMML file and records, by name
    folder: for temporary files
    A result is a map of strings, or the message of an error. All tables are scored by one process.
    """
    stems = {name: folder / f"table{index}" for index, name in enumerate(tables)}
    for name, (path, records) in tables.items():
        stems[name].with_suffix(".pmml").write_bytes(path.read_bytes())
        stems[name].with_suffix(".tsv").write_text(_write_table(records), "utf-8")
    classpath = f"{jars(HERE)}/*"
    source = str(HERE / "JpmmlScores.java")
    run(["java", *JVM, "-cp", classpath, source, *map(str, stems.values())], SECONDS)
    return {name: _read_results(stem.with_suffix(".out")) for name, stem in stems.items()}


def _write_table(records: Sequence[Record]) -> str:
    names = list(dict.fromkeys(name for record in records for name in record))
    rows = ("\t".join(str(record.get(name, "")) for name in names) for record in records)
    return "\n".join(["\t".join(names), *rows]) + "\n"


def _read_results(path: Path) -> list[Any]:
    return [_read_result(line) for line in path.read_text("utf-8").splitlines()]


def _read_result(line: str) -> Any:
    if line.startswith("!"):
        return line[1:]
    cells = line.split("\t")
    return dict(zip(cells[::2], cells[1::2], strict=True))
