"""The columns of a transformer have the results of `score`, for the documents and records of the corpus of PMML."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pandas")

import pandas as pd

from stellar.models.errors import NotScored
from stellar.models.forms.bodies import AssociationForm
from stellar.models.scoring import ScoringModel
from stellar.models.values import to_string
from stellar.spark import TransformerBuilder
from stellar.spark.result_columns import ResultColumn
from tests.conformance.pmml_cases import load_documents, read_pmml_cases, untag

CORPUS = Path(__file__).parents[1] / "conformance/data/pmml"
Record = dict[str, Any]


@pytest.fixture(scope="module")
def models() -> dict[str, ScoringModel]:
    """The models by name, without those whose results are lists."""
    documents = load_documents(CORPUS)
    found = {name: document.model for name, document in documents.items() if document.model is not None}
    return {name: model for name, model in found.items() if not isinstance(model.document.model.body, AssociationForm)}


@pytest.fixture(scope="module")
def records() -> dict[str, list[Record]]:
    """The records of models. NaN is missing, as pandas has it."""
    found = defaultdict(list)
    for raw in read_pmml_cases(CORPUS):
        record = {name: untag(value) for name, value in raw["record"].items()}
        found[raw["pmml"]].append({name: None if value != value else value for name, value in record.items()})
    return found


def score(model: ScoringModel, record: Record) -> tuple[Mapping[str, Any], str | None]:
    try:
        return model.score_completely(record), None
    except NotScored as error:
        return {}, str(error)


def expect(column: ResultColumn, results: Mapping[str, Any]) -> Any:
    value = results.get(column.keys[0])
    return to_string(value) if column.type == "string" and value is not None else value


def is_same(found: Any, expected: Any) -> bool:
    if expected is None or expected != expected:
        return bool(pd.isna(found))
    return bool(found == expected)


def test_columns_have_the_results_of_records(models: dict[str, ScoringModel], records: dict[str, list[Record]]) -> None:
    compared = 0
    for name, model in models.items():
        transformer = TransformerBuilder(model).withTargetCols().withOutputCols().withErrorCol("error?").exploded(True)
        built = transformer.build()
        fields = [field.name for field in model.inputs()]
        rows = [{field: record.get(field) for field in fields} for record in records[name]]
        frame = pd.DataFrame({field: pd.Series([row[field] for row in rows], dtype="object") for field in fields})
        scored = built.transform(frame)
        for index, row in enumerate(rows):
            results, error = score(model, row)
            assert scored["error?"][index] == error, (name, row)
            for column in built.columns:
                found, expected = scored[column.name][index], expect(column, results)
                assert is_same(found, expected), (name, row, column, found, expected)
                compared += 1
    assert compared > 5_000
