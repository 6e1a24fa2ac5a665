"""Models by distances: nearest neighbors and clusters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stellar.models.errors import NotExported
from stellar.models.forms.bodies import ClusterCenter, ClusteringForm, ComparedField, Measure, NearestForm
from stellar.models.forms.fields import FieldType
from stellar.models.forms.model import ModelForm
from stellar.models.sklearn.columns import ORIGIN, Columns, list_items
from stellar.models.sklearn.export import Export, find_class
from stellar.models.sklearn.goals import Goal, build_model, classify, output_value, predict_number

METRICS = {"euclidean": "euclidean", "manhattan": "cityBlock", "chebyshev": "chebychev", "minkowski": "minkowski"}
# The weight of a neighbor is 1 / (distance + threshold): this one is lost but at a distance of 0
SMALLEST = 1e-300


def _measure(name: str, parameters: tuple[float, ...] = ()) -> Measure:
    return Measure(name, "distance", "absDiff", parameters, ORIGIN)


def _compare_fields(columns: Columns, export: Export) -> tuple[ComparedField, ...]:
    return tuple(ComparedField(export.schema.name_column(column), 1.0, None, None) for column in columns)


def read_neighbors_classifier(estimator: Any, columns: Columns, goal: Goal, export: Export) -> ModelForm:
    """Return the model of KNeighborsClassifier, which has no probabilities in PMML."""
    labels = [goal.categories[index] for index in list_items(estimator._y)]
    return classify(_build_nearest(estimator, labels, columns, goal, export), goal.last(), ())


def read_neighbors_regressor(estimator: Any, columns: Columns, goal: Goal, export: Export) -> ModelForm:
    """Return the model of KNeighborsRegressor."""
    labels = list_items(estimator._y)
    if isinstance(labels[0], list):
        if len(labels[0]) > 1:
            raise NotExported(f"KNeighborsRegressor has {len(labels[0])} targets; train one estimator for each")
        labels = [row[0] for row in labels]
    return predict_number(_build_nearest(estimator, list(map(repr, labels)), columns, goal, export), goal.last())


def _build_nearest(estimator: Any, labels: Sequence[str], columns: Columns, goal: Goal, export: Export) -> NearestForm:
    fields = _compare_fields(columns, export)
    names = [field.field for field in fields]
    instances = tuple(
        {**dict(zip(names, map(repr, row), strict=True)), goal.target: label}
        for row, label in zip(list_items(estimator._fit_X), labels, strict=True)
    )
    is_weighted = _is_weighted(estimator)
    return NearestForm(
        estimator.n_neighbors,
        _find_measure(estimator),
        fields,
        instances,
        None,
        "weightedAverage" if is_weighted else "average",
        "weightedMajorityVote" if is_weighted else "majorityVote",
        SMALLEST if is_weighted else 0.001,
        ORIGIN,
    )


def _is_weighted(estimator: Any) -> bool:
    if estimator.weights not in ("uniform", "distance", None):
        raise NotExported("weights by a function are not supported; use 'uniform' or 'distance'")
    return bool(estimator.weights == "distance")


def _find_measure(estimator: Any) -> Measure:
    metric = estimator.effective_metric_
    if not isinstance(metric, str) or (name := METRICS.get(metric)) is None:
        raise NotExported(f"the metric of {find_class(estimator)} is not supported; use one of {', '.join(METRICS)}")
    return _measure(name, (float(estimator.effective_metric_params_["p"]),) if name == "minkowski" else ())


def read_nearest_centroid(estimator: Any, columns: Columns, goal: Goal, export: Export) -> ModelForm:
    """Return the model of NearestCentroid: the nearest neighbor among the centroids."""
    if estimator.metric not in ("euclidean", "manhattan") or getattr(estimator, "priors", "uniform") != "uniform":
        raise NotExported("NearestCentroid is supported with metric 'euclidean' or 'manhattan' and uniform priors")
    fields = _compare_fields(columns, export)
    instances = tuple(
        {**{field.field: repr(value) for field, value in zip(fields, row, strict=True)}, goal.target: category}
        for row, category in zip(list_items(estimator.centroids_), goal.categories, strict=True)
    )
    body = NearestForm(
        1, _measure(METRICS[estimator.metric]), fields, instances, None, "average", "majorityVote", 0.001, ORIGIN
    )
    return classify(body, goal.last(), ())


# -- Clusters ---------------------------------------------------------------------------------------------------------


def read_clusters(estimator: Any, columns: Columns, goal: Goal, export: Export) -> ModelForm:
    """Return the model of clusters by the nearest of their centers. Its output has the index of the cluster."""
    centers = tuple(
        ClusterCenter(str(index), None, tuple(row)) for index, row in enumerate(list_items(estimator.cluster_centers_))
    )
    body = ClusteringForm(_measure("squaredEuclidean"), _compare_fields(columns, export), None, centers, ORIGIN)
    output = output_value(goal.target, FieldType("categorical", "integer"), is_final=True)
    return build_model("clustering", body, goal.inside(), (output,))
