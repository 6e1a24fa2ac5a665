"""Runs tests, and compares their outcomes with the expected ones."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import partial
from typing import Any

from stellar.java.match_timer import match_timer
from stellar.language.context import Context
from stellar.language.errors import ConfigError
from stellar.pipeline.build import build_group
from stellar.pipeline.config.loading import (
    load_config,
    load_enrichment,
    load_groups,
    parse_global,
    validate,
)
from stellar.pipeline.config.locations import ErrorCollector, SourceLocation, parse_object, read_text
from stellar.pipeline.config.positions import describe_error
from stellar.pipeline.config.schema import GlobalConfig
from stellar.pipeline.config.suites_schema import CaseConfig, ErrorExpectation, RecordExpectation
from stellar.pipeline.messages import MessageStrategy
from stellar.pipeline.pipeline import Pipeline
from stellar.pipeline.records import Raw, Record, to_json_bytes
from stellar.pipeline.routing import PipelineGroup, expand_groups
from stellar.pipeline.run import run_pipeline
from stellar.pipeline.stages.triage import RuleMatch, Triage
from stellar.pipeline.testing.environment import InvalidFake, open_environment
from stellar.pipeline.testing.loading import Suite
from stellar.util.abbreviate import abbreviate_value

# The field in which the triage of a test notes the score and the rules that match; it is not part of the record
_TRIAGE = "\0triage"
_SCORED_STAGES = ("enrich", "threatIntel", "triage")


@dataclass(frozen=True)
class CaseResult:
    """The result of a test.

    line: its line in the file
    differences: of the outcome from the expected one, each of one or more lines; empty if it passes
    error: the reason why it could not be run; None if it was
    """

    suite: Suite
    name: str
    line: int
    seconds: float
    differences: tuple[str, ...] = ()
    error: str | None = None

    @property
    def has_passed(self) -> bool:
        """True if the outcome is the expected one."""
        return self.error is None and not self.differences


@dataclass
class CaseOutcome:
    """The documents that a message became.

    records: the finished records, as they are written
    scored: the score of each of them, or None, and the rules that it matches
    """

    records: list[Record] = field(default_factory=list)
    scored: list[tuple[float | None, list[str]]] = field(default_factory=list)
    errors: list[Record] = field(default_factory=list)
    dropped: int = 0


def run_suite(suite: Suite, text: str = "") -> Iterator[CaseResult]:
    """Run the tests of a file, and yield their results.

    text: run only tests whose name, after that of the file, contains it in any case
    """
    for case, line in suite.cases:
        if text.lower() in f"{suite.name}: {case.name}".lower():
            yield _run_case(suite, case, line)


def _run_case(suite: Suite, case: CaseConfig, line: int) -> CaseResult:
    begin = time.perf_counter()
    result = partial(CaseResult, suite, case.name, line)
    try:
        outcome = run_message(suite, case)
    except ConfigError as error:
        reasons = "\n".join(map(describe_error, error.errors))
        return result(time.perf_counter() - begin, error=reasons)
    except InvalidFake as error:
        return result(time.perf_counter() - begin, error=str(error))
    return result(time.perf_counter() - begin, tuple(compare_outcome(case, outcome)))


# -- Running ----------------------------------------------------------------------------------------------------------


def run_message(suite: Suite, case: CaseConfig) -> CaseOutcome:
    """Process the message of a test. Raises ConfigError and InvalidFake."""
    globals_ = _read_global(suite, case)
    clock = suite.config.clock if case.clock is None else case.clock
    outcome = CaseOutcome()
    with open_environment((case, suite.config), clock, globals_.settings) as context, match_timer():
        pipeline, raw = _prepare(suite, case, globals_, context)
        counts = run_pipeline(pipeline, [raw], partial(_add_record, outcome), outcome.errors.append, in_flight=1)
    outcome.dropped = counts.dropped
    return outcome


def _add_record(outcome: CaseOutcome, record: Record) -> None:
    scored = record.pop(_TRIAGE, (None, []))
    outcome.records.append(json.loads(to_json_bytes(record)))
    outcome.scored.append(scored)


def _read_global(suite: Suite, case: CaseConfig) -> GlobalConfig:
    file = suite.directory / "global.json"
    location = SourceLocation(str(file))
    text = read_text(file) if file.exists() else "{}"
    changes = {**suite.config.settings, **case.settings}
    if not changes:
        return parse_global(text, location)
    return validate(GlobalConfig, {**parse_object(text, location.file), **changes}, location)


def _prepare(suite: Suite, case: CaseConfig, globals_: GlobalConfig, context: Context) -> tuple[PipelineGroup, Raw]:
    """Return the pipeline of a test, and its message."""
    names = [name.strip() for name in (case.sensor or suite.config.sensor or suite.name).split(",")]
    sensors = expand_groups(names, load_groups(suite.directory))
    problems = ErrorCollector([])
    load = load_config if case.line is not None else load_enrichment
    configs = [replace(load(suite.directory, sensor, problems), globals=globals_) for sensor in sensors]
    group = build_group(configs, context, problems)
    problems.raise_found()
    members = [(topic, _watch(pipeline)) for topic, pipeline in group.members]
    origin = f"{suite.file}: {case.name}"
    if case.record is not None:
        given = [(topic, _start_with(pipeline, case.record)) for topic, pipeline in members]
        return PipelineGroup(given), Raw(to_json_bytes(case.record), origin)
    content = (case.line or "").removesuffix("\n").encode("utf-8", "surrogatepass")
    key = None if case.key is None else case.key.encode("utf-8", "surrogatepass")
    return PipelineGroup(members), Raw(content, origin, key=key, topic=case.topic)


def _watch(pipeline: Pipeline) -> Pipeline:
    stages = tuple((name, _watch_triage(stage)) for name, stage in pipeline.stages)
    return replace(pipeline, stages=stages)


def _watch_triage(stage: Any) -> Any:
    if not isinstance(stage, Triage):
        return stage
    return _WatchedTriage(**{each.name: getattr(stage, each.name) for each in fields(stage)})


class _WatchedTriage(Triage):
    """Notes the score and the matching rules in the record."""

    def add_matches(self, record: Record, matches: list[RuleMatch]) -> Record:
        score = self.compute_score(matches) if matches else None
        names = [match.rule.name or match.rule.text for match in matches]
        return {**super().add_matches(record, matches), _TRIAGE: (score, names)}


@dataclass(frozen=True)
class _GivenRecord:
    """A parser that returns the record of a test."""

    record: Record

    def __call__(self, text: str) -> Iterable[Record]:
        return [dict(self.record)]

    def complaint(self, record: Record) -> str | None:
        return None


def _start_with(pipeline: Pipeline, record: Record) -> Pipeline:
    """Return the pipeline from enrichment on, whose only record is given."""
    stages = tuple((name, stage) for name, stage in pipeline.stages if name in _SCORED_STAGES)
    return replace(pipeline, parser=_GivenRecord(record), transformations=(), strategy=MessageStrategy(), stages=stages)


# -- Comparing --------------------------------------------------------------------------------------------------------


def compare_outcome(case: CaseConfig, outcome: CaseOutcome) -> Iterator[str]:
    """Yield the differences of an outcome from the expected one."""
    expected = case.expect.all_records
    if expected is not None:
        yield from _compare_records(expected, outcome)
    if outcome.dropped != case.expect.dropped:
        yield f"dropped records:\n- {case.expect.dropped}\n+ {outcome.dropped}"
    yield from _compare_errors(case.expect.errors, outcome.errors)


def _compare_records(expected: list[RecordExpectation], outcome: CaseOutcome) -> Iterator[str]:
    if len(expected) != len(outcome.records):
        yield f"number of records:\n- {len(expected)}\n+ {len(outcome.records)}"
    for index, (wanted, record, scored) in enumerate(zip(expected, outcome.records, outcome.scored, strict=False)):
        prefix = f"records[{index}]: " if len(expected) > 1 else ""
        yield from (f"{prefix}{difference}" for difference in _compare_record(wanted, record, *scored))


_MISSING = object()


def _compare_record(wanted: RecordExpectation, record: Record, score: float | None, rules: list[str]) -> Iterator[str]:
    yield from _compare_fields(wanted, record)
    if wanted.has_score and not is_equal(wanted.score, score):
        yield f"score:\n{_show('-', wanted.score)}\n{_show('+', score)}"
    if wanted.rules is not None and wanted.rules != rules:
        yield f"rules:\n{_show('-', wanted.rules)}\n{_show('+', rules)}"


def _compare_fields(wanted: RecordExpectation, record: Record) -> Iterator[str]:
    for name, value in wanted.fields.items():
        actual = record.get(name, _MISSING)
        if not is_equal(value, actual):
            yield f"field {name}:\n{_show('-', value)}\n{_show('+', actual)}"
    for name in wanted.present:
        if name not in record:
            yield f"field {name}:\n- any value\n{_show('+', _MISSING)}"
    for name in wanted.absent:
        if name in record:
            yield f"field {name}:\n{_show('-', _MISSING)}\n{_show('+', record[name])}"


def _compare_errors(expected: list[ErrorExpectation], errors: list[Record]) -> Iterator[str]:
    """Yield the expected errors that do not occur, and those that are not expected."""
    remaining = list(errors)
    for wanted in sorted(expected, key=_measure_detail, reverse=True):  # a vague one must not take that of another
        found = next((error for error in remaining if _matches(wanted, error)), None)
        if found is None:
            yield f"missing error:\n{_show('-', wanted.model_dump(exclude_none=True))}"
        else:
            remaining.remove(found)
    for error in remaining:
        yield f"unexpected error:\n{_show('+', {'message': error.get('message'), 'stage': error.get('stage')})}"


def _measure_detail(wanted: ErrorExpectation) -> tuple[int, int]:
    return len(wanted.model_fields_set), len(wanted.message or "")


def _matches(wanted: ErrorExpectation, error: Record) -> bool:
    return (
        (wanted.message is None or wanted.message in str(error.get("message")))
        and wanted.stage in (None, error.get("stage"))
        and wanted.type in (None, error.get("error_type"))
    )


def is_equal(expected: object, actual: object) -> bool:
    """Compare JSON values: numbers by value, but true is not a number."""
    if isinstance(expected, bool) or isinstance(actual, bool):
        return expected is actual
    if isinstance(expected, Mapping) and isinstance(actual, Mapping):
        return expected.keys() == actual.keys() and all(is_equal(expected[key], actual[key]) for key in expected)
    if isinstance(expected, list) and isinstance(actual, list):
        return len(expected) == len(actual) and all(map(is_equal, expected, actual))
    return expected == actual


def _show(mark: str, value: object) -> str:
    """Return a value as JSON, each line after a mark."""
    if value is _MISSING:
        return f"{mark} (absent)"
    try:
        text = json.dumps(value, ensure_ascii=False, indent=2 if isinstance(value, dict) else None)
    except (TypeError, ValueError):
        text = abbreviate_value(value, 200)
    return "\n".join(f"{mark} {line}" for line in text.splitlines())
