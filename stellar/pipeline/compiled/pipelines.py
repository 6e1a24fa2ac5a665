"""Compilation of all stages of a pipeline to one function."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import groupby
from operator import itemgetter
from time import perf_counter
from typing import Any

from stellar.pipeline.compiled.stages import (
    compile_assign,
    compile_enrich,
    compile_filter,
    compile_triage,
    compile_validate,
)
from stellar.pipeline.records import Drop, Forward, Invalid, Raw, Record, Rejected, Stage
from stellar.pipeline.stages.enrichment import Enrich
from stellar.pipeline.stages.fields import Assign
from stellar.pipeline.stages.filters import Filter
from stellar.pipeline.stages.triage import ObservedTriage, Triage
from stellar.pipeline.stages.validation import Validate
from stellar.util.function_builder import FunctionBuilder, call, call_method, constant, is_none, load
from stellar.util.guids import make_guid

RunStages = Callable[[Record, Raw, str, Record], Any]
Observe = Callable[[str, float], None]

# By exact class, because a subclass may change what it inherits
_COMPILERS: dict[type, Callable[[FunctionBuilder, Any, bool], bool]] = {
    Assign: compile_assign,
    Filter: compile_filter,
    Validate: compile_validate,
    Enrich: compile_enrich,
    Triage: compile_triage,
    ObservedTriage: compile_triage,
}


def compile_stages(
    sensor: str | None,
    transformations: tuple[Stage, ...],
    stages: tuple[tuple[str, Stage], ...],
    *,
    reject: Callable[[Raw, str, Exception], Rejected],
    has_metadata: bool,
    merge: Callable[[Record, Record], Record] | None,
    finish_stage: Callable[[Record], Record] | None,
    observe: Observe | None = None,
) -> RunStages:
    """Return a function `(record, raw, text, metadata)` that runs all stages and returns the outcome.

    sensor: the sensor; None if the records were parsed before, so that they are neither transformed nor identified
    transformations: the stages before `guid` and `original_string` are set
    stages: the stages after that, with their names in error documents
    reject: returns the rejection of a record that fails in a stage
    has_metadata: True if transformations see metadata as variables
    merge: adds metadata to the record, otherwise None
    finish_stage: changes the record after each stage; None if it changes none
    observe: receives the name of each stage and its seconds; None if they are not measured
    """
    builder = FunctionBuilder("record", "raw", "text", "metadata")
    finish = None if finish_stage is None else builder.bind(finish_stage, "finish_stage")
    name = "transform"
    builder.assign("stage", constant(name))
    with builder.attempt(*_make_handlers(builder, reject)):
        if sensor is not None:
            with _measured(builder, name, observe):
                if merge is not None:
                    builder.assign("record", call(builder.bind(merge, "merge"), load("record"), load("metadata")))
                builder.set_item("record", "source.type", constant(sensor))
                for stage in transformations:
                    _compile_stage(builder, stage, has_metadata, finish)
                _set_identity(builder)
        for name, members in groupby(stages if finish is not None else _drop_idle(stages), itemgetter(0)):
            builder.assign("stage", constant(name))
            with _measured(builder, name, observe):
                for _, stage in members:
                    _compile_stage(builder, stage, has_metadata, finish)
    builder.return_value(load("record"))
    return builder.link("run_stages")


@contextmanager
def _measured(builder: FunctionBuilder, name: str, observe: Observe | None) -> Iterator[None]:
    """Measure the time of the statements added within the context, however they end."""
    if observe is None:
        yield
        return
    clock = builder.bind(perf_counter, "clock")
    began = builder.assign_new("began", call(clock))
    with builder.block() as body:
        yield
    with builder.block() as finished:
        seconds = ast.BinOp(call(clock), ast.Sub(), load(began))
        builder.evaluate(call(builder.bind(observe, "observe"), constant(name), seconds))
    builder.add(ast.Try(body, [], [], finished))


def _drop_idle(stages: tuple[tuple[str, Stage], ...]) -> Iterator[tuple[str, Stage]]:
    """Yield stages without enrichments that would only write the times of the one before again."""
    before: Stage | None = None
    for name, stage in stages:
        is_idle = type(stage) is Enrich and not stage.tasks and not stage.adapters
        if not (is_idle and type(before) is Enrich and before.is_pure):
            yield name, stage
        before = stage


def _make_handlers(
    builder: FunctionBuilder, reject: Callable[[Raw, str, Exception], Rejected]
) -> list[ast.ExceptHandler]:
    with builder.block() as ended:
        builder.return_value(load("error"))
    with builder.block() as invalid:
        rejection = call(
            builder.bind(_reject_invalid, "reject_invalid"), *map(load, ("record", "stage", "error", "metadata"))
        )
        builder.return_value(rejection)
    with builder.block() as failed:
        builder.return_value(call(builder.bind(reject, "reject"), *map(load, ("raw", "stage", "error"))))
    return [
        builder.handler((Drop, Forward), ended),
        builder.handler(Invalid, invalid),
        builder.handler(Exception, failed),
    ]


def _reject_invalid(record: Record, stage: str, error: Invalid, metadata: Record) -> Rejected:
    return Rejected(record, stage, error, metadata=metadata)


def _compile_stage(builder: FunctionBuilder, stage: Stage, has_metadata: bool, finish: ast.expr | None) -> None:
    compile_inline = _COMPILERS.get(type(stage))
    if compile_inline is None or not compile_inline(builder, stage, has_metadata):
        builder.assign("record", call(builder.bind(stage, "stage"), load("record")))
    if finish is not None:
        builder.assign("record", call(finish, load("record")))


def _set_identity(builder: FunctionBuilder) -> None:
    """Set `guid` and `original_string` unless the record has them."""
    missing = ast.Tuple([constant(None), constant("")], ast.Load())
    with builder.if_true(ast.Compare(call_method("record", "get", constant("guid")), [ast.In()], [missing])):
        builder.set_item("record", "guid", call(builder.bind(make_guid, "make_guid")))
    with builder.if_true(is_none(call_method("record", "get", constant("original_string")))):
        builder.set_item("record", "original_string", load("text"))
