"""The schemas of all PMML models of the corpus, beside their records and results."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path

import jsonschema
import pytest

from maas_runtime.serving.schema import describe_interface, make_record_schema, make_result_schema
from stellar.models.errors import NotScored
from stellar.models.loading import read_pmml
from stellar.models.records import RecordReader, UnreadableRecord, encode_result
from tests.conformance.pmml_cases import load_documents, read_pmml_cases, untag
from tests.models.sample_model import DOCUMENT

CORPUS = Path(__file__).parents[2] / "conformance" / "data" / "pmml"
Validator = jsonschema.Draft202012Validator


@pytest.fixture(scope="module")
def models():
    return {name: each.model for name, each in load_documents(CORPUS).items() if each.model is not None}


def is_infinite(value):
    """Return True for a number that JSON does not have."""
    return isinstance(value, float) and not math.isfinite(value)


def score(model, reader, record):
    try:
        return json.loads(encode_result(model.score_completely(reader.read_object(record))))
    except UnreadableRecord:
        return 400
    except NotScored:
        return 422


def test_a_record_that_is_valid_by_the_schema_is_readable_and_results_are_valid(models):
    tools = {
        name: (RecordReader(model), Validator(make_record_schema(model)), Validator(make_result_schema(model)))
        for name, model in models.items()
    }
    counts: Counter[tuple[bool, object]] = Counter()
    for case in read_pmml_cases(CORPUS):
        if (model := models.get(case["pmml"])) is None:
            continue
        reader, inputs, outputs = tools[case["pmml"]]
        record = {key: value for key, value in untag(case["record"]).items() if not is_infinite(value)}
        is_valid, result = inputs.is_valid(record), score(model, reader, record)
        if isinstance(result, dict):
            outputs.validate(result)
        counts[is_valid, result if isinstance(result, int) else 200] += 1
    assert counts[True, 400] == 0
    assert counts[True, 200] > 3000
    assert counts[False, 400] > 500


def test_values_and_intervals_are_limits_if_the_model_declines_others():
    properties = make_record_schema(read_pmml(DOCUMENT))["properties"]
    assert properties["x"] == {"type": "number", "minimum": 0.0}
    assert properties["n"] == {"type": ["integer", "null"], "minimum": -(2**31), "maximum": 2**31 - 1, "default": 7}
    assert properties["tld"] == {"type": ["string", "null"], "enum": ["ru", "com", None]}
    assert properties["born"] == {"type": ["string", "null"], "format": "date"}
    tolerant = DOCUMENT.replace(b'name="tld"/>', b'name="tld" invalidValueTreatment="asMissing"/>')
    assert make_record_schema(read_pmml(tolerant))["properties"]["tld"] == {"type": ["string", "null"]}


def test_references_of_the_interface_resolve(models):
    for name, model in models.items():
        interface = describe_interface(model, name)
        text = json.dumps(interface)
        for reference in {"Record", "Result", "Error"}:
            assert f'"#/components/schemas/{reference}"' in text
            Validator.check_schema(interface["components"]["schemas"][reference])
