"""Pipelines of transformers of scikit-learn before a linear model or trees."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn import (
    compose,
    decomposition,
    ensemble,
    feature_selection,
    impute,
    linear_model,
    pipeline,
    preprocessing,
    tree,
)

NUMBERS = ["systems", "ttl", "entropy", "digits"]
scale = preprocessing.StandardScaler


def after(*steps: Any, columns: tuple[str, ...] | list[str] = NUMBERS) -> Any:
    """Return a Pipeline of steps on numbers, and a linear model."""
    numbers = compose.ColumnTransformer([("numbers", pipeline.make_pipeline(*steps), list(columns))])
    return pipeline.make_pipeline(numbers, linear_model.Ridge())


def encode(encoder: Any, estimator: Any = None, numbers: Any = "passthrough") -> Any:
    """Return a Pipeline of an encoder of names beside the numbers, and an estimator."""
    columns = compose.ColumnTransformer([("names", encoder, ["tld"]), ("numbers", numbers, NUMBERS)])
    return pipeline.make_pipeline(columns, linear_model.Ridge() if estimator is None else estimator)


def choose(selector: Any) -> Any:
    """Return a Pipeline of a selector of encoded columns, and a linear model."""
    return encode(preprocessing.OneHotEncoder(), pipeline.make_pipeline(selector, linear_model.Ridge()), scale())


def grow(name: str, **options: Any) -> Any:
    """Return an ensemble of trees."""
    return getattr(ensemble, name)(n_estimators=6, max_depth=6, random_state=1, **options)


def boost(**options: Any) -> Any:
    """Return boosted trees."""
    return ensemble.HistGradientBoostingRegressor(max_iter=8, random_state=1, **options)


UNKNOWN_IS_RARE = {"min_frequency": 80, "handle_unknown": "infrequent_if_exist"}
UNKNOWN_IS = "use_encoded_value"

COMPLETE: dict[str, Callable[[], Any]] = {
    "Binarizer": lambda: after(preprocessing.Binarizer(threshold=2.0)),
    "FeatureUnion": lambda: after(pipeline.make_union(scale(), decomposition.PCA(2))),
    "FunctionTransformer": lambda: after(preprocessing.FunctionTransformer(np.log1p), columns=["systems", "ttl"]),
    "FunctionTransformer of squares": lambda: after(preprocessing.FunctionTransformer(np.square)),
    "FunctionTransformer without function": lambda: after(preprocessing.FunctionTransformer()),
    "KBinsDiscretizer": lambda: after(preprocessing.KBinsDiscretizer(4, quantile_method="averaged_inverted_cdf")),
    "KBinsDiscretizer of numbers": lambda: after(
        preprocessing.KBinsDiscretizer(4, encode="ordinal", strategy="uniform")
    ),
    "MaxAbsScaler": lambda: after(preprocessing.MaxAbsScaler()),
    "MinMaxScaler": lambda: after(preprocessing.MinMaxScaler((-1, 1))),
    "MinMaxScaler with limits": lambda: after(preprocessing.MinMaxScaler(clip=True)),
    "Normalizer": lambda: after(preprocessing.Normalizer()),
    "Normalizer of sums": lambda: after(preprocessing.Normalizer("l1")),
    "Normalizer of maxima": lambda: after(preprocessing.Normalizer("max")),
    "OneHotEncoder": lambda: encode(preprocessing.OneHotEncoder()),
    "OneHotEncoder without the first": lambda: encode(preprocessing.OneHotEncoder(drop="first")),
    "OneHotEncoder of rare ones without the first": lambda: encode(
        preprocessing.OneHotEncoder(min_frequency=80, drop="first"), numbers=scale()
    ),
    "OrdinalEncoder": lambda: encode(preprocessing.OrdinalEncoder()),
    "PCA": lambda: after(scale(), decomposition.PCA(2)),
    "PCA of equal variances": lambda: after(scale(), decomposition.PCA(3, whiten=True)),
    "PolynomialFeatures": lambda: after(scale(), preprocessing.PolynomialFeatures(3)),
    "PolynomialFeatures of products": lambda: after(
        preprocessing.PolynomialFeatures(2, interaction_only=True, include_bias=False)
    ),
    "PowerTransformer": lambda: after(preprocessing.PowerTransformer()),
    "PowerTransformer around 0": lambda: after(scale(), preprocessing.PowerTransformer(standardize=False)),
    "PowerTransformer of positive numbers": lambda: after(
        preprocessing.PowerTransformer("box-cox"), columns=["systems", "entropy"]
    ),
    "QuantileTransformer": lambda: after(preprocessing.QuantileTransformer(n_quantiles=40)),
    "QuantileTransformer to normal": lambda: after(
        preprocessing.QuantileTransformer(n_quantiles=40, output_distribution="normal")
    ),
    "MissingIndicator": lambda: after(impute.MissingIndicator(features="all", missing_values=5.0)),
    "GenericUnivariateSelect": lambda: choose(
        feature_selection.GenericUnivariateSelect(feature_selection.f_regression, mode="k_best", param=3)
    ),
    "RFECV": lambda: choose(feature_selection.RFECV(linear_model.Ridge(), cv=2)),
    "SelectFdr": lambda: choose(feature_selection.SelectFdr(feature_selection.f_regression)),
    "SelectFpr": lambda: choose(feature_selection.SelectFpr(feature_selection.f_regression)),
    "SelectFwe": lambda: choose(feature_selection.SelectFwe(feature_selection.f_regression)),
    "SelectPercentile": lambda: choose(
        feature_selection.SelectPercentile(feature_selection.f_regression, percentile=40)
    ),
    "SequentialFeatureSelector": lambda: choose(
        feature_selection.SequentialFeatureSelector(linear_model.Ridge(), n_features_to_select=2, cv=2)
    ),
    "RFE": lambda: choose(feature_selection.RFE(linear_model.Ridge(), n_features_to_select=3)),
    "RobustScaler": lambda: after(preprocessing.RobustScaler()),
    "SelectFromModel": lambda: choose(feature_selection.SelectFromModel(linear_model.Ridge())),
    "SelectKBest": lambda: choose(feature_selection.SelectKBest(feature_selection.f_regression, k=4)),
    "SimpleImputer of a number": lambda: after(impute.SimpleImputer(missing_values=5.0)),
    "StandardScaler": lambda: after(scale()),
    "StandardScaler without means": lambda: after(scale(with_mean=False)),
    "TargetEncoder": lambda: encode(preprocessing.TargetEncoder(target_type="continuous", random_state=1)),
    "TruncatedSVD": lambda: after(scale(), decomposition.TruncatedSVD(2, random_state=1)),
    "VarianceThreshold": lambda: choose(feature_selection.VarianceThreshold(0.1)),
}
# On data with missing numbers, and a category that training did not have
INCOMPLETE: dict[str, Callable[[], Any]] = {
    "BaggingRegressor": lambda: encode(
        preprocessing.OneHotEncoder(handle_unknown="ignore"), ensemble.BaggingRegressor(n_estimators=5, random_state=1)
    ),
    "DecisionTreeRegressor": lambda: encode(
        preprocessing.OneHotEncoder(handle_unknown="ignore"), tree.DecisionTreeRegressor(max_depth=6, random_state=1)
    ),
    "ExtraTreesRegressor": lambda: encode(preprocessing.OneHotEncoder(**UNKNOWN_IS_RARE), grow("ExtraTreesRegressor")),
    "HistGradientBoostingRegressor": lambda: boost(categorical_features=["tld"]),
    "HistGradientBoostingRegressor of codes": lambda: encode(
        preprocessing.OrdinalEncoder(handle_unknown=UNKNOWN_IS, unknown_value=np.nan), boost()
    ),
    "MinMaxScaler": lambda: encode(
        preprocessing.OneHotEncoder(handle_unknown="ignore"),
        grow("RandomForestRegressor"),
        preprocessing.MinMaxScaler(clip=True),
    ),
    "RandomForestRegressor": lambda: encode(
        preprocessing.OrdinalEncoder(handle_unknown=UNKNOWN_IS, unknown_value=-1), grow("RandomForestRegressor")
    ),
    "SimpleImputer": lambda: encode(
        preprocessing.OneHotEncoder(handle_unknown="ignore"), numbers=impute.SimpleImputer(strategy="median")
    ),
    "SimpleImputer with indicators": lambda: encode(
        preprocessing.TargetEncoder(target_type="continuous", random_state=1),
        numbers=impute.SimpleImputer(add_indicator=True),
    ),
}
# On data without some of the names, too
WITHOUT_NAMES: dict[str, Callable[[], Any]] = {
    "SimpleImputer of names": lambda: encode(
        pipeline.make_pipeline(
            impute.SimpleImputer(strategy="most_frequent"), preprocessing.OneHotEncoder(handle_unknown="ignore")
        ),
        numbers=impute.SimpleImputer(),
    ),
    "OneHotEncoder of missing names": lambda: encode(preprocessing.OneHotEncoder(handle_unknown="ignore"), boost()),
    "OrdinalEncoder of missing names": lambda: encode(
        preprocessing.OrdinalEncoder(handle_unknown=UNKNOWN_IS, unknown_value=-1, encoded_missing_value=-2), boost()
    ),
}
