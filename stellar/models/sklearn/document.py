"""Documents of estimators: the model with its fields."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from stellar.models.errors import NotExported
from stellar.models.forms.fields import DataField, FieldType, ListedValue
from stellar.models.forms.model import ModelDocument
from stellar.models.sklearn import (
    anomalies,
    bayes,
    boosting,
    composition,
    encoders,
    ensembles,
    linear,
    machines,
    neighbors,
    networks,
    preprocessing,
    scaling,
    trees,
    wrappers,
)
from stellar.models.sklearn.columns import ORIGIN, Columns, FeatureSchema, build_mining_field, list_items
from stellar.models.sklearn.export import Export, Readers, find_class
from stellar.models.sklearn.goals import Goal, find_classes, find_type
from stellar.models.sklearn.mapper import (
    DataFrameMapper,
    MappedColumns,
    is_encoded_target,
    is_plain,
    list_fields,
    map_columns,
)
from stellar.util.abbreviate import quote

# Estimators that are read by the same function
_SUMS = """
    ARDRegression BayesianRidge ElasticNet ElasticNetCV HuberRegressor Lars LarsCV Lasso LassoCV LassoLars LassoLarsCV
    LassoLarsIC LinearRegression LinearSVR OrthogonalMatchingPursuit OrthogonalMatchingPursuitCV
    PassiveAggressiveRegressor QuantileRegressor Ridge RidgeCV SGDRegressor TheilSenRegressor
"""
_LINEAR_CLASSIFIERS = "LinearSVC PassiveAggressiveClassifier Perceptron RidgeClassifier RidgeClassifierCV"
_SELECTORS = """
    GenericUnivariateSelect RFE RFECV SelectFdr SelectFpr SelectFromModel SelectFwe SelectKBest SelectPercentile
    SequentialFeatureSelector VarianceThreshold
"""
_SEARCHES = "GridSearchCV RandomizedSearchCV"

READERS = Readers(
    numeric={
        "Binarizer": scaling.binarize,
        "KBinsDiscretizer": preprocessing.discretize,
        "MaxAbsScaler": scaling.scale_by_maximum,
        "MinMaxScaler": scaling.scale_to_range,
        "Normalizer": preprocessing.normalize,
        "PCA": preprocessing.project,
        "PolynomialFeatures": preprocessing.expand_polynomial,
        "PowerTransformer": preprocessing.transform_power,
        "QuantileTransformer": preprocessing.rank_quantiles,
        "RobustScaler": scaling.scale_robust,
        "StandardScaler": scaling.scale_standard,
        "TruncatedSVD": preprocessing.project,
    },
    others={
        "ColumnTransformer": composition.transform_columns,
        "FeatureUnion": composition.unite_features,
        "FunctionTransformer": preprocessing.call_function,
        "LabelBinarizer": encoders.binarize_labels,
        "MissingIndicator": preprocessing.indicate_missing,
        "OneHotEncoder": encoders.encode_one_hot,
        "OrdinalEncoder": encoders.encode_ordinal,
        "Pipeline": composition.transform_pipeline,
        "SimpleImputer": preprocessing.impute,
        "TargetEncoder": encoders.encode_target,
        **dict.fromkeys(_SELECTORS.split(), composition.select_features),
    },
    models={
        "AdaBoostClassifier": boosting.read_ada_classifier,
        "AdaBoostRegressor": boosting.read_ada_regressor,
        "BernoulliNB": bayes.read_bernoulli,
        "CategoricalNB": bayes.read_categorical,
        "ComplementNB": bayes.read_complement,
        "DecisionTreeClassifier": trees.read_tree_classifier,
        "DecisionTreeRegressor": trees.read_tree_regressor,
        "ExtraTreeClassifier": trees.read_tree_classifier,
        "ExtraTreeRegressor": trees.read_tree_regressor,
        "ExtraTreesClassifier": trees.read_forest_classifier,
        "ExtraTreesRegressor": trees.read_forest_regressor,
        "GammaRegressor": linear.read_log_regressor,
        "GaussianNB": bayes.read_gaussian,
        "GradientBoostingClassifier": boosting.read_gradient_classifier,
        "GradientBoostingRegressor": boosting.read_gradient_regressor,
        "IsolationForest": anomalies.read_isolation_forest,
        "KMeans": neighbors.read_clusters,
        "KNeighborsClassifier": neighbors.read_neighbors_classifier,
        "KNeighborsRegressor": neighbors.read_neighbors_regressor,
        "LinearDiscriminantAnalysis": linear.read_logistic,
        "LogisticRegression": linear.read_logistic,
        "LogisticRegressionCV": linear.read_logistic,
        "MLPClassifier": networks.read_network_classifier,
        "MLPRegressor": networks.read_network_regressor,
        "MeanShift": neighbors.read_clusters,
        "MiniBatchKMeans": neighbors.read_clusters,
        "MultinomialNB": bayes.read_multinomial,
        "NearestCentroid": neighbors.read_nearest_centroid,
        "NuSVC": machines.read_vector_classifier,
        "NuSVR": machines.read_vector_regressor,
        "OneClassSVM": anomalies.read_one_class,
        "PLSRegression": linear.read_partial_least_squares,
        "PoissonRegressor": linear.read_log_regressor,
        "QuadraticDiscriminantAnalysis": bayes.read_quadratic,
        "RandomForestClassifier": trees.read_forest_classifier,
        "RandomForestRegressor": trees.read_forest_regressor,
        "SGDClassifier": machines.read_stochastic_classifier,
        "SGDOneClassSVM": anomalies.read_linear_one_class,
        "SVC": machines.read_vector_classifier,
        "SVR": machines.read_vector_regressor,
        "TweedieRegressor": linear.read_tweedie_regressor,
        **dict.fromkeys(_SUMS.split(), linear.read_linear_regressor),
        **dict.fromkeys(_LINEAR_CLASSIFIERS.split(), machines.read_linear_classifier),
    },
    meta={
        "BaggingClassifier": ensembles.read_bagging_classifier,
        "BaggingRegressor": ensembles.read_bagging_regressor,
        "CalibratedClassifierCV": wrappers.read_calibrated,
        "DummyClassifier": ensembles.read_dummy_classifier,
        "DummyRegressor": ensembles.read_dummy_regressor,
        "HistGradientBoostingClassifier": boosting.read_histogram_classifier,
        "HistGradientBoostingRegressor": boosting.read_histogram_regressor,
        "OneVsRestClassifier": wrappers.read_one_against_rest,
        "Pipeline": composition.read_pipeline,
        "RANSACRegressor": linear.read_wrapped_regressor,
        "StackingClassifier": ensembles.read_stacking,
        "StackingRegressor": ensembles.read_stacking,
        "TransformedTargetRegressor": wrappers.read_transformed_target,
        "VotingClassifier": ensembles.read_voting_classifier,
        "VotingRegressor": ensembles.read_voting_regressor,
        **dict.fromkeys(_SEARCHES.split(), ensembles.read_best),
    },
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
    export, columns, mapped_target = _map_features(estimator, mapper)
    return _build(estimator, mapped_target or target, export, columns)


def _map_features(estimator: Any, mapper: DataFrameMapper) -> tuple[Export, Columns, str | None]:
    """Return the columns of an estimator, and the name of the target if the mapper's last column is one."""
    entries, last = mapper.entries, mapper.entries[-1]
    if not is_encoded_target(last):
        export, columns = _map_columns(entries)
        if len(columns) != estimator.n_features_in_ + 1 or not is_plain(last):
            return export, columns, None
    return *_map_columns(entries[:-1]), last.names[0]


def _map_columns(entries: Sequence[MappedColumns]) -> tuple[Export, Columns]:
    export = Export(FeatureSchema(list_fields(entries)), READERS)
    return export, map_columns(entries, export.schema.columns(), export)


def _build(estimator: Any, target: str, export: Export, columns: Columns) -> ModelDocument:
    schema = export.schema
    if target in schema.names:
        raise NotExported(f"target {quote(target)} has the name of a feature; rename one")
    goal = _find_goal(estimator, target)
    model = export.read_model(estimator, columns, goal)
    used = {field.name for field in model.fields}
    derived = schema.build_derived(used)
    data, fields = schema.build_fields(used)
    if find_kind(estimator) != "clusterer":
        data = (_build_target(goal), *data)
        fields = (build_mining_field(target, "target"), *fields)
    # derived fields of the document are not visible to JPMML in models within the model
    return ModelDocument("4.4", data, (), (), replace(model, fields=fields, derived=derived))


def find_kind(estimator: Any) -> str | None:
    """Return the kind of an estimator: classifier, regressor, clusterer, outlier_detector or others."""
    kind: str | None = estimator.__sklearn_tags__().estimator_type
    return kind


def _find_goal(estimator: Any, target: str) -> Goal:
    if find_kind(estimator) == "outlier_detector":
        return Goal(target, anomalies.CATEGORIES, "integer")
    if not hasattr(estimator, "classes_"):
        return Goal(target)
    return Goal(target, find_classes(estimator), find_type(list_items(estimator.classes_)))


def _build_target(goal: Goal) -> DataField:
    if not goal.categories:
        return DataField(goal.target, FieldType("continuous", "double"), (), (), ORIGIN)
    values = tuple(ListedValue(category, "valid") for category in goal.categories)
    return DataField(goal.target, FieldType("categorical", goal.data), values, (), ORIGIN)


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
        raise NotExported(f"{len(names)} names for {count} features; name each column of the training data")
    if known is not None and names != list(known):
        pairs = zip(names, known, strict=True)
        ours, trained = next((one, other) for one, other in pairs if one != other)
        raise NotExported(f"feature {quote(ours)} was {quote(trained)} in training; give the names in that order")
    return names
