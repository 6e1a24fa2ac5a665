"""Inputs of the fuzzer: expressions by templates, calls with odd values, mutated cases of the corpus, and random signs.

An input depends on the seed and its number only, so that each one can be repeated by itself.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from scripts.fuzz import values
from stellar.functions import LIBRARY
from stellar.language.tagged_json import decode
from stellar.tooling import spec_lines

CORPUS = Path(__file__).parent.parent.parent / "tests" / "conformance" / "data"
FILES = ("language", "functions", "probes")

# Modules of functions that access files, networks and services
OUTSIDE = frozenset({"files", "hdfs", "rest", "maas", "shell", "configurations", "system"})

NAMES = ("x", "y", "s", "l", "m", "n", "_", "missing", "a.b:c", "$v")
LITERALS = [
    "0",
    "1",
    "-1",
    "2",
    "5L",
    "1.5",
    "0.0",
    "2f",
    "1e400",
    "NaN",
    "9007199254740993",
    "'a'",
    "''",
    '"true"',
    "'abc'",
    "true",
    "false",
    "null",
    "[]",
    "{}",
    "[1,2]",
    "['a','b']",
    "[1.0]",
    "{'a':1}",
    "{1:2}",
    "'%s'",
    "'.*'",
    "','",
    "'MD5'",
]
# Each @ is replaced by an expression, and each # by the name of a function
TEMPLATES = re.split(
    r";\s+|\n\s+",
    """@ + @;  @ - (@);  (@) * @;  (@) / (@);  -(@);  x + y - @;  (@) + 1.5;  2 * (@);  @ / 2
    (@) == (@);  (@) != (@);  (@) < (@);  (@) >= (@);  @ == @;  @ > 1;  1 <= @;  @ == 'a';  @ != null;  @ < 2.5
    @ in @;  (@) not in (@);  (@) in ['a', 'b'];  (@) in [1, 2];  x == y and (@) + x > y;  exists(x) and (@)
    (@) and (@);  (@) or (@);  not(@);  not @;  @ and @ or @;  (@) ? (@) : (@);  if @ then @ else @
    match { @ => @, default => @ };  match { @ => x -> @, @ => @, default => @ };  [@, @];  {'a' : @, @ : @};  {@ : @}
    x -> @;  () -> @;  MAP(@, x -> @);  FILTER(@, x -> @);  REDUCE(@, (x, y) -> @, @);  MAP([@, @], y -> @)
    FILTER(MAP(@, x -> @), y -> @);  MAP(l, x -> MAP(l, y -> @));  REDUCE([@, @], (f, y) -> f + (@), 0)
    REDUCE(l, (x, y) -> JOIN([x, x], @), 'a');  REDUCE(l, (x, y) -> [x, x], @)
    REDUCE(l, (x, y) -> LIST_ADD(x, x), [@])
    REDUCE(l, (x, y) -> FORMAT('%s%s', x, @), 'a');  REDUCE(l, (x, y) -> MAP_PUT(@, x, {}), 1);  #(#(@), @);  #(@)
    #();  #(@, @);  #(@, @, @);  #(@, @, @, @);  #(#(@));  MAP(@, x -> #(x));  [#(@)] == [#(@)]
    #(@) in #(@)""".strip(),
)
SIGNS = "()[]{},:?=!<>+-*/'\"\\_ \t\n.0123456789abxLe->$é//%&|"
_TOKEN = re.compile(r"\s+|[\w.]+|'[^']*'|.", re.DOTALL)


@dataclass(frozen=True)
class Source:
    """An expression.

    kind: how it was generated
    variables: values of its variables as JSON, which are replaced by odd ones at random
    """

    kind: str
    text: str
    variables: str = "{}"


@cache
def list_functions() -> tuple[str, ...]:
    """Return the names of the functions that are called."""
    return tuple(
        sorted(name for name in LIBRARY if not OUTSIDE & {*LIBRARY[name].implementation.__module__.split(".")})
    )


@cache
def load_corpus() -> tuple[tuple[str, str], ...]:
    """Return the expressions of the conformance cases and of the documentation, with their variables as JSON."""
    cases = [json.loads(line) for name in FILES for line in (CORPUS / f"{name}.jsonl").read_text("utf-8").splitlines()]
    found = [(case["expr"] or "", json.dumps(case["vars"] or {})) for case in cases]
    for _, paragraph in spec_lines.read_library(LIBRARY):
        found += [(line.expression, "{}") for line in paragraph.lines]
    return tuple(found)


def generate_source(seed: int, number: int) -> Source:
    """Return an expression."""
    chance = Random(f"source {seed}/{number}")
    return chance.choices(_KINDS, _WEIGHTS)[0](chance)


def generate_record(seed: int, number: int, source: Source, names: Iterable[str]) -> dict[str, Any]:
    """Return a record with odd values for an expression.

    names: the variables of the expression
    """
    chance = Random(f"record {seed}/{number}")
    try:
        given = decode(json.loads(source.variables))
    except ValueError:  # an object of Java
        given = {}
    odd = {name for name in sorted(names) if name != "missing" and (name not in given or chance.random() < 0.3)}
    return {**given, **{name: values.choose(chance, short=source.kind != "call") for name in sorted(odd)}}


def _fill(chance: Random, depth: int) -> str:
    if depth <= 0 or chance.random() < 0.15:
        return chance.choice(LITERALS) if chance.random() < 0.4 else chance.choice(NAMES)
    pieces = re.split("([@#])", chance.choice(TEMPLATES))
    fillers: dict[str, Callable[[], str]] = {
        "@": lambda: _fill(chance, depth - 1),
        "#": lambda: chance.choice(list_functions()),
    }
    return "".join(fillers[piece]() if piece in fillers else piece for piece in pieces)


def _by_grammar(chance: Random) -> Source:
    return Source("grammar", _fill(chance, chance.randint(1, 4)))


def _by_call(chance: Random) -> Source:
    """Call a function, mostly with as many arguments as it takes."""
    name = chance.choice(list_functions())
    function = LIBRARY[name]
    most = len(function.parameters) + 1 if function.most is None else function.most
    count = chance.randint(function.required, most) if chance.random() < 0.9 else chance.randint(0, 6)
    others = [*LITERALS, "x -> x", "(x, y) -> [x, y]", "() -> 1"]
    arguments = [chance.choice(others) if chance.random() < 0.2 else f"a{index}" for index in range(count)]
    return Source("call", f"{name}({', '.join(arguments)})")


def _by_mutation(chance: Random) -> Source:
    """Return a case of the corpus with tokens or characters changed."""
    text, variables = chance.choice(load_corpus())
    text = _mutate_characters(text, chance) if chance.random() < 0.4 else _mutate_tokens(text, chance)
    return Source("mutation", text, variables)


def _mutate_tokens(source: str, chance: Random) -> str:
    tokens = _TOKEN.findall(source)
    for _ in range(chance.randint(0, 3)):
        if not tokens:
            break
        index, other = chance.randrange(len(tokens)), chance.randrange(len(tokens))
        match chance.randrange(6):
            case 0:
                tokens[index] = chance.choice([*LITERALS, *NAMES, *list_functions()])
            case 1:
                tokens.insert(index, f" {chance.choice([*LITERALS, *NAMES, 'and', 'in', '(', ')', ',', '->'])} ")
            case 2:
                del tokens[index]
            case 3:
                tokens[index], tokens[other] = tokens[other], tokens[index]
            case 4:
                tokens[index] = f"({chance.choice(load_corpus())[0]})"
            case 5:
                string = "".join(chance.choice(values.STRINGS)[:200])
                tokens[index] = f"'{string}'"
    return "".join(tokens)


def _mutate_characters(source: str, chance: Random) -> str:
    for _ in range(chance.randint(1, 4)):
        start = chance.randint(0, len(source))
        end = min(len(source), start + chance.randint(0, 6))
        replacements = (
            "",
            "".join(chance.choices(SIGNS, k=chance.randint(1, 3))),
            source[start:end] * chance.randint(2, 40),
        )
        source = source[:start] + chance.choice(replacements) + source[end:]
    return source


def _by_chance(chance: Random) -> Source:
    return Source("signs", "".join(chance.choices(SIGNS, k=chance.randint(0, 60))))


_KINDS: tuple[Callable[[Random], Source], ...] = (_by_grammar, _by_call, _by_mutation, _by_chance)
_WEIGHTS = (35, 35, 27, 3)
