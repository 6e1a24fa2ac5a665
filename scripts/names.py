"""Checks names and sizes of the sources: `python -m scripts.names [--list]`.

Functions named by a past participle (at most 2 % of all functions), class names that occur twice in the two packages,
modules above 600 lines, and the lengths of functions (90 % within 15 lines). Tests are left out; a function's length is
that of its body without the docstring. The exit status is 1 if a limit is exceeded.
"""

from __future__ import annotations

import argparse
import ast
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGES = ("stellar", "maas_runtime")
SOURCES = (*PACKAGES, "scripts", "benchmarks", "drills", "engines", "examples")
GENERATED = ("tables.py",)

MOST_PARTICIPLES = 2.0  # percent of all functions
LONGEST_MODULE = 600
LONGEST_FUNCTION_P90 = 15

# Functions that return a changed copy and leave their argument alone, as `sorted` does
SORTED_IDIOM: frozenset[str] = frozenset()
_PREDICATES = ("is", "has", "can")
# Base forms that end like participles
_BASE_FORMS = set(
    "bed bleed breed embed exceed feed heed need proceed red seed shed speed succeed weed".split()  # noqa: SIM905
)
# Participles and past tenses that differ from the base form
_IRREGULAR = set(
    """
    ate became began begun bent bit bitten blew blown born borne bought bound broke broken brought built burnt
    came caught chose chosen clung crept dealt did done drawn drew driven drove drunk dug eaten fallen fed fell
    felt fled flew flown forbade forbidden forgot forgotten fought found froze frozen gave given gone got gotten
    grew grown had heard held hidden hung kept knew known laid learnt led left lent lit lost made meant met
    misspelt mistaken overridden overrode overwritten paid proven ran rang rebuilt redone resent rewritten
    ridden rode rose risen rung said sang sat saw seen sent shaken shook shone shot shown shrunk sold sought
    spelt spent spoke spoken sprung spun stolen stood stuck struck sung sunk swept swore sworn swum taken taught
    thought threw thrown told took tore torn trodden undone understood undertaken unknown unmade unseen unsent
    unwound unwritten went withdrawn withheld withstood woke woken won wore worn wound woven written wrote
    """.split()  # noqa: SIM905
)


@dataclass(frozen=True)
class FunctionSize:
    """A function or method.

    length: lines of the body without the docstring
    is_property: its name may be a noun or an adjective
    """

    path: str
    line: int
    name: str
    length: int
    is_property: bool


@dataclass(frozen=True)
class Check:
    """The result of a check.

    summary: the figure and its limit
    findings: `path:line: …` of each, for `--list`
    """

    summary: str
    findings: list[str]
    is_passed: bool


def is_participle(word: str) -> bool:
    """Return True for a past participle or a past tense, such as `opened`, `held` and `took`."""
    return word in _IRREGULAR or (word.endswith("ed") and len(word) > 3 and word not in _BASE_FORMS)


def is_named_by_participle(function: FunctionSize) -> bool:
    """Return True if the first word of the name is a participle, and neither idiom nor rule permits it."""
    name = function.name.strip("_")
    first = name.split("_")[0]
    if function.is_property or first in _PREDICATES or name in SORTED_IDIOM or function.name.startswith("__"):
        return False
    return is_participle(first)


def read_functions(tree: ast.AST, path: str) -> Iterator[FunctionSize]:
    """Yield the functions and methods of a module, nested ones too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield FunctionSize(path, node.lineno, node.name, _length(node), _is_property(node))


def _length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    body = function.body[1:] if ast.get_docstring(function, clean=False) is not None else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def _is_property(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    for decorator in function.decorator_list:
        target = decorator.func if isinstance(decorator, ast.Call) else decorator
        name = target.attr if isinstance(target, ast.Attribute) else getattr(target, "id", "")
        if name.endswith("property") or name in ("setter", "deleter"):
            return True
    return False


def check_participles(functions: Sequence[FunctionSize]) -> Check:
    """Check the share of functions that are named by a past participle."""
    named = [function for function in functions if is_named_by_participle(function)]
    percent = 100 * len(named) / len(functions) if functions else 0.0
    return Check(
        f"functions named by a past participle: {len(named)} of {len(functions)}, {percent:.1f} %"
        f" (at most {MOST_PARTICIPLES:g} %)",
        [f"{each.path}:{each.line}: {each.name}: name it by a verb in the imperative" for each in named],
        percent <= MOST_PARTICIPLES,
    )


def check_classes(trees: Iterable[tuple[str, ast.AST]]) -> Check:
    """Check that no two classes have the same name."""
    lines = defaultdict[str, list[str]](list)
    for path, tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                lines[node.name].append(f"{path}:{node.lineno}")
    repeated = {name: found for name, found in sorted(lines.items()) if len(found) > 1}
    return Check(
        f"class names that occur twice: {len(repeated)} of {len(lines)} (none)",
        [f"{line}: {name}: {len(found)} classes have this name" for name, found in repeated.items() for line in found],
        not repeated,
    )


def check_modules(lengths: dict[str, int]) -> Check:
    """Check the lengths of modules, in lines; generated ones are left out."""
    lengths = {path: lines for path, lines in lengths.items() if Path(path).name not in GENERATED}
    long = sorted((path for path in lengths if lengths[path] > LONGEST_MODULE), key=lambda path: -lengths[path])
    return Check(
        f"modules above {LONGEST_MODULE} lines: {len(long)} of {len(lengths)} (none)",
        [f"{path}:1: {lengths[path]} lines: split the module" for path in long],
        not long,
    )


def check_functions(functions: Sequence[FunctionSize]) -> Check:
    """Check the 90th percentile of the lengths of functions."""
    longest = sorted(functions, key=lambda function: -function.length)
    p90 = longest[len(longest) // 10].length if longest else 0
    above = [function for function in longest if function.length > LONGEST_FUNCTION_P90]
    return Check(
        f"lines of a function, 90th percentile: {p90} (at most {LONGEST_FUNCTION_P90})",
        [f"{each.path}:{each.line}: {each.name}: {each.length} lines" for each in above],
        p90 <= LONGEST_FUNCTION_P90,
    )


def run_checks(root: Path) -> list[Check]:
    """Run all checks on the sources below a directory."""
    paths = sorted(path for name in SOURCES for path in (root / name).rglob("*.py"))
    sources = {path.relative_to(root).as_posix(): path.read_text(encoding="utf-8") for path in paths}
    trees = {path: ast.parse(source) for path, source in sources.items()}
    functions = [function for path, tree in trees.items() for function in read_functions(tree, path)]
    packaged = [(path, tree) for path, tree in trees.items() if path.split("/")[0] in PACKAGES]
    return [
        check_participles(functions),
        check_classes(packaged),
        check_modules({path: source.count("\n") for path, source in sources.items()}),
        check_functions([function for function in functions if function.path.split("/")[0] in PACKAGES]),
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the checks, and return 1 if one fails."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.names", description="Check names and sizes of the sources."
    )
    parser.add_argument("--list", action="store_true", help="print each finding with its line")
    options = parser.parse_args(arguments)
    checks = run_checks(ROOT)
    for check in checks:
        if options.list:
            print(*check.findings, sep="\n", end="\n" if check.findings else "")
        print(f"{'ok  ' if check.is_passed else 'FAIL'} {check.summary}")
    return int(not all(check.is_passed for check in checks))


if __name__ == "__main__":
    sys.exit(main())
