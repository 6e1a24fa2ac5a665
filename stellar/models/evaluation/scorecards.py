"""Evaluation of scorecards."""

from __future__ import annotations

from dataclasses import dataclass

from stellar.models.errors import InvalidModel, NotScored
from stellar.models.evaluation.arithmetic import to_number
from stellar.models.evaluation.expressions import compile_expression
from stellar.models.evaluation.frames import Evaluation, FieldScope, Frame
from stellar.models.evaluation.predicates import Test, compile_predicate
from stellar.models.evaluation.predictions import BodyEvaluation, Prediction, Predictions
from stellar.models.evaluation.targets import TargetField
from stellar.models.forms.bodies import AttributeForm, Characteristic, ScorecardForm


@dataclass(slots=True)
class CompiledAttribute:
    """An attribute: its test, score and reason code."""

    test: Test
    score: float | None
    expression: Evaluation | None
    reason: str | None


def compile_scorecard(form: ScorecardForm, target: TargetField, scope: FieldScope) -> BodyEvaluation:
    """Return the evaluation of a Scorecard."""
    cards = [
        (
            characteristic,
            [_compile_attribute(attribute, characteristic, form, scope) for attribute in characteristic.attributes],
        )
        for characteristic in form.characteristics
    ]
    baselines = [_find_baseline(characteristic, form) for characteristic in form.characteristics]
    sign = 1 if form.algorithm == "pointsAbove" else -1

    def evaluate(frame: Frame) -> Predictions:
        total = form.initial
        points: dict[str, float] = {}
        for (characteristic, attributes), baseline in zip(cards, baselines, strict=True):
            scored = _score(attributes, frame)
            if scored is None:
                raise NotScored(f"{characteristic.origin}: no attribute applies to this record")
            score, reason = scored
            total += score
            if baseline is not None and reason is not None:
                points[reason] = points.get(reason, 0.0) + sign * (score - baseline)
        return {target.name: Prediction(total, reasons=rank_reasons(points) if form.uses_reasons else None)}

    return evaluate


def rank_reasons(points: dict[str, float]) -> tuple[str, ...]:
    """Return the reason codes that changed the score, from the most important one."""
    ranked = sorted(points.items(), key=lambda item: (-item[1], item[0]))
    return tuple(reason for reason, difference in ranked if difference >= 0)


def _compile_attribute(
    form: AttributeForm, characteristic: Characteristic, card: ScorecardForm, scope: FieldScope
) -> CompiledAttribute:
    reason = form.reason or characteristic.reason
    if card.uses_reasons and reason is None:
        raise InvalidModel("missing attribute 'reasonCode' here or in its <Characteristic>; add it", form.origin)
    if form.score is None and form.expression is None:
        raise InvalidModel("missing attribute 'partialScore'; add it", form.origin)
    expression = None if form.expression is None else compile_expression(form.expression, scope)
    return CompiledAttribute(compile_predicate(form.predicate, scope), form.score, expression, reason)


def _find_baseline(characteristic: Characteristic, form: ScorecardForm) -> float | None:
    if not form.uses_reasons:
        return None
    baseline = form.baseline if characteristic.baseline is None else characteristic.baseline
    if baseline is None:
        raise InvalidModel(
            "missing attribute 'baselineScore' here or in its <Scorecard>; add it", characteristic.origin
        )
    return baseline


def _score(attributes: list[CompiledAttribute], frame: Frame) -> tuple[float, str | None] | None:
    for attribute in attributes:
        if attribute.test(frame):
            if attribute.expression is None:
                assert attribute.score is not None  # checked above
                return attribute.score, attribute.reason
            value = attribute.expression(frame)
            return None if value is None else (to_number(value), attribute.reason)
    return None
