"""Scores of models that are composed of others."""

from __future__ import annotations

import pytest

from stellar.models.loading import read_pmml
from stellar.models.values import parse_double

FIELDS = """<DataDictionary><DataField name="a" optype="continuous" dataType="double"/>
<DataField name="y" optype="continuous" dataType="double"/></DataDictionary>"""
INPUT = '<MiningField name="a"/>'
TARGET = '<MiningField name="y" usageType="target"/>'


def regression(schema: str, field: str, output: str = "") -> str:
    outputs = f'<Output><OutputField name="{output}" optype="continuous" dataType="double"/></Output>' if output else ""
    return f"""<RegressionModel functionName="regression"><MiningSchema>{schema}</MiningSchema>{outputs}
<RegressionTable intercept="1"><NumericPredictor name="{field}" coefficient="2"/></RegressionTable></RegressionModel>"""


def chain(*models: str, method: str = "modelChain") -> bytes:
    segments = "".join(f"<Segment><True/>{model}</Segment>" for model in models)
    return f"""<PMML version="4.4">{FIELDS}<MiningModel functionName="regression"><MiningSchema>{INPUT}{TARGET}
</MiningSchema><Segmentation multipleModelMethod="{method}">{segments}</Segmentation></MiningModel></PMML>""".encode()


def test_a_segment_with_a_target_and_no_output_uses_the_outputs_before_it():
    first = regression(INPUT, "a", "first")
    last = regression(f'<MiningField name="first"/>{TARGET}', "first")
    model = read_pmml(chain(first, last))
    assert model.score({"a": 3}) == {"y": 15.0}
    assert model.compile()
    assert model.score({"a": 3}) == model.score_completely({"a": 3})


@pytest.mark.parametrize("schema", [INPUT, INPUT + TARGET])
def test_segments_read_the_fields_of_the_model_around_them(schema):
    model = read_pmml(chain(*[regression(schema, "a")] * 3, method="sum"))
    assert model.score({"a": 1}) == {"y": 9.0}


@pytest.mark.parametrize(
    ("string", "number"),
    [("INF", float("inf")), ("-INF", float("-inf")), ("1f", 1.0), (" 2.5D ", 2.5), ("1e3", 1000.0)],
)
def test_numbers_are_read_as_by_java_and_xml_schema(string, number):
    assert parse_double(string) == number
