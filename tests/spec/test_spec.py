"""Tests of spec lines: the language specification, the docstrings of functions and the documentation.

The notation is described in docs/spec-lines.md; stellar/tooling/spec_lines.py reads it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from stellar.functions import SHELL_LIBRARY
from stellar.language.errors import StellarError
from stellar.language.expression import Expression
from stellar.tooling import spec_lines

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
FENCED = re.compile(r"^```stellar\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def read_specification() -> Iterator[tuple[str, spec_lines.Paragraph]]:
    for file in sorted(HERE.glob("*.stellar")):
        for paragraph in spec_lines.read(file.read_text()):
            yield f"{file.stem}: {paragraph.claim}", paragraph


def read_documentation() -> Iterator[tuple[str, spec_lines.Paragraph]]:
    for file in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        if file.parent.name == "functions":  # generated from the docstrings
            continue
        for number, block in enumerate(FENCED.findall(file.read_text()), start=1):
            for paragraph in spec_lines.read(block):
                yield f"{file.name} block {number}: {paragraph.claim or paragraph.lines[0].expression}", paragraph


SPECIFICATION = list(read_specification())
ALL = [*SPECIFICATION, *read_documentation(), *spec_lines.read_library(SHELL_LIBRARY)]
GOLDEN = sorted((HERE / "errors").glob("*.txt"))


@pytest.mark.parametrize("paragraph", [pytest.param(paragraph, id=name) for name, paragraph in ALL])
def test_the_lines_of_a_paragraph_hold(paragraph, in_a_shell):
    problems = spec_lines.find_failures(paragraph, SHELL_LIBRARY, in_a_shell) or spec_lines.find_failures(
        paragraph, SHELL_LIBRARY, in_a_shell, fast=False
    )
    if problems:
        pytest.fail("\n".join(problems), pytrace=False)


def test_every_paragraph_of_the_specification_has_a_claim():
    assert [paragraph.lines[0] for _, paragraph in SPECIFICATION if not paragraph.claim] == []


@pytest.mark.parametrize("file", [pytest.param(file, id=file.stem) for file in GOLDEN])
def test_a_diagnostic_matches_its_golden_file(file):
    *variables, expression, expected = re.split(r"^---\n", file.read_text(), flags=re.MULTILINE)
    record = {
        name: spec_lines.evaluate_result(text, SHELL_LIBRARY)
        for paragraph in spec_lines.read("".join(variables) + "0  // 0\n")
        for name, text in paragraph.variables.items()
    }
    with pytest.raises(StellarError) as caught:
        Expression(expression.removesuffix("\n"), SHELL_LIBRARY)(record)
    assert f"{caught.value}\n" == expected
