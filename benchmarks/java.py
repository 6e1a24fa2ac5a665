"""Compares expressions with Metron's engine on the JVM, as a ratio of ratios.

The JVM was measured on another machine, together with equivalent Python functions. These are measured here too, so the
result is (stellar / function) on this machine to (JVM / function) on that one. Below 1 is faster than the JVM.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.measure import Slice, geometric_mean, interleave, over
from benchmarks.peers import Compile, Evaluate
from benchmarks.report import Finding, GroupResult, Limit, Quantity, Table, ratio
from benchmarks.tasks import Record, same

DATA = Path(__file__).parent / "data" / "java_speed.json"
EVALUATIONS_A_SLICE = 100

GEOMEAN = Limit("geomean, to Metron's engine on the JVM", must=1, aim=0.5)
WORST = Limit("worst expression, to Metron's engine on the JVM", must=1.2, aim=1.2)


def arith(record: Record) -> int:
    return 1 + 2 * (record.get("x") or 0)


def ifelse(record: Record) -> str:
    x = record.get("x")
    return "a" if x is not None and x > 10 and record.get("y") is not None else "b"


def upper_trim(record: Record) -> str | None:
    s = record.get("s")
    return None if s is None else s.strip().upper()


def map_get(record: Record) -> bool:
    m = record.get("m")
    return m is not None and m.get("is_malicious") == "malicious"


def in_list_hit(record: Record) -> bool:
    # The address of the measured record is in the list, so the subnet is never tested
    return record.get("ip_src_addr") in {"1.1.1.1", "2.2.2.2"}


def map_filter(record: Record) -> list[int] | None:
    numbers = record.get("l")
    return None if numbers is None else [x * 2 for x in numbers if x is not None and x > 2]


def match(record: Record) -> str:
    x = record.get("x")
    return "neg" if x is not None and x < 0 else "zero" if x == 0 else "pos"


def format_(record: Record) -> str:
    s = record.get("s")
    x = record.get("x")
    return "%s-%s" % ("null" if s is None else s, "null" if x is None else x)  # noqa: UP031  as FORMAT has it


def split(record: Record) -> bool:
    s = record.get("s")
    return s is not None and len(s.split(",")) > 2


_WORD = re.compile("[a-z]+.*")


def regexp(record: Record) -> bool:
    s = record.get("s")
    return s is not None and _WORD.fullmatch(s) is not None


def var(record: Record) -> Any:
    return record.get("x")


def and_cmp(record: Record) -> bool:
    x = record.get("x")
    z = record.get("z")
    return x is not None and x > 1 and record.get("y") == "foo" and z is not None and z <= 3.5


def hash_md5(record: Record) -> str:
    s = record.get("s")
    return "0" * 32 if s is None else hashlib.md5(s.encode()).hexdigest()


FUNCTIONS: dict[str, Callable[[Record], Any]] = {
    function.__name__.rstrip("_"): function
    for function in (
        arith,
        ifelse,
        upper_trim,
        map_get,
        in_list_hit,
        map_filter,
        match,
        format_,
        split,
        regexp,
        var,
        and_cmp,
        hash_md5,
    )
}


def java(peers: dict[str, Compile | None], share: float) -> GroupResult:
    """Measure the expressions that were measured on the JVM, and the equivalent Python functions."""
    cases = json.loads(DATA.read_text())
    compile_rule = peers["stellar"]
    evaluates = {case["id"]: _compile_case(compile_rule, case) for case in cases} if compile_rule else {}
    slices: dict[tuple[str, str], Slice] = {}
    for case in cases:
        identifier, record = case["id"], case["vars"]
        slices[identifier, "function"] = over(FUNCTIONS[identifier], [record] * EVALUATIONS_A_SLICE)
        if isinstance(evaluate := evaluates.get(identifier, "not installed"), str):
            continue
        slices[identifier, "stellar"] = over(evaluate, [record] * EVALUATIONS_A_SLICE)
    taken = {key: fewest / EVALUATIONS_A_SLICE for key, fewest in interleave(slices, share).items()}
    rows = []
    quotients = []
    for case in cases:
        identifier = case["id"]
        function = taken[identifier, "function"]
        there = case["java_ns"] / case["python_function_ns"]
        cells = [case["expr"], Quantity(function, "ns")]
        if ours := taken.get((identifier, "stellar")):
            quotients.append(ours / function / there)
            rows.append([*cells, ratio(ours / function), ratio(there), ratio(quotients[-1])])
        else:
            rows.append([*cells, str(evaluates.get(identifier, "not installed")), ratio(there), ""])
    if quotients:
        compared = "" if len(quotients) == len(cases) else f" of {len(quotients)}"
        rows.append([f"geomean{compared}", "", "", "", ratio(geometric_mean(quotients))])
        rows.append([f"worst{compared}", "", "", "", ratio(max(quotients))])
    table = Table(
        "Beside the JVM: times of a hand-written Python function, here and there, and the ratio of the two",
        ["expression", "by hand", "stellar", "JVM", "stellar / JVM"],
        rows,
    )
    if not quotients:
        return GroupResult([table], [])
    return GroupResult([table], [Finding(GEOMEAN, geometric_mean(quotients)), Finding(WORST, max(quotients))])


def _compile_case(compile_rule: Compile, case: dict[str, Any]) -> Evaluate | str:
    """Compile an expression and check its result; return the reason if it cannot be compared."""
    try:
        evaluate = compile_rule(case["expr"])
        result = evaluate(case["vars"])
    except Exception as error:  # noqa: BLE001  shown in the row
        return f"raises {type(error).__name__}"
    return evaluate if same(result, FUNCTIONS[case["id"]](case["vars"])) else "wrong result"
