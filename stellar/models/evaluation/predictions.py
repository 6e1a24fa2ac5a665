"""Predictions of a model, and what outputs need to know about them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from stellar.models.evaluation.frames import Frame


@dataclass(slots=True)
class Prediction:
    """The prediction of a target.

    value: None for a record without a result
    probabilities, confidences, affinities: by category or entity
    entities: ids of the node, rule, cluster or neighbors, from the best one
    reasons: reason codes, from the most important one
    rules: of an association model, that apply by algorithm
    """

    value: Any
    probabilities: Mapping[Any, float] | None = None
    confidences: Mapping[Any, float] | None = None
    affinities: Mapping[Any, float] | None = None
    entities: tuple[str | None, ...] | None = None
    reasons: tuple[str, ...] | None = None
    rules: Any = None
    displays: Mapping[str, str] | None = None


Predictions = dict[str | None, Prediction]


@dataclass(slots=True)
class Scores:
    """The results of a model for one record.

    predictions: by the name of the target; None for a model without one
    outputs: by name
    """

    predictions: Predictions
    outputs: dict[str, Any] = field(default_factory=dict)

    def first(self) -> Prediction:
        """Return the prediction of the first target."""
        return next(iter(self.predictions.values()))


class BodyEvaluation(Protocol):
    """The evaluation of a model's body in a frame of its scope."""

    def __call__(self, frame: Frame) -> Predictions:
        """Return the predictions by target."""


def find_winner(shares: Mapping[Any, float]) -> Any:
    """Return the first of the categories that have the largest value."""
    best, largest = None, None
    for category, value in shares.items():
        if largest is None or value > largest:
            best, largest = category, value
    return best
