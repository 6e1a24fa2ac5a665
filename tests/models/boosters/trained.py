"""Training of the files in `data`, with the scores of the libraries: `python -m tests.models.boosters.trained`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import xgboost

DATA = Path(__file__).parent / "data"
FEATURES = ["n_systems", "ttl_mean", "entropy", "length"]


def write_files() -> None:
    """Train small models, and write them with records and their scores."""
    random = np.random.default_rng(8)
    rows = np.round(random.normal(size=(300, 4)) * [1, 10, 100, 0.1], 3)
    rows[random.random(rows.shape) < 0.1] = np.nan
    classes = np.nan_to_num(rows[:, 0] + rows[:, 1] / 10 > 0).astype(int) + (rows[:, 2] > 50)
    data = {name: xgboost.DMatrix(rows, label, feature_names=FEATURES) for name, label in _label(classes).items()}
    options = {"max_depth": 3, "nthread": 1}
    binary = xgboost.train({"objective": "binary:logistic", **options}, data["binary"], 6)
    several = xgboost.train({"objective": "multi:softprob", "num_class": 3, **options}, data["several"], 4)
    binary.save_model(DATA / "binary.json")
    binary.save_model(DATA / "binary.ubj")
    several.save_model(DATA / "several.ubj")
    trees = {"objective": "binary", "num_leaves": 8, "num_threads": 1, "min_data_in_leaf": 5, "verbose": -1}
    light = lightgbm.train(trees, lightgbm.Dataset(rows, _label(classes)["binary"], feature_name=FEATURES), 6)
    light.save_model(DATA / "binary.txt")
    records = [[None if value != value else value for value in row] for row in rows[:60].tolist()]
    scores = {
        "binary.json": binary.predict(data["binary"])[:60].tolist(),
        "binary.ubj": binary.predict(data["binary"])[:60].tolist(),
        "several.ubj": several.predict(data["several"])[:60].tolist(),
        "binary.txt": np.asarray(light.predict(rows[:60])).tolist(),
    }
    (DATA / "scores.json").write_text(json.dumps({"records": records, "scores": scores}) + "\n")


def _label(classes: Any) -> dict[str, Any]:
    return {"binary": (classes > 0).astype(int), "several": classes}


if __name__ == "__main__":
    write_files()
