"""Replay of conformance cases: print each disagreement with Metron or JPMML, and the share of agreement last.

    python -m tests.conformance.replay language|functions|triage|parsers|enrichment|pmml [--category PREFIX] FILE…

The files have the format of tests/conformance/data/*.jsonl; of pmml, they are folders. A case agrees if the
result is Metron's, or JPMML's, or if docs/compatibility.md (of a parser, the case itself; of pmml, docs/models/pmml.md)
documents the difference. `--category` selects cases by the start of their category, of pmml by that of the name of the
document. The exit status is 1 if there is a disagreement.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parent))  # the modules beside this one are imported by their names

from cases import read
from compare import agrees, outcome
from differences import explain, shown
from enrichment_cases import World, find_enrichment_difference, open_world, run_enrichment
from parser_cases import find_difference, run_case
from parser_differences import find_reason
from pmml_cases import (
    PmmlDocument,
    find_pmml_difference,
    find_pmml_reason,
    load_documents,
    read_pmml_cases,
    run_pmml_case,
)

from stellar.language.errors import ConfigError
from stellar.pipeline.config.compile import BuildContext
from stellar.pipeline.config.loading import read_enrichment
from stellar.pipeline.config.locations import SourceLocation
from stellar.pipeline.config.schema import EnrichmentConfig
from stellar.pipeline.records import Report
from stellar.pipeline.stages.triage import aggregate, build_triage


@dataclass(frozen=True)
class Verdict:
    """The comparison of one case.

    same: the result is Metron's
    documented: the difference is documented
    description: the case and both results, if it disagrees
    """

    same: bool
    documented: bool = False
    description: str = ""


def compare_expression(raw: dict[str, Any]) -> Verdict:
    """Compare a case of language or functions."""
    case = read(raw)
    ours = outcome(case)
    if not ours.leaked and agrees(ours, case):
        return Verdict(same=True)
    if not ours.leaked and explain(case, ours):
        return Verdict(same=False, documented=True)
    return Verdict(same=False, description=shown([(case, ours)]))


# -- Triage -----------------------------------------------------------------------------------------------------------

# The error of Java for an invalid configuration; with any other error Java loses the message
INVALID_CONFIGURATION = "JsonMappingException"


def compare_triage(raw: dict[str, Any]) -> Verdict:
    """Compare a case of triage: an aggregator with scores, or an enrichment configuration with a message."""
    result = raw["result"]
    is_lost = not result["ok"] and result["error"] != INVALID_CONFIGURATION
    if raw["mode"] == "aggregate":
        if is_lost:  # for a score that is null, which our pipeline does not pass on
            return _verdict(raw, None in raw["scores"], raw["scores"], documented=True)
        scores = [_plain(score) for score in raw["scores"]]
        total = aggregate(raw["aggregator"], scores, raw.get("config") or {})
        return _verdict(raw, _is_close(total, _plain(result["value"])), total)
    if not result["ok"] and not is_lost:
        return _verdict(raw, _is_rejected(raw["config"]), "a valid configuration")
    try:
        ours, reports = _run_triage(raw)
    except ConfigError as error:
        return _verdict(raw, False, error)
    if is_lost:  # our pipeline reports the rule and emits the message
        return _verdict(raw, all(report.stage == "triage" for report in reports), reports, documented=True)
    return _verdict(raw, not reports and _has_same_scores(ours, result["value"]), reports or ours)


def _verdict(raw: dict[str, Any], agreed: bool, ours: object, *, documented: bool = False) -> Verdict:
    if agreed:
        return Verdict(same=not documented, documented=documented)
    theirs = raw["result"].get("value", raw["result"].get("error"))
    description = f"{raw['id']} ({raw['mode']})\n    ours    {ours!s:.200}\n    Metron  {theirs!s:.200}"
    return Verdict(same=False, description=description)


def _run_triage(raw: dict[str, Any]) -> tuple[dict[str, Any], list[Report]]:
    config = EnrichmentConfig.model_validate(raw["config"])
    reports: list[Report] = []
    stage = build_triage(
        config.threat_intel, config.configuration, SourceLocation("x"), BuildContext(report=reports.append)
    )
    matches = stage.match_rules(raw["message"])
    rules = [
        {"name": f.rule.name, "comment": f.rule.comment, "rule": f.rule.text, "score": f.score, "reason": f.reason}
        for f in matches
    ]
    return {"score": stage.compute_score(matches), "ruleScores": rules}, reports


def _has_same_scores(ours: dict[str, Any], theirs: dict[str, Any]) -> bool:
    rules = [{**rule, "score": _plain(rule["score"])} for rule in theirs["ruleScores"]]
    return _is_close(ours["score"], _plain(theirs["score"])) and ours["ruleScores"] == rules


def _is_rejected(config: object) -> bool:
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "squid.json"
        file.write_text(json.dumps(config), encoding="utf-8")
        try:
            read_enrichment(file)
        except ConfigError:
            return True
    return False


def _is_close(ours: float, theirs: float) -> bool:
    return (math.isnan(ours) and math.isnan(theirs)) or math.isclose(ours, theirs, rel_tol=1e-15)


def _plain(value: Any) -> Any:
    match value:
        case {"$nan": True}:
            return math.nan
        case {"$inf": sign}:
            return sign * math.inf
        case {"$long": number} | {"$float": number} | {"$short": number} | {"$byte": number}:
            return number
    return value


# -- Parsers ----------------------------------------------------------------------------------------------------------


def compare_parser(raw: dict[str, Any]) -> Verdict:
    """Compare a case of parsers: one raw message through a parser configuration."""
    same, difference = find_difference(raw)
    if not difference or find_reason(raw, run_case(raw)):
        return Verdict(same=same, documented=not same)
    message = raw.get("raw", raw.get("raw_b64", raw.get("raw_parts")))
    lines = (
        f"{raw['id']} ({raw['cat']}) {' '.join(raw.get('mend', ()))}: {difference}",
        f"    raw     {message!r:.600}",
        f"    config  {json.dumps(raw['config']):.600}",
        f"    ours    {run_case(raw)!s:.1500}",
        f"    Metron  {json.dumps(raw['result']):.1500}",
    )
    return Verdict(same=False, description="\n".join(lines))


# -- Enrichment -------------------------------------------------------------------------------------------------------


def compare_enrichment(raw: dict[str, Any], world: World) -> Verdict:
    """Compare a case of enrichment: one record through an enrichment configuration."""
    ours = run_enrichment(raw, world)
    same, difference = find_enrichment_difference(raw, ours)
    if not difference:
        return Verdict(same=same, documented=not same)
    lines = (
        f"{raw['id']} ({raw['cat']}) {' '.join(raw.get('mend', ()))}: {difference}",
        f"    message {json.dumps(raw['message']):.600}",
        f"    config  {json.dumps(raw['config']):.600}",
        f"    ours    {ours!s:.1500}",
        f"    Metron  {json.dumps(raw['result']):.1500}",
    )
    return Verdict(same=False, description="\n".join(lines))


# -- PMML -------------------------------------------------------------------------------------------------------------


def compare_pmml(raw: dict[str, Any], documents: dict[str, PmmlDocument]) -> Verdict:
    """Compare a case of PMML: one record scored by a document."""
    document = documents[raw["pmml"]]
    difference = find_pmml_difference(raw, document)
    if not difference or find_pmml_reason(raw, document):
        return Verdict(same=not difference, documented=bool(difference))
    lines = (
        f"{raw['id']} ({raw['pmml']}): {difference}",
        f"    record  {json.dumps(raw['record']):.600}",
        f"    ours    {run_pmml_case(raw, document)!s:.1500}",
        f"    JPMML   {json.dumps(raw['result']):.1500}",
    )
    return Verdict(same=False, description="\n".join(lines))


def compare_pmml_folder(folder: Path, category: str = "") -> Iterator[Verdict]:
    """Yield the comparison of each case of a folder whose document's name starts with a string."""
    documents = load_documents(folder)
    for raw in read_pmml_cases(folder):
        if Path(raw["pmml"]).name.startswith(category):
            yield compare_pmml(raw, documents)


# -- Command ----------------------------------------------------------------------------------------------------------

COMPARISONS: dict[str, Callable[[dict[str, Any]], Verdict]] = {
    "language": compare_expression,
    "functions": compare_expression,
    "triage": compare_triage,
    "parsers": compare_parser,
}
KINDS = (*COMPARISONS, "enrichment", "pmml")


def read_cases(files: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Yield the cases of files, without lines that are not cases."""
    for file in files:
        for line in Path(file).read_text(encoding="utf-8").splitlines():
            if line.strip() and "result" in (raw := json.loads(line)):
                yield raw


def compare_file(kind: str, file: str, category: str = "") -> Iterator[Verdict]:
    """Yield the comparison of each case of a file whose category starts with a string."""
    if kind == "pmml":
        yield from compare_pmml_folder(Path(file), category)
        return
    with ExitStack() as stack:
        if kind == "enrichment":
            compare = partial(compare_enrichment, world=stack.enter_context(open_world(Path(file))))
        else:
            compare = COMPARISONS[kind]
        for raw in read_cases([file]):
            if str(raw.get("cat", "")).startswith(category):
                yield compare(raw)


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("replay", usage=(__doc__ or "").split("\n\n")[1].strip())
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("files", nargs="+")
    parser.add_argument("--category", default="")
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    """Replay files and print disagreements and the share of agreement. Return the exit status."""
    options = _parse(arguments)
    logging.disable(logging.WARNING)
    try:
        verdicts = []
        for file in options.files:
            for verdict in compare_file(options.kind, file, options.category):
                verdicts.append(verdict)
                if verdict.description:
                    print(verdict.description)
    finally:
        logging.disable(logging.NOTSET)
    same, documented = sum(v.same for v in verdicts), sum(v.documented for v in verdicts)
    share = 100 * (same + documented) / len(verdicts) if verdicts else 100.0
    print(f"{same} same, {documented} with a documented difference, {len(verdicts) - same - documented} different")
    print(f"agreement: {share:.2f} % of {len(verdicts)} cases")
    return 0 if same + documented == len(verdicts) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
