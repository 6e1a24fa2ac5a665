"""The signature of a model has the inputs and results that JPMML-Evaluator reports, and those that scores have."""

from __future__ import annotations

import json
from collections import defaultdict
from contextlib import suppress

import pytest

from stellar.models.errors import InvalidModel, NotScored
from stellar.models.loading import load_model, read_model_file
from stellar.models.signature import FieldSignature, describe_inputs, describe_outputs
from tests.conformance.cases import DATA as CORPUS
from tests.conformance.pmml_cases import read_pmml_cases, untag
from tests.models.boosters.test_stored_scores import DATA

FOLDER = CORPUS / "pmml"
INDEX = json.loads((FOLDER / "index.json").read_text("utf-8"))
# Listed by JPMML for one model, of which they are no results
INNER = {("normalizedAnomalyScore", "double"), ("rawAnomalyScore", "double")}


def load_documents():
    """Yield the entry of each document of the corpus that both can load, and its model."""
    for entry in INDEX:
        if "load_error" not in entry:
            try:
                yield entry, load_model(FOLDER / entry["pmml"])
            except InvalidModel:
                continue


def test_inputs_are_those_of_jpmml():
    count = 0
    for entry, model in load_documents():
        expected = {(name, kind) for name, kind, _ in entry["inputs"]}
        found = {(field.name, field.type) for field in describe_inputs(model)}
        groups = {field.name for field in model.document.model.fields if field.usage == "group"}
        assert {each for each in found if each[0] not in groups} == expected, entry["pmml"]
        count += 1
    assert count > 100


def test_outputs_are_those_of_jpmml():
    for entry, model in load_documents():
        targets = [("prediction" if name.startswith("$") else name, kind) for name, kind, _ in entry["targets"]]
        expected = {*targets, *((name, kind) for name, kind, *_ in entry["outputs"])}
        fields = [(field.name, field.type) for field in describe_outputs(model)]
        found = {field for field in fields if field in expected or not field[0].startswith("probability(")}
        assert found - {("prediction", None)} == expected - {("prediction", None)} - INNER, entry["pmml"]


def test_each_result_is_listed_once():
    for entry, model in load_documents():
        names = [field.name for field in describe_outputs(model)]
        assert len(names) == len(set(names)), entry["pmml"]


def test_results_of_scores_are_listed():
    cases = defaultdict(list)
    for raw in read_pmml_cases(FOLDER):
        cases[raw["pmml"]].append(raw)
    for entry, model in load_documents():
        listed = {field.name for field in describe_outputs(model)}
        returned = set()
        for raw in cases[entry["pmml"]]:
            with suppress(NotScored):
                returned |= model.score(untag(raw["record"])).keys()
        # A segment without a target has a prediction without a name, here as in JPMML
        assert returned - {"prediction"} <= listed, entry["pmml"]
        assert not returned or {name for name in listed if name.startswith("probability(")} <= returned, entry["pmml"]


SEGMENT = """<Segment>{predicate}<RegressionModel functionName="regression">
<MiningSchema><MiningField name="x"/><MiningField name="y" usageType="target"/></MiningSchema>
<Output><OutputField name="{name}" optype="continuous" dataType="double"/></Output>
<RegressionTable intercept="1"/></RegressionModel></Segment>"""


def test_outputs_of_each_segment_that_may_be_selected_are_listed():
    low = '<SimplePredicate field="x" operator="lessThan" value="1"/>'
    named = ((low, "low"), ("<True/>", "high"), ("<True/>", "never"))
    segments = "".join(SEGMENT.format(predicate=predicate, name=name) for predicate, name in named)
    model = read_model_file(
        f"""<PMML version="4.4"><DataDictionary><DataField name="x" optype="continuous" dataType="double"/>
<DataField name="y" optype="continuous" dataType="double"/></DataDictionary><MiningModel functionName="regression">
<MiningSchema><MiningField name="x"/><MiningField name="y" usageType="target"/></MiningSchema>
<Segmentation multipleModelMethod="selectFirst">{segments}</Segmentation></MiningModel></PMML>""".encode()
    )
    assert [field.name for field in describe_outputs(model)] == ["y", "low", "high"]
    assert model.score({"x": 0}) == {"y": 1.0, "low": 1.0}
    assert model.score({"x": 2}) == {"y": 1.0, "high": 1.0}


@pytest.mark.parametrize(("name", "type"), [("binary.json", "integer"), ("binary.ubj", "integer")])
def test_a_booster_has_a_prediction_without_a_name(name, type):
    model = load_model(DATA / name)
    shares = [FieldSignature(f"probability({index})", "double") for index in (0, 1)]
    assert describe_outputs(model) == [FieldSignature("prediction", type), *shares]
    assert FieldSignature("ttl_mean", "double") in describe_inputs(model)


def test_listed_values_are_part_of_a_field():
    model = read_model_file(
        b"""<PMML version="4.4"><DataDictionary>
        <DataField name="tld" optype="categorical" dataType="string"><Value value="com"/><Value value="ru"/></DataField>
        <DataField name="ffsn" optype="categorical" dataType="string"><Value value="0"/><Value value="1"/></DataField>
        </DataDictionary><TreeModel functionName="classification">
        <MiningSchema><MiningField name="tld"/><MiningField name="ffsn" usageType="target"/></MiningSchema>
        <Node score="0"><True/></Node></TreeModel></PMML>"""
    )
    assert [field.to_object() for field in describe_inputs(model)] == [
        {"name": "tld", "type": "string", "values": ["com", "ru"]}
    ]
    shares = [FieldSignature(f"probability({index})", "double") for index in (0, 1)]
    assert describe_outputs(model) == [FieldSignature("ffsn", "string", ("0", "1")), *shares]
