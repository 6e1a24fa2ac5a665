"""Documents of estimators: the model with its fields."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from stellar.models.errors import NotExported
from stellar.models.forms.fields import DataField, FieldType, ListedValue
from stellar.models.forms.model import ModelDocument
from stellar.models.sklearn import composition, encoders, linear, scaling, trees
from stellar.models.sklearn.columns import ORIGIN, Columns, FeatureSchema, build_mining_field, list_items
from stellar.models.sklearn.export import Export, Readers, find_class
from stellar.models.sklearn.goals import Goal, find_classes, find_type
from stellar.models.sklearn.mapper import DataFrameMapper, list_fields, map_columns
from stellar.util.abbreviate import quote

READERS = Readers(
    numeric={
        "Binarizer": scaling.binarize,
        "MaxAbsScaler": scaling.scale_by_maximum,
        "MinMaxScaler": scaling.scale_to_range,
        "RobustScaler": scaling.scale_robust,
        "StandardScaler": scaling.scale_standard,
    },
    others={
        "ColumnTransformer": composition.transform_columns,
        "FeatureUnion": composition.unite_features,
        "OneHotEncoder": encoders.encode_one_hot,
        "Pipeline": composition.transform_pipeline,
    },
    models={
        "DecisionTreeClassifier": trees.read_tree_classifier,
        "DecisionTreeRegressor": trees.read_tree_regressor,
        "LinearRegression": linear.read_linear_regressor,
        "LogisticRegression": linear.read_logistic,
        "LogisticRegressionCV": linear.read_logistic,
        "RandomForestClassifier": trees.read_forest_classifier,
        "RandomForestRegressor": trees.read_forest_regressor,
    },
    meta={"Pipeline": composition.read_pipeline},
)


def build_document(
    estimator: Any,
    features: Sequence[str] | None = None,
    target: str = "y",
    mapper: DataFrameMapper | None = None,
) -> ModelDocument:
    """Return the form of a fitted estimator or Pipeline.

    features: names of the columns of the training data; those of a DataFrame by default, else x1, x2, …
    target: name of the predicted field
    mapper: the columns of a DataFrame that the estimator was trained with, instead of features
    Raise NotExported for an estimator that is not fitted or has no form.
    """
    _check_fitted(estimator)
    if mapper is None:
        schema = FeatureSchema(find_features(estimator, features))
        return _build(estimator, target, Export(schema, READERS), schema.columns())
    entries, mapped_target = mapper.split_target(estimator)
    export = Export(FeatureSchema(list_fields(entries)), READERS)
    columns = map_columns(entries, export.schema.columns(), export)
    return _build(estimator, mapped_target or target, export, columns)


def _build(estimator: Any, target: str, export: Export, columns: Columns) -> ModelDocument:
    schema = export.schema
    if target in schema.names:
        raise NotExported(f"target {quote(target)} has the name of a feature; rename one")
    goal = Goal(target, find_classes(estimator) if hasattr(estimator, "classes_") else ())
    model = export.read_model(estimator, columns, goal)
    used = {field.name for field in model.fields}
    derived = schema.build_derived(used)
    data, fields = schema.build_fields(used)
    model = replace(model, fields=(build_mining_field(target, "target"), *fields))
    return ModelDocument("4.4", (_build_target(estimator, goal), *data), derived, (), model)


def _build_target(estimator: Any, goal: Goal) -> DataField:
    name = goal.target or ""
    if not goal.categories:
        return DataField(name, FieldType("continuous", "double"), (), (), ORIGIN)
    values = tuple(ListedValue(category, "valid") for category in goal.categories)
    return DataField(name, FieldType("categorical", find_type(list_items(estimator.classes_))), values, (), ORIGIN)


def _check_fitted(estimator: Any) -> None:
    if not hasattr(estimator, "n_features_in_"):
        raise NotExported(f"{find_class(estimator)} is not fitted; call fit before the export")


def find_features(estimator: Any, features: Sequence[str] | None) -> list[str]:
    """Return the names of the features of an estimator."""
    count = estimator.n_features_in_
    known = getattr(estimator, "feature_names_in_", None)
    if features is None:
        return list(map(str, known)) if known is not None else [f"x{index}" for index in range(1, count + 1)]
    names = list(features)
    if len(names) != count:
        raise NotExported(
            f"{len(names)} names for {count} features; give the names of the columns of the training data"
        )
    if known is not None and names != list(known):
        pairs = zip(names, known, strict=True)
        ours, trained = next((one, other) for one, other in pairs if one != other)
        raise NotExported(f"feature {quote(ours)} was {quote(trained)} in training; give the names in that order")
    return names
