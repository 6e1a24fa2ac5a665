"""Observation of pipelines, for metrics: how often rules match and fail, how long stages take, and what fails.

    pipeline ── 15 of 16 messages ──► its functions, as without metrics
             └─ 1 of 16 messages ──► the same functions, compiled with a clock around each stage

A pipeline that is not observed has none of this: rules are counted by a class of their own, which replaces that of the
triage, and errors and writes by functions around the targets.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields
from itertools import cycle
from time import perf_counter
from typing import TYPE_CHECKING, Any, TypeVar

from stellar.monitoring.histograms import STAGE_BOUNDS, Histogram
from stellar.monitoring.metrics import Metric, MetricSample
from stellar.pipeline.parsers import Parser, Unreadable
from stellar.pipeline.records import Processor, Record
from stellar.pipeline.stages.triage import ObservedTriage, Triage, TriageRule
from stellar.util.abbreviate import abbreviate

if TYPE_CHECKING:
    from stellar.pipeline.pipeline import Pipeline

MEASURED_EACH = 16  # messages, of which one is measured
MAX_KEYS = 1000  # sensors of records that were parsed before are named by the records
MAX_RULE = 60  # characters of a rule without a name

RULE_MATCHES = Metric("stellar_rule_matches_total", "counter", "Matches of each triage rule.", ("sensor", "rule"))
RULE_FAILURES = Metric(
    "stellar_rule_failures_total",
    "counter",
    "Failures of each triage rule in its condition, score or reason.",
    ("sensor", "rule", "component"),
)
ERRORS = Metric(
    "stellar_pipeline_errors_total", "counter", "Error documents by the sensor and the stage.", ("sensor", "stage")
)
STAGE_SECONDS = Metric(
    "stellar_pipeline_stage_seconds",
    "histogram",
    f"Time of each stage for a message, of which one of {MEASURED_EACH} is measured.",
    ("sensor", "stage"),
)
METRICS = (RULE_MATCHES, RULE_FAILURES, ERRORS, STAGE_SECONDS)

T = TypeVar("T")
_WriteDocument = Callable[[Record], None]


class PipelineObserver:
    """Counts and measures what pipelines do. Thread-safe."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._matches: dict[tuple[str, str], list[int]] = {}
        self._failures: Counter[tuple[str, ...]] = Counter()
        self._errors: Counter[tuple[str, ...]] = Counter()
        self._times: dict[tuple[str, str], Histogram] = {}

    def observe(self, pipeline: Pipeline) -> None:
        """Observe a pipeline, which must not have processed anything yet."""
        pipeline.stages = tuple((name, self._observe_stage(stage, pipeline.sensor)) for name, stage in pipeline.stages)
        pipeline.timing = StageTiming(self, pipeline.sensor)

    def _observe_stage(self, stage: Any, sensor: str) -> Any:
        if type(stage) is not Triage:
            return stage
        settings = {each.name: getattr(stage, each.name) for each in fields(Triage)}
        with self.lock:
            matches = {id(rule): self._matches.setdefault((sensor, _name(rule)), [0]) for rule in stage.rules}
        return ObservedTriage(**settings, observer=self, sensor=sensor, matches=matches)

    def count_failure(self, sensor: str, rule: TriageRule, component: str) -> None:
        """Count the failure of a rule in one of its components."""
        with self.lock:
            _add(self._failures, (sensor, _name(rule), component))

    def count_errors(self, write: _WriteDocument) -> _WriteDocument:
        """Return a function that writes an error document, and counts it."""

        def count_error(document: Record) -> None:
            write(document)
            with self.lock:
                _add(self._errors, (str(document["failed_sensor_type"]), str(document["stage"])))

        return count_error

    def measure_writes(self, write: _WriteDocument, pipeline: str) -> _WriteDocument:
        """Return a function that writes a document, and measures one of 16."""
        observe = self.find_times(pipeline, "write").observe

        def measure(document: Record) -> None:
            began = perf_counter()
            write(document)
            observe(perf_counter() - began)

        find_next = _alternate(measure, write)
        return lambda document: find_next()(document)

    def find_times(self, sensor: str, stage: str) -> Histogram:
        """Return the times of a stage of a sensor."""
        if (known := self._times.get((sensor, stage))) is not None:
            return known
        return self._times.setdefault((sensor, stage), Histogram(STAGE_BOUNDS))

    def collect(self) -> Iterator[MetricSample]:
        """Yield all samples."""
        with self.lock:
            matches = [(key, number) for key, (number,) in self._matches.items()]
            failures, errors = list(self._failures.items()), list(self._errors.items())
        yield from (RULE_MATCHES.sample(number, *key) for key, number in matches)
        yield from (RULE_FAILURES.sample(number, *key) for key, number in failures)
        yield from (ERRORS.sample(number, *key) for key, number in errors)
        for key, histogram in list(self._times.items()):
            yield STAGE_SECONDS.sample(histogram.read(), *key)


def _name(rule: TriageRule) -> str:
    return rule.name or abbreviate(rule.text, MAX_RULE)


def _alternate(measured: T, other: T) -> Callable[[], T]:
    """Return a function that returns one object, then the other one 15 times, and so on."""
    return cycle((measured, *(other,) * (MEASURED_EACH - 1))).__next__


def _add(counts: Counter[tuple[str, ...]], key: tuple[str, ...]) -> None:
    """Add 1 to a count; beyond the limit to that of all other keys."""
    counts[key if key in counts or len(counts) < MAX_KEYS else ("other",) * len(key)] += 1


class StageTiming:
    """Measures the stages of one of 16 messages of a pipeline."""

    def __init__(self, observer: PipelineObserver, sensor: str) -> None:
        self._observer, self._sensor = observer, sensor
        self.is_due = _alternate(True, False)  # True if the next message is measured

    def alternate(self, process: Processor, measured: Processor) -> Processor:
        """Return a function that measures one of 16 messages."""
        find_next = _alternate(measured, process)
        return lambda raw: find_next()(raw)

    def observe(self, stage: str, seconds: float) -> None:
        """Note the time of a stage."""
        self._observer.find_times(self._sensor, stage).observe(seconds)


class MeasuredParser:
    """A parser whose time is measured, also of records that it makes when they are requested."""

    def __init__(self, parser: Parser, timing: StageTiming) -> None:
        self._parser, self._timing = parser, timing

    def __call__(self, text: str) -> Iterable[Record | Unreadable]:
        """Return the records in a message."""
        began = perf_counter()
        records = self._parser(text)
        seconds = perf_counter() - began
        if not isinstance(records, tuple | list):
            return self._measure(iter(records), seconds)
        self._timing.observe("parse", seconds)
        return records

    def _measure(self, records: Iterator[Record | Unreadable], seconds: float) -> Iterator[Record | Unreadable]:
        try:
            while True:
                began = perf_counter()
                record = next(records, None)
                seconds += perf_counter() - began
                if record is None:
                    return
                yield record
        finally:
            self._timing.observe("parse", seconds)

    def complaint(self, record: Record) -> str | None:
        """Return the reason why a record is invalid, or None."""
        return self._parser.complaint(record)
