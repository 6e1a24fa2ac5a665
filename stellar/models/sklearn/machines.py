"""Support vector machines, and linear classifiers without probabilities."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Any

from stellar.models.errors import NotExported
from stellar.models.forms.bodies import Kernel, VectorEntry, VectorMachine, VectorMachineForm
from stellar.models.forms.model import ModelForm
from stellar.models.sklearn.columns import ORIGIN, Columns, list_items
from stellar.models.sklearn.export import Export, find_class
from stellar.models.sklearn.goals import Goal, classify, predict_number
from stellar.models.sklearn.linear import build_logistic, find_rows

KERNELS = {"linear": "linear", "poly": "polynomial", "rbf": "radialBasis", "sigmoid": "sigmoid"}
LINEAR = Kernel("linear", 1.0, 1.0, 1.0, ORIGIN)
Vectors = dict[str, tuple[float, ...]]


def _build_form(
    kernel: Kernel,
    method: str,
    columns: Columns,
    vectors: Vectors,
    machines: tuple[VectorMachine, ...],
    export: Export,
) -> VectorMachineForm:
    entries = tuple(VectorEntry(export.schema.name_column(column), None, 1.0) for column in columns)
    return VectorMachineForm(kernel, "SupportVectors", method, False, 0.0, entries, vectors, machines, ORIGIN)


def _build_machine(
    vectors: tuple[str, ...],
    coefficients: tuple[float, ...],
    absolute: float,
    category: str | None = None,
    alternate: str | None = None,
) -> VectorMachine:
    return VectorMachine(category, alternate, None, vectors, coefficients, absolute, ORIGIN)


# -- Linear classifiers -----------------------------------------------------------------------------------------------


def read_linear_classifier(estimator: Any, columns: Columns, goal: Goal, export: Export) -> ModelForm:
    """Return the model of a classifier by the largest of sums: one vector for each class.

    In PMML the least sum counts, so that they have the opposite sign. Of two classes there is one sum; that of the
    first class is its opposite.
    """
    rows, intercepts = find_rows(estimator.coef_, estimator.intercept_)
    if len(rows) == 1:
        signed = [("1", 1.0, intercepts[0]), ("1", -1.0, -intercepts[0])]
    else:
        signed = [(str(index), -1.0, -intercept) for index, intercept in enumerate(intercepts, 1)]
    machines = tuple(
        _build_machine((name,), (sign,), intercept, category)
        for (name, sign, intercept), category in zip(signed, goal.categories, strict=True)
    )
    vectors = {str(index): tuple(row) for index, row in enumerate(rows, 1)}
    return classify(_build_form(LINEAR, "OneAgainstAll", columns, vectors, machines, export), goal, ())


def read_stochastic_classifier(estimator: Any, columns: Columns, goal: Goal, export: Export) -> ModelForm:
    """Return the model of SGDClassifier, whose probabilities depend on the loss."""
    if estimator.loss == "modified_huber":
        raise NotExported("loss='modified_huber' is not supported; train with loss='log_loss'")
    if estimator.loss != "log_loss":
        return read_linear_classifier(estimator, columns, goal, export)
    rows, intercepts = find_rows(estimator.coef_, estimator.intercept_)
    return build_logistic(rows, intercepts, columns, goal, export, "logit")


# -- Support vector machines ------------------------------------------------------------------------------------------


def _read_kernel(estimator: Any) -> Kernel:
    if (name := KERNELS.get(estimator.kernel)) is None:
        raise NotExported(f"the kernel of {find_class(estimator)} is not supported; use one of {', '.join(KERNELS)}")
    has_gamma, has_coef0 = name != "linear", name in ("polynomial", "sigmoid")
    return Kernel(
        name,
        float(estimator._gamma) if has_gamma else 1.0,
        float(estimator.coef0) if has_coef0 else 1.0,
        float(estimator.degree) if name == "polynomial" else 1.0,
        ORIGIN,
    )


def _read_vectors(estimator: Any) -> Vectors:
    return {str(index): tuple(row) for index, row in enumerate(list_items(estimator.support_vectors_), 1)}


def read_vector_regressor(estimator: Any, columns: Columns, goal: Goal, export: Export) -> ModelForm:
    """Return the model of SVR or NuSVR."""
    return predict_number(build_decision(estimator, columns, export), goal)


def build_decision(estimator: Any, columns: Columns, export: Export) -> VectorMachineForm:
    """Return the body of a machine with one decision."""
    vectors = _read_vectors(estimator)
    coefficients = tuple(list_items(estimator._dual_coef_)[0])
    machine = _build_machine(tuple(vectors), coefficients, list_items(estimator._intercept_)[0])
    return _build_form(_read_kernel(estimator), "OneAgainstAll", columns, vectors, (machine,), export)


def read_vector_classifier(estimator: Any, columns: Columns, goal: Goal, export: Export) -> ModelForm:
    """Return the model of SVC or NuSVC: a machine for each pair of classes."""
    if getattr(estimator, "probability", False) is True:
        raise NotExported("probabilities of support vector machines are not supported; train with probability=False")
    if estimator.break_ties:
        raise NotExported("break_ties is not supported; train with break_ties=False")
    machines = (*_vote_for_all(goal.categories), *_read_pairs(estimator, goal.categories))
    vectors = _read_vectors(estimator)
    body = _build_form(_read_kernel(estimator), "OneAgainstOne", columns, vectors, machines, export)
    return classify(body, goal, ())


def _vote_for_all(categories: tuple[str, ...]) -> tuple[VectorMachine, ...]:
    """Return a vote for each of three or more classes, so that the first of those with most votes is predicted."""
    if len(categories) < 3:
        return ()
    return tuple(_build_machine(("1",), (0.0,), -1.0, category, category) for category in categories)


def _read_pairs(estimator: Any, categories: tuple[str, ...]) -> Iterator[VectorMachine]:
    """Yield the machines of pairs of classes. The first one is predicted below 0 in PMML, and above it in libsvm."""
    duals, intercepts = list_items(estimator._dual_coef_), list_items(estimator._intercept_)
    starts = [0]
    for count in list_items(estimator.n_support_):
        starts.append(starts[-1] + count)
    for (first, second), intercept in zip(combinations(range(len(categories)), 2), intercepts, strict=True):
        own = range(starts[first], starts[first + 1])
        other = range(starts[second], starts[second + 1])
        coefficients = [*(duals[second - 1][index] for index in own), *(duals[first][index] for index in other)]
        names = tuple(str(index + 1) for index in (*own, *other))
        opposites = tuple(-coefficient for coefficient in coefficients)
        yield _build_machine(names, opposites, -intercept, categories[first], categories[second])
