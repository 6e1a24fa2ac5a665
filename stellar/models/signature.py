"""The fields that a model reads and returns, with their types, for people and other programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from stellar.models.evaluation.outputs import find_output_type
from stellar.models.evaluation.targets import TargetField, find_targets
from stellar.models.forms.bodies import NearestForm, RuleSetForm
from stellar.models.forms.boosting import BoosterForm
from stellar.models.forms.fields import DataField
from stellar.models.forms.model import ModelDocument, ModelForm
from stellar.models.results import list_shared_classes, walk_outputs
from stellar.models.scoring import ScoringModel
from stellar.models.values import name_share

CLASSIFICATION = "classification"
_WITHOUT_SHARES = (NearestForm, RuleSetForm)  # their results are categories alone


@dataclass(frozen=True, slots=True)
class FieldSignature:
    """A field that a model reads or returns.

    type: as PMML names it: string, integer, double, boolean, date, …; None if the model does not declare it
    values: those that the model lists, as strings
    """

    name: str
    type: str | None
    values: tuple[str, ...] = ()

    def to_object(self) -> dict[str, Any]:
        """Return the field as a JSON object."""
        values = {"values": list(self.values)} if self.values else {}
        return {"name": self.name, "type": self.type, **values}


def describe_inputs(model: ScoringModel) -> list[FieldSignature]:
    """Return the fields of records, in the order of the document."""
    return [_describe_data(field) for field in model.inputs()]


def describe_outputs(model: ScoringModel) -> list[FieldSignature]:
    """Return the results: predictions, probabilities of their categories, output fields.

    The result of a model without a target is `prediction`. A record with surprises may get fewer of them.
    """
    document = model.document
    data = {field.name: field for field in document.fields}
    targets = find_targets(document.model, data, None)
    predictions = [_describe_target(target, document, data) for target in targets]
    shares = [
        FieldSignature(name_share(category), "double")
        for prediction in predictions
        for category in _list_categories(document.model, prediction)
    ]
    outputs = _describe_output_fields(document.model, data)
    # An output field replaces a probability of its name, as in scores
    return list({field.name: field for field in (*predictions, *shares, *outputs)}.values())


def _list_categories(model: ModelForm, prediction: FieldSignature) -> Sequence[str]:
    """Return the categories whose probabilities are results."""
    if isinstance(model.body, BoosterForm):
        return list_shared_classes(model.body)
    is_shared = model.function == CLASSIFICATION and not isinstance(model.body, _WITHOUT_SHARES)
    return prediction.values if is_shared else ()


def _describe_output_fields(model: ModelForm, data: dict[str, DataField]) -> Iterator[FieldSignature]:
    for owner, form in walk_outputs(model):
        if form.is_final:
            type = find_output_type(form, find_targets(owner, data, None))
            yield FieldSignature(form.name, None if type is None else type.data)


def _describe_data(field: DataField) -> FieldSignature:
    values = tuple(value.value for value in field.values if value.role == "valid")
    return FieldSignature(field.name, field.type.data, values)


def _describe_target(target: TargetField, document: ModelDocument, data: dict[str, DataField]) -> FieldSignature:
    if target.name in data:
        return _describe_data(data[target.name])
    return FieldSignature(target.name or "prediction", _find_prediction_type(document))


def _find_prediction_type(document: ModelDocument) -> str | None:
    """Return the type of the prediction of a model that declares no target."""
    if isinstance(document.model.body, BoosterForm):
        return "integer" if document.model.function == CLASSIFICATION else "double"
    return {"regression": "double", "clustering": "string"}.get(document.model.function)
