"""Enrichment: new fields computed by expressions and found in look-ups, in tasks that are independent of each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from stellar.pipeline.config.compile import BuildContext
from stellar.pipeline.config.locations import SourceLocation
from stellar.pipeline.records import Record, Report, Reporter
from stellar.pipeline.stages.enrichment_cache import EnrichmentCache
from stellar.pipeline.stages.enrichment_tasks import EnrichmentTask, TaskRunner
from stellar.pipeline.stages.stellar_groups import FieldError, Group, compile_groups
from stellar.util.clock import now

if TYPE_CHECKING:
    from stellar.pipeline.config.schema import AdapterConfig, StageConfig

# Metron's adapters by stage, stellar beside them, and that of its successor: the module in this package and the
# function that builds its tasks. The modules load clients of stores and services, which most configurations do not use
LOOK_UPS: dict[str, dict[str, tuple[str, str]]] = {
    "enrich": {
        "geo": ("lookups", "build_geo"),
        "host": ("lookups", "build_host"),
        "hbaseEnrichment": ("lookups", "build_hbase_enrichment"),
        "rest": ("rest", "build_rest"),
    },
    "threatIntel": {"hbaseThreatIntel": ("lookups", "build_hbase_threat_intel"), "rest": ("rest", "build_rest")},
}
ADAPTERS = {stage: (*adapters, "stellar") for stage, adapters in LOOK_UPS.items()}

# The names of Metron's adapter classes, with which timing fields begin
TIMING_NAMES = {
    "geo": "geoadapter",
    "host": "hostfromjsonlistadapter",
    "hbaseEnrichment": "simplehbaseadapter",
    "hbaseThreatIntel": "threatinteladapter",
    "stellar": "stellaradapter",
}
# The timing fields of the stage itself; the last one is its end
TIME_FIELDS = (
    "parallelenricher.splitter.begin.ts",
    "parallelenricher.splitter.end.ts",
    "parallelenricher.enrich.begin.ts",
    "parallelenricher.enrich.end.ts",
)
_METRON_NAMES = {"enrich": "ENRICHMENT", "threatIntel": "THREAT_INTEL"}
_FIELD_PREFIXES = {"enrich": "enrichments", "threatIntel": "threatintels"}


@dataclass(frozen=True)
class Enrich:
    """The enrichments of a stage. If a task fails, it is reported, and the record gets none of its fields.

    adapters: the adapters, also those without tasks, each with the names of its two timing fields
    is_pure: True if no task waits, is cached or lacks its input, so that each is just run
    """

    stage: str
    adapters: tuple[tuple[str, str, str], ...]
    is_pure: bool
    tasks: tuple[EnrichmentTask, ...]
    runner: TaskRunner
    report: Reporter

    @property
    def blocks(self) -> bool:
        """True if a look-up may block its thread; for expressions, the pipeline knows it."""
        return any(getattr(task, "blocks", False) for task in self.tasks)

    def __call__(self, record: Record) -> Record:
        begin = format_time()
        run = self.runner.run_pure if self.is_pure else self.runner.run_all
        joined = dict(record)
        completed: set[str] = set()
        has_run = False
        for task, outcome in zip(self.tasks, run(self.tasks, record), strict=True):
            if isinstance(outcome, Exception):
                self.report_failure(task, record, outcome)
                has_run = True
                continue
            completed.add(task.adapter)
            if outcome is not None:
                joined.update(outcome)
                has_run = True
        end = format_time()
        if has_run:
            joined = remove_empty(joined)
        self._add_timings(joined, completed, begin, end)
        return joined

    def list_inputs(self) -> Iterator[tuple[str, Sequence[str], bool]]:
        """Yield the adapter and the fields of each task that needs some, and True if a record had them.

        Yields nothing if there was no record.
        """
        if self.runner.has_run:
            for index, task in enumerate(self.tasks):
                if task.input_fields:
                    yield task.adapter, sorted(task.input_fields), index in self.runner.used

    def report_failure(self, task: EnrichmentTask, record: Record, error: Exception) -> None:
        """Report the failure of a task for a record as it was before the stage."""
        subject = f"{_METRON_NAMES[self.stage]} error with {task.adapter} failed: {task.describe_failure(error)}"
        inputs = task.describe_input(record)
        if "source.type" in record:
            inputs["source.type"] = record["source.type"]
        self.report(Report(inputs, self.stage, error.cause if isinstance(error, FieldError) else error, subject))

    def _add_timings(self, record: Record, completed: set[str], begin: str, end: str) -> None:
        for adapter, begin_name, end_name in self.adapters:
            record[begin_name] = begin
            if adapter in completed:
                record[end_name] = end
        *began, ended = TIME_FIELDS
        for name in began:
            record[name] = begin
        record[ended] = end


class _LastTime:
    """The last time that was formatted; many records have the same one."""

    milliseconds = 0
    text = "0"


def format_time() -> str:
    """Return the time in milliseconds since 1970 as a string."""
    if (milliseconds := now()) == _LastTime.milliseconds:
        return _LastTime.text
    text = str(milliseconds)
    _LastTime.text, _LastTime.milliseconds = text, milliseconds
    return text


def remove_empty(record: Record) -> Record:
    """Return a record without the fields that are null or an empty string."""
    return {name: value for name, value in record.items() if value is not None and value != ""}


def build_enrichment(
    stage: str,
    config: StageConfig,
    variables: tuple[Mapping[str, Any], ...],
    location: SourceLocation,
    builder: BuildContext,
) -> Enrich:
    """Build the enrichments of a stage.

    stage: `enrich` or `threatIntel`
    variables: maps whose members are variables of expressions, each with precedence over the next

    Raises ConfigError for an unknown adapter, and for invalid fields and expressions.
    """
    tasks: list[EnrichmentTask] = []
    for name, adapter in config.field_map.items():
        build = partial(_build_adapter, stage, name, adapter, config, variables, location, builder)
        tasks += builder.problems.attempt(build, ())
    adapters = tuple(_name_timings(name) for name in config.field_map)
    is_pure = all(isinstance(task, Group) and not task.waits and not task.is_cached for task in tasks)
    return Enrich(stage, adapters, is_pure, tuple(tasks), TaskRunner(EnrichmentCache()), builder.report)


def _name_timings(adapter: str) -> tuple[str, str, str]:
    name = TIMING_NAMES.get(adapter, adapter.lower())
    return adapter, f"adapter.{name}.begin.ts", f"adapter.{name}.end.ts"


def _build_adapter(
    stage: str,
    name: str,
    adapter: AdapterConfig,
    config: StageConfig,
    variables: tuple[Mapping[str, Any], ...],
    stage_location: SourceLocation,
    builder: BuildContext,
) -> Sequence[EnrichmentTask]:
    location = stage_location / "fieldMap" / name
    if name == "stellar":
        return compile_groups(adapter, location, builder, variables)
    if (builder_path := LOOK_UPS[stage].get(name)) is None:
        possible = ", ".join(ADAPTERS[stage])
        raise location.error(f"Unable to find an adapter for {name}, possible adapters are: {possible}")
    from stellar.pipeline.stages.lookups import AdapterContext  # see LOOK_UPS

    module, function = builder_path
    build: Callable[[AdapterContext], Sequence[EnrichmentTask]]
    build = getattr(import_module(f"stellar.pipeline.stages.{module}"), function)
    return build(AdapterContext(_FIELD_PREFIXES[stage], name, adapter, config, location, stage_location, builder))
