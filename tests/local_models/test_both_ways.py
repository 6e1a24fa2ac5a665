"""A model in this process returns what its instance returns: the same values, types and reasons."""

from __future__ import annotations

import math
from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maas_runtime.serving.metrics import ServingCounters
from maas_runtime.serving.tasks import RecordRefusal, RecordScorer
from stellar.functions.maas import _to_parameters
from stellar.language.conversions import to_string
from stellar.local_models.scoring import LocalScorer
from stellar.maas.client.decoding import decode_one
from stellar.maas.client.encoding import encode_query
from stellar.maas.errors import MaasError
from stellar.maas.transport.base import Response
from stellar.models.loading import load_model, read_model_file
from stellar.models.records import encode_error
from stellar.models.values import parse_double
from tests.conformance.cases import DATA
from tests.conformance.pmml_cases import load_documents, read_pmml_cases, untag
from tests.maas_runtime.serving.models import FFSN, LIGHTGBM_FILE, XGBOOST_FILE

FOLDER = DATA / "pmml"
VALUES = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.lists(st.floats(), max_size=2)
)
URL = "http://127.0.0.1:1/apply"


def decode(response):
    """Return the result of a response, or reason and message of its error."""
    try:
        return describe(decode_one(URL, response)[0].result)
    except MaasError as error:
        return error.reason, str(error)


def describe(value):
    """Return a value with the types that `==` ignores; NaN equals itself."""
    if isinstance(value, dict):
        return {key: describe(member) for key, member in value.items()}
    if isinstance(value, list):
        return [describe(member) for member in value]
    return type(value), math.copysign(1, value) if value == 0 and isinstance(value, float) else None, value


class BothWays:
    """A model, called as its instance and in this process."""

    def __init__(self, model):
        self._server, self._local = RecordScorer(model, ServingCounters()), LocalScorer(model)

    def ask_instance(self, arguments):
        found = self._server.score_query(encode_query(_to_parameters(arguments)))
        if isinstance(found, RecordRefusal):
            return decode(Response(found.status, encode_error(found.message), is_strict=True))
        return decode(Response(200, found))

    def ask_here(self, arguments):
        found = self._local(arguments, _to_parameters)
        return decode(found) if isinstance(found, Response) else describe(found)


def test_the_corpus_has_the_same_results_both_ways():
    cases = defaultdict(list)
    for raw in read_pmml_cases(FOLDER):
        cases[raw["pmml"]].append(raw)
    refused = count = 0
    for name, document in load_documents(FOLDER).items():
        if document.model is None:
            continue
        both = BothWays(document.model)
        for raw in cases[name]:
            record = untag(raw["record"])
            expected = both.ask_instance(record)
            assert both.ask_here(record) == expected, (raw["id"], record)
            assert both.ask_here(record) == expected, "of a known shape"
            refused += isinstance(expected, tuple)
            count += 1
    assert count > 5000
    assert 100 < refused < count / 2


@pytest.mark.parametrize("file", [XGBOOST_FILE, LIGHTGBM_FILE], ids=["xgboost", "lightgbm"])
@given(
    values=st.lists(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.text(max_size=5)
        | st.lists(st.floats(), max_size=2),
        min_size=3,
        max_size=3,
    )
)
def test_any_values_have_the_same_results_both_ways(file, values):
    both = BOOSTERS[file]
    arguments = dict(zip(("n_systems", "ttl_mean", "entropy"), values, strict=True))
    assert both.ask_here(arguments) == both.ask_instance(arguments)


BOOSTERS = {file: BothWays(load_model(file)) for file in (XGBOOST_FILE, LIGHTGBM_FILE)}
TREE = BothWays(read_model_file(FFSN.encode()))


@pytest.mark.parametrize(
    "arguments",
    [
        {"n_systems": 9, "tld": "ru"},
        {"n_systems": 9.0, "tld": "com"},
        {"n_systems": "9", "tld": "ru"},
        {"n_systems": 2**70, "tld": "ru"},
        {"n_systems": True, "tld": "ru"},
        {"tld": "ru"},
        {},
        {"n_systems": None, "tld": None},
        {"n_systems": 1.5, "tld": "ru"},
        {"n_systems": 9, "tld": "é\ud800"},
        {"n_systems": 9, "tld": 1},
        {"n_systems": 9, "tld": ["ru"]},
        {"n_systems": 9, "tld": "ru", "other": 1},
        {"n_systms": 9},
        {1: 2},
    ],
    ids=str,
)
def test_surprises_have_the_same_results_both_ways(arguments):
    assert TREE.ask_here(arguments) == TREE.ask_instance(arguments)


@given(st.floats())
def test_a_number_of_the_language_is_the_same_after_its_way_through_a_string(number):
    assert describe(parse_double(to_string(number))) == describe(number) or math.isnan(number)
