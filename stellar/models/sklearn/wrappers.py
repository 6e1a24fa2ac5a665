"""Estimators that change the results of another: of its target, of its probabilities, or of each class."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from stellar.models.errors import NotExported
from stellar.models.forms.bodies import Equation, RegressionForm, Term
from stellar.models.forms.expressions import ExpressionForm
from stellar.models.forms.model import ModelForm
from stellar.models.sklearn.boosting import build_softmax
from stellar.models.sklearn.columns import ORIGIN, Columns, apply, number, refer
from stellar.models.sklearn.ensembles import chain_shares, output_hidden_share
from stellar.models.sklearn.export import Export, find_class
from stellar.models.sklearn.goals import (
    Goal,
    add_outputs,
    chain,
    classify,
    output_expression,
    output_value,
    predict_number,
)
from stellar.models.sklearn.linear import build_equation, find_rows
from stellar.models.sklearn.preprocessing import FUNCTIONS

# -- Targets ----------------------------------------------------------------------------------------------------------


def read_transformed_target(estimator: Any, columns: Columns, goal: Goal, export: Export) -> ModelForm:
    """Return the model of TransformedTargetRegressor, whose transformer has an inverse in PMML."""
    step, kind = estimator.transformer_, find_class(estimator.transformer_)
    if (invert := _INVERSES.get(kind)) is None:
        raise NotExported(f"the target's transformer {kind} is not supported; use one of {', '.join(_INVERSES)}")
    inner = export.read_model(estimator.regressor_, columns, goal.inside().last())
    raw, inverse = export.schema.reserve("transformedTarget"), export.schema.reserve("inverse(transformedTarget)")
    outputs = [output_value(raw), output_expression(inverse, invert(step, refer(raw)), is_final=False)]
    equation = Equation(None, 0.0, (Term(1.0, ((inverse, 1.0),), None, ORIGIN),), ORIGIN)
    return chain([add_outputs(inner, outputs), predict_number(RegressionForm("none", (equation,), ORIGIN), goal)], goal)


def _invert_function(step: Any, value: ExpressionForm) -> ExpressionForm:
    if step.inverse_func is None:
        return value
    name = getattr(step.inverse_func, "__name__", "")
    if type(step.inverse_func).__module__ != "numpy" or name not in FUNCTIONS:
        raise NotExported(f"the inverse of the target is not supported; use one of numpy's {', '.join(FUNCTIONS)}")
    return apply(FUNCTIONS[name], value)


def _invert_standard(step: Any, value: ExpressionForm) -> ExpressionForm:
    if step.with_std:
        value = apply("*", value, number(step.scale_[0]))
    return apply("+", value, number(step.mean_[0])) if step.with_mean else value


_INVERSES: dict[str, Callable[[Any, ExpressionForm], ExpressionForm]] = {
    "FunctionTransformer": _invert_function,
    "StandardScaler": _invert_standard,
}

# -- One class against the rest ---------------------------------------------------------------------------------------


def read_one_against_rest(estimator: Any, columns: Columns, goal: Goal, export: Export) -> ModelForm:
    """Return the model of OneVsRestClassifier: shares of a classifier for each class, divided by their sum."""
    inner = estimator.estimators_
    if not all(hasattr(one, "predict_proba") and hasattr(one, "classes_") for one in inner):
        raise NotExported("OneVsRestClassifier needs estimators with probabilities; use LogisticRegression")
    if len(inner) == 1:
        return export.read_model(inner[0], columns, goal)
    models, terms = [], []
    for index, one in enumerate(inner):
        # any other class denotes the rest, as JPMML reads classes by the type of the target
        other, category = goal.categories[index - 1], goal.categories[index]
        label = export.schema.reserve(f"share({category})")
        model = export.read_shares(one, columns, goal.untyped((other, category)))
        models.append(add_outputs(model, [output_hidden_share(category, label)]))
        terms.append([(1.0, label)])
    return chain([*models, classify(build_softmax(terms, goal, "simplemax"), goal.last())], goal)


# -- Calibration ------------------------------------------------------------------------------------------------------


def read_calibrated(estimator: Any, columns: Columns, goal: Goal, export: Export) -> ModelForm:
    """Return the model of CalibratedClassifierCV: the average of its calibrated classifiers."""
    parts = estimator.calibrated_classifiers_
    names = [f"calibrated{index}" for index in range(1, len(parts) + 1)]
    inner = replace(goal, has_outputs=False)
    models = [_calibrate(part, columns, inner, export) for part in parts]
    if len(models) == 1:
        return _calibrate(parts[0], columns, goal, export)
    return chain_shares(names, models, [1.0] * len(models), goal, export)


def _calibrate(part: Any, columns: Columns, goal: Goal, export: Export) -> ModelForm:
    calibrators = iter(part.calibrators)
    models, labels = [], []
    for model, names in _read_decisions(part.estimator, columns, goal, export):
        outputs = []
        for name in names:
            labels.append(export.schema.reserve(f"calibrated({name})"))
            expression = _calibrate_decision(next(calibrators), name)
            outputs.append(output_expression(labels[-1], expression, is_final=False))
        models.append(add_outputs(model, outputs))
    if len(labels) > 1:
        body = build_softmax([[(1.0, label)] for label in labels], goal, "simplemax")
    else:
        body = _build_share(labels[0], goal)
    return chain([*models, classify(body, goal.last())], goal)


def _build_share(label: str, goal: Goal) -> RegressionForm:
    """Return the share of the second of two classes, and the rest."""
    equations = (
        Equation(goal.categories[0], 1.0, (Term(-1.0, ((label, 1.0),), None, ORIGIN),), ORIGIN),
        Equation(goal.categories[1], 0.0, (Term(1.0, ((label, 1.0),), None, ORIGIN),), ORIGIN),
    )
    return RegressionForm("simplemax", equations, ORIGIN)


def _calibrate_decision(calibrator: Any, name: str) -> ExpressionForm:
    """Return the logistic function of a decision."""
    if find_class(calibrator) != "_SigmoidCalibration":
        raise NotExported("the method of CalibratedClassifierCV is not supported; calibrate with method='sigmoid'")
    exponent = apply("+", apply("*", number(calibrator.a_), refer(name)), number(calibrator.b_))
    return apply("/", number(1.0), apply("+", number(1.0), apply("exp", exponent)))


def _read_decisions(estimator: Any, columns: Columns, goal: Goal, export: Export) -> list[tuple[ModelForm, list[str]]]:
    """Return models with their outputs: the decisions of an estimator for each class, or for the second of two."""
    if find_class(estimator) == "Pipeline":
        for _, step in estimator.steps[:-1]:
            columns = export.transform(step, columns)
        return _read_decisions(estimator.steps[-1][1], columns, goal, export)
    if hasattr(estimator, "coef_") and hasattr(estimator, "decision_function"):
        return _read_linear_decisions(estimator, columns, goal, export)
    if hasattr(estimator, "decision_function"):
        raise NotExported(f"calibration of {find_class(estimator)} is not supported; use a linear model or a forest")
    model = export.read_shares(estimator, columns, goal.inside().last())
    used = goal.categories[1:] if len(goal.categories) == 2 else goal.categories
    names = [export.schema.reserve(f"share({category})") for category in used]
    return [(add_outputs(model, map(output_hidden_share, used, names)), names)]


def _read_linear_decisions(
    estimator: Any, columns: Columns, goal: Goal, export: Export
) -> list[tuple[ModelForm, list[str]]]:
    export.schema.use_numbers(columns)
    models = []
    for row, intercept in zip(*find_rows(estimator.coef_, estimator.intercept_), strict=True):
        name = export.schema.reserve("decision")
        body = RegressionForm("none", (build_equation(export.schema, columns, row, intercept),), ORIGIN)
        models.append((predict_number(body, goal.inside(()), (output_value(name),)), [name]))
    return models
