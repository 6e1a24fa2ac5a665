"""Pipelines, and transformers that select or put together columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from stellar.models.errors import NotExported
from stellar.models.forms.model import ModelForm
from stellar.models.sklearn.columns import Columns
from stellar.models.sklearn.export import Export, check_fitted
from stellar.models.sklearn.goals import Goal
from stellar.util.abbreviate import quote


@contextmanager
def name_step(name: str) -> Iterator[None]:
    """Add the name of a step to the errors of its export."""
    try:
        yield
    except NotExported as error:
        raise NotExported(f"step {quote(name)}: {error}") from None


def _apply_steps(steps: Iterable[tuple[str, Any]], columns: Columns, export: Export) -> Columns:
    for name, step in steps:
        with name_step(name):
            columns = columns if step is None else export.transform(step, columns)
    return columns


def read_pipeline(estimator: Any, columns: Columns, goal: Goal, export: Export) -> ModelForm:
    """Return the model of the last step of a Pipeline, on the columns of the others."""
    *steps, (name, last) = estimator.steps
    columns = _apply_steps(steps, columns, export)
    with name_step(name):
        return export.read_model(last, columns, goal)


def transform_pipeline(step: Any, columns: Columns, export: Export) -> Columns:
    """Return the columns of a Pipeline of transformers."""
    return _apply_steps(step.steps, columns, export)


def transform_columns(step: Any, columns: Columns, export: Export) -> Columns:
    """Return the columns of a ColumnTransformer."""
    check_fitted(step, columns)
    transformed: Columns = ()
    for name, transformer, _ in step.transformers_:
        indexes = step._transformer_to_input_indices[name]  # the columns may be names, positions, masks or a function
        if transformer != "drop" and len(indexes):
            with name_step(name):
                transformed += export.transform(transformer, tuple(columns[int(index)] for index in indexes))
    return transformed


def unite_features(step: Any, columns: Columns, export: Export) -> Columns:
    """Return the columns of a FeatureUnion."""
    united: Columns = ()
    for name, transformer in step.transformer_list:
        with name_step(name):
            factor = (step.transformer_weights or {}).get(name)
            if factor is not None:
                raise NotExported("transformer_weights are not supported; scale the columns of the step")
            united += export.transform(transformer, columns)
    return united


def select_features(step: Any, columns: Columns, export: Export) -> Columns:
    """Return the columns that a selector keeps."""
    check_fitted(step, columns)
    return tuple(column for column, is_kept in zip(columns, step.get_support(), strict=True) if is_kept)
