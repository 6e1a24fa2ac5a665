"""Explains what a pipeline does with a raw message: the effect of each stage on each record, as a tree.

The pipeline is run with stages, and expressions in them, that record what they do. So an explanation is one ordinary
run, and models are called once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any, Self

from stellar import Expression
from stellar.pipeline.parsers import Parser, Unreadable, find_parser_name
from stellar.pipeline.pipeline import Pipeline
from stellar.pipeline.records import Drop, Forward, Outcome, Raw, Record, Rejected, Report, Stage
from stellar.pipeline.routing import PipelineGroup
from stellar.pipeline.stages.fields import Assign, IpProtocol, RegexSelect, Remove, Rename, Select, Step
from stellar.util.abbreviate import abbreviate_value, escape
from stellar.util.text_trees import TreeBranch, draw_branches

# Changes between two stages: `source.type`, metadata, `guid`, `original_string`
PIPELINE = "pipeline"
_TRANSFORMATIONS: dict[type, str] = {
    Assign: "STELLAR",
    IpProtocol: "IP_PROTOCOL",
    RegexSelect: "REGEX_SELECT",
    Remove: "REMOVE",
    Rename: "RENAME",
    Select: "SELECT",
}


@dataclass(frozen=True, slots=True)
class Evaluation:
    """An expression that a stage evaluated, with its value, or the error.

    name: the field or variable that the value is assigned to, or empty
    """

    name: str
    source: str
    value: object = None
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class Effect:
    """The effect of a stage on a record.

    stage: parse, transform, filter, validate, enrich, threatIntel or triage; pipeline for changes between stages
    name: the name of the parser or transformation, or empty
    before, after: the record before and after the stage; both are equal if the stage ended the record
    evaluations: the expressions that the stage evaluated, in order
    end: the exception by which the stage dropped or rejected the record, or passed it on
    """

    stage: str
    name: str
    before: Record
    after: Record
    evaluations: tuple[Evaluation, ...] = ()
    end: Exception | None = None

    def changes(self) -> Iterator[str]:
        """Yield a line for each field that the stage added, changed (~) or removed."""
        for name, value in self.after.items():
            if name not in self.before:
                yield f"+ {name} = {abbreviate_value(value)}"
            elif not _is_same(self.before[name], value):
                yield f"~ {name} = {abbreviate_value(value)}, was {abbreviate_value(self.before[name])}"
        for name, value in self.before.items():
            if name not in self.after:
                yield f"- {name}, was {abbreviate_value(value)}"


def _is_same(before: object, after: object) -> bool:
    return before is after or (before.__class__ is after.__class__ and before == after)


@dataclass(frozen=True, slots=True)
class RecordExplanation:
    """The effects of all stages on a record, and its outcome.

    reports: failures after which the record continued
    """

    effects: tuple[Effect, ...]
    outcome: Outcome
    reports: tuple[Report, ...]


def explain_message(pipeline: Pipeline | PipelineGroup, raw: Raw) -> Iterator[RecordExplanation]:
    """Process a raw message, and yield an explanation of each record in it."""
    recorder = _EffectRecorder()
    if isinstance(pipeline, Pipeline):
        recording: Pipeline | PipelineGroup = _record(pipeline, recorder)
    else:
        recording = PipelineGroup([(topic, _record(each, recorder)) for topic, each in pipeline.members])
    for outcome, reports in recording.processed(raw):
        yield RecordExplanation(recorder.take(outcome), outcome, tuple(reports))


def _record(pipeline: Pipeline, recorder: _EffectRecorder) -> Pipeline:
    """Return a pipeline that records the effects of its stages."""
    return replace(
        pipeline,
        parser=_RecordingParser(pipeline.parser, pipeline.sensor, recorder),
        transformations=tuple(
            _RecordingStage("transform", _name_transformation(stage), recorder.trace(stage), recorder)
            for stage in pipeline.transformations
        ),
        is_compiled=False,
        stages=tuple(
            (name, _RecordingStage(name, "", recorder.trace(stage), recorder)) for name, stage in pipeline.stages
        ),
    )


def _name_transformation(stage: Stage) -> str:
    return _TRANSFORMATIONS.get(type(stage), type(stage).__name__)


# -- Recording --------------------------------------------------------------------------------------------------------


@dataclass
class _EffectRecorder:
    """Collects the effects on the current record.

    record: the record after the last effect; None before the first
    """

    effects: list[Effect] = field(default_factory=list)
    evaluations: list[Evaluation] = field(default_factory=list)
    record: Record | None = None

    def trace(self, value: Any) -> Any:
        """Return a copy of a stage, or of a part of one, whose expressions record their values."""
        match value:
            case Expression():
                return _RecordingExpression(value, "", self.evaluations.append)
            case (str() as name, Expression() as expression):
                return name, _RecordingExpression(expression, name, self.evaluations.append)
            case Step(name, expression):
                return replace(value, expression=_RecordingExpression(expression, name, self.evaluations.append))
        if type(value) in (tuple, list):
            return type(value)(map(self.trace, value))
        if type(value) is dict:
            return {key: self.trace(item) for key, item in value.items()}
        if is_dataclass(value) and not isinstance(value, type) and type(value).__module__.startswith(_STAGES):
            own = {each.name: getattr(value, each.name) for each in fields(value) if each.init}
            return replace(value, **{name: self.trace(item) for name, item in own.items()})
        return value

    def add(self, stage: str, name: str, before: Record, after: Record, end: Exception | None = None) -> None:
        if self.record is not None:
            self._add_changes_between(before)
        self.effects.append(Effect(stage, name, before, after, tuple(self.evaluations), end))
        self.evaluations.clear()
        self.record = after

    def _add_changes_between(self, record: Record) -> None:
        between = Effect(PIPELINE, "", self.record or {}, record)
        if any(between.changes()):
            self.effects.append(between)

    def take(self, outcome: Outcome) -> tuple[Effect, ...]:
        """Return the effects on a record, whose outcome is known, and forget them."""
        if isinstance(outcome, dict) and self.record is not None:
            self._add_changes_between(outcome)
        effects = tuple(self.effects)
        self.effects.clear()
        self.evaluations.clear()
        self.record = None
        return effects


_STAGES = "stellar.pipeline.stages."


class _RecordingExpression(Expression):
    """An expression that passes each value on to a function."""

    __slots__ = ("_name", "_record")

    _name: str
    _record: Callable[[Evaluation], None]

    def __new__(cls, expression: Expression, name: str, record: Callable[[Evaluation], None]) -> Self:
        self = super().__new__(
            cls,
            expression.source,
            expression.library,
            predicate=expression.predicate,
            unknown_functions=expression.unknown_functions,
        )
        self._name = name
        self._record = record
        return self

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        try:
            value = super().__call__(*arguments, **options)
        except Exception as error:
            self._record(Evaluation(self._name, self.source, error=error))
            raise
        self._record(Evaluation(self._name, self.source, value))
        return value


@dataclass(frozen=True)
class _RecordingParser:
    parser: Parser
    sensor: str
    recorder: _EffectRecorder

    def __call__(self, text: str) -> Iterator[Record | Unreadable]:
        kind = type(self.parser)
        name = find_parser_name(kind)
        for parsed in self.parser(text):
            if not isinstance(parsed, Unreadable):
                self.recorder.record = None  # the record may be that of a parser before in a chain
                self.recorder.add("parse", f"{name}, sensor {self.sensor}", {}, dict(parsed))
            yield parsed

    def complaint(self, record: Record) -> str | None:
        return self.parser.complaint(record)


@dataclass(frozen=True)
class _RecordingStage:
    stage: str
    name: str
    run: Stage
    recorder: _EffectRecorder

    def __call__(self, record: Record) -> Record:
        before = dict(record)
        try:
            result = self.run(record)
        except Exception as end:
            self.recorder.add(self.stage, self.name, before, before, end)
            raise
        self.recorder.add(self.stage, self.name, before, dict(result))
        return result


# -- Drawing ----------------------------------------------------------------------------------------------------------


def draw_explanation(explanation: RecordExplanation, raw: Raw) -> str:
    """Return an explanation as a tree, one line for each effect, evaluation and field."""
    origin = ":".join(str(each) for each in (raw.origin, raw.line) if each is not None)
    branches = [
        *map(_draw_effect, explanation.effects),
        *(TreeBranch(f"report: {report.stage}: {report.reason}") for report in explanation.reports),
        _draw_outcome(explanation.outcome),
    ]
    return "\n".join([escape(origin or "a message"), *draw_branches(branches)])


def _draw_effect(effect: Effect) -> TreeBranch:
    lines = [*map(_describe_evaluation, effect.evaluations), *effect.changes()]
    title = f"{effect.stage} {effect.name}".rstrip()
    if effect.end is not None:
        verdict = _describe_end(effect.end)
    else:
        verdict = "" if lines else _UNCHANGED.get(effect.stage, "no change")
    return TreeBranch(f"{title}: {verdict}" if verdict else title, tuple(map(TreeBranch, lines)))


def _describe_end(end: Exception | Outcome) -> str:
    if isinstance(end, Forward):
        return f"passed on to the topic {end.topic}"
    return "dropped" if isinstance(end, Drop) else "rejected"


_UNCHANGED = {"filter": "passed", "validate": "valid"}


def _describe_evaluation(evaluation: Evaluation) -> str:
    text = f"{evaluation.name} := {evaluation.source}" if evaluation.name else evaluation.source
    if evaluation.error is not None:
        first, *_ = str(evaluation.error).splitlines()
        return f"{text} → error: {first}"
    return f"{text} → {abbreviate_value(evaluation.value)}"


def _draw_outcome(outcome: Outcome) -> TreeBranch:
    if isinstance(outcome, Rejected):
        first, *others = outcome.reason.splitlines() or [""]
        return TreeBranch(f"rejected in {outcome.stage}: {first}", tuple(map(TreeBranch, others)))
    if isinstance(outcome, Drop | Forward):
        return TreeBranch(_describe_end(outcome))
    return TreeBranch(f"record with {len(outcome)} fields")
