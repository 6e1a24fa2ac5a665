"""Tests of the export of scikit-learn: documents have the scores of the estimators that they were written from."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest.importorskip("sklearn")
pytest.importorskip("pandas")

from models.sklearn import zoo
from models.sklearn.agreement import compare_results, export, make_records

from stellar.models.sklearn.document import READERS

PAGE = Path(__file__).parents[3] / "docs" / "models" / "from-sklearn.md"
LARGEST_ERROR_OF_TRANSFORMERS = 1e-9


def read_largest_errors() -> dict[str, float]:
    """Return the error of each class in the tables of the page."""
    errors = {}
    for row in re.findall(r"^\| .*`.* \|$", PAGE.read_text("utf-8"), re.MULTILINE):
        last = row.strip("| ").rpartition("|")[2].strip()
        error = LARGEST_ERROR_OF_TRANSFORMERS if "`" in last else float(last)
        errors |= dict.fromkeys(re.findall(r"`([A-Z]\w+)`", row), error)
    return errors


LARGEST_ERRORS = read_largest_errors()


@pytest.mark.parametrize("name", list(zoo.list_makers()))
def test_results_equal_those_of_the_estimator(name: str, tmp_path: Path) -> None:
    estimator, data = zoo.fit(name)
    model = export(estimator, tmp_path)
    largest = LARGEST_ERRORS[re.split("[ /]", name)[0]]
    assert compare_results(model, estimator, data) <= largest
    if model.compile():
        records = make_records(data)
        assert list(map(model.score, records)) == list(map(model.score_completely, records))


def test_the_page_names_each_class_that_is_supported() -> None:
    readers = {*READERS.numeric, *READERS.others, *READERS.models, *READERS.meta}
    assert {*LARGEST_ERRORS, "Pipeline"} == readers


def test_each_class_is_compared() -> None:
    compared = {re.split("[ /]", name)[0] for name in zoo.list_makers()}
    # most have the first of these as a step, and tests of mappers the second
    assert compared | {"ColumnTransformer", "LabelBinarizer"} == LARGEST_ERRORS.keys()
