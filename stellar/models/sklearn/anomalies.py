"""Detectors of outliers: a number, and -1 or 1 by its sign."""

from __future__ import annotations

import math
from typing import Any

from stellar.models.forms.bodies import RegressionForm, TreeForm, TreeNode
from stellar.models.forms.model import Body, ModelForm
from stellar.models.forms.predicates import FieldComparison, Predicate
from stellar.models.sklearn.columns import ORIGIN, Columns, apply, list_items, number, refer
from stellar.models.sklearn.export import Export
from stellar.models.sklearn.goals import (
    ALWAYS,
    Goal,
    build_ensemble,
    chain,
    classify,
    output_expression,
    output_value,
    predict_number,
)
from stellar.models.sklearn.linear import build_equation
from stellar.models.sklearn.machines import build_decision
from stellar.models.sklearn.trees import build_tree, select_columns

CATEGORIES = ("-1", "1")  # outliers and others


def read_isolation_forest(estimator: Any, columns: Columns, goal: Goal, export: Export) -> ModelForm:
    """Return the model of IsolationForest: the average depth of a record in its trees, and its score."""
    inner = Goal("").inside()
    pairs = zip(estimator.estimators_, estimator.estimators_features_, strict=True)
    trees = (_read_depths(tree, select_columns(columns, features), export, inner) for tree, features in pairs)
    exponent = apply("/", refer("depth"), number(-find_average_depth(estimator._max_samples)))
    score = apply("-", number(0.0), apply("pow", number(2.0), exponent))
    outputs = (
        output_value("depth"),
        output_expression("score_samples", score),
        output_expression("decision_function", apply("-", refer("score_samples"), number(estimator.offset_))),
    )
    forest = predict_number(build_ensemble("average", trees), inner, outputs)
    return chain([forest, _build_sign(goal, "lessThan")], goal)


def find_average_depth(count: float) -> float:
    """Return the average depth of a record in a tree of so many records."""
    if count <= 2:
        return 1.0 if count == 2 else 0.0
    return 2.0 * (math.log(count - 1.0) + 0.5772156649015329) - 2.0 * (count - 1.0) / count


def _read_depths(estimator: Any, columns: Columns, export: Export, goal: Goal) -> ModelForm:
    tree = estimator.tree_
    counts, depths = list_items(tree.n_node_samples), list_items(tree.compute_node_depths())

    def read_leaf(index: int) -> tuple[str, tuple[()]]:
        return repr(depths[index] + find_average_depth(counts[index]) - 1.0), ()

    return predict_number(build_tree(estimator, columns, export, read_leaf), goal)


def _build_sign(goal: Goal, operator: str) -> ModelForm:
    """Return -1 for decisions that are below 0, or at most 0."""
    is_outlier = FieldComparison("decision_function", operator, "0.0", ORIGIN)
    nodes = (
        _build_node(None, ALWAYS, (1, 2)),
        _build_node(CATEGORIES[0], is_outlier, ()),
        _build_node(CATEGORIES[1], ALWAYS, ()),
    )
    return classify(TreeForm(nodes, "none", 1.0, "returnNullPrediction", ORIGIN), goal.last(), ())


def _build_node(score: str | None, predicate: Predicate, children: tuple[int, ...]) -> TreeNode:
    return TreeNode(None, score, None, None, predicate, (), children, ORIGIN)


def read_one_class(estimator: Any, columns: Columns, goal: Goal, export: Export) -> ModelForm:
    """Return the model of OneClassSVM."""
    return _chain_decision(build_decision(estimator, columns, export), estimator, goal, "lessOrEqual")


def read_linear_one_class(estimator: Any, columns: Columns, goal: Goal, export: Export) -> ModelForm:
    """Return the model of SGDOneClassSVM."""
    equation = build_equation(export.schema, columns, list_items(estimator.coef_), -float(estimator.offset_[0]))
    return _chain_decision(RegressionForm("none", (equation,), ORIGIN), estimator, goal, "lessThan")


def _chain_decision(body: Body, estimator: Any, goal: Goal, operator: str) -> ModelForm:
    offset = float(list_items(estimator.offset_)[0])
    score = apply("+", refer("decision_function"), number(offset))
    outputs = (output_value("decision_function", is_final=True), output_expression("score_samples", score))
    return chain([predict_number(body, goal.inside(), outputs), _build_sign(goal, operator)], goal)
