"""The speed of evaluation and compilation in a warm process."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.measure import Slice, geometric_mean, interleave, over, over_next
from benchmarks.peers import Compile, Evaluate
from benchmarks.report import Finding, GroupResult, Limit, Quantity, Table, ratio
from benchmarks.rules import make_short_rules
from benchmarks.tasks import RECORDS_WITH_NULLS, TASKS, Record, Task, records, same

BY_HAND = "by hand"
RULE = TASKS[0]  # the rule for narrow and wide records

GEOMEAN = Limit("geomean of T1-T7, to a hand-written function", must=3, aim=2)
WORST = Limit("worst of T1-T7, to a hand-written function", must=4, aim=4)
WIDTH = Limit("a record of 69 fields, to one of 2", must=2, aim=1.3)
COMPILE = Limit("text of 34 characters to Expression", must=1000, aim=400, unit="µs")

TEXTS_A_SLICE = 32
RECORDS_A_SLICE = 1000

Key = tuple[str, str]


def tasks(peers: dict[str, Compile | None], share: float) -> GroupResult:
    """Measure each task in every language that can express it."""
    given = records(max(task.variety for task in TASKS))
    slices: dict[Key, Slice] = {
        (task.name, BY_HAND): over_next(task.by_hand, given[: task.variety], RECORDS_A_SLICE) for task in TASKS
    }
    cells: dict[Key, str] = {}
    for task in TASKS:
        for peer, compile_rule in peers.items():
            evaluate, reason = _prepare(task, peer, compile_rule, given[:50])
            if evaluate is None:
                cells[task.name, peer] = reason
            else:
                slices[task.name, peer] = over_next(evaluate, given[: task.variety], RECORDS_A_SLICE)
    taken = {key: fewest / RECORDS_A_SLICE for key, fewest in interleave(slices, share).items()}
    ratios = {(name, who): ns / taken[name, BY_HAND] for (name, who), ns in taken.items()}
    cells |= {key: ratio(value) for key, value in ratios.items()}
    measured = [task.name for task in TASKS[:7]]
    rows = [[f"{task.name}  {task.stellar}", Quantity(taken[task.name, BY_HAND], "ns")] for task in TASKS]
    by_hand = Table(
        "Tasks: CPU of a hand-written Python function, over 1,000 records of 9 fields", ["task", BY_HAND], rows
    )
    rows = [
        [peer, *(cells[task.name, peer] for task in TASKS), _mean(ratios, measured, peer), _advantage(ratios, peer)]
        for peer in peers
    ]
    evaluation = Table(
        "Evaluation: how many times the CPU of the hand-written function",
        ["", *(task.name for task in TASKS), "geomean of T1-T7", "stellar is faster"],
        rows,
    )
    ours = [ratios[name, "stellar"] for name in measured if (name, "stellar") in ratios]
    if len(ours) < len(measured):
        return GroupResult([by_hand, evaluation], [])
    return GroupResult([by_hand, evaluation], [Finding(GEOMEAN, geometric_mean(ours)), Finding(WORST, max(ours))])


def _prepare(
    task: Task, peer: str, compile_rule: Compile | None, sample: Sequence[Record]
) -> tuple[Evaluate | None, str]:
    """Compile a task for a peer, and check its results; return None and the reason if it cannot be measured."""
    if compile_rule is None:
        return None, "not installed"
    text = task.text(peer)
    if text is None:
        return None, "–"
    if peer == "stellar":
        sample = [*sample, *RECORDS_WITH_NULLS]
    try:
        evaluate = compile_rule(text)
        right = all(same(evaluate(record), task.by_hand(record)) for record in sample)
    except Exception as error:  # noqa: BLE001  an error of a peer is shown in its row
        return None, f"raises {type(error).__name__}"
    return (evaluate, "") if right else (None, "wrong result")


def _mean(ratios: dict[Key, float], names: Sequence[str], peer: str) -> str:
    """Return the mean over the tasks that a peer can express, with their number if some are missing."""
    known = [ratios[name, peer] for name in names if (name, peer) in ratios]
    if not known:
        return "–"
    missing = f" ({len(known)} of {len(names)})" if len(known) < len(names) else ""
    return ratio(geometric_mean(known), missing)


def _advantage(ratios: dict[Key, float], peer: str) -> str:
    """Return the speed of stellar relative to a peer, over the tasks that both can express."""
    quotients = [
        ratios[task.name, peer] / ratios[task.name, "stellar"]
        for task in TASKS
        if (task.name, peer) in ratios and (task.name, "stellar") in ratios
    ]
    return ratio(geometric_mean(quotients)) if quotients and peer != "stellar" else ""


def width(peers: dict[str, Compile | None], share: float) -> GroupResult:
    """Measure a rule on records with 2 and with 69 fields."""
    narrow, wide = (records(200, fields) for fields in (2, 69))
    slices: dict[Key, Slice] = {}
    for who, evaluate in {BY_HAND: RULE.by_hand, **_compile(RULE, peers)}.items():
        slices[who, "narrow"] = over(evaluate, narrow)
        slices[who, "wide"] = over(evaluate, wide)
    taken = {key: fewest / len(narrow) for key, fewest in interleave(slices, share).items()}
    rows = [
        [who, Quantity(taken[who, "narrow"], "ns"), Quantity(taken[who, "wide"], "ns"), ratio(_growth(taken, who))]
        if (who, "narrow") in taken
        else [who, "not installed", "", ""]
        for who in (BY_HAND, *peers)
    ]
    table = Table(f"Width of the record: {RULE.stellar}", ["", "2 fields", "69 fields", "ratio"], rows)
    return GroupResult([table], [Finding(WIDTH, _growth(taken, "stellar"))] if ("stellar", "wide") in taken else [])


def _growth(taken: dict[Key, float], who: str) -> float:
    return taken[who, "wide"] / taken[who, "narrow"]


def _compile(task: Task, peers: dict[str, Compile | None]) -> dict[str, Evaluate]:
    found = {peer: (compile_rule, task.text(peer)) for peer, compile_rule in peers.items()}
    return {peer: compile_rule(text) for peer, (compile_rule, text) in found.items() if compile_rule and text}


def compilation(peers: dict[str, Compile | None], share: float) -> GroupResult:
    """Measure compilation, on more different rules than a cache of rules holds."""
    slices: dict[str, Slice] = {
        peer: over_next(compile_rule, make_short_rules(peer), TEXTS_A_SLICE)
        for peer, compile_rule in peers.items()
        if compile_rule
    }
    taken = {peer: fewest / TEXTS_A_SLICE / 1e3 for peer, fewest in interleave(slices, share).items()}
    rows = [
        [peer, Quantity(taken[peer], "µs"), ratio(taken[peer] / taken["stellar"]) if "stellar" in taken else ""]
        if peer in taken
        else [peer, "not installed", ""]
        for peer in peers
    ]
    table = Table(
        f"Compilation of expressions such as {make_short_rules('stellar')[0]}",
        ["", "an expression", "to stellar"],
        rows,
    )
    return GroupResult([table], [Finding(COMPILE, taken["stellar"])] if "stellar" in taken else [])
