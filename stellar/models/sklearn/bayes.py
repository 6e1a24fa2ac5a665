"""Naive Bayes and discriminant analysis: sums of logarithms of likelihoods, as regressions with softmax."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from stellar.models.errors import NotExported
from stellar.models.forms.bodies import Equation, RegressionForm
from stellar.models.forms.expressions import NormDiscrete
from stellar.models.forms.model import ModelForm
from stellar.models.sklearn.columns import (
    ORIGIN,
    Columns,
    FeatureColumn,
    apply,
    combine,
    derive,
    list_items,
    number,
)
from stellar.models.sklearn.export import Export
from stellar.models.sklearn.goals import Goal, classify
from stellar.models.sklearn.linear import build_equation


def _classify_sums(equations: Sequence[Equation], goal: Goal) -> ModelForm:
    return classify(RegressionForm("softmax", tuple(equations), ORIGIN), goal)


def _classify_linear(
    rows: list[list[float]], intercepts: list[float], columns: Columns, goal: Goal, export: Export
) -> ModelForm:
    parts = zip(rows, intercepts, goal.categories, strict=True)
    return _classify_sums([build_equation(export.schema, columns, *part) for part in parts], goal)


def read_gaussian(estimator: Any, columns: Columns, goal: Goal, export: Export) -> ModelForm:
    """Return the model of GaussianNB: squares of differences from the means of each class."""
    equations = []
    parts = zip(
        goal.categories,
        list_items(estimator.theta_),
        list_items(estimator.var_),
        list_items(estimator.class_prior_),
        strict=True,
    )
    for category, means, variances, prior in parts:
        squares = tuple(_square_difference(*pair) for pair in zip(columns, means, strict=True))
        intercept = math.log(prior) - 0.5 * sum(math.log(2.0 * math.pi * variance) for variance in variances)
        coefficients = [-0.5 / variance for variance in variances]
        equations.append(build_equation(export.schema, squares, coefficients, intercept, category))
    return _classify_sums(equations, goal)


def _square_difference(column: FeatureColumn, mean: float) -> FeatureColumn:
    difference = apply("-", column.expression, number(mean))
    return derive("squareDifference", column, apply("*", difference, difference))


def read_multinomial(estimator: Any, columns: Columns, goal: Goal, export: Export) -> ModelForm:
    """Return the model of MultinomialNB."""
    rows, priors = list_items(estimator.feature_log_prob_), list_items(estimator.class_log_prior_)
    return _classify_linear(rows, priors, columns, goal, export)


def read_complement(estimator: Any, columns: Columns, goal: Goal, export: Export) -> ModelForm:
    """Return the model of ComplementNB, which uses the prior of a single class alone."""
    rows = list_items(estimator.feature_log_prob_)
    priors = list_items(estimator.class_log_prior_) if len(rows) == 1 else [0.0] * len(rows)
    return _classify_linear(rows, priors, columns, goal, export)


def read_bernoulli(estimator: Any, columns: Columns, goal: Goal, export: Export) -> ModelForm:
    """Return the model of BernoulliNB, with columns that are 1 above its threshold."""
    if estimator.binarize is not None:
        columns = tuple(
            derive("binarize", column, apply("threshold", column.expression, number(estimator.binarize)))
            for column in columns
        )
    rows, intercepts = [], []
    for logs, prior in zip(
        list_items(estimator.feature_log_prob_), list_items(estimator.class_log_prior_), strict=True
    ):
        opposites = [math.log1p(-math.exp(log)) for log in logs]
        rows.append([log - opposite for log, opposite in zip(logs, opposites, strict=True)])
        intercepts.append(prior + sum(opposites))
    return _classify_linear(rows, intercepts, columns, goal, export)


def read_categorical(estimator: Any, columns: Columns, goal: Goal, export: Export) -> ModelForm:
    """Return the model of CategoricalNB, with a column for each category of each feature."""
    indicators: list[FeatureColumn] = []
    rows: list[list[float]] = [[] for _ in goal.categories]
    for column, table in zip(columns, estimator.feature_log_prob_, strict=True):
        logs = list_items(table)
        name = export.schema.name_column(column)
        for code in range(len(logs[0])):
            expression = NormDiscrete(name, str(code), None, ORIGIN)
            indicators.append(derive(f"{code}", column, expression))
        for row, more in zip(rows, logs, strict=True):
            row += more
    return _classify_linear(rows, list_items(estimator.class_log_prior_), tuple(indicators), goal, export)


def read_quadratic(estimator: Any, columns: Columns, goal: Goal, export: Export) -> ModelForm:
    """Return the model of QuadraticDiscriminantAnalysis: squares of rotated differences from the means."""
    if getattr(estimator, "solver", "svd") != "svd":
        raise NotExported("the solver of QuadraticDiscriminantAnalysis is not supported; train with solver='svd'")
    equations = []
    for index, category in enumerate(goal.categories):
        scalings = list_items(estimator.scalings_[index])
        squares = _rotate(columns, list_items(estimator.means_[index]), list_items(estimator.rotations_[index]), export)
        intercept = math.log(estimator.priors_[index]) - 0.5 * sum(map(math.log, scalings))
        coefficients = [-0.5 / scaling for scaling in scalings]
        equations.append(build_equation(export.schema, squares, coefficients, intercept, category))
    return _classify_sums(equations, goal)


def _rotate(columns: Columns, means: list[float], rotation: list[list[float]], export: Export) -> Columns:
    """Return the squares of the products of differences and the columns of a rotation."""
    differences = [
        export.schema.refer_to(derive("difference", column, apply("-", column.expression, number(mean))))
        for column, mean in zip(columns, means, strict=True)
    ]
    squares = []
    for index in range(len(rotation[0])):
        products = (
            apply("*", difference.expression, number(row[index]))
            for difference, row in zip(differences, rotation, strict=True)
        )
        rotated = export.schema.refer_to(combine(f"rotation{index + 1}", columns, apply("sum", *products)))
        squares.append(combine(f"square({rotated.label})", columns, apply("*", rotated.expression, rotated.expression)))
    return tuple(squares)
