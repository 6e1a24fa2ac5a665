"""Rule sets of threat triage, look-up tables, and records that fail, compared with Python written by hand.

The stage is that of a pipeline: it copies the record, evaluates the rules, and adds the score and the matching rules.
The peer of 100 rules is one function with an `if` for each rule, which accepts missing fields; that of 1,000 rules on
one field is a dict. They do not report errors, and accept no other types of values.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from benchmarks.language import BY_HAND
from benchmarks.measure import Slice, interleave, over
from benchmarks.peers import Compile
from benchmarks.report import Finding, GroupResult, Limit, Quantity, Table, ratio
from benchmarks.rules import make_word
from benchmarks.tasks import Record

TRIAGE = Limit("threat triage of a record by 100 rules", must=18, aim=15, unit="µs")
EQUALITY = Limit("threat triage of a record by 1,000 rules on one field", must=6, aim=5, unit="µs")
LOOK_UP = Limit("a look-up table of 500 pairs, to a dict", must=3, aim=2)
FAILURE = Limit("a record that fails, to one that does not", must=3, aim=2)

RECORDS = 50
# More than the evaluations after which rules are fused
WARM_UP = 4

Process = Callable[[Record], Record]


class Rule(NamedTuple):
    """A condition in Stellar and in Python, whose record is `r`."""

    stellar: str
    python: str


_SHAPES = (
    Rule(
        "bytes > {n}000 and method == '{w}'",
        "(v := r.get('bytes')) is not None and v > {n}000 and r.get('method') == '{w}'",
    ),
    Rule("action in ['{w}', 'B', 'C', 'D', '{n}']", "r.get('action') in ('{w}', 'B', 'C', 'D', '{n}')"),
    Rule(
        "(elapsed >= {n} and bytes < {n}) or code == {n}",
        "((v := r.get('elapsed')) is not None and v >= {n} and (b := r.get('bytes')) is not None and b < {n})"
        " or r.get('code') == {n}",
    ),
    Rule(
        "method == 'GET' and code >= {n} and ENDS_WITH(domain, '.{w}')",
        "r.get('method') == 'GET' and (v := r.get('code')) is not None and v >= {n}"
        " and (d := r.get('domain')) is not None and d.endswith('.{w}')",
    ),
    Rule(
        "not(exists(user)) and elapsed > {n}",
        "r.get('user') is None and (v := r.get('elapsed')) is not None and v > {n}",
    ),
)


def make_rules(count: int) -> list[Rule]:
    """Return different rules of several shapes."""
    rng = random.Random(3)
    rules = []
    for index in range(count):
        values = {"n": 100 + rng.randrange(8) * 100 + index, "w": make_word(index)}
        rules.append(Rule(*(text.format(**values) for text in _SHAPES[index % len(_SHAPES)])))
    return rules


def make_equality_rules(count: int) -> list[Rule]:
    """Return rules that compare one field with different values."""
    return [
        Rule(f"signature == '{make_word(index)}'", f"r.get('signature') == '{make_word(index)}'")
        for index in range(count)
    ]


def make_alerts() -> list[Record]:
    """Return alerts with the fields that the rules read, some of which are missing."""
    rng = random.Random(5)
    alerts = []
    for index in range(RECORDS):
        alert = {
            "bytes": rng.randrange(90_000),
            "code": rng.choice((200, 301, 404)),
            "method": rng.choice(("GET", "POST")),
            "action": rng.choice(("TCP_MISS", "TCP_HIT")),
            "domain": f"{make_word(rng.randrange(100))}.example.com",
            "elapsed": rng.randrange(220),
            "user": rng.choice((None, "ann")),
            "signature": make_word(index * 10),
            "ip_src_addr": "10.0.0.1",
            "is_alert": "true",
        }
        alerts.append({name: value for name, value in alert.items() if rng.random() < 0.95 or name == "is_alert"})
    return alerts


# -- By hand ----------------------------------------------------------------------------------------------------------


def write_by_hand(rules: list[Rule]) -> Process:
    """Return the function with an `if` for each rule."""
    tests = [f"    if {rule.python}: matches.append({index})" for index, rule in enumerate(rules)]
    namespace: dict[str, Any] = {}
    exec("\n".join(["def match(r):", "    matches = []", *tests, "    return matches"]), namespace)
    match: Callable[[Record], list[int]] = namespace["match"]
    return lambda record: _add_matches(record, match(record))


def look_up_by_hand(rules: list[Rule]) -> Process:
    """Return the function that looks up the rules on one field."""
    numbers = {make_word(index): index for index in range(len(rules))}

    def process(record: Record) -> Record:
        found = numbers.get(record.get("signature"))
        return _add_matches(record, [] if found is None else [found])

    return process


def _add_matches(record: Record, matches: list[int]) -> Record:
    record = {**record, "is_alert": "true"}
    if matches:
        score = float(max(matches))
        record["threat.triage.score"] = score
        record["threat.triage.level"] = int(score)
    for index, rule in enumerate(matches):
        record[f"threat.triage.rules.{index}.name"] = f"rule {rule}"
        record[f"threat.triage.rules.{index}.comment"] = None
        record[f"threat.triage.rules.{index}.score"] = str(rule)
        record[f"threat.triage.rules.{index}.reason"] = None
    return record


# -- Configured -------------------------------------------------------------------------------------------------------


def configure(rules: list[Rule]) -> Process:
    """Return the stage of a pipeline."""
    from stellar.pipeline.config.compile import BuildContext
    from stellar.pipeline.config.locations import SourceLocation
    from stellar.pipeline.config.schema import EnrichmentConfig
    from stellar.pipeline.stages.triage import build_triage

    configured = [{"name": f"rule {index}", "rule": rule.stellar, "score": index} for index, rule in enumerate(rules)]
    triage = {"riskLevelRules": configured, "aggregator": "MAX"}
    config = EnrichmentConfig.model_validate({"threatIntel": {"triageConfig": triage}})
    return build_triage(config.threat_intel, {}, SourceLocation("squid.json"), BuildContext())


def make_look_up(count: int) -> tuple[str, Process]:
    """Return an expression that looks up a field in a constant map, and the Python function."""
    pairs = {make_word(index * 3): index for index in range(count)}
    source = ", ".join(f"'{key}' : {value}" for key, value in pairs.items())
    return f"MAP_GET(signature, {{{source}}})", lambda record: pairs.get(record.get("signature"))  # type: ignore[return-value]


_PARSER = {
    "parserClassName": "JSONMap",
    "fieldTransformations": [
        {
            "transformation": "STELLAR",
            "output": ["host", "rate", "method"],
            "config": {
                "host": "URL_TO_HOST(url)",
                "rate": "bytes / elapsed",
                "method": "TO_UPPER(method)",
            },
        }
    ],
}


def make_lines(elapsed: int) -> list[bytes]:
    """Return messages; the transformation of those with an elapsed time of 0 fails."""
    return [
        json.dumps({**alert, "bytes": 1000, "elapsed": elapsed, "url": "http://www.example.com/"}).encode()
        for alert in make_alerts()
    ]


def make_run() -> Callable[[bytes], None]:
    """Return a function that processes a message to the JSON of a document, or of an error document."""
    from stellar.pipeline.build import build_pipeline
    from stellar.pipeline.config.loading import load_config
    from stellar.pipeline.records import Failure, Raw, make_error_document, to_json_bytes

    with TemporaryDirectory() as directory:
        parser = Path(directory) / "parsers" / "web.json"
        parser.parent.mkdir()
        parser.write_text(json.dumps(_PARSER), encoding="utf-8")
        pipeline = build_pipeline(load_config(Path(directory), "web"))

    def run(line: bytes) -> None:
        raw = Raw(line, "access.log", 1)
        for outcome in pipeline(raw):
            is_failure = isinstance(outcome, Failure)
            to_json_bytes(make_error_document(outcome, "web", raw) if is_failure else outcome)

    return run


# -- Measurement ------------------------------------------------------------------------------------------------------


def rule_sets(peers: dict[str, Compile | None], share: float) -> GroupResult:
    """Measure rule sets and look-up tables."""
    if (compile_rule := peers["stellar"]) is None:
        return GroupResult(["stellar is not installed\n"], [])
    alerts = make_alerts()
    some, many = make_rules(100), make_equality_rules(1000)
    source, look_up = make_look_up(500)
    contestants: dict[str, dict[str, Process]] = {
        "triage by 100 rules": {BY_HAND: write_by_hand(some), "stellar": configure(some)},
        "triage by 1,000 rules on one field": {BY_HAND: look_up_by_hand(many), "stellar": configure(many)},
        "a look-up table of 500 pairs": {BY_HAND: look_up, "stellar": compile_rule(source)},
    }
    slices: dict[tuple[str, str], Slice] = {
        (task, who): over(process, alerts)
        for task, processes in contestants.items()
        for who, process in processes.items()
    }
    run = make_run()
    slices[FAILURE.what, "succeeds"], slices[FAILURE.what, "fails"] = over(run, make_lines(5)), over(run, make_lines(0))
    for work in slices.values():
        for _ in range(WARM_UP):
            work()
    taken = {key: fewest / len(alerts) / 1000 for key, fewest in interleave(slices, share).items()}
    ratios = {task: taken[task, "stellar"] / taken[task, BY_HAND] for task in contestants}
    rows = [
        [task, Quantity(taken[task, BY_HAND], "µs"), Quantity(taken[task, "stellar"], "µs"), ratio(ratios[task])]
        for task in contestants
    ]
    failing, succeeding = taken[FAILURE.what, "fails"], taken[FAILURE.what, "succeeds"]
    table = Table("Rule sets: CPU time of a record", ["", BY_HAND, "stellar", "ratio"], rows)
    failures = Table(
        "Failing transformations: CPU time of a record",
        ["", "record", "to the other"],
        [
            ["a record that does not fail", Quantity(succeeding, "µs"), ""],
            ["a record that fails", Quantity(failing, "µs"), ratio(failing / succeeding)],
        ],
    )
    first, second, third = contestants
    return GroupResult(
        [table, failures],
        [
            Finding(TRIAGE, taken[first, "stellar"]),
            Finding(EQUALITY, taken[second, "stellar"]),
            Finding(LOOK_UP, ratios[third]),
            Finding(FAILURE, failing / succeeding),
        ],
    )
