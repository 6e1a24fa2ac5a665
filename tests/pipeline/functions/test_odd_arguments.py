"""Functions of configurations return a value or raise an error of their own for any arguments."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import stellar
from stellar.functions import PIPELINE_FAMILIES, SHELL_LIBRARY
from stellar.language.context import Context, GlobalSettings
from stellar.pipeline.functions.parsers import SensorParser
from stellar.pipeline.functions.triage import TriageEngine
from stellar.stores.configurations import KINDS, ConfigurationStore, DirectoryConfigurations

NAMES = sorted(name for names in PIPELINE_FAMILIES.values() for name in names.split())
CONFIGURATIONS = [
    "",
    "{}",
    "{",
    "[]",
    "null",
    '{"\ud800": 1}',
    '{"\\ud800": 1}',
    "[" * 2000,
    '{"a":' * 2000,
    '{"x": NaN}',
    '{"parserClassName": "CSV"}',
    '{"parserClassName": "JSONMap", "fieldTransformations": [{"transformation": "STELLAR", "config": {"a": 5}}]}',
    '{"parserClassName": "JSONMap", "fieldTransformations": [null]}',
    '{"parserClassName": "Grok", "parserConfig": {"grokPath": "/x", "patternLabel": "%{"}}',
    '{"enrichment": {"fieldMap": {"stellar": {"config": {"g": {"a": "b"}}}}}}',
    '{"enrichment": {"fieldMap": {"stellar": 5}}}',
    '{"threatIntel": {"triageConfig": {"riskLevelRules": {"a": 1}}}}',
    '{"threatIntel": {"triageConfig": {"riskLevelRules": [{"rule": "a", "score": []}]}}}',
    '{"hdfs": 5}',
    '{"profiles": [{"profile": "a", "foreach": "b", "result": "c"}]}',
    '{"fieldValidations": [{"validation": "STELLAR"}]}',
]
CYCLE: list[Any] = []
CYCLE.append(CYCLE)
scalars = st.one_of(
    st.sampled_from(CONFIGURATIONS),
    st.sampled_from([*KINDS, "THREAT_INTEL", "SUM", "hdfs", "web", "../x", "a" * 300, "\ud800", "a > 1", "1 +"]),
    st.sampled_from([None, True, 0, -1, 2**70, math.nan, math.inf, b"x", CYCLE]),
    st.builds(object),
)
values = st.one_of(
    scalars,
    st.lists(scalars, max_size=2),
    st.dictionaries(st.sampled_from(["rule", "score", "name", "a", 1, None]), scalars, max_size=3),
    st.builds(lambda: evaluate_plainly("THREAT_TRIAGE_INIT()")),
    st.builds(lambda: evaluate_plainly("PARSER_INIT('web', {'parserClassName': 'JSONMap'})")),
)


def evaluate_plainly(expression: str) -> Any:
    value = stellar.evaluate(expression, {}, library=SHELL_LIBRARY)
    assert isinstance(value, SensorParser | TriageEngine)
    return value


@pytest.fixture
def offline(tmp_path: Path) -> Context:
    """A context in which no function waits for a Kafka broker, as the configured one is invalid."""
    brokers = GlobalSettings({"bootstrap.servers": ""})
    return Context({ConfigurationStore: DirectoryConfigurations(tmp_path / "config"), GlobalSettings: brokers})


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(arguments=st.lists(values, min_size=1, max_size=4))
def test_a_function_returns_or_raises_an_error_of_its_own(name: str, offline: Context, arguments: list[Any]) -> None:
    record = {f"a{index}": argument for index, argument in enumerate(arguments)}
    try:
        stellar.compile(f"{name}({', '.join(record)})", library=SHELL_LIBRARY).evaluate(record, offline)
    except stellar.EvaluationError as error:
        assert isinstance(error.__cause__, ValueError | LookupError), repr(error.__cause__)  # noqa: PT017
        assert not isinstance(error.__cause__, UnicodeError | KeyError | IndexError), repr(error.__cause__)  # noqa: PT017
    except stellar.ResolutionError:
        return  # a wrong number of arguments, which is not tested here
