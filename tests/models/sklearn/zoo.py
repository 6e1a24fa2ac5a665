"""Estimators of scikit-learn, fitted to synthetic domains."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from models.sklearn.agreement import make_classes, make_data, make_numbers
from sklearn import (
    cluster,
    compose,
    cross_decomposition,
    discriminant_analysis,
    dummy,
    ensemble,
    linear_model,
    model_selection,
    naive_bayes,
    neighbors,
    neural_network,
    pipeline,
    preprocessing,
    svm,
    tree,
)
from sklearn import impute as impute_

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


def impute(estimator: Any) -> Any:
    """Return a Pipeline that replaces missing values and encodes before an estimator."""
    numbers = pipeline.make_pipeline(impute_.SimpleImputer(strategy="median"), preprocessing.MinMaxScaler())
    columns = [
        ("numbers", numbers, NUMBERS),
        ("names", preprocessing.OneHotEncoder(handle_unknown="ignore"), ["tld"]),
    ]
    return pipeline.make_pipeline(compose.ColumnTransformer(columns), estimator)


def select(estimator: Any) -> Any:
    """Return a Pipeline of the numbers alone, and an estimator that accepts missing values."""
    columns = [("numbers", "passthrough", NUMBERS)]
    return pipeline.make_pipeline(compose.ColumnTransformer(columns), estimator)


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
    "MLPClassifier": lambda: neural_network.MLPClassifier(hidden_layer_sizes=(6, 4), max_iter=300, random_state=1),
    "MLPClassifier of tanh": lambda: neural_network.MLPClassifier(
        hidden_layer_sizes=(5,), activation="tanh", max_iter=300, random_state=1
    ),
    "NearestCentroid": lambda: neighbors.NearestCentroid(),
    "NuSVC": lambda: svm.NuSVC(nu=0.2),
    "PassiveAggressiveClassifier": lambda: linear_model.SGDClassifier(loss="hinge", penalty=None, random_state=1),
    "Perceptron": lambda: linear_model.Perceptron(random_state=1),
    "QuadraticDiscriminantAnalysis": lambda: discriminant_analysis.QuadraticDiscriminantAnalysis(reg_param=0.1),
    "RandomForestClassifier": lambda: make_grown("RandomForestClassifier", max_depth=6),
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
    "TweedieRegressor": lambda: linear_model.TweedieRegressor(power=1.5, alpha=0.1),
    "VotingRegressor": lambda: ensemble.VotingRegressor(make_averaged(), weights=[1, 2, 3]),
}
OTHERS: dict[str, Callable[[], Any]] = {
    "IsolationForest": lambda: ensemble.IsolationForest(n_estimators=20, random_state=1),
    "KMeans": lambda: cluster.KMeans(5, n_init=2, random_state=1),
    "MeanShift": lambda: cluster.MeanShift(),
    "MiniBatchKMeans": lambda: cluster.MiniBatchKMeans(4, n_init=2, random_state=1),
    "OneClassSVM": lambda: svm.OneClassSVM(nu=0.2),
    "SGDOneClassSVM": lambda: linear_model.SGDOneClassSVM(nu=0.3, random_state=1),
}


def fit(name: str) -> tuple[Any, Any]:
    """Return a fitted estimator, and data that it has not seen."""
    seen = make_data()
    goals = {"": make_classes, "3": lambda data: make_classes(data, 3), "n": make_numbers, "0": lambda _: None}
    estimator, goal = list_makers()[name](), goals[name.partition("/")[2]](seen)
    with warnings.catch_warnings(action="ignore"):  # that training has not converged makes no difference
        estimator.fit(seen, goal)
    return estimator, make_data(200, seed=7)


def list_makers() -> dict[str, Callable[[], Any]]:
    """Return the makers of estimators by name, with the number of classes after a slash if it is not 2."""
    tables = {"": CLASSIFIERS, "/3": CLASSIFIERS, "/n": REGRESSORS, "/0": OTHERS}
    return {
        name + suffix: lambda make=make: after_encoding(make())
        for suffix, table in tables.items()
        for name, make in table.items()
    }
