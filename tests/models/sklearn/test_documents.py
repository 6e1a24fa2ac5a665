"""Tests of the export of scikit-learn: names, types of classes, thresholds."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("sklearn")
pytest.importorskip("pandas")

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from models.sklearn import agreement
from models.sklearn.zoo import NUMBERS, after_encoding
from sklearn import compose, dummy, ensemble, linear_model, pipeline, preprocessing, tree

from stellar.models.loading import load_model
from stellar.models.scoring import ScoringModel
from stellar.models.sklearn.document import build_document

DATA = agreement.make_data(200)
CLASSES = agreement.make_classes(DATA)
TYPES: dict[str, Any] = {
    "strings": CLASSES.astype(str).astype(object),
    "strings with spaces": np.where(CLASSES > 0, 'a "bad" <one>', "a & b"),
    "booleans": CLASSES > 0,
    "floats": CLASSES * 1.0,
    "negative integers": CLASSES * 2 - 1,
}


@pytest.mark.parametrize("name", list(TYPES))
def test_classes_have_the_type_of_the_training_data(name: str, tmp_path: Path) -> None:
    estimator = after_encoding(linear_model.LogisticRegression()).fit(DATA, TYPES[name])
    model = agreement.export(estimator, tmp_path)
    assert agreement.compare_results(model, estimator, DATA) < 1e-12
    labels = {type(label) for label in TYPES[name].tolist()}
    assert {type(model.score_completely(record)["y"]) for record in agreement.make_records(DATA)} == labels


def test_probabilities_of_booleans_have_the_names_of_pmml(tmp_path: Path) -> None:
    estimator = tree.DecisionTreeClassifier(max_depth=3).fit(DATA[NUMBERS], CLASSES > 0)
    model = agreement.export(estimator, tmp_path)
    names = ["y", "probability(false)", "probability(true)"]
    assert list(model.score(DATA.iloc[0].to_dict())) == names
    assert model.compile()
    assert list(model.score(DATA.iloc[0].to_dict())) == names


def test_the_names_of_a_frame_are_those_of_the_inputs(tmp_path: Path) -> None:
    estimator = tree.DecisionTreeClassifier(max_depth=8).fit(DATA[NUMBERS], CLASSES)
    model = agreement.export(estimator, tmp_path, target="ffsn")
    assert [field.name for field in model.inputs()] == NUMBERS
    result = model.score(DATA.iloc[0].to_dict())
    assert list(result) == ["ffsn", "probability(0)", "probability(1)"]


def test_columns_without_names_are_numbered(tmp_path: Path) -> None:
    estimator = tree.DecisionTreeClassifier(max_depth=8).fit(DATA[NUMBERS].to_numpy(), CLASSES)
    assert [field.name for field in agreement.export(estimator, tmp_path).inputs()] == ["x1", "x2", "x3", "x4"]
    named = agreement.export(estimator, tmp_path, features=["a", "b", "c", "d"])
    assert [field.name for field in named.inputs()] == ["a", "b", "c", "d"]


def test_nan_is_a_missing_value_of_trees(tmp_path: Path) -> None:
    data = agreement.make_data(200, missing=0.2)
    estimator = tree.DecisionTreeClassifier(max_depth=6, random_state=1).fit(data[NUMBERS], CLASSES)
    model = agreement.export(estimator, tmp_path)
    rows = data[NUMBERS].to_dict("records")
    assert [model.score_completely(row)["y"] for row in rows] == estimator.predict(data[NUMBERS]).tolist()
    assert model.compile()
    assert list(map(model.score, rows)) == list(map(model.score_completely, rows))


def test_a_feature_without_coefficient_may_be_missing(tmp_path: Path) -> None:
    features = DATA[["ttl", "systems"]] / [1e6, 1]
    estimator = linear_model.Lasso(alpha=0.5).fit(features, agreement.make_numbers(DATA))
    model = agreement.export(estimator, tmp_path)
    assert estimator.coef_[0] == 0
    assert model.score({"systems": 7.0}) == model.score({"systems": 7.0, "ttl": 3.0})


def test_derived_fields_of_one_name_are_told_apart(tmp_path: Path) -> None:
    steps = [preprocessing.StandardScaler(), preprocessing.MinMaxScaler(), preprocessing.StandardScaler()]
    unite = pipeline.make_union(preprocessing.StandardScaler(), preprocessing.StandardScaler(with_mean=False))
    estimator = pipeline.make_pipeline(unite, *steps, linear_model.Ridge()).fit(
        DATA[NUMBERS], agreement.make_numbers(DATA)
    )
    assert agreement.compare_results(agreement.export(estimator, tmp_path), estimator, DATA[NUMBERS]) < 1e-9


def test_the_file_is_loaded_as_any_other(tmp_path: Path) -> None:
    estimator = tree.DecisionTreeClassifier(max_depth=3).fit(DATA[NUMBERS], CLASSES)
    model = agreement.export(estimator, tmp_path)
    record = DATA.iloc[0].to_dict()
    assert load_model(tmp_path / "model.pmml").score(record) == model.score(record)


@settings(max_examples=200)
@given(st.integers(0, 30), st.integers(-3, 3), st.floats(-0.6, 0.6))
def test_numbers_beside_a_threshold_are_compared_as_binary32(index: int, steps: int, part: float) -> None:
    estimator, model = grow_number_tree()
    thresholds = estimator.tree_.threshold[estimator.tree_.feature >= 0]
    single = np.float32(thresholds[index % len(thresholds)])
    for _ in range(abs(steps)):
        single = np.nextafter(single, np.float32(np.inf if steps > 0 else -np.inf))
    neighbor = np.nextafter(single, np.float32(np.inf))
    value = float(single) + part * (float(neighbor) - float(single))
    assert model.score({"x1": value})["y"] == estimator.predict([[value]])[0]


@cache
def grow_number_tree() -> tuple[Any, ScoringModel]:
    """Return a regressor of one feature, and its model."""
    random = np.random.default_rng(3)
    values = random.normal(size=(60, 1)) * np.pi
    estimator = tree.DecisionTreeRegressor(random_state=1).fit(values, random.normal(size=60))
    return estimator, ScoringModel(build_document(estimator))


# -- Categories -------------------------------------------------------------------------------------------------------

RANDOM = np.random.default_rng(4)
CODED = DATA.assign(
    port=RANDOM.choice([22, 53, 80, 443], len(DATA)),
    flag=RANDOM.random(len(DATA)) < 0.5,
    zone=DATA["tld"].astype("category"),
    level=RANDOM.choice([3, 5, 9], len(DATA)),
).astype({"level": "category"})
one_hot = preprocessing.OneHotEncoder(handle_unknown="ignore")
CODERS: dict[str, tuple[Any, list[str]]] = {
    "boolean": (compose.make_column_transformer((one_hot, ["flag"]), ("passthrough", ["ttl"])), ["double", "boolean"]),
    "boolean as a number": (compose.make_column_transformer(("passthrough", ["flag"])), ["double"]),
    "integer": (compose.make_column_transformer((one_hot, ["port"])), ["integer"]),
    "integer and number": (
        compose.make_column_transformer((one_hot, ["port"]), (preprocessing.StandardScaler(), ["port", "ttl"])),
        ["double", "double"],
    ),
}


@pytest.mark.parametrize("name", list(CODERS))
@pytest.mark.parametrize("estimator", [linear_model.Ridge(), tree.DecisionTreeRegressor()], ids=["sum", "tree"])
def test_categories_have_the_type_of_the_training_data(name: str, estimator: Any, tmp_path: Path) -> None:
    coder, types = CODERS[name]
    numbers = agreement.make_numbers(DATA) + (CODED["port"] == 53) + CODED["flag"]
    fitted = pipeline.make_pipeline(coder, estimator).fit(CODED, numbers)
    model = agreement.export(fitted, tmp_path)
    assert agreement.compare_results(model, fitted, CODED) < 1e-9
    assert [field.type.data for field in model.inputs()] == types


def test_categories_of_a_frame_are_those_of_boosted_trees(tmp_path: Path) -> None:
    columns = ["ttl", "zone", "level"]
    estimator = ensemble.HistGradientBoostingRegressor(max_iter=5).fit(CODED[columns], agreement.make_numbers(DATA))
    model = agreement.export(estimator, tmp_path)
    assert agreement.compare_results(model, estimator, CODED[columns]) < 1e-12
    assert [field.type.data for field in model.inputs()] == ["double", "string", "integer"]


@pytest.mark.parametrize("loss", ["absolute_error", "huber", "quantile"])
def test_boosted_trees_of_other_losses_are_exported(loss: str, tmp_path: Path) -> None:
    estimator = ensemble.GradientBoostingRegressor(loss=loss, n_estimators=5)
    estimator.fit(DATA[NUMBERS], agreement.make_numbers(DATA))
    assert agreement.compare_results(agreement.export(estimator, tmp_path), estimator, DATA[NUMBERS]) < 1e-12


@pytest.mark.parametrize("options", [{"loss": "exponential"}, {"init": "zero"}], ids=["loss", "init"])
def test_boosted_trees_of_other_starts_are_exported(options: dict[str, str], tmp_path: Path) -> None:
    estimator = ensemble.GradientBoostingClassifier(n_estimators=5, **options).fit(DATA[NUMBERS], CLASSES)
    assert agreement.compare_results(agreement.export(estimator, tmp_path), estimator, DATA[NUMBERS]) < 1e-12


@pytest.mark.parametrize(
    "options", [{"strategy": "most_frequent"}, {"strategy": "constant", "constant": 0}], ids=["most", "constant"]
)
def test_constant_classes_are_exported(options: dict[str, Any], tmp_path: Path) -> None:
    estimator = dummy.DummyClassifier(**options).fit(DATA[NUMBERS], CLASSES)
    assert agreement.compare_results(agreement.export(estimator, tmp_path), estimator, DATA[NUMBERS]) == 0
