"""Estimators of scikit-learn, fitted to synthetic domains."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from models.sklearn.agreement import make_classes, make_data, make_numbers
from sklearn import compose, ensemble, linear_model, pipeline, preprocessing, tree

NUMBERS = ["systems", "ttl", "entropy", "digits"]


def preprocess() -> Any:
    """Return the columns of `make_data`, scaled and encoded."""
    return compose.ColumnTransformer(
        [
            ("numbers", preprocessing.StandardScaler(), NUMBERS),
            ("names", preprocessing.OneHotEncoder(handle_unknown="ignore"), ["tld"]),
        ]
    )


def after_encoding(estimator: Any) -> Any:
    """Return a Pipeline of `preprocess` and an estimator."""
    return pipeline.make_pipeline(preprocess(), estimator)


BINARY: dict[str, Callable[[], Any]] = {
    "LogisticRegression": lambda: after_encoding(linear_model.LogisticRegression(C=3.0)),
    "DecisionTreeClassifier": lambda: after_encoding(tree.DecisionTreeClassifier(max_depth=6, random_state=1)),
    "RandomForestClassifier": lambda: after_encoding(ensemble.RandomForestClassifier(10, max_depth=6, random_state=1)),
}
SEVERAL: dict[str, Callable[[], Any]] = dict(BINARY)
NUMERIC: dict[str, Callable[[], Any]] = {
    "LinearRegression": lambda: after_encoding(linear_model.LinearRegression()),
    "DecisionTreeRegressor": lambda: after_encoding(tree.DecisionTreeRegressor(max_depth=6, random_state=1)),
    "RandomForestRegressor": lambda: after_encoding(ensemble.RandomForestRegressor(10, max_depth=6, random_state=1)),
}


def fit_all() -> dict[str, tuple[Any, Any]]:
    """Return the estimators by name, each fitted, with data that it has not seen."""
    seen, unseen = make_data(), make_data(200, seed=7)
    tables = {
        "": (BINARY, make_classes(seen)),
        "/3": (SEVERAL, make_classes(seen, 3)),
        "/n": (NUMERIC, make_numbers(seen)),
    }
    return {
        name + suffix: (make().fit(seen, goal), unseen)
        for suffix, (table, goal) in tables.items()
        for name, make in table.items()
    }
