"""Tests of the export of scikit-learn: what has no PMML is an error that names the step and what to use instead."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("sklearn")
pytest.importorskip("pandas")

import numpy as np
from models.sklearn import transformers, zoo
from models.sklearn.agreement import export, make_classes, make_data, make_numbers, make_records
from sklearn import (
    dummy,
    ensemble,
    gaussian_process,
    linear_model,
    neighbors,
    pipeline,
    preprocessing,
    svm,
    tree,
)

from stellar.models.errors import InvalidField, NotExported

NUMBERS = zoo.NUMBERS
DATA = make_data(80)
CLASSES, AMOUNTS = make_classes(DATA), make_numbers(DATA)


class OwnTree(tree.DecisionTreeClassifier):
    """A class of the user, whose methods may differ."""


def scaled(estimator: Any) -> Any:
    return pipeline.make_pipeline(preprocessing.StandardScaler(), estimator)


REFUSED = {
    "class": (scaled(gaussian_process.GaussianProcessClassifier()), "step 'gaussianprocessclassifier': estimator Gau"),
    "own class": (OwnTree(), r"estimator \S+\.OwnTree is not supported"),
    "similar class": (gaussian_process.GaussianProcessRegressor(), "is not supported; did you mean .*Regressor"),
    "transformer": (
        pipeline.make_pipeline(preprocessing.SplineTransformer(), linear_model.Ridge()),
        "step 'splinetransformer': transformer SplineTransformer is not supported",
    ),
    "own function": (
        pipeline.make_pipeline(preprocessing.FunctionTransformer(lambda rows: rows), linear_model.Ridge()),
        "function '<lambda>' is not supported; use a function of numpy: abs, ",
    ),
    "function of numpy": (
        pipeline.make_pipeline(preprocessing.FunctionTransformer(np.sign), linear_model.Ridge()),
        "function 'sign' is not supported; use one of abs, ",
    ),
    "random classes": (dummy.DummyClassifier(strategy="uniform"), "at random with strategy=uniform; use 'prior'"),
    "loss": (linear_model.SGDClassifier(loss="modified_huber"), "train with loss='log_loss'"),
    "ties": (svm.SVC(break_ties=True, decision_function_shape="ovr"), "train with break_ties=False"),
    "metric": (neighbors.KNeighborsClassifier(metric="cosine"), "the metric of KNeighborsClassifier is not supported"),
    "weights": (neighbors.KNeighborsClassifier(weights=np.exp), "use 'uniform' or 'distance'"),
    "start": (
        ensemble.GradientBoostingClassifier(n_estimators=2, init=linear_model.LogisticRegression()),
        "init=LogisticRegression is not supported; train with init=None",
    ),
    "shares": (
        ensemble.VotingClassifier([("near", neighbors.KNeighborsClassifier())], voting="soft"),
        "near has no probabilities in PMML",
    ),
    "stack": (
        ensemble.StackingClassifier([("ridge", linear_model.RidgeClassifier())]),
        "step 'ridge': RidgeClassifier has no probabilities to stack",
    ),
}


@pytest.mark.parametrize("case", list(REFUSED))
def test_what_has_no_pmml_is_refused(case: str, tmp_path: Path) -> None:
    estimator, message = REFUSED[case]
    with pytest.raises(NotExported, match=message):
        export(estimator.fit(DATA[NUMBERS], CLASSES), tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "estimator",
    [linear_model.LinearRegression(), tree.DecisionTreeRegressor(), ensemble.RandomForestRegressor(2)],
    ids=["sum", "tree", "forest"],
)
def test_several_targets_are_refused(estimator: Any, tmp_path: Path) -> None:
    estimator.fit(DATA[NUMBERS], np.column_stack([AMOUNTS, AMOUNTS]))
    with pytest.raises(NotExported, match="has 2 targets; train one estimator for each"):
        export(estimator, tmp_path)


@pytest.mark.parametrize("estimator", [tree.DecisionTreeClassifier(), scaled(linear_model.Ridge())], ids=["one", "two"])
def test_an_estimator_that_is_not_fitted_is_refused(estimator: Any, tmp_path: Path) -> None:
    with pytest.raises(NotExported, match="is not fitted; call fit before the export"):
        export(estimator, tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"features": ["a", "b"]}, "2 names for 4 features; name each column of the training data"),
        ({"features": ["systems", "entropy", "ttl", "digits"]}, "feature 'entropy' was 'ttl' in training"),
        ({"target": "ttl"}, "target 'ttl' has the name of a feature; rename one"),
    ],
    ids=["number", "order", "target"],
)
def test_names_that_do_not_fit_are_refused(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    estimator = tree.DecisionTreeClassifier(max_depth=2).fit(DATA[NUMBERS], CLASSES)
    with pytest.raises(NotExported, match=message):
        export(estimator, tmp_path, **options)


def test_two_features_of_one_name_are_refused(tmp_path: Path) -> None:
    estimator = tree.DecisionTreeClassifier(max_depth=2).fit(DATA[NUMBERS].to_numpy(), CLASSES)
    with pytest.raises(NotExported, match="two features have the name 'a'; rename one"):
        export(estimator, tmp_path, features=["a", "b", "a", "c"])


def test_strings_for_an_estimator_of_numbers_are_refused(tmp_path: Path) -> None:
    estimator = transformers.encode(preprocessing.OneHotEncoder()).fit(DATA, AMOUNTS)
    estimator.steps[0][1].transformers_[0][1].categories_[0][1] = 5
    with pytest.raises(NotExported, match="classes and categories are of types int, str"):
        export(estimator, tmp_path)


# -- Records ----------------------------------------------------------------------------------------------------------

RECORD = make_records(DATA)[0]
TREE_OF_NUMBERS = tree.DecisionTreeClassifier(max_depth=3, random_state=1)


@pytest.mark.parametrize(
    ("estimator", "change", "field"),
    [
        (linear_model.Ridge(), {"ttl": None}, "ttl"),
        (linear_model.Ridge(), {"ttl": float("nan")}, "ttl"),
        (linear_model.Ridge(), {"ttl": float("inf")}, "ttl"),
        (linear_model.Ridge(), {"ttl": "many"}, "ttl"),
        (linear_model.Ridge(), {"tld": "xyz"}, "tld"),
        (linear_model.Ridge(), {"tld": None}, "tld"),
        (tree.DecisionTreeRegressor(random_state=1), {"systems": 1e39}, "systems"),
        (tree.DecisionTreeRegressor(random_state=1), {"systems": float("-inf")}, "systems"),
    ],
    ids=["missing", "NaN", "infinite", "string", "unknown", "no name", "beyond binary32", "infinite for a tree"],
)
def test_a_record_that_scikit_learn_refuses_is_refused(
    estimator: Any, change: dict[str, Any], field: str, tmp_path: Path
) -> None:
    encoded = transformers.encode(preprocessing.OneHotEncoder(), estimator).fit(DATA, AMOUNTS)
    model = export(encoded, tmp_path)
    for score in (model.score_completely, model.score):
        with pytest.raises(InvalidField, match=f"invalid value of field '{field}'"):
            score({**RECORD, **change})
        model.compile()
