"""Comparison of the scores of a document with the predictions of the estimator that it was written from."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from stellar.models.scoring import ScoringModel
from stellar.models.sklearn2pmml import write_pmml
from stellar.models.values import to_string


def make_data(count: int = 300, missing: float = 0.0, seed: int = 5) -> Any:
    """Return a DataFrame of synthetic domains, whose numbers have missing values.

    count: number of rows
    missing: share of the numbers that are missing
    """
    random = np.random.default_rng(seed)
    data = pd.DataFrame(
        {
            "systems": random.integers(1, 160, count).astype(float),
            "ttl": np.round(random.gamma(2.0, 1800.0, count), 2),
            "entropy": random.normal(3.0, 0.7, count),
            "digits": random.random(count),
        }
    )
    data = data.mask(random.random(data.shape) < missing)
    data["tld"] = random.choice(["com", "net", "ru", "info"], count)
    return data


def make_classes(data: Any, count: int = 2, seed: int = 6) -> Any:
    """Return classes from 0 that depend on the columns of `make_data`."""
    return np.digitize(make_numbers(data, seed), [1.0, 3.0][: count - 1])


def make_numbers(data: Any, seed: int = 6) -> Any:
    """Return positive numbers that depend on the columns of `make_data`."""
    noise = np.random.default_rng(seed).normal(0.0, 0.4, len(data))
    filled = data.fillna(data.mean(numeric_only=True))
    return np.exp((filled["systems"] / 80 + filled["entropy"] - 3 + (filled["tld"] == "ru") + noise - 0.5).to_numpy())


def make_records(data: Any) -> list[dict[str, Any]]:
    """Return the rows of a DataFrame as records, without what is missing."""
    return [
        {str(name): value for name, value in row.items() if not (isinstance(value, float) and math.isnan(value))}
        for row in data.to_dict("records")
    ]


def find_error(value: Any, expected: Any) -> float:
    """Return the relative error of a number; infinity for other values that differ."""
    if isinstance(value, bool) or not isinstance(value, int | float) or isinstance(expected, str):
        return 0.0 if to_string(value) == to_string(expected) else math.inf
    if value == expected:
        return 0.0
    scale = max(abs(value), abs(expected))
    return abs(value - expected) / scale if math.isfinite(scale) else math.inf


def compare_results(model: ScoringModel, estimator: Any, data: Any, target: str = "y") -> float:
    """Return the largest relative error of the labels, numbers and probabilities of a model, if it has the last."""
    results = [model.score_completely(record) for record in make_records(data)]
    errors = list(map(find_error, (result[target] for result in results), estimator.predict(data).tolist()))
    if hasattr(estimator, "predict_proba") and "probability" in "".join(results[0]):
        errors += _compare_shares(results, estimator, data)
    for name in ("decision_function", "score_samples"):
        if name in results[0]:
            numbers = getattr(estimator, name)(data).tolist()
            errors += [
                abs(result[name] - number) / max(1.0, abs(number))
                for result, number in zip(results, numbers, strict=True)
            ]
    return max(errors)


def _compare_shares(results: Iterable[dict[str, Any]], estimator: Any, data: Any) -> list[float]:
    names = [f"probability({to_string(category)})" for category in estimator.classes_.tolist()]
    rows = zip(results, estimator.predict_proba(data).tolist(), strict=True)
    return [
        # a share is a difference from 1, so that its absolute error counts
        find_error(1.0 + result[name], 1.0 + share)
        for result, row in rows
        for name, share in zip(names, row, strict=True)
    ]


def export(estimator: Any, folder: Path, **options: Any) -> ScoringModel:
    """Write an estimator, and return the model that is read from the file."""
    return write_pmml(estimator, folder / "model.pmml", **options)
