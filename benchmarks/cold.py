"""A rule set in a fresh process: `python -m benchmarks.cold PEER COUNT`."""

from __future__ import annotations

import sys
from tempfile import TemporaryDirectory

import stellar
from benchmarks.measure import cpu_of, process
from benchmarks.peers import PEERS, Compile
from benchmarks.report import Finding, GroupResult, Limit, Quantity, Table, ratio
from benchmarks.rules import make_mixed_rules
from benchmarks.tasks import Record, records

COLD = Limit("1,000 different rules, cold", must=800, aim=400, unit="ms")
CACHED = Limit("1,000 different rules from the cache", must=10, aim=5, unit="ms")
# The name of a contestant: this package with the cache of an earlier process
WITH_CACHE = "stellar, with a cache"


def cold(peers: dict[str, Compile | None], rounds: int) -> GroupResult:
    """Measure 1,000 rules in a fresh process for each peer."""
    contestants = {"stellar": peers["stellar"], WITH_CACHE: peers["stellar"], **peers}
    fewest: dict[str, float] = {}
    with TemporaryDirectory() as bytecode, TemporaryDirectory() as cache:
        for number_of_round in range(rounds + 1):
            for contestant, compile_rule in contestants.items():
                if compile_rule:
                    arguments = ["-m", "benchmarks.cold", contestant, "1000", cache]
                    _, printed = process(arguments, bytecode, cache)
                    if number_of_round:  # the first one fills the cache
                        fewest[contestant] = min(float(printed), fewest.get(contestant, float("inf")))
    rows = [
        [peer, Quantity(fewest[peer], "ms"), ratio(fewest[peer] / fewest["stellar"]) if "stellar" in fewest else ""]
        if peer in fewest
        else [peer, "not installed", ""]
        for peer in contestants
    ]
    table = Table(
        "1,000 different rules in a fresh process, each compiled and evaluated once", ["", "CPU", "to stellar"], rows
    )
    if "stellar" not in fewest:
        return GroupResult([table], [])
    return GroupResult([table], [Finding(COLD, fewest["stellar"]), Finding(CACHED, fewest[WITH_CACHE])])


def main(contestant: str, count: int, cache: str) -> None:
    """Print the CPU time of the rules in milliseconds, without the import of the contestant.

    cache: the directory of the cache
    """
    peer = contestant.partition(",")[0]
    compile_rule = {known.name: known.load for known in PEERS}[peer]()
    if contestant == WITH_CACHE:
        compile_rule("1")  # imports what `import stellar` leaves for the first use
        stellar.cache(cache, "benchmark")
    rules = make_mixed_rules(peer, count)
    [record] = records(1)
    print(cpu_of(lambda: _run(compile_rule, rules, record)) / 1e6)


def _run(compile_rule: Compile, rules: list[str], record: Record) -> None:
    for rule in rules:
        compile_rule(rule)(record)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
