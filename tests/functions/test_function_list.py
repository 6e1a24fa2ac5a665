"""The library beside the list of what Metron has, and beside its own manual."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import stellar
from scripts.functions import FOLDER, build_pages
from stellar.functions import FAMILIES, LIBRARY, PLANNED, SHELL_FAMILIES, SHELL_LIBRARY

METRON: dict[str, list[str]] = json.loads(Path(__file__).with_name("metron_functions.json").read_text())
LATER = {name for names in PLANNED.values() for name in names.split()}
HERE = sorted(set(METRON) - LATER)


def test_every_function_of_metron_is_here_or_named_as_still_to_come() -> None:
    assert len(METRON) == 208
    assert set(METRON) == set(SHELL_LIBRARY) | LATER
    assert not LATER & set(SHELL_LIBRARY)


@pytest.mark.parametrize("name", HERE)
def test_parameters_have_metrons_names(name: str) -> None:
    parameters = SHELL_LIBRARY[name].parameters
    assert [parameter.name for parameter in parameters][: len(METRON[name])] == METRON[name]
    # What Metron takes and does not tell: more of the last one, or one that has no effect
    assert all(parameter.optional for parameter in parameters[len(METRON[name]) :])


@pytest.mark.parametrize("name", HERE)
def test_a_function_is_described_in_full(name: str) -> None:
    function = SHELL_LIBRARY[name]
    assert function.help.summary.endswith(".")
    assert all(parameter.description for parameter in function.parameters)
    assert set(function.help.parameters) == {parameter.name for parameter in function.parameters}
    assert function.help.returns


@pytest.mark.parametrize("name", sorted(LATER))
def test_a_function_still_to_come_says_so(name: str) -> None:
    with pytest.raises(stellar.ResolutionError, match=f"unknown function {name}") as refused:
        stellar.compile(f"{name}(1)")
    assert refused.value.hint is not None
    assert refused.value.hint.startswith("Metron has it; here it will come with the ")


@pytest.mark.parametrize("name", sorted(name for names in SHELL_FAMILIES.values() for name in names.split()))
def test_what_only_the_shell_has_says_so(name: str) -> None:
    assert name not in LIBRARY
    assert LIBRARY.hint(name) == "only the shell has it, and a pipeline whose configuration asks for it"


def test_no_function_is_in_two_families() -> None:
    names = [name for families in (FAMILIES, SHELL_FAMILIES) for row in families.values() for name in row.split()]
    assert len(names) == len(set(names))


def test_the_pages_of_functions_are_fresh() -> None:
    written = {file.name: file.read_text(encoding="utf-8") for file in FOLDER.glob("*.md")}
    assert build_pages() == written, "run python -m scripts.functions"
