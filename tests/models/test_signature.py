"""The signature of a model has the inputs and results that JPMML-Evaluator reports, and those that scores have."""

from __future__ import annotations

import json

import pytest

from stellar.models.errors import InvalidModel
from stellar.models.loading import load_model, read_model_file
from stellar.models.signature import FieldSignature, describe_inputs, describe_outputs
from tests.conformance.cases import DATA as CORPUS
from tests.models.boosters.test_stored_scores import DATA

FOLDER = CORPUS / "pmml"
INDEX = json.loads((FOLDER / "index.json").read_text("utf-8"))
INNER = {("normalizedAnomalyScore", "double"), ("rawAnomalyScore", "double")}  # listed for one model


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
        found = {(field.name, field.type) for field in describe_outputs(model)}
        assert found - {("prediction", None)} == expected - {("prediction", None)} - INNER, entry["pmml"]


@pytest.mark.parametrize(("name", "type"), [("binary.json", "integer"), ("binary.ubj", "integer")])
def test_a_booster_has_a_prediction_without_a_name(name, type):
    model = load_model(DATA / name)
    assert describe_outputs(model) == [FieldSignature("prediction", type)]
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
    assert describe_outputs(model) == [FieldSignature("ffsn", "string", ("0", "1"))]
