"""The compiled form of each stage: statements that change the record in place.

A compiler of a stage returns False, and adds nothing, for a stage whose expressions need more than the record itself.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from stellar import Expression
from stellar.language.errors import StellarError
from stellar.pipeline.models import current_metadata
from stellar.pipeline.records import Drop, Record
from stellar.pipeline.stages.enrichment import TIME_FIELDS, Enrich, format_time, remove_empty
from stellar.pipeline.stages.enrichment_tasks import EnrichmentTask
from stellar.pipeline.stages.fields import Assign, Step, explain_failure
from stellar.pipeline.stages.filters import Filter
from stellar.pipeline.stages.stellar_groups import FieldError, Group, flatten_into
from stellar.pipeline.stages.triage import MOST_SINGLE, THREAT_INTEL, Triage
from stellar.pipeline.stages.validation import Condition, NamedCheck, Validate, ValueCheck
from stellar.util.function_builder import FunctionBuilder, call, call_method, constant, is_none, load
from stellar.util.memoize import memoize

# Classes of values that are one field of an enrichment, not several
_SINGLE = frozenset({str, int, float, bool, list})


def compile_assign(builder: FunctionBuilder, stage: Assign, has_metadata: bool) -> bool:
    """STELLAR: a value is assigned at once, and a null removes its field at the end, as later steps still see it."""
    expressions = [step.expression for step in stage.steps]
    sees_metadata = has_metadata and stage.metadata is current_metadata
    if stage.input or sees_metadata or not _read_only_fields(expressions, (stage.options,)):
        return False
    if not all(step.is_output for step in stage.steps) or _has_duplicates(step.name for step in stage.steps):
        return False
    context = builder.bind(stage.context, "context")
    values = [(step.name, _assign_step(builder, step, context)) for step in stage.steps]
    for name, value in values:
        with builder.if_true(is_none(load(value))):
            builder.evaluate(call_method("record", "pop", constant(name), constant(None)))
    return True


def _assign_step(builder: FunctionBuilder, step: Step, context: ast.expr) -> str:
    """Add a step, and return the local with its value."""
    with builder.block() as failed:
        error = call(builder.bind(partial(explain_failure, step), "explain"), load("error"))
        builder.raise_error(error, load("error"))
    with builder.attempt(builder.handler(StellarError, failed)):
        value = builder.assign_new("value", _evaluate(builder, step.expression, context))
    with builder.if_true(is_none(load(value), negated=True)):
        builder.set_item("record", step.name, load(value))
    return value


def compile_filter(builder: FunctionBuilder, stage: Filter, has_metadata: bool) -> bool:
    """A filter: return Drop for a record that does not match."""
    condition = _evaluate(builder, stage.condition, builder.bind(stage.context, "context"))
    with builder.if_true(ast.UnaryOp(ast.Not(), condition)):
        builder.return_value(call(builder.bind(Drop, "Drop")))
    return True


# -- Validation -------------------------------------------------------------------------------------------------------


def compile_validate(builder: FunctionBuilder, stage: Validate, has_metadata: bool) -> bool:
    """Validations: the stage itself is called if any of them fails, to find all that do."""
    tests = [_compile_check(builder, check) for check in stage.checks]
    passed = [test for test in tests if test is not None]
    if len(passed) < len(tests):
        return False
    if passed:
        with builder.if_true(ast.UnaryOp(ast.Not(), _join(ast.And(), passed))):
            builder.assign("record", call(builder.bind(stage, "stage"), load("record")))
    return True


def _compile_check(builder: FunctionBuilder, named: NamedCheck) -> ast.expr | None:
    """Return a test that is true if a record passes a check; None for a check that must not be evaluated twice."""
    check = named.check
    if isinstance(check, ValueCheck) and named.fields:
        tests = [_compile_value_check(builder, check, name) for name in named.fields]
        return _join(ast.And() if check.enough is all else ast.Or(), tests)
    if not isinstance(check, Condition) or named.fields or not check.predicate.pure:
        return None
    if not _read_only_fields([check.predicate], check.layers):
        return None
    return _evaluate(builder, check.predicate, builder.bind(check.context, "context"))


def _compile_value_check(builder: FunctionBuilder, check: ValueCheck, name: str) -> ast.expr:
    """Return `(value := record.get(name)) is None or …`; results for strings are cached."""
    local = builder.new_name("value")
    value = ast.NamedExpr(ast.Name(local, ast.Store()), call_method("record", "get", constant(name)))
    is_string = ast.Compare(ast.Attribute(load(local), "__class__", ast.Load()), [ast.Is()], [builder.bind(str, "str")])
    cached = call(builder.bind(memoize(check.passes), "passes_cached"), load(local))
    passes = ast.IfExp(is_string, cached, call(builder.bind(check.passes, "passes"), load(local)))
    return _join(ast.Or(), [is_none(value), passes])


def _join(operator: ast.boolop, tests: list[ast.expr]) -> ast.expr:
    return ast.BoolOp(operator, tests) if len(tests) > 1 else tests[0]


# -- Enrichment -------------------------------------------------------------------------------------------------------


def compile_enrich(builder: FunctionBuilder, stage: Enrich, has_metadata: bool) -> bool:
    """Enrichments that do not wait: all tasks see the record as it was, and then their fields are assigned.

    The stage takes microseconds, so its begin is also its end.
    """
    if not stage.is_pure:
        return False
    time = builder.assign_new("time", call(builder.bind(format_time, "format_time")))
    runs = [_Run(builder, stage, task) for task in stage.tasks]
    for run in runs:
        run.evaluate()
    for run in runs:
        run.assign()
    if runs:
        values = call_method("record", "values")
        with builder.if_true(ast.UnaryOp(ast.Not(), call(builder.bind(all, "all"), values))):  # a null, "", 0 or other
            builder.assign("record", call(builder.bind(remove_empty, "remove_empty"), load("record")))
    for adapter, begin, end in stage.adapters:
        builder.set_item("record", begin, load(time))
        completed: list[ast.expr] = [load(run.is_completed) for run in runs if run.task.adapter == adapter]
        if completed:
            with builder.if_true(_join(ast.Or(), completed)):
                builder.set_item("record", end, load(time))
    for name in TIME_FIELDS:
        builder.set_item("record", name, load(time))
    return True


class _Run:
    """The statements of one task.

    is_completed: a local that is true if the task has not failed
    """

    def __init__(self, builder: FunctionBuilder, stage: Enrich, task: EnrichmentTask) -> None:
        self.builder, self.stage, self.task = builder, stage, task
        self.is_completed = builder.new_name("is_completed")
        self._values: list[tuple[str, str]] = []
        self._fields = builder.new_name("fields")

    def evaluate(self) -> None:
        """Compute the values, or report the failure."""
        builder = self.builder
        group = self.task if isinstance(self.task, Group) and _is_independent(self.task) else None
        field = builder.assign_new("field", constant(""))
        with builder.block() as failed:
            report = partial(_report_failure, self.stage, self.task)
            builder.evaluate(call(builder.bind(report, "report"), load("record"), load(field), load("error")))
            builder.assign(self.is_completed, constant(False))
        with builder.attempt(builder.handler(Exception, failed)):
            if group is None:
                builder.assign(self._fields, call(builder.bind(self.task.run, "run"), load("record")))
            else:
                self._evaluate_steps(group, field)
            builder.assign(self.is_completed, constant(True))

    def _evaluate_steps(self, group: Group, field: str) -> None:
        context = self.builder.bind(group.context, "context")
        for name, expression in group.steps:
            self.builder.assign(field, constant(name))
            value = self.builder.assign_new("value", _evaluate(self.builder, expression, context))
            self._values.append((name, value))

    def assign(self) -> None:
        """Add the fields to the record."""
        builder = self.builder
        with builder.if_true(load(self.is_completed)):
            if not self._values:
                builder.evaluate(call_method("record", "update", load(self._fields)))
            for name, value in self._values:
                self._assign_value(name, value)

    def _assign_value(self, name: str, value: str) -> None:
        builder = self.builder
        single = ast.Compare(
            ast.Attribute(load(value), "__class__", ast.Load()), [ast.In()], [builder.bind(_SINGLE, "single")]
        )
        with builder.block() as assigned:
            builder.set_item("record", name, load(value))
        with builder.block() as flattened:
            flatten = builder.bind(flatten_into, "flatten_into")
            builder.evaluate(call(flatten, load("record"), constant(name), load(value)))
        builder.add(ast.If(single, assigned, flattened))


def _report_failure(stage: Enrich, task: EnrichmentTask, record: Record, field: str, error: Exception) -> None:
    is_of_field = field and isinstance(error, StellarError)
    stage.report_failure(task, record, FieldError(field, error) if is_of_field else error)  # type: ignore[arg-type]


# -- Triage -----------------------------------------------------------------------------------------------------------


def compile_triage(builder: FunctionBuilder, stage: Triage, has_metadata: bool) -> bool:
    """Triage: the stage itself is called for records that may be alerts by the fields of threat intelligence."""
    alert = builder.new_name("alert")
    with builder.block() as scored:
        _score_alert(builder, stage)
    with builder.block() as other:
        builder.assign("record", call(builder.bind(stage, "stage"), load("record")))
    with builder.block() as marked:
        value = call_method("record", "get", constant("is_alert"))
        builder.assign(alert, value)
        is_usual = ast.Compare(load(alert), [ast.Eq()], [constant("true")])
        is_string = ast.Compare(ast.Attribute(load(alert), "__class__", ast.Load()), [ast.Is()], [load("str")])
        builder.add(ast.If(_join(ast.And(), [is_string, is_usual]), scored, other))
    names = call(builder.bind("\n".join, "join"), load("record"))
    is_looked_up = ast.Compare(constant(THREAT_INTEL), [ast.In()], [names])
    is_marked = ast.Compare(constant("is_alert"), [ast.In()], [load("record")])
    builder.add(ast.If(is_marked, marked, [ast.If(is_looked_up, other, [])]))
    return True


def _score_alert(builder: FunctionBuilder, stage: Triage) -> None:
    """Add the rules that an alert matches, of which few are evaluated in place."""
    if len(stage.rules) > MOST_SINGLE or stage.list_variables({}):
        builder.evaluate(call(builder.bind(stage.score_alert, "score_alert"), load("record")))
        return
    builder.assign("matches", ast.List([], ast.Load()))
    context, fail = builder.bind(stage.context, "context"), builder.bind(stage.report_copy, "fail")
    for rule in stage.rules:
        complete = call(
            builder.bind(partial(stage.complete_match, rule), "complete"), load("record"), load("record"), fail
        )
        with builder.block() as failed:
            builder.evaluate(
                call(fail, builder.bind(rule, "rule"), constant("condition"), load("error"), load("record"))
            )
            builder.assign("is_matched", constant(False))
        with builder.attempt(builder.handler((StellarError, ValueError), failed)):
            builder.assign("is_matched", _evaluate(builder, rule.matches, context))
        with builder.if_true(load("is_matched")):
            builder.assign("match", complete)
            with builder.if_true(is_none(load("match"), negated=True)):  # null if its score fails
                builder.evaluate(call_method("matches", "append", load("match")))
    with builder.if_true(load("matches")):
        fields = call(builder.bind(stage.make_fields, "make_fields"), load("matches"))
        builder.evaluate(call_method("record", "update", fields))


# -- Expressions ------------------------------------------------------------------------------------------------------


def _is_independent(group: Group) -> bool:
    """Return True if no expression of a group reads the result of another one."""
    names = {name for name, _ in group.steps}
    expressions = [expression for _, expression in group.steps]
    if len(names) < len(expressions) or not _read_only_fields(expressions, group.defaults):
        return False
    return all(names.isdisjoint(expression.variables) for expression in expressions[1:])


def _read_only_fields(expressions: Iterable[Expression], layers: tuple[Mapping[str, Any], ...]) -> bool:
    """Return True if expressions read fields by name, and no variable of other layers."""
    read = {name for expression in expressions for name in expression.variables}
    return "_" not in read and not any(layer.get(name) is not None for layer in layers for name in read)


def _has_duplicates(names: Iterable[str]) -> bool:
    listed = list(names)
    return len(set(listed)) < len(listed)


def _evaluate(builder: FunctionBuilder, expression: Expression, context: ast.expr) -> ast.expr:
    evaluate = expression.func if type(expression) is Expression else expression
    return call(builder.bind(evaluate, "expression"), load("record"), context)
