"""Tests of the reader of XGBoost: scores are equal to those of the library, bit for bit."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from stellar.models.errors import InvalidField, InvalidModel
from stellar.models.loading import read_xgboost
from stellar.models.scoring import ScoringModel

xgboost = pytest.importorskip("xgboost")

FEATURES = ["n_systems", "ttl_mean", "entropy", "length"]
Rows = Any


@pytest.fixture(scope="module")
def rows() -> Rows:
    """Records as rows of numbers, with missing values, zeros and numbers that binary32 rounds."""
    random = np.random.default_rng(11)
    rows = random.normal(size=(800, len(FEATURES))) * [1, 10, 1000, 1e-3]
    rows[random.random(rows.shape) < 0.05] = 0.0
    rows[random.random(rows.shape) < 0.1] = np.nan
    return rows


def train(rows: Rows, objective: str, labels: Rows, rounds: int = 12, **parameters: Any) -> Any:
    data = xgboost.DMatrix(rows, labels, feature_names=FEATURES)
    return xgboost.train({"objective": objective, "max_depth": 4, "nthread": 1, **parameters}, data, rounds)


def record_of(row: Rows) -> dict[str, float]:
    return {name: float(value) for name, value in zip(FEATURES, row, strict=True) if not math.isnan(value)}


def predict(booster: Any, rows: Rows) -> list[Any]:
    return booster.predict(xgboost.DMatrix(rows, feature_names=FEATURES)).tolist()  # type: ignore[no-any-return]


def read(booster: Any, form: str = "json") -> ScoringModel:
    return read_xgboost(bytes(booster.save_raw(form)))


def make_flags(rows: Rows) -> Rows:
    return (np.nan_to_num(rows[:, 0]) + np.nan_to_num(rows[:, 1]) / 10 > 0.3).astype(int)


@pytest.mark.parametrize("form", ["json", "ubj"])
@pytest.mark.parametrize("booster", ["gbtree", "dart"])
def test_probabilities_equal_those_of_the_library(rows: Rows, booster: str, form: str) -> None:
    options: dict[str, Any] = {"rate_drop": 0.3} if booster == "dart" else {}
    trained = train(rows, "binary:logistic", make_flags(rows), booster=booster, **options)
    model = read(trained, form)
    results = [model.score(record_of(row)) for row in rows]
    assert [result["probability(1)"] for result in results] == predict(trained, rows)
    assert [result["prediction"] for result in results] == [int(share > 0.5) for share in predict(trained, rows)]


NUMERIC_OBJECTIVES = {
    "binary:logitraw": "flags",
    "count:poisson": "counts",
    "rank:map": "flags",
    "rank:ndcg": "flags",
    "rank:pairwise": "flags",
    "reg:absoluteerror": "numbers",
    "reg:gamma": "positive",
    "reg:logistic": "flags",
    "reg:pseudohubererror": "numbers",
    "reg:quantileerror": "numbers",
    "reg:squarederror": "numbers",
    "reg:squaredlogerror": "positive",
    "reg:tweedie": "counts",
    "survival:cox": "positive",
}


def make_labels(rows: Rows, kind: str) -> Rows:
    numbers = np.nan_to_num(rows[:, 0]) * 7 + np.nan_to_num(rows[:, 2]) / 100 + 3
    match kind:
        case "flags":
            return make_flags(rows)
        case "counts":
            return np.floor(np.abs(numbers))
        case "positive":
            return np.abs(numbers) + 0.1
        case "classes":
            return np.floor(np.abs(numbers)) % 4
    return numbers


@pytest.mark.parametrize(("objective", "kind"), NUMERIC_OBJECTIVES.items())
def test_numbers_equal_those_of_the_library(rows: Rows, objective: str, kind: str) -> None:
    options = {"quantile_alpha": 0.8} if objective == "reg:quantileerror" else {}
    labels = make_labels(rows, kind)
    data = xgboost.DMatrix(rows, labels, feature_names=FEATURES)
    if objective.startswith("rank:"):
        data.set_group([len(rows) // 4] * 4)
    trained = xgboost.train({"objective": objective, "max_depth": 3, "nthread": 1, **options}, data, 10)
    model = read(trained)
    assert [model.score(record_of(row))["prediction"] for row in rows] == predict(trained, rows)


def test_accelerated_failure_times_equal_those_of_the_library(rows: Rows) -> None:
    data = xgboost.DMatrix(rows, feature_names=FEATURES)
    times = make_labels(rows, "positive")
    data.set_float_info("label_lower_bound", times)
    data.set_float_info("label_upper_bound", times * 2)
    trained = xgboost.train({"objective": "survival:aft", "max_depth": 3, "nthread": 1}, data, 10)
    model = read(trained)
    assert [model.score(record_of(row))["prediction"] for row in rows] == predict(trained, rows)


def test_classes_of_a_hinge_equal_those_of_the_library(rows: Rows) -> None:
    trained = train(rows, "binary:hinge", make_flags(rows))
    model = read(trained)
    assert [model.score(record_of(row)) for row in rows] == [{"prediction": label} for label in predict(trained, rows)]


@pytest.mark.parametrize("booster", ["gbtree", "dart"])
def test_probabilities_of_several_classes_equal_those_of_the_library(rows: Rows, booster: str) -> None:
    options: dict[str, Any] = {"rate_drop": 0.3} if booster == "dart" else {}
    trained = train(rows, "multi:softprob", make_labels(rows, "classes"), num_class=4, booster=booster, **options)
    model = read(trained, "ubj")
    for row, expected in zip(rows, predict(trained, rows), strict=True):
        result = model.score(record_of(row))
        assert [result[f"probability({index})"] for index in range(4)] == expected
        assert result["prediction"] == int(np.argmax(expected))


def test_classes_equal_those_of_the_library(rows: Rows) -> None:
    trained = train(rows, "multi:softmax", make_labels(rows, "classes"), num_class=4)
    model = read(trained)
    assert [model.score(record_of(row)) for row in rows] == [{"prediction": label} for label in predict(trained, rows)]


def test_a_random_forest_equals_that_of_the_library(rows: Rows) -> None:
    options: dict[str, Any] = {
        "num_parallel_tree": 15,
        "subsample": 0.7,
        "colsample_bynode": 0.7,
        "learning_rate": 1,
        "seed": 3,
    }
    trained = train(rows, "binary:logistic", make_flags(rows), rounds=2, **options)
    model = read(trained)
    assert [model.score(record_of(row))["probability(1)"] for row in rows] == predict(trained, rows)


def test_several_targets_have_their_index_in_their_names(rows: Rows) -> None:
    labels = np.stack([make_labels(rows, "numbers"), make_labels(rows, "counts")], axis=1)
    trained = train(rows, "reg:squarederror", labels)
    model = read(trained)
    for row, expected in zip(rows, predict(trained, rows), strict=True):
        assert model.score(record_of(row)) == {f"prediction({index})": value for index, value in enumerate(expected)}


def test_several_quantiles_equal_those_of_the_library(rows: Rows) -> None:
    trained = train(rows, "reg:quantileerror", make_labels(rows, "numbers"), quantile_alpha=[0.1, 0.5, 0.9])
    model = read(trained)
    for row, expected in zip(rows, predict(trained, rows), strict=True):
        assert list(model.score(record_of(row)).values()) == expected


@pytest.mark.parametrize("objective", ["binary:logistic", "binary:logitraw", "reg:squarederror", "count:poisson"])
@pytest.mark.parametrize("base", [0.1, 0.3, 0.77])
def test_a_stated_base_score_is_that_of_the_library(rows: Rows, objective: str, base: float) -> None:
    trained = train(rows, objective, make_flags(rows), rounds=3, base_score=base)
    model = read(trained)
    results = [list(model.score(record_of(row)).values())[-1] for row in rows]
    assert results == predict(trained, rows)


# Values that are no category of the training data, and those at the edges of the bits of a set
ODD_CATEGORIES = [-1.0, -0.5, -0.0, 2.7, 39.0, 50.0, 63.0, 64.0, 65.0, 1e6, 2.0**24, 2.0**24 + 2, 1e10]


@pytest.mark.parametrize("most_one_hot", [1, 100])
def test_categories_lead_where_the_library_goes(most_one_hot: int) -> None:
    random = np.random.default_rng(5)
    rows = np.stack([random.normal(size=1500), *random.integers(0, [[40], [3]], (2, 1500))], axis=1)
    rows[random.random(rows.shape) < 0.1] = np.nan
    labels = (np.nan_to_num(rows[:, 1]) % 3 == 0) ^ (np.nan_to_num(rows[:, 2]) == 1)
    kinds = {"feature_types": ["q", "c", "c"], "enable_categorical": True}
    options = {"objective": "binary:logistic", "max_cat_to_onehot": most_one_hot, "nthread": 1}
    trained = xgboost.train(options, xgboost.DMatrix(rows, labels, **kinds), 8)
    rows[::3, 1] = np.resize(ODD_CATEGORIES, len(rows[::3]))
    model = read(trained)
    records = [{f"f{index}": float(value) for index, value in enumerate(row)} for row in rows]
    results = [model.score(record)["probability(1)"] for record in records]
    assert results == trained.predict(xgboost.DMatrix(rows, **kinds)).tolist()


def test_names_of_categories_are_those_of_the_training_data() -> None:
    pandas = pytest.importorskip("pandas")
    random = np.random.default_rng(6)
    frame = pandas.DataFrame(
        {
            "tld": pandas.Categorical(random.choice(np.array(["com", "ru", "de", None], object), 600)),
            "port": pandas.Categorical(random.choice([22, 80, 443], 600)),
        }
    )
    labels = (frame["tld"] == "ru") | (frame["port"] == 80)
    data = xgboost.DMatrix(frame, labels, enable_categorical=True)
    trained = xgboost.train({"objective": "binary:logistic", "nthread": 1}, data, 4)
    for form in ("json", "ubj"):
        model = read(trained, form)
        records = [{name: value for name, value in row.items() if value == value} for row in frame.to_dict("records")]
        assert [model.score(record)["probability(1)"] for record in records] == trained.predict(data).tolist()
        with pytest.raises(InvalidField, match="'tld': the model does not accept 'fr'"):
            model.score({"tld": "fr", "port": 22})


def test_names_of_categories_that_xgboost_cuts_are_refused() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"tld": pandas.Categorical(["com", "рф"] * 50)})
    data = xgboost.DMatrix(frame, frame["tld"] == "com", enable_categorical=True)
    trained = xgboost.train({"objective": "binary:logistic", "nthread": 1}, data, 1)
    with pytest.raises(InvalidModel, match=r"\$.*\.cats\.enc\[0\]\.values: XGBoost cuts names of categories"):
        read(trained)
