"""Estimators around others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from stellar.models.errors import NotExported
from stellar.models.forms.bodies import Equation, RegressionForm, Term, TreeForm, TreeNode
from stellar.models.forms.fields import OutputField
from stellar.models.forms.model import ModelForm
from stellar.models.sklearn.boosting import build_softmax, chain_votes
from stellar.models.sklearn.columns import ORIGIN, Columns, FeatureColumn, list_items, refer
from stellar.models.sklearn.composition import name_step
from stellar.models.sklearn.export import Export, check_fitted, find_class
from stellar.models.sklearn.goals import (
    ALWAYS,
    Goal,
    add_outputs,
    build_ensemble,
    chain,
    classify,
    find_classes,
    list_chained,
    output_share,
    output_value,
    predict_number,
    require_shares,
)
from stellar.models.sklearn.trees import build_shares, select_columns


def read_best(estimator: Any, columns: Columns, goal: Goal, export: Export) -> ModelForm:
    """Return the model of the best estimator of a search."""
    if (best := getattr(estimator, "best_estimator_", None)) is None:
        raise NotExported(f"{find_class(estimator)} has no best estimator; call fit, with refit=True")
    return export.read_model(best, columns, goal)


# -- Constants --------------------------------------------------------------------------------------------------------


def build_constant(categories: tuple[str, ...], shares: list[float]) -> TreeForm:
    """Return the body of a model that predicts the same class for each record."""
    best = categories[shares.index(max(shares))]
    node = TreeNode(None, best, None, None, ALWAYS, build_shares(categories, shares, 1.0), (), ORIGIN)
    return TreeForm((node,), "none", 1.0, "returnNullPrediction", ORIGIN)


def read_dummy_classifier(estimator: Any, columns: Columns, goal: Goal, export: Export) -> ModelForm:
    """Return the model of DummyClassifier."""
    if (strategy := estimator.strategy) not in ("prior", "most_frequent", "constant"):
        raise NotExported(f"DummyClassifier predicts at random with strategy={strategy}; use 'prior'")
    shares = list_items(estimator.class_prior_)
    if strategy == "most_frequent":
        shares = [float(index == shares.index(max(shares))) for index in range(len(shares))]
    elif strategy == "constant":
        chosen = list_items(estimator.classes_).index(estimator.constant)
        shares = [float(index == chosen) for index in range(len(shares))]
    return classify(build_constant(goal.categories, shares), goal)


def read_dummy_regressor(estimator: Any, columns: Columns, goal: Goal, export: Export) -> ModelForm:
    """Return the model of DummyRegressor."""
    (values,) = list_items(estimator.constant_)
    if len(values) != 1:
        raise NotExported(f"DummyRegressor has {len(values)} targets; train one estimator for each")
    return predict_number(RegressionForm("none", (Equation(None, values[0], (), ORIGIN),), ORIGIN), goal)


# -- Averages and votes -----------------------------------------------------------------------------------------------


def read_bagging_classifier(estimator: Any, columns: Columns, goal: Goal, export: Export) -> ModelForm:
    """Return the model of BaggingClassifier: the average of shares, or the votes of estimators without them."""
    check_fitted(estimator, columns)
    names = [str(index) for index in range(1, len(estimator.estimators_) + 1)]
    parts = list(zip(names, estimator.estimators_, estimator.estimators_features_, strict=True))

    def read(*, is_chained: bool) -> list[ModelForm]:
        return [
            _read_classifier(inner, select_columns(columns, features), goal, export, is_chained=is_chained)
            for _, inner, features in parts
        ]

    if not hasattr(estimator.estimators_[0], "predict_proba"):
        return chain_votes(read(is_chained=True), [1.0] * len(parts), goal, export, "simplemax")
    models = read(is_chained=False)
    if not any(map(list_chained, models)):  # JPMML does not average chains
        name = find_class(estimator.estimators_[0])
        return classify(build_ensemble("average", (require_shares(model, name) for model in models)), goal)
    return chain_shares(names, read(is_chained=True), [1.0] * len(parts), goal, export)


def _read_classifier(inner: Any, columns: Columns, goal: Goal, export: Export, *, is_chained: bool) -> ModelForm:
    """Return the model of a classifier that was trained with the indexes of the classes.

    is_chained: its prediction is an output that others use
    """
    own = goal.inside(find_classes(inner, goal.categories))
    return export.read_model(inner, columns, own.last() if is_chained else own)


def read_bagging_regressor(estimator: Any, columns: Columns, goal: Goal, export: Export) -> ModelForm:
    """Return the model of BaggingRegressor."""
    check_fitted(estimator, columns)
    models = [
        export.read_model(inner, select_columns(columns, features), goal.inside())
        for inner, features in zip(estimator.estimators_, estimator.estimators_features_, strict=True)
    ]
    return predict_number(build_ensemble("average", models), goal)


def read_voting_classifier(estimator: Any, columns: Columns, goal: Goal, export: Export) -> ModelForm:
    """Return the model of VotingClassifier."""
    models = []
    for name, inner in list_named(estimator):
        with name_step(name):
            models.append(_read_classifier(inner, columns, goal, export, is_chained=True))
    weights = list(map(float, estimator._weights_not_none or [1.0] * len(models)))
    if estimator.voting != "soft":
        return chain_votes(models, weights, replace(goal, has_outputs=False), export, "simplemax")
    return chain_shares([name for name, _ in list_named(estimator)], models, weights, goal, export)


def chain_shares(
    names: Sequence[str], models: Sequence[ModelForm], weights: Sequence[float], goal: Goal, export: Export
) -> ModelForm:
    """Return a classifier by the weighted average of the shares of classifiers."""
    chained = []
    terms: list[list[tuple[float, str]]] = [[] for _ in goal.categories]
    for name, model, weight in zip(names, models, weights, strict=True):
        labels = [export.schema.reserve(f"{name}.probability({category})") for category in goal.categories]
        chained.append(add_outputs(require_shares(model, name), map(output_hidden_share, goal.categories, labels)))
        for pairs, label in zip(terms, labels, strict=True):
            pairs.append((weight, label))
    return chain([*chained, classify(build_softmax(terms, goal, "simplemax"), goal.last())], goal)


def output_hidden_share(category: str, name: str) -> OutputField:
    """Return the output of the probability of a category, which other models use."""
    return output_share(category, name, is_final=False)


def read_voting_regressor(estimator: Any, columns: Columns, goal: Goal, export: Export) -> ModelForm:
    """Return the model of VotingRegressor: the weighted average of others."""
    models, terms = [], []
    named = list_named(estimator)
    weights = list(map(float, estimator._weights_not_none or [1.0] * len(named)))
    for (name, inner), weight in zip(named, weights, strict=True):
        with name_step(name):
            model = export.read_model(inner, columns, goal.inside().last())
        label = export.schema.reserve(f"prediction({name})")
        models.append(add_outputs(model, [output_value(label)]))
        terms.append(Term(weight / sum(weights), ((label, 1.0),), None, ORIGIN))
    body = RegressionForm("none", (Equation(None, 0.0, tuple(terms), ORIGIN),), ORIGIN)
    return chain([*models, predict_number(body, goal.last())], goal)


# -- Stacks -----------------------------------------------------------------------------------------------------------


def read_stacking(estimator: Any, columns: Columns, goal: Goal, export: Export) -> ModelForm:
    """Return the model of StackingClassifier or StackingRegressor: the last estimator uses results of the others."""
    models: list[ModelForm] = []
    stacked: list[FeatureColumn] = []
    for (name, inner), method in zip(list_named(estimator), estimator.stack_method_, strict=True):
        with name_step(name):
            model, outputs = _read_stacked(name, inner, method, columns, goal, export)
        models.append(model)
        stacked += [FeatureColumn(output, refer(output), frozenset()) for output in outputs]
    if estimator.passthrough:
        stacked += columns
    last = estimator.final_estimator_
    with name_step("final_estimator"):
        categories = find_classes(last, goal.categories) if goal.categories else ()
        final = replace(goal.last(), categories=categories)
        models.append(export.read_model(last, tuple(stacked), final))
    return chain(models, goal)


def list_named(estimator: Any) -> list[tuple[str, Any]]:
    """Return the estimators of an ensemble by name."""
    return [(name, inner) for name, inner in estimator.named_estimators_.items() if inner != "drop"]


def _read_stacked(
    name: str, inner: Any, method: str, columns: Columns, goal: Goal, export: Export
) -> tuple[ModelForm, list[str]]:
    """Return a model of a stack, and the names of its outputs. Of two classes there is one output."""
    if method == "predict_proba":
        categories = find_classes(inner, goal.categories)
        model = export.read_shares(inner, columns, goal.inside(categories).last())
        used = categories[1:] if len(categories) == 2 else categories
        names = [export.schema.reserve(f"{name}.probability({category})") for category in used]
        return add_outputs(model, map(output_hidden_share, used, names)), names
    if method == "predict" and not goal.categories:
        model = export.read_model(inner, columns, goal.inside().last())
        label = export.schema.reserve(f"prediction({name})")
        return add_outputs(model, [output_value(label)]), [label]
    raise NotExported(f"{find_class(inner)} has no probabilities to stack; use an estimator with predict_proba")
