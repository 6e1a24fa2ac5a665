"""Tests of the export of scikit-learn: documents have the scores of the estimators that they were written from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("sklearn")
pytest.importorskip("pandas")

from models.sklearn import zoo
from models.sklearn.agreement import compare_results, export

NAMES = [*zoo.BINARY, *(f"{name}/3" for name in zoo.SEVERAL), *(f"{name}/n" for name in zoo.NUMERIC)]
LARGEST_ERROR = 1e-12


@pytest.fixture(scope="module")
def fitted() -> dict[str, tuple[Any, Any]]:
    return zoo.fit_all()


@pytest.mark.parametrize("name", NAMES)
def test_results_equal_those_of_the_estimator(name: str, fitted: dict[str, tuple[Any, Any]], tmp_path: Path) -> None:
    estimator, data = fitted[name]
    assert compare_results(export(estimator, tmp_path), estimator, data) <= LARGEST_ERROR
