"""Counts of the differences between our results and Metron's, by reason.

python tests/conformance/differences.py            print the counts and the unexplained differences
python tests/conformance/differences.py --write    write the counts into docs/compatibility.md
"""

from __future__ import annotations

import logging
import re
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from cases import Case, load
from compare import Outcome, agrees, outcome, refused_at_once
from metron_grammar import forms_needed
from metron_machine import metrons_outcome
from metron_traits import EVERY_TRAIT, Difference, Form, Trait

# In the order of the document
DIFFERENCES: list[Difference] = sorted(
    [*Trait, *Form], key=lambda difference: [int(number) for number in re.findall(r"\d+", difference.row)]
)
FILES = ("language", "probes", "functions", "libraries")
DOCUMENT = Path(__file__).parents[2] / "docs" / "compatibility.md"
BEGIN, END = "<!-- counts: python tests/conformance/differences.py --write -->", "<!-- end of counts -->"


@dataclass
class Report:
    """The comparison of the cases of a file.

    reasons: number of cases by the difference that explains them; a case may need several
    explained: number of cases with a reason
    waiting: number of cases by the function that Metron has and we do not have
    disagreements: the cases without a reason
    """

    cases: int = 0
    agreed: int = 0
    explained: int = 0
    reasons: Counter[Difference] = field(default_factory=Counter)
    waiting: Counter[str] = field(default_factory=Counter)
    disagreements: list[tuple[Case, Outcome]] = field(default_factory=list)

    def add(self, case: Case, ours: Outcome) -> None:
        """Add a case with its outcome."""
        self.cases += 1
        if ours.leaked:
            self.disagreements.append((case, ours))
        elif agrees(ours, case):
            self.agreed += 1
        elif reasons := explain(case, ours):
            self.explained += 1
            self.reasons.update(reasons)
        elif ours.unknown_function and not case.answer.failed and refused_at_once(case):
            self.waiting[ours.unknown_function] += 1
        else:
            self.disagreements.append((case, ours))

    def of(self, category: str) -> list[tuple[Case, Outcome]]:
        """Return the disagreements of a category."""
        return [found for found in self.disagreements if found[0].category == category]


@cache
def report(name: str, *, fast: bool = True) -> Report:
    """Return the report on a file of cases."""
    result = Report()
    for case in load(name):
        result.add(case, outcome(case, fast=fast))
    return result


def explain(case: Case, ours: Outcome) -> frozenset[Difference]:
    """Return the fewest differences that explain the result of Metron; an empty set if none do."""
    if case.malformed:
        return forms_needed(case.text) or frozenset() if not ours.malformed else frozenset()
    traits = EVERY_TRAIT
    if not _answers(case, traits):
        return frozenset()
    for trait in Trait:
        if _answers(case, traits - {trait}):
            traits -= {trait}
    return traits


def _answers(case: Case, traits: frozenset[Trait]) -> bool:
    return agrees(metrons_outcome(case, traits), case, exact=Trait.BINARY32 in traits)


def shown(disagreements: Iterable[tuple[Case, Outcome]]) -> str:
    """Return a readable list of disagreements."""
    lines = []
    for case, ours in disagreements:
        theirs = case.answer.root or repr(case.answer.expected)
        lines.append(f"{case.id} ({case.mode}) {case.text!a}\n    ours    {ours!s:.200}\n    Metron  {theirs:.200}")
    return "\n".join(lines)


# -- The table in the documentation -----------------------------------------------------------------------------------


def table() -> str:
    """Return the counts as the table of the document."""
    reports = [report(name) for name in FILES]
    rows = [
        ["", *FILES],
        ["---", *("---:" for _ in FILES)],
        ["cases", *(f"{r.cases:,}" for r in reports)],
        ["same result", *(f"{r.agreed:,}" for r in reports)],
        ["different result, explained by the rows below", *(f"{r.explained:,}" for r in reports)],
        *([difference.label, *(_count(r.reasons[difference]) for r in reports)] for difference in DIFFERENCES),
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _count(number: int) -> str:
    return f"{number:,}" if number else ""


def documented() -> str:
    """Return the current table of the document."""
    return DOCUMENT.read_text("utf-8").partition(BEGIN)[2].partition(END)[0].strip()


def write() -> None:
    """Write the table into the document."""
    before, _, rest = DOCUMENT.read_text("utf-8").partition(BEGIN)
    DOCUMENT.write_text(f"{before}{BEGIN}\n\n{table()}\n\n{END}{rest.partition(END)[2]}", "utf-8")


def main(arguments: list[str]) -> int:
    logging.disable(logging.WARNING)
    if arguments == ["--write"]:
        write()
    elif arguments:
        print(__doc__)
        return 2
    print(table())
    disagreements = [found for name in FILES for found in report(name).disagreements]
    print(shown(disagreements))
    return 1 if disagreements else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
