"""Transformers of numbers that scale columns one by one."""

from __future__ import annotations

from typing import Any

from stellar.models.forms.expressions import ExpressionForm
from stellar.models.sklearn.columns import Columns, FeatureColumn, apply, derive, list_items, number
from stellar.models.sklearn.export import Export


def _items(array: Any, columns: Columns) -> list[float | None]:
    return [None] * len(columns) if array is None else list_items(array)


def _shift_and_divide(name: str, columns: Columns, shifts: Any, scales: Any) -> Columns:
    """Return (x - shift) / scale, by column; None for no shift or scale."""
    triples = zip(columns, _items(shifts, columns), _items(scales, columns), strict=True)
    return tuple(_divide(name, *triple) for triple in triples)


def _divide(name: str, column: FeatureColumn, shift: float | None, scale: float | None) -> FeatureColumn:
    expression: ExpressionForm = column.expression
    if shift is not None:
        expression = apply("-", expression, number(shift))
    if scale is not None:
        expression = apply("/", expression, number(scale))
    return column if expression is column.expression else derive(name, column, expression)


def scale_standard(step: Any, columns: Columns, _: Export) -> Columns:
    """Return the columns of StandardScaler."""
    means = step.mean_ if step.with_mean else None
    return _shift_and_divide("standardScaler", columns, means, step.scale_ if step.with_std else None)


def scale_robust(step: Any, columns: Columns, _: Export) -> Columns:
    """Return the columns of RobustScaler."""
    centers = step.center_ if step.with_centering else None
    return _shift_and_divide("robustScaler", columns, centers, step.scale_ if step.with_scaling else None)


def scale_by_maximum(step: Any, columns: Columns, _: Export) -> Columns:
    """Return the columns of MaxAbsScaler."""
    scaled = _shift_and_divide("maxAbsScaler", columns, None, step.scale_)
    return _clip(scaled, -1.0, 1.0) if getattr(step, "clip", False) else scaled


def scale_to_range(step: Any, columns: Columns, _: Export) -> Columns:
    """Return the columns of MinMaxScaler."""
    triples = zip(columns, list_items(step.scale_), list_items(step.min_), strict=True)
    scaled = tuple(
        derive("minMaxScaler", column, apply("+", apply("*", column.expression, number(scale)), number(shift)))
        for column, scale, shift in triples
    )
    return _clip(scaled, *step.feature_range) if step.clip else scaled


def _clip(columns: Columns, low: float, high: float) -> Columns:
    """Return columns limited to a range; the functions min and max ignore what is missing."""
    return tuple(
        derive(
            "clip",
            column,
            apply(
                "if",
                apply("isNotMissing", column.expression),
                apply("min", apply("max", column.expression, number(low)), number(high)),
            ),
        )
        for column in columns
    )


def binarize(step: Any, columns: Columns, _: Export) -> Columns:
    """Return the columns of Binarizer: 1 above the threshold."""
    return tuple(
        derive("binarizer", column, apply("threshold", column.expression, number(step.threshold))) for column in columns
    )
