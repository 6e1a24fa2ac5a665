"""The results of a model: its targets, the outputs that its score contains, and shares of categories."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from stellar.models.evaluation.targets import TargetField, find_targets
from stellar.models.forms.bodies import AssociationForm, EnsembleForm, SegmentForm
from stellar.models.forms.boosting import BoosterForm
from stellar.models.forms.fields import OutputField
from stellar.models.forms.model import ModelDocument, ModelForm
from stellar.models.forms.predicates import Always
from stellar.models.values import name_share


@dataclass(frozen=True, slots=True)
class ResultField:
    """A result of a model.

    key: its name in the results of `score`
    type: string, integer, float, double, boolean, …; None without a declaration
    is_declared: False for the prediction of a model without a target
    """

    key: str
    type: str | None
    is_declared: bool = True


@dataclass(frozen=True, slots=True)
class ShareField:
    """The share of a category.

    category: as a string of the document; None if an output does not name one
    key: its name in the results of `score`
    """

    category: str | None
    key: str


def list_targets(document: ModelDocument) -> tuple[ResultField, ...]:
    """Return the targets of a model; for one that declares none, its prediction, if it has one."""
    model = document.model
    if isinstance(model.body, BoosterForm):
        return _list_booster_targets(model.body)
    targets = _find_targets(document)
    if targets[0].name is None:
        kind = _find_default_type(model)
        return () if kind is None else (ResultField("prediction", kind, False),)
    return tuple(
        ResultField(target.name or "", None if target.type is None else target.type.data) for target in targets
    )


def _find_targets(document: ModelDocument) -> list[TargetField]:
    return find_targets(document.model, {field.name: field for field in document.fields}, None)


def _find_default_type(model: ModelForm) -> str | None:
    """Return the type of a prediction without a target; None if it is that of a segment, or a set of rules."""
    body = model.body
    if isinstance(body, AssociationForm) or (isinstance(body, EnsembleForm) and body.method in _SELECTING):
        return None
    number = "float" if model.is_single else "double"
    return {"regression": number, "classification": "string", "clustering": "string"}.get(model.function)


_SELECTING = ("selectFirst", "selectAll", "modelChain")


def _list_booster_targets(form: BoosterForm) -> tuple[ResultField, ...]:
    if form.link.result != "number":
        return (ResultField("prediction", "integer", False),)
    if len(form.bases) == 1:
        return (ResultField("prediction", "double", False),)
    return tuple(ResultField(f"prediction({index})", "double") for index in range(len(form.bases)))


def list_outputs(document: ModelDocument) -> tuple[OutputField, ...]:
    """Return the outputs of a model, after those of the segments whose results it returns; each name once."""
    outputs = {output.name: output for _, output in walk_outputs(document.model)}
    return tuple(outputs.values())


def walk_outputs(model: ModelForm) -> Iterator[tuple[ModelForm, OutputField]]:
    """Yield the outputs of a model, after those of the segments whose results it returns, with the model of each."""
    if isinstance(model.body, EnsembleForm):
        for segment in _find_last_segments(model.body):
            yield from walk_outputs(segment.model)
    for output in model.outputs:
        yield model, output


def _find_last_segments(form: EnsembleForm) -> Sequence[SegmentForm]:
    """Return the segments that can give the result of the ensemble, in their order."""
    if form.method == "selectFirst":
        return _take_to_certain(form.segments)
    if form.method == "modelChain":
        return _take_to_certain(form.segments[::-1])[::-1]
    return ()


def _take_to_certain(segments: Sequence[SegmentForm]) -> Sequence[SegmentForm]:
    """Return the segments to the first that applies to each record."""
    for index, segment in enumerate(segments):
        if isinstance(segment.predicate, Always) and segment.predicate.value:
            return segments[: index + 1]
    return segments


def list_shares(document: ModelDocument) -> tuple[ShareField, ...]:
    """Return the shares of categories that a model with one target declares as outputs, in their order.

    A booster declares no outputs: its categories are those of its classes.
    """
    body = document.model.body
    if isinstance(body, BoosterForm):
        return tuple(ShareField(category, name_share(category)) for category in list_shared_classes(body))
    target = _find_targets(document)[0]
    return tuple(
        _make_share(output, target)
        for output in list_outputs(document)
        if output.feature == "probability" and output.target in (None, target.name)
    )


def list_shared_classes(form: BoosterForm) -> tuple[str, ...]:
    """Return the classes of a booster whose probabilities are results."""
    count = max(2, len(form.bases)) if form.link.result == "probabilities" else 0
    return tuple(map(str, range(count)))


def _make_share(output: OutputField, target: TargetField) -> ShareField:
    if output.value is None:
        return ShareField(None, output.name)
    return ShareField(output.value, name_share(target.parse(output.value, output.origin)))
