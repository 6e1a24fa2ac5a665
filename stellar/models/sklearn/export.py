"""The export of an estimator: the functions that read each class, and the fields that they share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from stellar.models.errors import NotExported
from stellar.models.forms.model import ModelForm
from stellar.models.sklearn.columns import Columns, FeatureSchema
from stellar.models.sklearn.goals import Goal, require_shares
from stellar.util.suggestions import suggest_name

Transform = Callable[[Any, Columns, "Export"], Columns]
ReadModel = Callable[[Any, Columns, Goal, "Export"], ModelForm]


@dataclass(frozen=True, slots=True)
class Readers:
    """The functions that read estimators, by the name of their class.

    numeric: transformers of numbers
    others: transformers that decide on their own what they accept
    models: estimators with a prediction, of numbers
    meta: estimators around others, which decide on their own what they accept
    """

    numeric: Mapping[str, Transform]
    others: Mapping[str, Transform]
    models: Mapping[str, ReadModel]
    meta: Mapping[str, ReadModel]


@dataclass(frozen=True, slots=True)
class Export:
    """The export of an estimator."""

    schema: FeatureSchema
    readers: Readers

    def transform(self, step: Any, columns: Columns) -> Columns:
        """Return the columns that a transformer returns. Raise NotExported if its class is not supported."""
        if isinstance(step, str):
            return columns if step == "passthrough" else ()
        name = find_class(step)
        if (transform := self.readers.others.get(name)) is not None:
            return transform(step, columns, self)
        if (transform := self.readers.numeric.get(name)) is None:
            raise _refuse(step, "transformer", [*self.readers.numeric, *self.readers.others])
        check_fitted(step, columns)
        self.schema.use_numbers(columns, allows_missing=allows_missing(step))
        return transform(step, columns, self)

    def read_model(self, estimator: Any, columns: Columns, goal: Goal) -> ModelForm:
        """Return the model of an estimator. Raise NotExported if its class is not supported."""
        name = find_class(estimator)
        if (read := self.readers.meta.get(name)) is not None:
            return read(estimator, columns, goal, self)
        if (read := self.readers.models.get(name)) is None:
            raise _refuse(estimator, "estimator", [*self.readers.models, *self.readers.meta])
        check_fitted(estimator, columns)
        self.schema.use_numbers(
            columns,
            allows_missing=allows_missing(estimator),
            allows_infinite=name.startswith("HistGradientBoosting"),
        )
        return read(estimator, columns, goal, self)

    def read_shares(self, estimator: Any, columns: Columns, goal: Goal) -> ModelForm:
        """Return the model of a classifier. Raise NotExported if it has no probabilities in PMML."""
        return require_shares(self.read_model(estimator, columns, goal), find_class(estimator))


def find_class(estimator: Any) -> str:
    """Return the name of a class of scikit-learn; that of another class with its module."""
    kind = type(estimator)
    return kind.__name__ if kind.__module__.startswith("sklearn.") else f"{kind.__module__}.{kind.__name__}"


def allows_missing(estimator: Any) -> bool:
    """Return True for an estimator that accepts NaN."""
    return bool(estimator.__sklearn_tags__().input_tags.allow_nan)


def check_fitted(estimator: Any, columns: Columns) -> None:
    """Raise NotExported for an estimator that is not fitted, or fitted with other columns."""
    if (count := getattr(estimator, "n_features_in_", None)) is None:
        raise NotExported(f"{find_class(estimator)} is not fitted; call fit before the export")
    if count != len(columns):
        raise NotExported(f"{find_class(estimator)} was fitted with {count} features, but gets {len(columns)}")


def _refuse(estimator: Any, kind: str, known: list[str]) -> NotExported:
    name = find_class(estimator)
    return NotExported(f"{kind} {name} is not supported; {suggest_name(name, known)}")
