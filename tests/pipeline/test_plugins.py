"""Transformations, filters and validations of users: Python functions by dotted paths and entry points."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint
from types import ModuleType
from typing import Any

import pytest

from stellar.language.errors import ConfigError
from stellar.pipeline.pipeline import Pipeline
from stellar.pipeline.records import Drop, Raw, Record, Rejected

Make = Callable[..., Pipeline]

SOURCE = """
from stellar.pipeline.records import Drop


def shout(config, location, builder):
    return lambda record: {**record, "a": record["a"].upper()}


def only_b(config, location, builder):
    def stage(record):
        if record["a"] != "b":
            raise Drop
        return record

    return stage


def short(config, location, builder):
    return lambda fields: all(len(value) < config.config["limit"] for value in fields.values())
"""


@pytest.fixture(autouse=True)
def mine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A module with a function of each kind, and an entry point for each."""
    module = ModuleType("my_stages")
    exec(SOURCE, module.__dict__)
    monkeypatch.setitem(sys.modules, "my_stages", module)
    points = {
        "stellar.transformations": EntryPoint("SHOUT", "my_stages:shout", "stellar.transformations"),
        "stellar.filters": EntryPoint("ONLY_B", "my_stages:only_b", "stellar.filters"),
        "stellar.validations": EntryPoint("SHORT", "my_stages:short", "stellar.validations"),
    }

    def find(group: str) -> list[EntryPoint]:
        return [points[group]] if group in points else []

    monkeypatch.setattr("importlib.metadata.entry_points", find)


def configure(transformation: str, filter_: str, validation: str) -> Record:
    return {
        "parser": {
            "parserClassName": "JSONMap",
            "filterClassName": filter_,
            "fieldTransformations": [{"transformation": transformation}],
        },
        "globals": {"fieldValidations": [{"validation": validation, "input": "a", "config": {"limit": 2}}]},
    }


def run(pipeline: Pipeline, value: str) -> Any:
    (outcome,) = pipeline(Raw(f'{{"a":"{value}"}}'.encode()))
    return outcome


def check(make_pipeline: Make, names: tuple[str, str, str]) -> None:
    transformation, filter_, validation = names
    upper = run(make_pipeline(**configure(transformation, "", "NOT_EMPTY")), "x")
    assert upper["a"] == "X"
    filtered = make_pipeline(**configure("RENAME", filter_, "NOT_EMPTY"))
    assert isinstance(run(filtered, "x"), Drop)
    assert run(filtered, "b")["a"] == "b"
    invalid = run(make_pipeline(**configure("RENAME", "", validation)), "xx")
    assert isinstance(invalid, Rejected)
    assert invalid.reason == f"invalid record: failed {validation}(a)"


def test_a_dotted_path_names_a_python_function(make_pipeline: Make) -> None:
    check(make_pipeline, ("my_stages.shout", "my_stages.only_b", "my_stages.short"))


def test_an_entry_point_gives_a_short_name(make_pipeline: Make) -> None:
    check(make_pipeline, ("SHOUT", "ONLY_B", "SHORT"))


@pytest.mark.parametrize("name", ["my_stages.missing", "no_such_module.stage", "SHOUTS", "java.lang.String"])
def test_an_unknown_name_is_an_error(name: str, make_pipeline: Make) -> None:
    for names in ((name, "", "NOT_EMPTY"), ("RENAME", name, "NOT_EMPTY"), ("RENAME", "", name)):
        with pytest.raises(ConfigError, match=r"unknown|cannot import"):
            make_pipeline(**configure(*names))


@pytest.mark.parametrize("condition", ["1 / 0 > 1", "5", "'text'", "x / y > 1"])
def test_a_condition_that_fails_without_fields_is_an_error_at_the_start(condition: str, make_pipeline: Make) -> None:
    parser = {"parserClassName": "JSONMap", "filterClassName": "STELLAR", "parserConfig": {"filter.query": condition}}
    with pytest.raises(ConfigError, match="the condition fails for a record without fields: "):
        make_pipeline(parser=parser)
    validation = {"fieldValidations": [{"validation": "STELLAR", "config": {"condition": condition}}]}
    with pytest.raises(ConfigError, match="the condition fails for a record without fields: "):
        make_pipeline(globals=validation)


def test_a_null_condition_drops_the_record(make_pipeline: Make) -> None:
    parser = {"parserClassName": "JSONMap", "filterClassName": "STELLAR", "parserConfig": {"filter.query": "missing"}}
    assert isinstance(run(make_pipeline(parser=parser), "x"), Drop)
