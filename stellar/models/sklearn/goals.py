"""What a model predicts, and the models around a body."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from stellar.models.errors import NotExported
from stellar.models.forms import bodies
from stellar.models.forms.expressions import ExpressionForm
from stellar.models.forms.fields import FieldType, OutputField, TargetForm
from stellar.models.forms.model import Body, ModelForm
from stellar.models.forms.predicates import Always, Combination, FieldComparison, Predicate, SetMembership
from stellar.models.sklearn.columns import ORIGIN, build_mining_field, list_items
from stellar.models.values import to_string
from stellar.util.abbreviate import quote

ALWAYS = Always(True, ORIGIN)
DOUBLE = FieldType("continuous", "double")


@dataclass(frozen=True, slots=True)
class Goal:
    """What a model predicts.

    target: name of the predicted field; empty for a model that has none
    categories: strings of the classes, by index; empty for numbers
    data: type of the classes
    has_target: the model declares the target, which trees of a forest need not
    has_outputs: the model returns probabilities as outputs
    """

    target: str
    categories: tuple[str, ...] = ()
    data: str = "double"
    has_target: bool = True
    has_outputs: bool = True

    def inside(self, categories: tuple[str, ...] | None = None) -> Goal:
        """The goal of a model within the one that has this goal.

        categories: its classes, if they differ
        """
        own = self.categories if categories is None else categories
        return replace(self, categories=own, has_target=False, has_outputs=False)

    def last(self) -> Goal:
        """The goal of a model of a chain whose prediction is used: it declares the target."""
        return replace(self, has_target=bool(self.target))

    def untyped(self, categories: tuple[str, ...]) -> Goal:
        """The goal of a model of a chain with classes that the target has not."""
        return replace(self.inside(categories), target="", data="string")


def find_type(values: Sequence[Any]) -> str:
    """Return the data type of classes or categories."""
    kinds = {type(value) for value in values}
    if kinds == {bool}:
        return "boolean"
    if kinds == {int}:
        if max(map(abs, values)) >= 2**31:
            raise NotExported("classes and categories are integers of more than 32 bits; use strings")
        return "integer"
    if kinds <= {int, float}:
        return "double"
    if all(issubclass(kind, str) for kind in kinds):
        return "string"
    names = ", ".join(sorted(kind.__name__ for kind in kinds))
    raise NotExported(f"classes and categories are of types {names}; use one of str, int, float, bool")


def name_classes(classes: Any) -> tuple[str, ...]:
    """Return the strings of the classes of an estimator."""
    return tuple(map(to_string, list_items(classes)))


def find_classes(estimator: Any, encoded: Sequence[str] | None = None) -> tuple[str, ...]:
    """Return the strings of the classes of an estimator.

    encoded: classes of the estimator around it, if it was trained with their indexes
    """
    if encoded is None:
        return name_classes(estimator.classes_)
    return tuple(encoded[int(index)] for index in list_items(estimator.classes_))


# -- Models -----------------------------------------------------------------------------------------------------------


def classify(body: Body, goal: Goal, outputs: tuple[OutputField, ...] | None = None) -> ModelForm:
    """Return a classifier.

    outputs: the probabilities by default, if the goal has outputs
    """
    if outputs is None:
        outputs = tuple(map(output_share, goal.categories)) if goal.has_outputs else ()
    return build_model("classification", body, goal, outputs)


def predict_number(
    body: Body, goal: Goal, outputs: tuple[OutputField, ...] = (), targets: tuple[TargetForm, ...] = ()
) -> ModelForm:
    """Return a model of a number."""
    return build_model("regression", body, goal, outputs, targets)


def build_model(
    function: str,
    body: Body,
    goal: Goal,
    outputs: tuple[OutputField, ...] = (),
    targets: tuple[TargetForm, ...] = (),
) -> ModelForm:
    """Return a model around a body, with the fields that it uses."""
    names = dict.fromkeys(find_used(body))
    fields = [build_mining_field(name) for name in names]
    if goal.has_target:
        fields.insert(0, build_mining_field(goal.target, "target"))
    return ModelForm(None, function, False, tuple(fields), (), targets, outputs, None, body, ORIGIN)


def output_share(category: str, name: str | None = None, *, is_final: bool = True) -> OutputField:
    """Return the output of the probability of a category."""
    return _build_output(name or f"probability({category})", "probability", DOUBLE, category, is_final=is_final)


def output_value(name: str, kind: FieldType | None = DOUBLE, *, is_final: bool = False) -> OutputField:
    """Return the output of a predicted value, which other models use."""
    return _build_output(name, "predictedValue", kind, is_final=is_final)


def output_label(name: str, goal: Goal) -> OutputField:
    """Return the output of a predicted class, which other models use."""
    return output_value(name, FieldType("categorical", goal.data))


def output_expression(
    name: str, expression: ExpressionForm, kind: FieldType = DOUBLE, *, is_final: bool = True
) -> OutputField:
    """Return the output of an expression."""
    return _build_output(name, "transformedValue", kind, expression=expression, is_final=is_final)


def _build_output(
    name: str,
    feature: str,
    kind: FieldType | None,
    value: str | None = None,
    expression: ExpressionForm | None = None,
    *,
    is_final: bool,
) -> OutputField:
    return OutputField(
        name=name,
        type=kind,
        feature=feature,
        value=value,
        target=None,
        segment=None,
        rank=1,
        rank_basis="confidence",
        rank_order="descending",
        rule_feature="consequent",
        algorithm="exclusiveRecommendation",
        is_multi_valued=False,
        is_final=is_final,
        expression=expression,
        origin=ORIGIN,
    )


def add_outputs(model: ModelForm, outputs: Iterable[OutputField]) -> ModelForm:
    """Return a model with more outputs; those of a chain are outputs of its last model."""
    if (segments := list_chained(model)) is None:
        return replace(model, outputs=(*model.outputs, *outputs))
    *others, last = segments
    return replace(model, body=build_ensemble("modelChain", [*others, add_outputs(last, outputs)]))


def rescale(goal: Goal, factor: float, constant: float) -> tuple[TargetForm, ...]:
    """Return the change of a predicted number by a factor and a constant."""
    return (TargetForm(goal.target if goal.has_target else None, (), None, None, factor, constant, None, ORIGIN),)


def build_ensemble(method: str, models: Iterable[ModelForm], weights: Iterable[float] | None = None) -> Body:
    """Return the body of models whose results are combined."""
    inner = list(models)
    shares = [1.0] * len(inner) if weights is None else list(map(float, weights))
    segments = tuple(
        bodies.SegmentForm(str(index), ALWAYS, weight, model, ORIGIN)
        for index, (model, weight) in enumerate(zip(inner, shares, strict=True), 1)
    )
    return bodies.EnsembleForm(method, "returnMissing", 1.0, segments, ORIGIN)


def chain(models: Iterable[ModelForm], goal: Goal) -> ModelForm:
    """Return a model of models of which each uses the outputs of those before it.

    The models of a chain within it are its own: JPMML knows no probabilities of a chain within a chain.
    """
    inner = [other for model in models for other in list_chained(model) or [model]]
    return build_model(inner[-1].function, build_ensemble("modelChain", inner), goal)


def require_shares(model: ModelForm, name: str) -> ModelForm:
    """Return a model. Raise NotExported if it has no probabilities, which others use."""
    last = (list_chained(model) or [model])[-1]
    if isinstance(last.body, bodies.NearestForm | bodies.VectorMachineForm):
        raise NotExported(f"{name} has no probabilities in PMML; use another estimator within this one")
    return model


def list_chained(model: ModelForm) -> list[ModelForm] | None:
    """Return the models of a chain, None for another model."""
    if not isinstance(model.body, bodies.EnsembleForm) or model.body.method != "modelChain":
        return None
    return [segment.model for segment in model.body.segments]


# -- Fields of a body -------------------------------------------------------------------------------------------------


def find_used(body: Body) -> list[str]:
    """Return the names of the fields that a body uses."""
    match body:
        case bodies.RegressionForm():
            return [name for equation in body.equations for term in equation.terms for name, _ in term.factors]
        case bodies.TreeForm():
            return [name for node in body.nodes for name in _find_tested(node.predicate)]
        case bodies.EnsembleForm():
            return _find_used_by_segments(body)
        case bodies.NetworkForm():
            return [field.expression.field for _, field in body.inputs]  # type: ignore[union-attr]
        case bodies.VectorMachineForm():
            return [entry.field for entry in body.entries]
        case bodies.ClusteringForm() | bodies.NearestForm():
            return [field.field for field in body.fields]
    raise NotExported(f"a model of the kind {quote(type(body).__name__)} is not built from scikit-learn")


def _find_used_by_segments(body: bodies.EnsembleForm) -> list[str]:
    outputs: set[str] = set()
    names: list[str] = []
    for segment in body.segments:
        used = [field.name for field in segment.model.fields if field.usage == "active"]
        names += [name for name in used if name not in outputs]
        outputs |= {output.name for output in segment.model.outputs}
    return names


def _find_tested(predicate: Predicate) -> list[str]:
    match predicate:
        case FieldComparison() | SetMembership():
            return [predicate.field]
        case Combination():
            return [name for part in predicate.predicates for name in _find_tested(part)]
    return []
