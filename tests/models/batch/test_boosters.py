"""Batches of boosters give the results of single records, bit by bit."""

from __future__ import annotations

import math
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.append(str(Path(__file__).parent))  # the modules beside this one are imported by their names
sys.path.append(str(Path(__file__).parents[1] / "boosters"))

from batches import check_batch, is_compiled, make_column
from test_tree_sums import ORIGIN, forms

from stellar.models.batch.scores import LEAST_ROWS
from stellar.models.boosters.documents import build_document
from stellar.models.errors import NotScored
from stellar.models.forms.boosting import BoostedTree, BoosterForm, Feature, Link, Split
from stellar.models.loading import read_lightgbm, read_xgboost
from stellar.models.scoring import ScoringModel

FEATURES = ["n_systems", "ttl_mean", "entropy", "country"]
ODD = [None, math.nan, math.inf, -math.inf, 0.0, -0.0, 1e-36, -1e-35, 1e39, 3, True, 2**70, 10**400, "1.5", "x", []]


@pytest.fixture(scope="module")
def rows() -> Any:
    """Records as rows of numbers, some of them missing; the last one is a category."""
    random = np.random.default_rng(11)
    rows = random.normal(size=(600, 4)) * [1, 10, 1000, 1]
    rows[:, 3] = random.integers(0, 9, 600)
    rows[random.random(rows.shape) < 0.05] = 0.0
    rows[random.random(rows.shape) < 0.1] = np.nan
    return rows


def make_labels(rows: Any, count: int) -> Any:
    finite = np.nan_to_num(rows)
    return np.floor(np.abs(finite[:, 0] * 3 + finite[:, 3])).astype(int) % count


def make_columns(rows: Any) -> dict[str, Any]:
    """Return rows as columns: of floats, masked, and of objects, some of which are odd."""
    columns: dict[str, Any] = {name: rows[:, index].copy() for index, name in enumerate(FEATURES)}
    columns["ttl_mean"] = np.ma.masked_invalid(rows[:, 1])
    values = rows[:, 2].tolist()
    values[: len(ODD)] = ODD
    columns["entropy"] = make_column(values)
    return columns


@pytest.mark.parametrize(
    "options",
    [
        {"objective": "binary:logistic"},
        {"objective": "binary:logistic", "booster": "dart", "rate_drop": 0.3},
        {"objective": "binary:hinge"},
        {"objective": "reg:squarederror"},
        {"objective": "count:poisson", "max_depth": 11, "min_child_weight": 0},
        {"objective": "multi:softprob", "num_class": 3},
        {"objective": "multi:softmax", "num_class": 3},
        {"objective": "reg:quantileerror", "quantile_alpha": [0.2, 0.8]},
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", ["q", "c"])
def test_a_batch_of_xgboost_gives_the_results_of_its_records(rows: Any, options: dict[str, Any], kind: str) -> None:
    xgboost = pytest.importorskip("xgboost")
    labels = make_labels(rows, options.get("num_class", 2))
    types = ["q", "q", "q", kind]
    data = xgboost.DMatrix(rows, labels, feature_names=FEATURES, feature_types=types, enable_categorical=kind == "c")
    trained = xgboost.train({"max_depth": 4, "nthread": 1, "max_cat_to_onehot": 1, **options}, data, 12)
    model = read_xgboost(bytes(trained.save_raw("json")))
    assert is_compiled(model)
    check_batch(model, make_columns(rows))


@pytest.mark.parametrize(
    "options",
    [
        {"objective": "binary"},
        {"objective": "binary", "zero_as_missing": True},
        {"objective": "binary", "use_missing": False, "sigmoid": 2.5},
        {"objective": "regression", "boosting": "rf", "bagging_fraction": 0.6, "bagging_freq": 1},
        {"objective": "multiclass", "num_class": 3},
        {"objective": "multiclassova", "num_class": 3},
        {"objective": "poisson", "num_leaves": 60, "min_data_in_leaf": 1},
    ],
    ids=str,
)
@pytest.mark.parametrize("categorical", [[], [3]])
def test_a_batch_of_lightgbm_gives_the_results_of_its_records(
    rows: Any, options: dict[str, Any], categorical: list[int]
) -> None:
    lightgbm = pytest.importorskip("lightgbm")
    labels = make_labels(rows, options.get("num_class", 2))
    data = lightgbm.Dataset(rows, labels, feature_name=FEATURES, categorical_feature=categorical)
    shared = {"num_leaves": 8, "min_data_in_leaf": 5, "num_threads": 1, "verbose": -1, "min_data_per_group": 2}
    trained = lightgbm.train({**shared, **options}, data, 12)
    model = read_lightgbm(trained.model_to_string().encode())
    assert is_compiled(model)
    check_batch(model, make_columns(rows))


def test_strings_of_categories_are_read_as_their_index(rows: Any) -> None:
    lightgbm, pandas = pytest.importorskip("lightgbm"), pytest.importorskip("pandas")
    names = np.array(["br", "ca", "de", "es", "fr", "it", "ro", "ru", "us"])
    countries = [None if math.isnan(code) else str(names[int(code)]) for code in rows[:, 3]]
    frame = pandas.DataFrame(rows[:, :3], columns=FEATURES[:3])
    frame["country"] = pandas.Categorical(countries)
    data = lightgbm.Dataset(frame, make_labels(rows, 2))
    options = {"num_leaves": 8, "min_data_in_leaf": 5, "num_threads": 1, "verbose": -1, "min_data_per_group": 2}
    model = read_lightgbm(lightgbm.train({"objective": "binary", **options}, data, 12).model_to_string().encode())
    assert is_compiled(model)
    columns = make_columns(rows)
    columns["country"] = make_column([*countries[:-3], "xx", 5, ["us"]])
    check_batch(model, columns)


@settings(max_examples=100, deadline=None)
@given(forms(), st.randoms(use_true_random=False))
def test_a_batch_equals_the_search(form: BoosterForm, chance: Any) -> None:
    model = ScoringModel(build_document(form, "test"))
    if model.inputs():
        numbers = [*ODD, 0.5, -0.5, 2.0, 7.0, 2.5]
        columns = {
            field.name: make_column([chance.choice(numbers) for _ in range(LEAST_ROWS)]) for field in model.inputs()
        }
        check_batch(model, columns)


@settings(max_examples=60, deadline=None)
@given(forms(), st.sampled_from(["number", "class", "probabilities"]), st.randoms(use_true_random=False))
def test_the_compiled_function_of_a_booster_equals_the_complete_evaluation(
    form: BoosterForm, result: str, chance: Any
) -> None:
    link = Link("identity" if result == "number" else "softmax" if result == "probabilities" else "argmax", result)
    if link.name == "argmax" and not form.is_single:
        link = Link("identity", "class")
    bases = form.bases[:1] if result == "number" else form.bases
    trees = [replace(tree, output=0) for tree in form.trees] if result == "number" else form.trees
    model = ScoringModel(build_document(replace(form, link=link, bases=bases, trees=tuple(trees)), "test"))
    assert model.compile()
    names = [field.name for field in model.inputs()]
    values = [*ODD[1:8], 0.5, -0.5, 2.0, 7.0, 1e300, "x", None]
    for _ in range(130):
        record = {name: chance.choice(values[1:10] if chance.random() < 0.8 else values) for name in names}
        results = []
        for score in (model.score, model.score_completely):
            try:
                results.append(repr(score(record)))
            except NotScored as error:
                results.append(str(error))
        assert results[0] == results[1], record


def test_boosters_with_categories_or_several_numbers_have_no_compiled_function() -> None:
    trees = (BoostedTree((1.0,), 0, 1.0, ORIGIN), BoostedTree((2.0,), 1, 1.0, ORIGIN))
    form = BoosterForm(trees, (Feature("a"),), (0.0, 0.0), Link("identity", "number"), True, 1, 0.0, ORIGIN)
    assert not ScoringModel(build_document(form, "test")).compile()
    split = Split(0, "isIn", 0.0, frozenset({1}), False, False, 1, 2)
    tree = BoostedTree((split, 1.0, 2.0), 0, 1.0, ORIGIN)
    form = replace(form, trees=(tree,), bases=(0.0,), features=(Feature("a", ("x", "y")),))
    model = ScoringModel(build_document(form, "test"))
    assert not model.compile()
    assert model.score({"a": "y"}) == {"prediction": 1.0}
