"""Rules on the records of a file, in columns and one by one.

One by one, each line is parsed, and each compiled rule called with the record. In columns, `stellar.columns` reads the
file and evaluates all rules, with its comparison of a sample. Polars uses several threads, so the time is that of the
process.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.peers import Compile
from benchmarks.report import Finding, GroupResult, Limit, Quantity, Table
from benchmarks.tasks import Record

JSON_LINES = Limit("60 rules on JSON lines in columns, to one by one", must=0.2, aim=1 / 15)
PARQUET = Limit("60 rules on a Parquet file in columns, to one by one", must=0.1, aim=1 / 15)

RECORDS = 50_000
RULES = 60
LEAST = 3  # runs of each

Count = Callable[[], int]

_SHAPES = (
    "port == {port} and bytes > {n}",
    "code in [404, {code}] and method == '{method}' and elapsed > {n}.5",
    "ENDS_WITH(host, '.{end}') and not exists(user)",
    "(bytes / {n} > 10 or elapsed * 2.0 < {n}.5) and is_alert",
    "TO_UPPER(method) == '{method}' and STARTS_WITH(host, '{start}')",
    "if exists(user) then user == 'ann' and port > {n} else bytes > {n}",
    "'{start}' in host and code >= {code}",
)


def make_rules() -> dict[str, str]:
    """Return different rules of several shapes, by name."""
    rnd = random.Random(3)
    return {
        f"rule {index}": _SHAPES[index % len(_SHAPES)].format(
            n=1 + index * 7,
            port=rnd.choice((22, 80, 443)),
            code=rnd.choice((300, 400, 503)),
            method=rnd.choice(("GET", "POST")),
            end=rnd.choice(("com", "net")),
            start=rnd.choice(("www", "cdn")),
        )
        for index in range(RULES)
    }


def make_records(count: int) -> list[Record]:
    """Return records of a proxy; some have no user."""
    rnd = random.Random(1)
    return [
        {
            "timestamp": 1_571_163_620_306 + index,
            "ip_src_addr": f"10.0.{rnd.randint(0, 9)}.{rnd.randint(1, 250)}",
            "port": rnd.choice((22, 80, 443, 8080)),
            "method": rnd.choice(("GET", "POST", "CONNECT")),
            "host": rnd.choice(("www.example.com", "cdn.example.co.uk", "evil.test", "a.b.net")),
            "bytes": rnd.randint(0, 100_000),
            "elapsed": rnd.random() * 500,
            "code": rnd.choice((200, 301, 404, 503)),
            "is_alert": rnd.random() < 0.1,
            **({"user": rnd.choice(("ann", "bob"))} if rnd.random() < 0.7 else {}),
        }
        for index in range(count)
    ]


def make_counts(folder: Path, records: list[Record], compile_rule: Compile) -> dict[tuple[str, str], Count]:
    """Return functions that count the records and rules that match, by the format of the file and the way."""
    import polars as pl

    from stellar.columns import evaluate_all, read_records

    lines, parquet = str(folder / "a.jsonl"), str(folder / "a.parquet")
    Path(lines).write_text("".join(f"{json.dumps(record)}\n" for record in records), encoding="utf-8")
    pl.DataFrame(records).write_parquet(parquet)
    compiled: dict[str, Any] = {name: compile_rule(rule) for name, rule in make_rules().items()}

    def count_one_by_one(found: Iterable[Record]) -> int:
        return sum(rule(record) is True for record in found for rule in compiled.values())

    def count_lines() -> int:
        with open(lines, "rb") as file:
            return count_one_by_one(map(json.loads, file))

    def count_in_columns(name: str) -> int:
        results = evaluate_all(read_records(name), compiled).values()
        return sum(int(result.values.sum() or 0) for result in results)

    return {
        ("JSON lines", "one by one"): count_lines,
        ("JSON lines", "in columns"): lambda: count_in_columns(lines),
        ("Parquet", "one by one"): lambda: count_one_by_one(pl.read_parquet(parquet).iter_rows(named=True)),
        ("Parquet", "in columns"): lambda: count_in_columns(parquet),
    }


def columns(peers: dict[str, Compile | None], share: float) -> GroupResult:
    """Measure rules on files.

    share: seconds for each function
    """
    if (compile_rule := peers["stellar"]) is None:
        return GroupResult(["stellar is not installed\n"], [])
    try:
        with TemporaryDirectory() as folder:
            counts = make_counts(Path(folder), make_records(RECORDS), compile_rule)
            times = _measure(counts, share)
    except LookupError as error:  # Polars is not installed
        return GroupResult([f"columns: {error}\n"], [])
    formats = list(dict.fromkeys(kind for kind, _ in counts))
    ratios = {kind: times[kind, "in columns"] / times[kind, "one by one"] for kind in formats}
    table = Table(
        f"{RULES} rules on {RECORDS:,} records: time of a record, and times as fast in columns",
        ("", "one by one", "in columns", "times as fast"),
        [
            (
                kind,
                *(Quantity(times[kind, way] / 1000, "µs") for way in ("one by one", "in columns")),
                Quantity(1 / ratios[kind]),
            )
            for kind in formats
        ],
    )
    return GroupResult([table], [Finding(JSON_LINES, ratios["JSON lines"]), Finding(PARQUET, ratios["Parquet"])])


def _measure(counts: dict[tuple[str, str], Count], share: float) -> dict[tuple[str, str], float]:
    """Return the least time of each function in nanoseconds per record. The functions take turns."""
    fewest: dict[Any, float] = {}
    results: set[int] = set()
    spent = 0.0
    for run in range(1000):
        for key, count in counts.items():
            begin = time.process_time_ns()
            results.add(count())
            taken = time.process_time_ns() - begin
            fewest[key] = min(fewest.get(key, taken), taken)
            spent += taken / 1e9
        if run + 1 >= LEAST and spent >= share * len(counts):
            break
    assert len(results) == 1, f"the ways count different matches: {sorted(results)}"
    return {key: taken / RECORDS for key, taken in fewest.items()}
