"""Records as requests have them: strings that are read as the type of their field, and results as JSON."""

from __future__ import annotations

import json
import math
from datetime import date
from pathlib import Path
from urllib.parse import quote_plus

import pytest

from stellar.maas.client.encoding import encode_query
from stellar.models.errors import InvalidField, NotScored
from stellar.models.evaluation.model import find_lists
from stellar.models.loading import read_pmml
from stellar.models.records import RecordReader, UnreadableRecord, encode_result
from tests.conformance.pmml_cases import load_documents, read_pmml_cases, untag
from tests.models.sample_model import DOCUMENT

FOLDER = Path(__file__).parents[1] / "conformance" / "data" / "pmml"
MODEL = read_pmml(DOCUMENT)
READER = RecordReader(MODEL)


@pytest.mark.parametrize(
    ("query", "record"),
    [
        ("", {}),
        ("n=5&x=2.5&tld=ru", {"n": 5, "x": 2.5, "tld": "ru"}),
        ("x=1e3", {"x": 1000.0}),
        ("x=-3", {"x": -3.0}),
        ("x=%2B3", {"x": 3.0}),
        ("tld=a+b%20%C3%A9", {"tld": "a b é"}),
        ("tld=1", {"tld": "1"}),
        ("tld=", {"tld": ""}),
        ("x", {"x": None}),
        ("&x=1&&n=2&", {"x": 1.0, "n": 2}),
        ("tld=a=b", {"tld": "a=b"}),
        ("flag=true", {"flag": True}),
        ("n=3.0", {"n": 3}),
        ("born=2026-01-31", {"born": date(2026, 1, 31)}),
    ],
)
def test_strings_are_read_as_the_type_of_their_field(query, record):
    read = READER.read_query(query)
    assert read == record
    assert [type(value) for value in read.values()] == [type(value) for value in record.values()]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("m=1", "unknown input 'm'; known are born, flag, n, tld, x"),
        ("tdl=1", "unknown input 'tdl'; did you mean tld?"),
        ("=1", "unknown input ''; known are born, flag, n, tld, x"),
        ("x=1&n=2&x=1", "repeated input 'x'; give each name once"),
        ("x=%zz", "invalid percent-encoding in '%zz'"),
        ("x=%4", "invalid percent-encoding in '%4'"),
        ("tld=%ff", "'%ff' is not UTF-8"),
    ],
)
def test_a_query_with_an_unknown_or_repeated_name_or_an_invalid_encoding_is_unreadable(query, message):
    with pytest.raises(UnreadableRecord) as raised:
        READER.read_query(query)
    assert str(raised.value) == message


def test_values_of_json_have_types_already():
    values = {"x": 1, "n": 2, "tld": "ru", "flag": False, "born": None}
    assert READER.read_object(values) == values
    assert READER.read_object({"x": "1.5", "flag": "true"}) == {"x": 1.5, "flag": True}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"m": 1}, "unknown input 'm'; known are born, flag, n, tld, x"),
        ({"x": math.inf}, "input 'x': the number exceeds the range of 64 bits"),
    ],
)
def test_an_object_with_an_unknown_name_or_a_number_out_of_range_is_unreadable(values, message):
    with pytest.raises(UnreadableRecord) as raised:
        READER.read_object(values)
    assert str(raised.value) == message


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("x", "abc", "expected double, got 'abc'"),
        ("x", "", "expected double, got ''"),
        ("x", "1_000", "expected double, got '1_000'"),
        ("x", "٣", "expected double, got '٣'"),
        ("n", "1.5", "expected integer, got '1.5'"),
        ("flag", "maybe", "expected boolean, got 'maybe'"),
        ("born", "yesterday", "expected date, got 'yesterday'"),
        ("born", "2026-02-31", "expected date, got '2026-02-31'"),
    ],
)
def test_a_string_that_is_not_of_the_type_is_unreadable(name, value, message):
    for read in (lambda: READER.read_query(f"{name}={quote_plus(value)}"), lambda: READER.read_object({name: value})):
        with pytest.raises(UnreadableRecord) as raised:
            read()
        assert str(raised.value) == f"input '{name}': {message}"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"x": [1.0]}, "input 'x': expected double, got [1.0]"),
        ({"n": 2**40}, "input 'n': expected integer, got 1099511627776"),
        ({"n": 1.5}, "input 'n': expected integer, got 1.5"),
        ({"n": 10**400}, "input 'n': expected integer, got an integer of 1329 bits"),
        ({"tld": {"a": 1}}, "input 'tld': expected string, got {'a' : 1}"),
        ({"born": 5}, "input 'born': expected date, got 5"),
    ],
)
def test_a_value_of_json_that_is_not_of_the_type_is_unreadable(values, message):
    with pytest.raises(UnreadableRecord) as raised:
        READER.read_object(values)
    assert str(raised.value) == message


def test_a_value_of_the_type_that_the_model_does_not_accept_is_readable():
    with pytest.raises(InvalidField, match=r"invalid value of field 'x': the model does not accept -1\.0"):
        MODEL.score(READER.read_query("x=-1"))


def test_a_model_that_treats_invalid_values_receives_them():
    document = DOCUMENT.replace(b'name="n" missing', b'name="n" invalidValueTreatment="asMissing" missing')
    model = read_pmml(document)
    reader = RecordReader(model)
    assert reader.read_query("n=many") == {"n": "many"}
    assert reader.read_object({"n": 1.5}) == {"n": 1.5}
    assert model.score(reader.read_query("x=1&n=many"))["y"] == model.score({"x": 1.0, "n": 7})["y"]


def test_a_listed_missing_value_need_not_be_of_the_type():
    listed = b'<Value value="N/A" property="missing"/></DataField>\n<DataField name="tld"'
    document = DOCUMENT.replace(b'dataType="integer"/>\n<DataField name="tld"', b'dataType="integer">' + listed)
    model = read_pmml(document)
    reader = RecordReader(model)
    assert reader.read_query("n=N/A") == {"n": "N/A"}
    assert model.score(reader.read_query("x=1&n=N%2FA"))["y"] == 10.0
    with pytest.raises(UnreadableRecord, match="expected integer"):
        reader.read_query("n=NA")


def test_a_field_whose_values_are_lists_reads_their_items():
    model = read_pmml((FOLDER / "models/x_assoc_recommendation.pmml").read_bytes())
    reader = RecordReader(model)
    (name,) = find_lists(model.document)
    items = ["a", "b"]
    assert reader.read_query(f"{name}={quote_plus(json.dumps(items))}") == {name: items}
    assert reader.read_query(f"{name}=a") == {name: "a"}
    assert reader.read_query(f"{name}=[a") == {name: "[a"}
    assert reader.read_object({name: items}) == {name: items}


# -- Results ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("result", "encoded"),
    [
        ({"ffsn": "1", "probability(1)": 0.5}, b'{"ffsn":"1","probability(1)":0.5}'),
        ({"a": math.nan, "b": [math.inf, 1], "c": {"d": -math.inf}}, b'{"a":null,"b":[null,1],"c":{"d":null}}'),
        ({"a": "é\ud800"}, rb'{"a":"\u00e9\ud800"}'),
        ({"a": date(2026, 1, 31), "b": True, "c": None}, b'{"a":"2026-01-31","b":true,"c":null}'),
        ({"a": frozenset({"y", "x"})}, b'{"a":["x","y"]}'),
    ],
)
def test_a_result_becomes_json_without_nan(result, encoded):
    assert encode_result(result) == encoded


def test_a_value_without_a_json_form_is_an_error():
    with pytest.raises(TypeError, match="JSON does not have"):
        encode_result({"a": object()})


# -- All models -------------------------------------------------------------------------------------------------------


def score(model, read, source):
    try:
        return encode_result(model.score_completely(read(source)))
    except NotScored:
        return None


def test_a_query_gives_the_score_of_its_typed_values():
    """Score the records of all PMML cases as they are, and as queries."""
    documents = load_documents(FOLDER)
    readers = {name: RecordReader(each.model) for name, each in documents.items() if each.model is not None}
    compared = refused = 0
    for case in read_pmml_cases(FOLDER):
        if (reader := readers.get(case["pmml"])) is None:
            continue
        model = documents[case["pmml"]].model
        names = {field.name for field in model.inputs()}
        record = {name: value for name, value in untag(case["record"]).items() if name in names}
        strings = {name: value if isinstance(value, list) else _as_string(value) for name, value in record.items()}
        by_query = score(model, reader.read_query, encode_query(record))
        assert by_query == score(model, reader.read_object, strings), case["id"]
        assert by_query in (None, score(model, dict, strings)), case["id"]
        refused += by_query is None and score(model, dict, strings) is not None
        compared += 1
    assert compared > 5000
    assert refused < compared / 100  # values of another type, of fields that the model did not need for the record


def _as_string(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if value is None else str(value)
