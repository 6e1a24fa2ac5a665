"""The speed of calls and of `Expression.map`, beside hand-written functions in two forms.

    by hand    with Stellar's treatment of null: record.get("x"), and a test for None
    by key     for records that have all fields: record["x"]

Functions are called in a loop for calls, and in a list comprehension for `map`, so both forms do the same.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import stellar
from benchmarks.java import DATA, FUNCTIONS
from benchmarks.measure import Slice, geometric_mean, interleave, over
from benchmarks.peers import Compile
from benchmarks.report import Finding, GroupResult, Limit, Quantity, Table, ratio
from benchmarks.tasks import TASKS, Record, records, same

MAPPED = Limit("geomean of T1-T7 mapped, to a hand-written function", must=1.4, aim=1.15)
BY_KEY = Limit("geomean of T1-T7, to a function of records with all fields", must=2.3, aim=1.9)
MAPPED_JAVA = Limit("geomean mapped, to Metron's engine on the JVM", must=0.6, aim=0.42)

RECORDS_A_SLICE = 1000
Key = tuple[str, str]


def mapped(_: dict[str, Compile | None], share: float) -> GroupResult:
    """Measure calls and `map` of the tasks, and `map` of the expressions that were measured on the JVM."""
    given = records(RECORDS_A_SLICE)
    tasks = [task for task in TASKS if task.by_key]
    cases = json.loads(DATA.read_text())
    slices: dict[Key, Slice] = {}
    for task in tasks:
        functions = {"by hand": task.by_hand, "by key": task.by_key, "called": stellar.compile(task.stellar)}
        slices |= {(task.name, form): over(function, given) for form, function in functions.items() if function}
        slices |= make_slices(task.name, task.stellar, task.by_hand, given)
    for case in cases:
        function = FUNCTIONS[case["id"]]
        slices[case["id"], "by hand"] = over(function, [case["vars"]] * RECORDS_A_SLICE)
        slices |= make_slices(case["id"], case["expr"], function, [case["vars"]] * RECORDS_A_SLICE)
    taken = {key: fewest / RECORDS_A_SLICE for key, fewest in interleave(slices, share).items()}
    by_key = [taken[task.name, "called"] / taken[task.name, "by key"] for task in tasks]
    as_list = [taken[task.name, "mapped"] / taken[task.name, "list"] for task in tasks]
    rows = [
        [f"{task.name}  {task.stellar}"]
        + [Quantity(taken[task.name, form], "ns") for form in ("by hand", "by key", "called")]
        + [
            ratio(one),
            Quantity(taken[task.name, "list"], "ns"),
            Quantity(taken[task.name, "mapped"], "ns"),
            ratio(other),
        ]
        for task, one, other in zip(tasks, by_key, as_list, strict=True)
    ]
    rows.append(["geomean", "", "", "", ratio(geometric_mean(by_key)), "", "", ratio(geometric_mean(as_list))])
    table = Table(
        f"Calls and map: CPU for each of {RECORDS_A_SLICE:,} records",
        ["task", "by hand", "by key", "called", "to by key", "list by hand", "mapped", "to the list"],
        rows,
    )
    quotients = [_compare_with_java(case, taken) for case in cases]
    beside_java = Table(
        "Mapped beside the JVM: times of a hand-written function, here and there, and the ratio of the two",
        ["expression", "mapped", "stellar / JVM"],
        [
            *(
                [case["expr"], Quantity(taken[case["id"], "mapped"], "ns"), ratio(quotient)]
                for case, quotient in zip(cases, quotients, strict=True)
            ),
            ["geomean", "", ratio(geometric_mean(quotients))],
        ],
    )
    found = ((MAPPED, as_list), (BY_KEY, by_key), (MAPPED_JAVA, quotients))
    return GroupResult([table, beside_java], [Finding(limit, geometric_mean(figures)) for limit, figures in found])


def _compare_with_java(case: dict[str, Any], taken: dict[Key, float]) -> float:
    here = taken[case["id"], "mapped"] / taken[case["id"], "by hand"]
    return float(here / (case["java_ns"] / case["python_function_ns"]))


def make_slices(name: str, source: str, function: Callable[[Record], Any], given: Sequence[Record]) -> dict[Key, Slice]:
    """Return slices that make the list of all results, by hand and by `map`."""
    expression = stellar.compile(source)
    results = list(expression.map(given))
    assert all(same(result, function(record)) for result, record in zip(results, given, strict=True)), source

    def by_hand() -> None:
        [function(record) for record in given]

    def by_map() -> None:
        list(expression.map(given))

    return {(name, "list"): by_hand, (name, "mapped"): by_map}
