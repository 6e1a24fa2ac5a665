"""Estimators of scikit-learn, fitted to synthetic domains."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from models.sklearn import transformers
from models.sklearn.agreement import make_classes, make_data, make_numbers
from sklearn import (
    calibration,
    cluster,
    compose,
    cross_decomposition,
    discriminant_analysis,
    dummy,
    ensemble,
    linear_model,
    model_selection,
    multiclass,
    naive_bayes,
    neighbors,
    neural_network,
    pipeline,
    preprocessing,
    svm,
    tree,
)

NUMBERS = ["systems", "ttl", "entropy", "digits"]


def preprocess() -> Any:
    """Return the columns of `make_data`, scaled and encoded."""
    return compose.ColumnTransformer(
        [
            ("numbers", preprocessing.StandardScaler(), NUMBERS),
            ("names", preprocessing.OneHotEncoder(handle_unknown="ignore"), ["tld"]),
        ]
    )


def after_encoding(estimator: Any) -> Any:
    """Return a Pipeline of `preprocess` and an estimator."""
    return pipeline.make_pipeline(preprocess(), estimator)


def make_grown(name: str, **options: Any) -> Any:
    """Return an ensemble of trees."""
    return getattr(ensemble, name)(n_estimators=12, random_state=1, **options)


def make_voters() -> list[tuple[str, Any]]:
    """Return classifiers by name."""
    return [
        ("forest", make_grown("RandomForestClassifier", max_depth=4)),
        ("linear", linear_model.LogisticRegression()),
        ("boosted", make_grown("GradientBoostingClassifier")),
    ]


def make_averaged() -> list[tuple[str, Any]]:
    """Return regressors by name."""
    return [
        ("forest", make_grown("RandomForestRegressor", max_depth=4)),
        ("linear", linear_model.Ridge()),
        ("boosted", make_grown("GradientBoostingRegressor")),
    ]


CLASSIFIERS: dict[str, Callable[[], Any]] = {
    "AdaBoostClassifier": lambda: make_grown("AdaBoostClassifier"),
    "BaggingClassifier": lambda: make_grown("BaggingClassifier", max_features=0.7),
    "BaggingClassifier of votes": lambda: make_grown("BaggingClassifier", estimator=linear_model.RidgeClassifier()),
    "BernoulliNB": lambda: naive_bayes.BernoulliNB(),
    "CalibratedClassifierCV": lambda: calibration.CalibratedClassifierCV(svm.LinearSVC(random_state=1), cv=2),
    "CalibratedClassifierCV of a forest": lambda: calibration.CalibratedClassifierCV(
        make_grown("RandomForestClassifier", max_depth=4), cv=3, ensemble=False
    ),
    "DecisionTreeClassifier": lambda: tree.DecisionTreeClassifier(max_depth=6, random_state=1),
    "DummyClassifier": lambda: dummy.DummyClassifier(),
    "ExtraTreeClassifier": lambda: tree.ExtraTreeClassifier(max_depth=6, random_state=1),
    "ExtraTreesClassifier": lambda: make_grown("ExtraTreesClassifier", max_depth=6),
    "GaussianNB": lambda: naive_bayes.GaussianNB(),
    "GradientBoostingClassifier": lambda: make_grown("GradientBoostingClassifier"),
    "GridSearchCV": lambda: model_selection.GridSearchCV(linear_model.LogisticRegression(), {"C": [1, 5]}, cv=2),
    "HistGradientBoostingClassifier": lambda: ensemble.HistGradientBoostingClassifier(max_iter=12, random_state=1),
    "KNeighborsClassifier": lambda: neighbors.KNeighborsClassifier(1),
    "KNeighborsClassifier by distance": lambda: neighbors.KNeighborsClassifier(4, weights="distance", p=3),
    "LinearDiscriminantAnalysis": lambda: discriminant_analysis.LinearDiscriminantAnalysis(),
    "LinearSVC": lambda: svm.LinearSVC(random_state=1),
    "LogisticRegression": lambda: linear_model.LogisticRegression(C=3.0),
    "LogisticRegressionCV": lambda: linear_model.LogisticRegressionCV(Cs=2, cv=2),
    "MLPClassifier": lambda: neural_network.MLPClassifier(hidden_layer_sizes=(6, 4), max_iter=300, random_state=1),
    "MLPClassifier of tanh": lambda: neural_network.MLPClassifier(
        hidden_layer_sizes=(5,), activation="tanh", max_iter=300, random_state=1
    ),
    "NearestCentroid": lambda: neighbors.NearestCentroid(),
    "NuSVC": lambda: svm.NuSVC(nu=0.2),
    "PassiveAggressiveClassifier": lambda: linear_model.PassiveAggressiveClassifier(random_state=1),
    "OneVsRestClassifier": lambda: multiclass.OneVsRestClassifier(linear_model.LogisticRegression()),
    "OneVsRestClassifier of boosted trees": lambda: multiclass.OneVsRestClassifier(
        make_grown("GradientBoostingClassifier")
    ),
    "Perceptron": lambda: linear_model.Perceptron(random_state=1),
    "QuadraticDiscriminantAnalysis": lambda: discriminant_analysis.QuadraticDiscriminantAnalysis(reg_param=0.1),
    "RandomForestClassifier": lambda: make_grown("RandomForestClassifier", max_depth=6),
    "RandomizedSearchCV": lambda: model_selection.RandomizedSearchCV(
        tree.DecisionTreeClassifier(random_state=1), {"max_depth": [3, 5]}, n_iter=2, cv=2
    ),
    "RidgeClassifierCV": lambda: linear_model.RidgeClassifierCV(),
    "RidgeClassifier": lambda: linear_model.RidgeClassifier(),
    "SGDClassifier": lambda: linear_model.SGDClassifier(random_state=1),
    "SGDClassifier of logarithms": lambda: linear_model.SGDClassifier(loss="log_loss", random_state=1),
    "SVC": lambda: svm.SVC(),
    "SVC of polynomials": lambda: svm.SVC(kernel="poly", degree=2, coef0=1.0),
    "SVC of sigmoids": lambda: svm.SVC(kernel="sigmoid", coef0=0.5),
    "StackingClassifier": lambda: ensemble.StackingClassifier(make_voters(), cv=2),
    "StackingClassifier with columns": lambda: ensemble.StackingClassifier(
        make_voters(), tree.DecisionTreeClassifier(max_depth=4, random_state=1), cv=2, passthrough=True
    ),
    "VotingClassifier": lambda: ensemble.VotingClassifier(make_voters()),
    "VotingClassifier with weights": lambda: ensemble.VotingClassifier(make_voters(), weights=[1, 2, 1]),
    "VotingClassifier soft": lambda: ensemble.VotingClassifier(make_voters(), voting="soft", weights=[1, 2, 1]),
}
REGRESSORS: dict[str, Callable[[], Any]] = {
    "AdaBoostRegressor": lambda: make_grown("AdaBoostRegressor"),
    "BaggingRegressor": lambda: make_grown("BaggingRegressor", max_samples=0.7, max_features=0.8),
    "BayesianRidge": lambda: linear_model.BayesianRidge(),
    "DecisionTreeRegressor": lambda: tree.DecisionTreeRegressor(max_depth=6, random_state=1),
    "DummyRegressor": lambda: dummy.DummyRegressor(),
    "ElasticNet": lambda: linear_model.ElasticNet(alpha=0.1),
    "ExtraTreeRegressor": lambda: tree.ExtraTreeRegressor(max_depth=6, random_state=1),
    "ExtraTreesRegressor": lambda: make_grown("ExtraTreesRegressor", max_depth=6),
    "GammaRegressor": lambda: linear_model.GammaRegressor(),
    "GradientBoostingRegressor": lambda: make_grown("GradientBoostingRegressor"),
    "HistGradientBoostingRegressor": lambda: ensemble.HistGradientBoostingRegressor(max_iter=12, random_state=1),
    "HistGradientBoostingRegressor of Poisson": lambda: ensemble.HistGradientBoostingRegressor(
        loss="poisson", max_iter=12, random_state=1
    ),
    "HuberRegressor": lambda: linear_model.HuberRegressor(max_iter=1000),
    "KNeighborsRegressor": lambda: neighbors.KNeighborsRegressor(4),
    "KNeighborsRegressor by distance": lambda: neighbors.KNeighborsRegressor(4, weights="distance", p=1),
    "Lasso": lambda: linear_model.Lasso(alpha=0.05),
    "LinearRegression": lambda: linear_model.LinearRegression(),
    "LinearSVR": lambda: svm.LinearSVR(random_state=1),
    "MLPRegressor": lambda: neural_network.MLPRegressor(hidden_layer_sizes=(6,), max_iter=300, random_state=1),
    "NuSVR": lambda: svm.NuSVR(),
    "PLSRegression": lambda: cross_decomposition.PLSRegression(2),
    "PoissonRegressor": lambda: linear_model.PoissonRegressor(),
    "RANSACRegressor": lambda: linear_model.RANSACRegressor(random_state=1),
    "RandomForestRegressor": lambda: make_grown("RandomForestRegressor", max_depth=6),
    "Ridge": lambda: linear_model.Ridge(),
    "SGDRegressor": lambda: linear_model.SGDRegressor(random_state=1),
    "SVR": lambda: svm.SVR(),
    "StackingRegressor": lambda: ensemble.StackingRegressor(make_averaged(), cv=2),
    "TheilSenRegressor": lambda: linear_model.TheilSenRegressor(random_state=1, max_subpopulation=100),
    "TransformedTargetRegressor": lambda: compose.TransformedTargetRegressor(
        linear_model.Ridge(), func=np.log1p, inverse_func=np.expm1
    ),
    "TransformedTargetRegressor by a scaler": lambda: compose.TransformedTargetRegressor(
        make_grown("GradientBoostingRegressor"), transformer=preprocessing.StandardScaler()
    ),
    "TweedieRegressor": lambda: linear_model.TweedieRegressor(power=1.5, alpha=0.1),
    "VotingRegressor": lambda: ensemble.VotingRegressor(make_averaged(), weights=[1, 2, 3]),
    "ARDRegression": lambda: linear_model.ARDRegression(),
    "ElasticNetCV": lambda: linear_model.ElasticNetCV(),
    "Lars": lambda: linear_model.Lars(),
    "LarsCV": lambda: linear_model.LarsCV(),
    "LassoCV": lambda: linear_model.LassoCV(),
    "LassoLarsCV": lambda: linear_model.LassoLarsCV(),
    "LassoLarsIC": lambda: linear_model.LassoLarsIC(),
    "OrthogonalMatchingPursuit": lambda: linear_model.OrthogonalMatchingPursuit(),
    "OrthogonalMatchingPursuitCV": lambda: linear_model.OrthogonalMatchingPursuitCV(),
    "RidgeCV": lambda: linear_model.RidgeCV(),
    "LassoLars": lambda: linear_model.LassoLars(alpha=0.01),
    "PassiveAggressiveRegressor": lambda: linear_model.PassiveAggressiveRegressor(random_state=1),
    "QuantileRegressor": lambda: linear_model.QuantileRegressor(alpha=0.01),
}
# After columns that are positive, or numbers of categories
POSITIVE: dict[str, Callable[[], Any]] = {
    "CategoricalNB": lambda: transformers.encode(
        preprocessing.OrdinalEncoder(),
        naive_bayes.CategoricalNB(),
        preprocessing.KBinsDiscretizer(4, encode="ordinal", strategy="uniform"),
    ),
    "ComplementNB": lambda: transformers.encode(
        preprocessing.OneHotEncoder(), naive_bayes.ComplementNB(), preprocessing.MinMaxScaler(clip=True)
    ),
    "MultinomialNB": lambda: transformers.encode(
        preprocessing.OneHotEncoder(), naive_bayes.MultinomialNB(), preprocessing.MinMaxScaler(clip=True)
    ),
}
OTHERS: dict[str, Callable[[], Any]] = {
    "IsolationForest": lambda: ensemble.IsolationForest(n_estimators=20, random_state=1),
    "KMeans": lambda: cluster.KMeans(5, n_init=2, random_state=1),
    "MeanShift": lambda: cluster.MeanShift(),
    "MiniBatchKMeans": lambda: cluster.MiniBatchKMeans(4, n_init=2, random_state=1),
    "OneClassSVM": lambda: svm.OneClassSVM(nu=0.2),
    "SGDOneClassSVM": lambda: linear_model.SGDOneClassSVM(nu=0.3, random_state=1),
}


MISSING = 0.1  # share of the numbers


def fit(name: str) -> tuple[Any, Any]:
    """Return a fitted estimator, and data that it has not seen."""
    suffix = name.partition("/")[2]
    seen, unseen = make_data(), make_data(200, seed=7)
    if suffix in ("missing", "unnamed"):
        seen, unseen = make_data(missing=MISSING), make_data(200, missing=MISSING, seed=7)
        unseen.loc[::5, "tld"] = "xyz"
    if suffix == "unnamed":
        seen.loc[::9, "tld"] = unseen.loc[::7, "tld"] = np.nan
    with warnings.catch_warnings(action="ignore"):  # of training that has not converged, and of deprecated classes
        estimator = list_makers()[name]().fit(seen, GOALS[suffix](seen))
    return estimator, unseen


# Goals of training, by the suffix of a name: classes, numbers, none
GOALS: dict[str, Callable[[Any], Any]] = {
    "": make_classes,
    "3": lambda data: make_classes(data, 3),
    "n": make_numbers,
    "0": lambda _: None,
    "positive": lambda data: make_classes(data, 3),
    "complete": make_numbers,
    "missing": make_numbers,
    "unnamed": make_numbers,
}


def list_makers() -> dict[str, Callable[[], Any]]:
    """Return the makers of estimators by name, with a suffix of GOALS."""
    encoded = {"": CLASSIFIERS, "3": CLASSIFIERS, "n": REGRESSORS, "0": OTHERS}
    others = {
        "positive": POSITIVE,
        "complete": transformers.COMPLETE,
        "missing": transformers.INCOMPLETE,
        "unnamed": transformers.WITHOUT_NAMES,
    }
    makers = {
        f"{name}/{suffix}".removesuffix("/"): lambda make=make: after_encoding(make())
        for suffix, table in encoded.items()
        for name, make in table.items()
    }
    makers |= {f"{name}/{suffix}": make for suffix, table in others.items() for name, make in table.items()}
    return makers
