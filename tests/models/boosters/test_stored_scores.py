"""Tests of files of boosters with the scores that their libraries returned: they need no library."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from stellar.models.loading import load_model

DATA = Path(__file__).parent / "data"
FEATURES = ["n_systems", "ttl_mean", "entropy", "length"]
STORED = json.loads((DATA / "scores.json").read_text())


@pytest.mark.parametrize("name", STORED["scores"])
def test_scores_are_those_of_the_library(name: str) -> None:
    model = load_model(DATA / name)
    for record, expected in zip(STORED["records"], STORED["scores"][name], strict=True):
        result = model.score(dict(zip(FEATURES, record, strict=True)))
        shares: list[Any] = [value for key, value in result.items() if key.startswith("probability(")]
        scores = expected if isinstance(expected, list) else [1 - expected, expected]
        # The exponential function of another C library can differ in the last bit
        assert shares == pytest.approx(scores, rel=1e-6)


def test_inputs_are_the_features_that_trees_use() -> None:
    for name in STORED["scores"]:
        assert {field.name for field in load_model(DATA / name).inputs()} <= set(FEATURES)


@pytest.mark.parametrize("name", ["binary.json", "binary.txt"])
def test_an_explanation_adds_up_to_the_score(name: str) -> None:
    model = load_model(DATA / name)
    bases = model.document.model.body.bases  # type: ignore[union-attr]
    for values in STORED["records"][:20]:
        record = dict(zip(FEATURES, values, strict=True))
        steps = model.explain(record)
        share = model.score(record)["probability(1)"]
        assert bases[0] + sum(step.value for step in steps) == pytest.approx(math.log(share / (1 - share)), rel=1e-4)
        assert steps[0].description.split()[-3] in FEATURES
