"""Boosted ensembles: sums of trees, and weighted votes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from stellar.models.errors import NotExported
from stellar.models.forms.bodies import Equation, RegressionForm, Term
from stellar.models.forms.model import Body, ModelForm
from stellar.models.sklearn.columns import ORIGIN, Columns, FeatureColumn, list_items
from stellar.models.sklearn.encoders import prepare_categories
from stellar.models.sklearn.export import Export, find_class
from stellar.models.sklearn.goals import (
    Goal,
    add_outputs,
    build_ensemble,
    chain,
    classify,
    output_label,
    output_value,
    predict_number,
    rescale,
)
from stellar.models.sklearn.trees import TreeArrays, TreeBuilder, build_number_tree
from stellar.models.values import to_string

# -- Sums of trees ----------------------------------------------------------------------------------------------------


def read_gradient_classifier(estimator: Any, columns: Columns, goal: Goal, export: Export) -> ModelForm:
    """Return the model of GradientBoostingClassifier."""
    # the loss "exponential" has half of the logit as its link
    factor = 2.0 if estimator.loss == "exponential" else 1.0
    starts = _find_starts(estimator)
    sums = [_sum_trees(estimator, index, columns, export) for index in range(len(starts))]
    return chain_sums(sums, [(estimator.learning_rate, start) for start in starts], goal, export, factor)


def read_gradient_regressor(estimator: Any, columns: Columns, goal: Goal, export: Export) -> ModelForm:
    """Return the model of GradientBoostingRegressor."""
    (start,) = _find_starts(estimator)
    body = _sum_trees(estimator, 0, columns, export)
    return predict_number(body, goal, targets=rescale(goal, estimator.learning_rate, start))


def _find_starts(estimator: Any) -> list[float]:
    """Return the sums before the first tree, which are constants unless another estimator predicts them."""
    if not isinstance(estimator.init_, str) and find_class(estimator.init_) not in (
        "DummyClassifier",
        "DummyRegressor",
    ):
        raise NotExported(f"init={find_class(estimator.init_)} is not supported; train with init=None or 'zero'")
    starts: list[float] = estimator._raw_predict_init([[0.0] * estimator.n_features_in_])[0].tolist()
    return starts


def _sum_trees(estimator: Any, index: int, columns: Columns, export: Export) -> Body:
    inner = Goal("").inside()
    trees = (predict_number(build_number_tree(stage[index], columns, export), inner) for stage in estimator.estimators_)
    return build_ensemble("sum", trees)


def chain_sums(
    sums: Sequence[Body], scales: Sequence[tuple[float, float]], goal: Goal, export: Export, factor: float = 1.0
) -> ModelForm:
    """Return a classifier by sums of trees: one for two classes, else one for each class.

    scales: factor and constant of each sum
    factor: of the sum in the logistic function
    """
    names = [export.schema.reserve(f"decision({category})") for category in goal.categories[-len(sums) :]]
    inner = goal.inside(())
    models = [
        predict_number(body, inner, (output_value(name),), rescale(inner, *scale))
        for body, name, scale in zip(sums, names, scales, strict=True)
    ]
    if len(names) == 1:
        return chain([*models, classify(build_logit(names[0], goal, factor), goal.last())], goal)
    terms = [((1.0, name),) for name in names]
    return chain([*models, classify(build_softmax(terms, goal), goal.last())], goal)


def build_logit(name: str, goal: Goal, factor: float = 1.0, intercept: float = 0.0) -> RegressionForm:
    """Return the logistic function of a field as the share of the second class."""
    term = Term(factor, ((name, 1.0),), None, ORIGIN)
    equations = (
        Equation(goal.categories[1], intercept, (term,), ORIGIN),
        Equation(goal.categories[0], 0.0, (), ORIGIN),
    )
    return RegressionForm("logit", equations, ORIGIN)


def build_softmax(
    terms: Sequence[Iterable[tuple[float, str]]], goal: Goal, normalization: str = "softmax"
) -> RegressionForm:
    """Return the shares of sums of fields.

    terms: coefficients and fields, by class
    """
    equations = tuple(
        Equation(
            category,
            0.0,
            tuple(Term(coefficient, ((name, 1.0),), None, ORIGIN) for coefficient, name in pairs),
            ORIGIN,
        )
        for category, pairs in zip(goal.categories, terms, strict=True)
    )
    return RegressionForm(normalization, equations, ORIGIN)


# -- Histograms -------------------------------------------------------------------------------------------------------


def read_histogram_classifier(estimator: Any, columns: Columns, goal: Goal, export: Export) -> ModelForm:
    """Return the model of HistGradientBoostingClassifier."""
    sums = _sum_histogram_trees(estimator, columns, export)
    return chain_sums(sums, [(1.0, start) for start in _find_baselines(estimator)], goal, export)


def read_histogram_regressor(estimator: Any, columns: Columns, goal: Goal, export: Export) -> ModelForm:
    """Return the model of HistGradientBoostingRegressor."""
    (body,) = _sum_histogram_trees(estimator, columns, export)
    start = _find_baselines(estimator)[0]
    if estimator.loss not in ("poisson", "gamma"):
        return predict_number(body, goal, targets=rescale(goal, 1.0, start))
    inner, name = goal.inside(), export.schema.reserve("decision")
    first = predict_number(body, inner, (output_value(name),), rescale(inner, 1.0, start))
    equation = Equation(None, 0.0, (Term(1.0, ((name, 1.0),), None, ORIGIN),), ORIGIN)
    last = predict_number(RegressionForm("exp", (equation,), ORIGIN), goal.last())
    return chain([first, last], goal)


def _find_baselines(estimator: Any) -> list[float]:
    baselines: list[float] = estimator._baseline_prediction.ravel().tolist()
    return baselines


def _sum_histogram_trees(estimator: Any, columns: Columns, export: Export) -> list[Body]:
    categories, columns = _prepare_columns(estimator, columns, export)
    inner = Goal("").inside()
    sums = []
    for index in range(len(estimator._predictors[0])):
        trees = (_read_predictor(stage[index], columns, categories, export) for stage in estimator._predictors)
        sums.append(build_ensemble("sum", (predict_number(tree, inner) for tree in trees)))
    return sums


def _prepare_columns(estimator: Any, columns: Columns, export: Export) -> tuple[list[list[str]], Columns]:
    """Return the columns in the order of the trees: first those of categories, with their categories."""
    if (flags := estimator.is_categorical_) is None:
        _use_numbers(columns, export)
        return [], columns
    encoder = estimator._preprocessor.named_transformers_["encoder"]
    categorical = [column for column, flag in zip(columns, flags, strict=True) if flag]
    numeric = [column for column, flag in zip(columns, flags, strict=True) if not flag]
    _use_numbers(numeric, export)
    known = [list_items(array) for array in encoder.categories_]
    for column, values in zip(categorical, known, strict=True):
        prepare_categories(column, values, export, is_open=True, is_unknown_missing=True)
    return [list(map(to_string, values)) for values in known], (*categorical, *numeric)


def _use_numbers(columns: Iterable[FeatureColumn], export: Export) -> None:
    export.schema.use_numbers(columns, allows_missing=True, allows_infinite=True)


def _read_predictor(predictor: Any, columns: Columns, categories: list[list[str]], export: Export) -> Any:
    nodes = predictor.nodes
    is_leaf, values = list_items(nodes["is_leaf"]), list_items(nodes["value"])
    features = list_items(nodes["feature_idx"])
    members = {}
    for index in range(len(values)):
        if nodes["is_categorical"][index] and not is_leaf[index]:
            bits = predictor.raw_left_cat_bitsets[nodes["bitset_idx"][index]].tolist()
            known = categories[features[index]]
            members[index] = tuple(name for code, name in enumerate(known) if bits[code // 32] >> (code % 32) & 1)
    arrays = TreeArrays(
        [-1 if leaf else child for leaf, child in zip(is_leaf, list_items(nodes["left"]), strict=True)],
        list_items(nodes["right"]),
        features,
        list_items(nodes["num_threshold"]),
        [bool(value) for value in list_items(nodes["missing_go_to_left"])],
        members,
    )
    return TreeBuilder(arrays, columns, export.schema, lambda index: (repr(values[index]), ())).build()


# -- Votes ------------------------------------------------------------------------------------------------------------


def chain_votes(
    models: Sequence[ModelForm], weights: Sequence[float], goal: Goal, export: Export, normalization: str
) -> ModelForm:
    """Return a classifier by the sums of the weights of models that predict a class; the first one has the ties.

    normalization: of the sums
    """
    names = [export.schema.reserve(f"vote({index})") for index in range(1, len(models) + 1)]
    voters = [add_outputs(model, [output_label(name, goal)]) for model, name in zip(models, names, strict=True)]
    pairs = list(zip(names, weights, strict=True))
    equations = tuple(
        Equation(category, 0.0, tuple(Term(weight, ((name, 1.0),), category, ORIGIN) for name, weight in pairs), ORIGIN)
        for category in goal.categories
    )
    return chain([*voters, classify(RegressionForm(normalization, equations, ORIGIN), goal.last())], goal)


def read_ada_classifier(estimator: Any, columns: Columns, goal: Goal, export: Export) -> ModelForm:
    """Return the model of AdaBoostClassifier: exponentials of the shares of votes."""
    if (count := len(goal.categories)) < 2:
        raise NotExported("AdaBoostClassifier has one class; train with two or more")
    models = [
        export.read_model(inner, columns, goal.inside(_find_own_classes(inner, estimator, goal)).last())
        for inner in estimator.estimators_
    ]
    weights = list_items(estimator.estimator_weights_)[: len(models)]
    scale = count / (count - 1) ** 2 / sum(weights)
    return chain_votes(models, [weight * scale for weight in weights], goal, export, "softmax")


def _find_own_classes(inner: Any, estimator: Any, goal: Goal) -> tuple[str, ...]:
    """Return the classes of an estimator that was trained with those of the one around it."""
    known = list_items(estimator.classes_)
    return tuple(goal.categories[known.index(category)] for category in list_items(inner.classes_))


def read_ada_regressor(estimator: Any, columns: Columns, goal: Goal, export: Export) -> ModelForm:
    """Return the model of AdaBoostRegressor: the weighted median of its estimators."""
    models = [export.read_model(inner, columns, goal.inside()) for inner in estimator.estimators_]
    weights = list_items(estimator.estimator_weights_)[: len(models)]
    return predict_number(build_ensemble("weightedMedian", models, weights), goal)
