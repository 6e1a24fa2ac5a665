"""Evaluation of a document: its model, with fields, targets and outputs around the body."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from stellar.models.errors import InvalidModel
from stellar.models.evaluation.bayes import compile_bayes
from stellar.models.evaluation.boosting import BoosterEvaluation
from stellar.models.evaluation.distances import compile_clustering, compile_nearest
from stellar.models.evaluation.ensembles import compile_anomaly, compile_ensemble
from stellar.models.evaluation.expressions import compile_derived
from stellar.models.evaluation.frames import FieldScope, Frame, FunctionTable, ScopeField
from stellar.models.evaluation.general_regression import compile_general_regression
from stellar.models.evaluation.inputs import compile_inner_input, compile_input
from stellar.models.evaluation.networks import compile_network
from stellar.models.evaluation.outputs import compile_outputs
from stellar.models.evaluation.predictions import BodyEvaluation, Prediction, Predictions, Scores
from stellar.models.evaluation.regression import compile_regression
from stellar.models.evaluation.rule_values import compile_association
from stellar.models.evaluation.rules import compile_rule_set
from stellar.models.evaluation.scorecards import compile_scorecard
from stellar.models.evaluation.targets import find_targets
from stellar.models.evaluation.tracing import ScoreStep
from stellar.models.evaluation.trees import compile_tree
from stellar.models.evaluation.vector_machines import compile_vector_machine
from stellar.models.forms import bodies
from stellar.models.forms.boosting import BoosterForm
from stellar.models.forms.expressions import Aggregate
from stellar.models.forms.fields import DataField, FieldType, MiningField
from stellar.models.forms.model import ModelDocument, ModelForm
from stellar.util.abbreviate import quote
from stellar.util.suggestions import suggest_name


class ModelEvaluation:
    """The evaluation of a model.

    scope: of its fields
    targets: one without a name for a model that declares no target
    body: the evaluation without fields, targets and outputs
    outer: type of the categories of a model that declares no target
    """

    def __init__(
        self, form: ModelForm, scope: FieldScope, data: dict[str, DataField], outer: FieldType | None = None
    ) -> None:
        self.form = form
        self.scope = scope
        self.targets = find_targets(form, data, outer)
        scope.derive(form.derived, compile_derived(scope))
        self._data = data
        self.body = self._compile_body()
        scope.compile_pending()
        self._add_outputs = compile_outputs(form.outputs, self.targets, scope)
        self._by_name = {target.name: target for target in self.targets}
        self._is_bare = is_bare(form)  # then its scope is that of the model around it

    def evaluate(
        self, frame: Frame | None, record: Mapping[str, Any] | None = None, steps: list[ScoreStep] | None = None
    ) -> Scores:
        """Return the results for a record.

        frame: of the model around this one
        record: for the outermost model
        steps: a list to which the steps of the score are added
        """
        if self._is_bare and frame is not None:
            predictions = self.body(frame)
            return Scores(predictions if self.targets[0].is_plain else self._finish_all(predictions))
        inner = Frame(self.scope.resolvers, {} if record is None else record, frame)
        if steps is not None:
            inner.steps = steps
        predictions = self.body(inner)
        scores = Scores(self._finish_all(predictions))
        self._add_outputs(inner, scores)
        return scores

    def _finish_all(self, predictions: Predictions) -> Predictions:
        return {name: self._finish(name, value) for name, value in predictions.items()}

    def _finish(self, name: str | None, prediction: Prediction) -> Prediction:
        """Return a prediction of the body, or of a segment, whose target this model may not have."""
        target = self._by_name.get(name)
        return prediction if target is None else target.finish(prediction)

    def _compile_body(self) -> BodyEvaluation:
        return _COMPILERS[type(self.form.body)](self)

    def compile_inner(self, form: ModelForm, scope: FieldScope) -> ModelEvaluation:
        """Return the evaluation of a model within this one. Its outputs become fields of this one."""
        inner = scope if is_bare(form) else FieldScope(scope.functions, scope)
        for field in form.fields:
            if is_input(field):
                outer = scope.require(field.name, field.origin)
                if inner is not scope:
                    inner.declare(field.name, compile_inner_input(outer, field))
        evaluation = ModelEvaluation(form, inner, self._data, self._find_category_type())
        for output in form.outputs:
            kind = inner.require(output.name, output.origin)
            scope.declare(output.name, ScopeField(kind.type, kind.resolve))
        return evaluation

    def _find_category_type(self) -> FieldType | None:
        """Return the type of the categories of models within this one that have no target."""
        if isinstance(self.form.body, bodies.EnsembleForm) and self.form.body.method == "modelChain":
            return None
        return self.targets[0].category_type

    def find_association_field(self) -> str:
        """Return the field with the items of a record."""
        names = [field.name for field in self.form.fields if field.usage == "active"]
        if len(names) != 1:
            raise InvalidModel(f"expected one active field with the items, got {len(names)}", self.form.origin)
        return names[0]


def is_bare(form: ModelForm) -> bool:
    """Return True for a model that can use the fields of the model around it as they are: a tree of a forest."""
    if form.derived or form.outputs or not isinstance(form.body, bodies.TreeForm | bodies.RegressionForm):
        return False
    return all(
        field.missing_replacement is None and field.missing != "returnInvalid" and field.outliers == "asIs"
        for field in form.fields
        if is_input(field)
    )


def is_input(field: MiningField) -> bool:
    """Return True for fields whose values are read."""
    return field.usage not in ("target", "predicted")


_COMPILERS: dict[type, Callable[[Any], BodyEvaluation]] = {
    bodies.AnomalyForm: lambda own: compile_anomaly(own.form.body, own.targets[0], own.scope, own.compile_inner),
    bodies.AssociationForm: lambda own: compile_association(
        own.form.body, own.find_association_field(), own.targets[0].name
    ),
    bodies.BayesForm: lambda own: compile_bayes(own.form.body, own.form, own.targets[0], own.scope),
    BoosterForm: lambda own: BoosterEvaluation(own.form.body, own.targets[0], own.scope),
    bodies.ClusteringForm: lambda own: compile_clustering(own.form.body, own.targets[0], own.scope),
    bodies.EnsembleForm: lambda own: compile_ensemble(
        own.form.body, own.form, own.targets[0], own.scope, own.compile_inner
    ),
    bodies.GeneralRegressionForm: lambda own: compile_general_regression(
        own.form.body, own.form, own.targets[0], own.scope
    ),
    bodies.NearestForm: lambda own: compile_nearest(own.form.body, own.form, own.targets, own.scope),
    bodies.NetworkForm: lambda own: compile_network(own.form.body, own.form, own.targets, own.scope),
    bodies.RegressionForm: lambda own: compile_regression(own.form.body, own.form, own.targets[0], own.scope),
    bodies.RuleSetForm: lambda own: compile_rule_set(own.form.body, own.targets[0], own.scope),
    bodies.ScorecardForm: lambda own: compile_scorecard(own.form.body, own.targets[0], own.scope),
    bodies.TreeForm: lambda own: compile_tree(own.form.body, own.form, own.targets[0], own.scope),
    bodies.VectorMachineForm: lambda own: compile_vector_machine(own.form.body, own.form, own.targets[0], own.scope),
}


def find_lists(document: ModelDocument) -> set[str]:
    """Return the fields whose values may be lists: items of associations, and fields that are aggregated."""
    lists = {
        field.expression.field
        for field in (*document.derived, *document.model.derived)
        if isinstance(field.expression, Aggregate)
    }
    if isinstance(document.model.body, bodies.AssociationForm):
        lists |= {field.name for field in document.model.fields if field.usage == "active"}
    return lists


def compile_document(document: ModelDocument) -> ModelEvaluation:
    """Return the evaluation of a document.

    Raise InvalidModel, with element and line, for an element that cannot be evaluated.
    """
    data = {field.name: field for field in document.fields}
    scope = FieldScope(FunctionTable(document.functions))
    lists = find_lists(document)
    for field in document.model.fields:
        if field.name not in data:
            raise InvalidModel(f"unknown field {quote(field.name, 80)}; {suggest_name(field.name, data)}", field.origin)
        scope.declare(field.name, compile_input(data[field.name], field, is_list=field.name in lists))
    scope.derive(document.derived, compile_derived(scope))
    return ModelEvaluation(document.model, scope, data)
