"""Linear models: sums of columns, and their conversion to numbers or shares of classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stellar.models.errors import NotExported
from stellar.models.forms.bodies import Equation, RegressionForm, Term
from stellar.models.forms.model import ModelForm
from stellar.models.sklearn.columns import ORIGIN, Columns, FeatureSchema, list_items
from stellar.models.sklearn.export import Export, find_class
from stellar.models.sklearn.goals import Goal, classify, predict_number


def build_equation(
    schema: FeatureSchema,
    columns: Columns,
    coefficients: Sequence[float],
    intercept: float,
    category: str | None = None,
) -> Equation:
    """Return a sum of columns; columns whose coefficient is 0 are left out."""
    numbers, categories = [], []
    for column, coefficient in zip(columns, coefficients, strict=True):
        if not coefficient:
            continue
        if column.indicator is None:
            numbers.append(Term(coefficient, ((schema.name_column(column), 1.0),), None, ORIGIN))
        else:
            name, value = column.indicator
            categories.append(Term(coefficient, ((name, 1.0),), value, ORIGIN))
    return Equation(category, intercept, (*numbers, *categories), ORIGIN)


def find_rows(coefficients: Any, intercepts: Any) -> tuple[list[list[float]], list[float]]:
    """Return the coefficients of each sum, and the intercepts."""
    rows = list_items(coefficients)
    if not isinstance(rows[0], list):
        rows = [rows]
    numbers = list_items(intercepts) if hasattr(intercepts, "__len__") else [float(intercepts)]
    if len(numbers) == 1:
        numbers *= len(rows)
    return rows, numbers


# -- Numbers ----------------------------------------------------------------------------------------------------------


def read_linear_regressor(estimator: Any, columns: Columns, goal: Goal, export: Export) -> ModelForm:
    """Return the model of a sum."""
    return _read_sum(estimator, columns, goal, export, "none")


def read_log_regressor(estimator: Any, columns: Columns, goal: Goal, export: Export) -> ModelForm:
    """Return the model of the exponential of a sum."""
    return _read_sum(estimator, columns, goal, export, "exp")


def read_tweedie_regressor(estimator: Any, columns: Columns, goal: Goal, export: Export) -> ModelForm:
    """Return the model of a Tweedie distribution, whose link depends on the power."""
    is_identity = estimator.link == "identity" or (estimator.link == "auto" and estimator.power <= 0)
    return _read_sum(estimator, columns, goal, export, "none" if is_identity else "exp")


def _read_sum(estimator: Any, columns: Columns, goal: Goal, export: Export, normalization: str) -> ModelForm:
    rows, intercepts = find_rows(estimator.coef_, estimator.intercept_)
    if len(rows) != 1:
        raise NotExported(f"{find_class(estimator)} has {len(rows)} targets; train one estimator for each")
    equation = build_equation(export.schema, columns, rows[0], intercepts[0])
    return predict_number(RegressionForm(normalization, (equation,), ORIGIN), goal)


def read_partial_least_squares(estimator: Any, columns: Columns, goal: Goal, export: Export) -> ModelForm:
    """Return the model of PLSRegression, whose intercept is for centered columns."""
    rows, intercepts = find_rows(estimator.coef_, estimator.intercept_)
    if len(rows) != 1:
        raise NotExported(f"PLSRegression has {len(rows)} targets; train one estimator for each")
    means = list_items(estimator._x_mean)
    intercept = intercepts[0] - sum(weight * mean for weight, mean in zip(rows[0], means, strict=True))
    equation = build_equation(export.schema, columns, rows[0], intercept)
    return predict_number(RegressionForm("none", (equation,), ORIGIN), goal)


def read_wrapped_regressor(estimator: Any, columns: Columns, goal: Goal, export: Export) -> ModelForm:
    """Return the model of RANSACRegressor: that of the estimator that it found."""
    return export.read_model(estimator.estimator_, columns, goal)


# -- Classes ----------------------------------------------------------------------------------------------------------


def read_logistic(estimator: Any, columns: Columns, goal: Goal, export: Export) -> ModelForm:
    """Return the model of a logistic regression."""
    rows, intercepts = find_rows(estimator.coef_, estimator.intercept_)
    return build_logistic(rows, intercepts, columns, goal, export, "softmax")


def build_logistic(
    rows: list[list[float]],
    intercepts: list[float],
    columns: Columns,
    goal: Goal,
    export: Export,
    normalization: str,
) -> ModelForm:
    """Return the model of sums of classes.

    rows: coefficients of each class, or of the second of two
    normalization: of more than two classes: softmax, or logit for one against the rest
    """
    categories, schema = goal.categories, export.schema
    if len(rows) == 1:
        equations = [
            build_equation(schema, columns, rows[0], intercepts[0], categories[1]),
            Equation(categories[0], 0.0, (), ORIGIN),
        ]
        return classify(RegressionForm("logit", tuple(equations), ORIGIN), goal)
    parts = zip(rows, intercepts, categories, strict=True)
    equations = [build_equation(schema, columns, row, intercept, category) for row, intercept, category in parts]
    return classify(RegressionForm(normalization, tuple(equations), ORIGIN), goal)
