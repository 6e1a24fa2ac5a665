"""Tests of the export of scikit-learn: JPMML-Evaluator returns the same results for the documents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from engines.jpmml.scores import score_tables
from stellar.models.values import parse_double

pytest.importorskip("sklearn")
pytest.importorskip("pandas")

from models.sklearn import zoo
from models.sklearn.agreement import export, find_error, make_records

pytestmark = pytest.mark.engine

RECORDS = 40
LARGEST_ERROR = 1e-12
NO_TARGET = "null"  # the name that JPMML gives to the prediction of a model without a target


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[list[Any], list[Any]]]:
    """Return our results and those of JPMML, by the name of an estimator."""
    folder = tmp_path_factory.mktemp("jpmml")
    ours, tables = {}, {}
    for name in zoo.list_makers():
        estimator, data = zoo.fit(name)
        model = export(estimator, folder)
        path = (folder / "model.pmml").rename(folder / f"estimator{len(tables)}.pmml")
        records = make_records(data)[:RECORDS]
        tables[name] = path, records
        ours[name] = [model.score_completely(record) for record in records]
    theirs = score_tables(tables, folder)
    return {name: (ours[name], theirs[name]) for name in tables}


@pytest.mark.parametrize("name", list(zoo.list_makers()))
def test_jpmml_returns_the_same_results(name: str, results: dict[str, tuple[list[Any], list[Any]]]) -> None:
    ours, theirs = results[name]
    assert len(ours) == len(theirs), theirs
    for one, other in zip(ours, theirs, strict=True):
        assert not isinstance(other, str), other
        assert compare(one, other) <= LARGEST_ERROR, (one, other)


def compare(ours: Mapping[str, Any], theirs: Mapping[str, str]) -> float:
    """Return the largest relative error of numbers, infinity for other values that differ."""
    return max(
        _find_error(ours.get("prediction" if key == NO_TARGET else key), text)
        for key, text in theirs.items()
        if key in ours or key == NO_TARGET
    )


def _find_error(value: Any, text: str) -> float:
    if not isinstance(value, float):
        return find_error(value, text)
    number = parse_double(text)
    return 0.0 if abs(number - value) <= LARGEST_ERROR else find_error(value, number)
