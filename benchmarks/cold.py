"""A rule set in a fresh process: `python -m benchmarks.cold PEER COUNT`."""

from __future__ import annotations

import sys
from tempfile import TemporaryDirectory

from benchmarks.language import GroupResult
from benchmarks.measure import cpu_of, process
from benchmarks.peers import PEERS, Compile
from benchmarks.report import Finding, Limit, number, ratio, table
from benchmarks.rules import make_mixed_rules
from benchmarks.tasks import Record, records

COLD = Limit("1,000 different rules, cold", must=800, aim=400, unit="ms")


def cold(peers: dict[str, Compile | None], rounds: int) -> GroupResult:
    """Measure 1,000 rules in a fresh process for each peer."""
    fewest: dict[str, float] = {}
    with TemporaryDirectory() as bytecode:
        for _ in range(rounds):
            for peer, compile_rule in peers.items():
                if compile_rule:
                    _, printed = process(["-m", "benchmarks.cold", peer, "1000"], bytecode)
                    fewest[peer] = min(float(printed), fewest.get(peer, float("inf")))
    rows = [
        [peer, f"{number(fewest[peer])} ms", ratio(fewest[peer] / fewest["stellar"]) if "stellar" in fewest else ""]
        if peer in fewest
        else [peer, "not installed", ""]
        for peer in peers
    ]
    text = table(
        "1,000 different rules in a fresh process, each compiled and evaluated once", ["", "CPU", "to stellar"], rows
    )
    return GroupResult(text, [Finding(COLD, fewest["stellar"])] if "stellar" in fewest else [])


def main(peer: str, count: int) -> None:
    """Print the CPU time of the rules in milliseconds, without the import of the peer."""
    compile_rule = {known.name: known.load for known in PEERS}[peer]()
    rules = make_mixed_rules(peer, count)
    [record] = records(1)
    print(cpu_of(lambda: _run(compile_rule, rules, record)) / 1e6)


def _run(compile_rule: Compile, rules: list[str], record: Record) -> None:
    for rule in rules:
        compile_rule(rule)(record)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
