"""The library compared with Metron's list of functions, and with the generated documentation."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scripts.functions import FOLDER, build_pages
from stellar.functions import FAMILIES, LIBRARY, PIPELINE_FAMILIES, SHELL_FAMILIES, SHELL_LIBRARY

METRON: dict[str, list[str]] = json.loads(Path(__file__).with_name("metron_functions.json").read_text())


def test_every_function_of_metron_is_implemented() -> None:
    assert len(METRON) == 208
    assert set(METRON) == set(SHELL_LIBRARY)


@pytest.mark.parametrize("name", sorted(METRON))
def test_parameters_have_the_same_names_as_in_metron(name: str) -> None:
    parameters = SHELL_LIBRARY[name].parameters
    assert [parameter.name for parameter in parameters][: len(METRON[name])] == METRON[name]
    # Further parameters are repetitions or unused arguments that Metron accepts without documenting them
    assert all(parameter.optional for parameter in parameters[len(METRON[name]) :])


@pytest.mark.parametrize("name", sorted(METRON))
def test_a_function_is_fully_documented(name: str) -> None:
    function = SHELL_LIBRARY[name]
    assert function.help.summary.endswith(".")
    assert all(parameter.description for parameter in function.parameters)
    assert set(function.help.parameters) == {parameter.name for parameter in function.parameters}
    assert function.help.returns


@pytest.mark.parametrize(
    "name", sorted(name for names in (*SHELL_FAMILIES.values(), *PIPELINE_FAMILIES.values()) for name in names.split())
)
def test_a_shell_function_has_a_hint_elsewhere(name: str) -> None:
    assert name not in LIBRARY
    hint = "available only in the shell, and in a pipeline whose configuration selects the shell's library"
    assert LIBRARY.hint(name) == hint


def test_no_function_is_in_two_families() -> None:
    names = [
        name
        for families in (FAMILIES, SHELL_FAMILIES, PIPELINE_FAMILIES)
        for row in families.values()
        for name in row.split()
    ]
    assert len(names) == len(set(names))


def test_the_generated_pages_are_up_to_date() -> None:
    written = {file.name: file.read_text(encoding="utf-8") for file in FOLDER.glob("*.md")}
    assert build_pages() == written, "run python -m scripts.functions"
