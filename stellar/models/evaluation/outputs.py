"""Outputs of a model: results that are derived from a prediction, or from fields."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from stellar.models.errors import InvalidModel, NotScored
from stellar.models.evaluation.expressions import compile_expression, convert_result
from stellar.models.evaluation.frames import Evaluation, FieldScope, Frame, ScopeField, resolve_undefined
from stellar.models.evaluation.inputs import conversion_of
from stellar.models.evaluation.predictions import Prediction, Scores
from stellar.models.evaluation.rule_values import select_rules
from stellar.models.evaluation.targets import TargetField
from stellar.models.forms.fields import FieldType, OutputField
from stellar.models.values import to_string
from stellar.util.abbreviate import quote

Feature = Callable[[Prediction], Any]
# A function of a frame and the predictions that returns a value, or _SKIPPED
Output = Callable[[Frame, Scores], Any]
SKIPPED = object()
# Predictions of segments are known by this name in the frame of an ensemble
SEGMENTS = "\0segments"
# The results of the segment that has the prediction of an ensemble; its outputs are outputs of the ensemble
CHOSEN = "\0chosen"


def compile_outputs(
    forms: tuple[OutputField, ...], targets: list[TargetField], scope: FieldScope
) -> Callable[[Frame, Scores], None]:
    """Return a function that adds the outputs to the scores and to the frame. Their names are added to the scope."""
    compiled = []
    for form in forms:
        compiled.append((form.name, _compile_output(form, targets, scope)))
        scope.declare(form.name, ScopeField(find_output_type(form, targets), resolve_undefined(form.name)))

    def evaluate(frame: Frame, scores: Scores) -> None:
        if (chosen := frame.values.get(CHOSEN)) is not None:
            scores.outputs.update(chosen.outputs)
        for name, output in compiled:
            value = output(frame, scores)
            if value is not SKIPPED:
                frame.values[name] = scores.outputs[name] = value

    return evaluate


def find_output_type(form: OutputField, targets: list[TargetField]) -> FieldType | None:
    """Return the type of an output, which the document need not declare; None if it depends on the record."""
    if form.type is not None:
        return form.type
    if form.feature in ("probability", "confidence", "affinity"):
        return FieldType("continuous", "double")
    if form.feature == "predictedValue":
        return next((target.type for target in targets if form.target in (None, target.name)), None)
    return FieldType("categorical", "string") if form.feature in ("entityId", "clusterId", "reasonCode") else None


def _compile_output(form: OutputField, targets: list[TargetField], scope: FieldScope) -> Output:
    if form.feature in ("transformedValue", "decision"):
        return _compile_transformed(form, scope)
    if form.target is not None and form.target not in [target.name for target in targets]:
        raise InvalidModel(f"targetField {quote(form.target, 80)} is not a target of the model", form.origin)
    feature = _FEATURES[form.feature](form, _find_category(form, targets))
    convert = None if form.type is None else conversion_of(form.type.data, form.origin)
    name, target, segment = form.name, form.target, form.segment

    def evaluate(frame: Frame, scores: Scores) -> Any:
        prediction = _find_prediction(frame, scores, target, segment)
        if prediction is None or (prediction.value is None and prediction.rules is None):
            return SKIPPED
        return _convert(feature(prediction), convert, name)

    return evaluate


def _find_category(form: OutputField, targets: list[TargetField]) -> Any:
    """Return the category that a feature is of, in the type of the target."""
    if form.value is None or form.feature in ("affinity", "entityAffinity", "clusterAffinity"):
        return form.value
    target = next((target for target in targets if form.target in (None, target.name)), targets[0])
    return target.parse(form.value, form.origin)


def _convert(value: Any, convert: Callable[[Any], Any] | None, name: str) -> Any:
    if value is None or convert is None:
        return value
    try:
        return value if isinstance(value, list) else convert(value)
    except ValueError as error:
        raise NotScored(f"output {quote(name)}: {error}") from None


def _find_prediction(frame: Frame, scores: Scores, target: str | None, segment: str | None) -> Prediction | None:
    if segment is not None:
        inner: Mapping[str, Scores] = frame.values.get(SEGMENTS, {})
        return inner[segment].first() if segment in inner else None
    return scores.first() if target is None else scores.predictions.get(target)


def _compile_transformed(form: OutputField, scope: FieldScope) -> Output:
    assert form.expression is not None  # the reader requires one
    evaluate: Evaluation = compile_expression(form.expression, scope)
    if form.type is not None:
        evaluate = convert_result(evaluate, conversion_of(form.type.data, form.origin), form.name)
    return lambda frame, _: evaluate(frame)


# -- Features ---------------------------------------------------------------------------------------------------------


def _read_value(form: OutputField, category: Any) -> Feature:
    return lambda prediction: prediction.value


def _read_display(form: OutputField, category: Any) -> Feature:
    def read(prediction: Prediction) -> Any:
        displays = prediction.displays or {}
        if prediction.value is None:
            return None
        return displays.get(to_string(prediction.value), prediction.value)

    return read


def _read_share(kind: str) -> Callable[[OutputField, Any], Feature]:
    def compile_feature(form: OutputField, category: Any) -> Feature:
        name = form.name

        def read(prediction: Prediction) -> Any:
            shares: Mapping[str, float] | None = getattr(prediction, kind)
            if shares is None and kind == "confidences":
                shares = prediction.probabilities
            if shares is None:
                raise NotScored(f"output {quote(name)}: the model has no {kind}")
            return shares.get(prediction.value if category is None else category, 0.0)

        return read

    return compile_feature


def _read_affinity(form: OutputField, category: Any) -> Feature:
    name, rank = form.name, form.rank

    def read(prediction: Prediction) -> Any:
        affinities, entities = prediction.affinities, prediction.entities or ()
        if affinities is None:
            raise NotScored(f"output {quote(name)}: the model has no affinities")
        if category is not None:
            return affinities.get(category)
        return affinities.get(entities[rank - 1] or "") if 1 <= rank <= len(entities) else None

    return read


def _read_entity(form: OutputField, category: Any) -> Feature:
    name, rank = form.name, form.rank

    def read(prediction: Prediction) -> Any:
        if prediction.entities is None:
            raise NotScored(f"output {quote(name)}: the model has no entities")
        if rank > 1 and prediction.affinities is None:
            raise NotScored(f"output {quote(name)}: the model does not rank entities; remove the attribute rank")
        return prediction.entities[rank - 1] if 1 <= rank <= len(prediction.entities) else None

    return read


def _read_reason(form: OutputField, category: Any) -> Feature:
    name, rank = form.name, form.rank

    def read(prediction: Prediction) -> Any:
        if prediction.reasons is None:
            raise NotScored(f"output {quote(name)}: the model has no reason codes")
        return prediction.reasons[rank - 1] if 1 <= rank <= len(prediction.reasons) else None

    return read


def _read_rule(form: OutputField, category: Any) -> Feature:
    name = form.name

    def read(prediction: Prediction) -> Any:
        if prediction.rules is None:
            raise NotScored(f"output {quote(name)}: the model has no association rules")
        return select_rules(prediction.rules, form)

    return read


def _refuse(form: OutputField, category: Any) -> Feature:
    raise InvalidModel(f"feature {quote(form.feature)} is not supported; remove the field", form.origin)


_FEATURES: dict[str, Callable[[OutputField, Any], Feature]] = {
    "predictedValue": _read_value,
    "predictedDisplayValue": _read_display,
    "probability": _read_share("probabilities"),
    "confidence": _read_share("confidences"),
    "affinity": _read_affinity,
    "entityAffinity": _read_affinity,
    "clusterAffinity": _read_affinity,
    "entityId": _read_entity,
    "clusterId": _read_entity,
    "reasonCode": _read_reason,
    "ruleValue": _read_rule,
    **dict.fromkeys(
        ("residual", "ruleId", "antecedent", "consequent", "rule", "ruleAffinity", "support", "lift", "leverage"),
        _refuse,
    ),
}
