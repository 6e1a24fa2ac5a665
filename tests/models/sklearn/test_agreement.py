"""Tests of the export of scikit-learn: documents have the scores of the estimators that they were written from."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("sklearn")
pytest.importorskip("pandas")

from models.sklearn import zoo
from models.sklearn.agreement import compare_results, export, make_records

LARGEST_ERROR = 1e-12
LARGEST_ERROR_OF_SUMS = 1e-9  # sums that are near 0, in another order than that of the linear algebra library


@pytest.mark.parametrize("name", list(zoo.list_makers()))
def test_results_equal_those_of_the_estimator(name: str, tmp_path: Path) -> None:
    estimator, data = zoo.fit(name)
    model = export(estimator, tmp_path)
    largest = LARGEST_ERROR_OF_SUMS if zoo.is_number(name) else LARGEST_ERROR
    assert compare_results(model, estimator, data) <= largest
    if model.compile():
        records = make_records(data)
        assert list(map(model.score, records)) == list(map(model.score_completely, records))
