"""Conformance of PMML: each document and record has the result of JPMML-Evaluator."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from cases import DATA
from pmml_cases import PmmlDocument, find_pmml_difference, find_pmml_reason, load_documents, read_pmml_cases

FOLDER = DATA / "pmml"
DOCUMENTS = sorted(f"models/{path.name}" for path in (FOLDER / "models").iterdir())


@pytest.fixture(scope="module")
def documents() -> dict[str, PmmlDocument]:
    return load_documents(FOLDER)


@pytest.fixture(scope="module")
def cases() -> dict[str, list[dict[str, Any]]]:
    by_document = defaultdict(list)
    for raw in read_pmml_cases(FOLDER):
        by_document[raw["pmml"]].append(raw)
    return by_document


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_results_of_a_document_are_those_of_jpmml(name, documents, cases):
    for raw in cases[name]:
        difference = find_pmml_difference(raw, documents[name])
        assert not difference or find_pmml_reason(raw, documents[name]), (raw["id"], raw["record"])


def test_documented_differences_are_rare(documents, cases):
    differences = [raw["id"] for name in DOCUMENTS for raw in cases[name] if find_pmml_difference(raw, documents[name])]
    assert len(differences) <= 0.005 * sum(map(len, cases.values()))


def test_a_document_that_jpmml_refuses_is_refused_unless_the_standard_defines_it(documents):
    refused = {
        entry["pmml"]: entry["load_error"]
        for entry in json.loads((FOLDER / "index.json").read_text("utf-8"))
        if "load_error" in entry
    }
    loaded = {name for name in refused if documents[name].model is not None}
    assert {refused[name] for name in loaded} == {"UnsupportedElementException"}


def test_the_index_lists_each_document():
    index = json.loads((Path(FOLDER) / "index.json").read_text("utf-8"))
    assert sorted(entry["pmml"] for entry in index) == DOCUMENTS
