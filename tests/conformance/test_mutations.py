"""Random mutations of the stored expressions: three implementations parse and evaluate them alike."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import replace

import pytest
from cases import Case, load
from compare import attempt, equivalent, outcome
from metron_grammar import METRON, OURS, accepts
from metron_machine import metrons_outcome

from stellar.language.parser import parse

SEEDS = range(4)
MUTATIONS_PER_SEED = 300
CASES = [case for name in ("language", "probes") for case in load(name) if case.mode in ("parse", "predicate")]
VARIABLES = {name: value for case in CASES for name, value in case.variables.items()}

_PIECES = re.compile(r"\s+|[\w.]+|'[^']*'|.", re.DOTALL)
_OTHERS = [
    *("x", "s", "missing", "bt", "bf", "l5", "d1", "m", "li", "st", "e1", "true", "FALSE", "null", "NaN"),
    *("1", "-1", "2.5f", "0", "0.0", "9007199254740993", "'a'", '"1"', "[]", "{}", "[1]", "(1 + 2)", "(x -> x)"),
    *("(", ")", ",", ":", "&&", "||", " and ", " or ", " in ", " not in ", "not", "==", "!=", "<", ">="),
    *("+", "-", "*", "/", "?", "->", "=>", "if", "then", "else", "match{", "default", "}", "//", "\n"),
]


def mutate(source: str, chance: random.Random) -> str:
    """Return a source with up to three pieces replaced, added, removed, exchanged or parenthesised."""
    pieces = _PIECES.findall(source)
    for _ in range(chance.randint(1, 3)):
        if not pieces:
            break
        index, other = chance.randrange(len(pieces)), chance.randrange(len(pieces))
        match chance.randrange(5):
            case 0:
                pieces[index] = chance.choice(_OTHERS)
            case 1:
                pieces.insert(index, f" {chance.choice(_OTHERS)} ")
            case 2:
                del pieces[index]
            case 3:
                pieces[index], pieces[other] = pieces[other], pieces[index]
            case 4:
                pieces[index] = f"({chance.choice(CASES).text})"
    return "".join(pieces)


def mutations(seed: int) -> Iterator[Case]:
    chance = random.Random(seed)
    for _ in range(MUTATIONS_PER_SEED):
        case = chance.choice(CASES)
        yield replace(
            case,
            text=mutate(case.text, chance),
            variables=VARIABLES if chance.random() < 0.8 else case.variables,
            strict=chance.random() < 0.1,
        )


@pytest.mark.parametrize("seed", SEEDS)
def test_the_parser_accepts_what_the_grammar_does(seed: int) -> None:
    texts = {case.text for case in mutations(seed) if case.text.strip()}
    different = [text for text in texts if accepts(text, OURS) == attempt(lambda text=text: parse(text)).malformed]
    different += [text for text in texts if accepts(text, METRON) and not accepts(text, OURS)]
    assert not different


@pytest.mark.parametrize("seed", SEEDS)
def test_inline_operators_helpers_and_the_machine_agree(seed: int) -> None:
    different = []
    for case in mutations(seed):
        ours = outcome(case)
        if ours.malformed or "<function" in str(ours).lower():  # the string of a lambda has its memory address
            continue
        others = outcome(case, fast=False), metrons_outcome(case, frozenset())
        if ours.leaked or not all(equivalent(ours, other) for other in others):
            different.append((case.text, case.strict, str(ours), *map(str, others)))
    assert not different
