"""Tests of the reader of LightGBM: scores are equal to those of the library, bit for bit."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from stellar.models.errors import InvalidModel
from stellar.models.loading import read_lightgbm
from stellar.models.scoring import ScoringModel

lightgbm = pytest.importorskip("lightgbm")

FEATURES = ["n_systems", "ttl_mean", "entropy", "length"]
Rows = Any


@pytest.fixture(scope="module")
def rows() -> Rows:
    """Records as rows of numbers: also missing ones, zeros, almost zeros and infinite ones."""
    random = np.random.default_rng(12)
    rows = random.normal(size=(900, len(FEATURES))) * [1, 10, 1000, 1e-3]
    for odd, share in ((0.0, 0.1), (1e-36, 0.02), (-1e-35, 0.02), (math.inf, 0.01), (-math.inf, 0.01), (math.nan, 0.1)):
        rows[random.random(rows.shape) < share] = odd
    return rows


def train(rows: Rows, objective: Any, labels: Rows, categorical: tuple[int, ...] = (), **parameters: Any) -> Any:
    options = {"objective": objective, "num_leaves": 8, "min_data_in_leaf": 5, "num_threads": 1, "verbose": -1}
    groups = {"group": [len(rows) // 4] * 4} if objective in ("lambdarank", "rank_xendcg") else {}
    data = lightgbm.Dataset(rows, labels, feature_name=FEATURES, categorical_feature=list(categorical), **groups)
    return lightgbm.train({**options, **parameters}, data, 12)


def record_of(row: Rows) -> dict[str, float]:
    return {name: float(value) for name, value in zip(FEATURES, row, strict=True) if not math.isnan(value)}


def read(booster: Any) -> ScoringModel:
    return read_lightgbm(booster.model_to_string().encode())


def make_labels(rows: Rows, kind: str) -> Rows:
    finite = np.nan_to_num(rows, posinf=3, neginf=-3)
    numbers = finite[:, 0] * 7 + finite[:, 2] / 100 + 3
    match kind:
        case "flags":
            return (finite[:, 0] + finite[:, 1] / 10 > 0.3).astype(int)
        case "counts":
            return np.floor(np.abs(numbers)) % 20
        case "positive":
            return np.abs(numbers) + 0.1
        case "classes":
            return np.floor(np.abs(numbers)) % 4
    return numbers


def shares_of(model: ScoringModel, rows: Rows) -> list[Any]:
    return [model.score(record_of(row))["probability(1)"] for row in rows]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"boosting": "dart"},
        {"boosting": "rf", "bagging_fraction": 0.6, "bagging_freq": 1},
        {"sigmoid": 2.5},
        {"zero_as_missing": True},
        {"use_missing": False},
        {"boost_from_average": False},
    ],
    ids=str,
)
def test_probabilities_equal_those_of_the_library(rows: Rows, options: dict[str, Any]) -> None:
    trained = train(rows, "binary", make_labels(rows, "flags"), **options)
    expected = trained.predict(rows).tolist()
    model = read(trained)
    assert shares_of(model, rows) == expected
    assert [model.score(record_of(row))["prediction"] for row in rows] == [int(share > 0.5) for share in expected]


def test_missing_values_that_training_did_not_have_are_zero(rows: Rows) -> None:
    complete = np.where(np.isnan(rows), 0.5, rows)
    trained = train(complete, "binary", make_labels(complete, "flags"))
    assert shares_of(read(trained), rows) == trained.predict(rows).tolist()


NUMERIC_OBJECTIVES = {
    "cross_entropy": "flags",
    "cross_entropy_lambda": "flags",
    "fair": "numbers",
    "gamma": "positive",
    "huber": "numbers",
    "lambdarank": "flags",
    "mape": "positive",
    "poisson": "counts",
    "quantile": "numbers",
    "rank_xendcg": "flags",
    "regression": "numbers",
    "regression_l1": "numbers",
    "tweedie": "counts",
}


@pytest.mark.parametrize(("objective", "kind"), NUMERIC_OBJECTIVES.items())
def test_numbers_equal_those_of_the_library(rows: Rows, objective: str, kind: str) -> None:
    trained = train(rows, objective, make_labels(rows, kind))
    model = read(trained)
    assert [model.score(record_of(row)) for row in rows] == [
        {"prediction": number} for number in trained.predict(rows).tolist()
    ]


def test_square_roots_are_squared_as_the_library_does(rows: Rows) -> None:
    trained = train(rows, "regression", make_labels(rows, "numbers"), reg_sqrt=True)
    model = read(trained)
    assert [model.score(record_of(row))["prediction"] for row in rows] == trained.predict(rows).tolist()


@pytest.mark.parametrize("objective", ["multiclass", "multiclassova"])
@pytest.mark.parametrize("boosting", ["gbdt", "rf"])
def test_probabilities_of_several_classes_equal_those_of_the_library(rows: Rows, objective: str, boosting: str) -> None:
    options: dict[str, Any] = {"bagging_fraction": 0.6, "bagging_freq": 1} if boosting == "rf" else {}
    trained = train(rows, objective, make_labels(rows, "classes"), num_class=4, boosting=boosting, **options)
    model = read(trained)
    for row, expected in zip(rows, trained.predict(rows).tolist(), strict=True):
        result = model.score(record_of(row))
        assert [result[f"probability({index})"] for index in range(4)] == expected
        assert result["prediction"] == int(np.argmax(expected))


def test_a_function_as_objective_gives_sums(rows: Rows) -> None:
    def square(predictions: Rows, data: Any) -> tuple[Rows, Rows]:
        return predictions - data.get_label(), np.ones_like(predictions)

    trained = train(rows, square, make_labels(rows, "numbers"))
    model = read(trained)
    assert [model.score(record_of(row))["prediction"] for row in rows] == trained.predict(rows).tolist()


def test_trees_of_one_leaf_equal_those_of_the_library(rows: Rows) -> None:
    trained = train(rows, "binary", make_labels(rows, "flags"), min_data_in_leaf=800)
    assert shares_of(read(trained), rows) == trained.predict(rows).tolist()


# Values that are no category of the training data, and those at the edges of the words of a set
ODD_CATEGORIES = [-1.0, -0.5, -0.0, 2.7, 39.0, 50.0, 63.0, 64.0, 65.0, 1e6, 2.0**31, 2.0**40, math.inf, -math.inf]


@pytest.mark.parametrize("options", [{}, {"max_cat_to_onehot": 64}, {"use_missing": False}], ids=str)
def test_categories_lead_where_the_library_goes(options: dict[str, Any]) -> None:
    random = np.random.default_rng(5)
    rows = np.stack([random.normal(size=1500), *random.integers(0, [[70], [3]], (2, 1500)), np.zeros(1500)], axis=1)
    rows[random.random(rows.shape) < 0.1] = np.nan
    labels = (np.nan_to_num(rows[:, 1]) % 3 == 0) ^ (np.nan_to_num(rows[:, 2]) == 1)
    grouping = {"min_data_per_group": 5, "cat_smooth": 1}
    trained = train(rows, "binary", labels, categorical=(1, 2), **grouping, **options)
    rows[::3, 1] = np.resize(ODD_CATEGORIES, len(rows[::3]))
    assert shares_of(read(trained), rows) == trained.predict(rows).tolist()


def test_names_of_categories_are_those_of_the_training_data() -> None:
    pandas = pytest.importorskip("pandas")
    random = np.random.default_rng(6)
    names = np.array(["com", "рф", "d e", None], object)
    frame = pandas.DataFrame(
        {
            "tld": pandas.Categorical(random.choice(names, 600)),
            "port": pandas.Categorical(random.choice([22, 80, 443], 600)),
        }
    )
    labels = (frame["tld"] == "рф") | (frame["port"] == 80)
    options = {"objective": "binary", "num_threads": 1, "verbose": -1, "min_data_per_group": 5}
    trained = lightgbm.train(options, lightgbm.Dataset(frame, labels), 4)
    model = read(trained)
    records = [{name: value for name, value in row.items() if value == value} for row in frame.to_dict("records")]
    assert [model.score(record)["probability(1)"] for record in records] == trained.predict(frame).tolist()
    # A name that training did not have is missing in LightGBM
    assert model.score({"tld": "fr", "port": 80}) == model.score({"port": 80})


def test_linear_trees_are_refused(rows: Rows) -> None:
    finite = np.nan_to_num(rows, posinf=3, neginf=-3)
    trained = train(finite, "regression", make_labels(rows, "numbers"), linear_tree=True)
    with pytest.raises(InvalidModel, match=r"line \d+: is_linear of tree \d+: linear trees are not supported"):
        read(trained)
