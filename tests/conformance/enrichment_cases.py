"""Cases of enrichment: one record through an enrichment configuration, compared with Metron's results.

A case agrees if the record after each stage and the error documents are Metron's. The differences that are documented:
an invalid configuration is rejected when it is loaded, not with each record; a task that fails never discards the
record; error documents carry the sensor, and a score has a second, older name.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from parser_cases import Case, _compare_maps, equal

from stellar.functions.enrichments import EnrichmentStore
from stellar.language.context import Context
from stellar.language.errors import ConfigError
from stellar.pipeline.build import build_pipeline
from stellar.pipeline.config.loading import SensorConfig, default_parser, parse_enrichment
from stellar.pipeline.config.locations import SourceLocation
from stellar.pipeline.config.schema import EnrichmentConfig, GlobalConfig
from stellar.pipeline.models import RECORD_CONTEXT, RecordContext
from stellar.pipeline.pipeline import Pipeline
from stellar.pipeline.records import Record, make_error_document
from stellar.stores.base import Row
from stellar.stores.sqlite import SqliteStore

TABLES = ("enrichment", "threatintel")


@dataclass(frozen=True)
class Enriched:
    """The result of a case.

    enriched: the record after the stage enrichment
    message: the record after threat intelligence and triage
    errors: the error documents
    config_error: the error of the configuration; None if it is valid
    """

    enriched: Record = field(default_factory=dict)
    message: Record = field(default_factory=dict)
    errors: list[Record] = field(default_factory=list)
    config_error: str | None = None

    def __str__(self) -> str:
        if self.config_error is not None:
            return f"config error: {self.config_error}"
        shown = [{key: value for key, value in error.items() if key != "stack"} for error in self.errors]
        return f"enriched {self.enriched}\n            message  {self.message}\n            errors   {shown}"


@dataclass(frozen=True)
class World:
    """The known hosts and the store that all cases of a file look up."""

    hosts: list[Record]
    store: EnrichmentStore


@contextmanager
def open_world(file: Path) -> Iterator[World]:
    """Store the rows of the first line of a file, and yield the world of its cases."""
    described = json.loads(file.read_text(encoding="utf-8").splitlines()[0])["store"]
    with tempfile.TemporaryDirectory() as directory:
        store = SqliteStore(f"{directory}/enrichments.db")
        for table in TABLES:
            store.put_many(table, map(_read_row, described[table]))
        yield World(described["hosts"], store)
        store.close()


def _read_row(row: list[Any]) -> Row:
    kind, indicator, columns, *family = row
    return Row(family[0] if family else "t", kind, indicator, columns)


def run_enrichment(case: Case, world: World) -> Enriched:
    """Run the record of a case through enrichment, threat intelligence and triage."""
    settings = {"enrichment.host.known_hosts": world.hosts}
    try:
        pipeline = _build(case["config"], settings, world)
    except ConfigError as error:
        return Enriched(config_error=str(error))
    context = RecordContext()
    before = RECORD_CONTEXT.set(context)
    try:
        stages = dict(pipeline.stages)
        enriched = stages["enrich"](deepcopy(case["message"]))
        message = stages["triage"](stages["threatIntel"](dict(enriched)))
    finally:
        RECORD_CONTEXT.reset(before)
    return Enriched(enriched, message, [make_error_document(report, "squid") for report in context.reports])


def _build(config: object, settings: dict[str, Any], world: World) -> Pipeline:
    location = SourceLocation("enrichments/squid.json")
    text = config if isinstance(config, str) else json.dumps(config)
    enrichment = EnrichmentConfig() if config is None else parse_enrichment(text, location)
    sensor = SensorConfig("squid", default_parser(), enrichment, GlobalConfig.model_validate(settings), Path())
    return build_pipeline(sensor, Context({EnrichmentStore: world.store}))


# -- Comparison -------------------------------------------------------------------------------------------------------


def find_enrichment_difference(case: Case, ours: Enriched) -> tuple[bool, str]:
    """Compare a result with Metron's. Return True for the same result, and the difference; empty if there is none, or a
    documented one."""
    theirs = case["result"]
    if "config_error" in theirs:
        is_rejected = ours.config_error is not None
        if is_rejected or "jvm_fault" in case.get("mend", ()) or "lenient" in case.get("mend", ()):
            return is_rejected, ""
        return False, "the configuration is valid"
    if ours.config_error is not None:
        return False, "" if _is_odd(case, ours.config_error) else f"rejected: {ours.config_error}"
    if "lost_in" in theirs or "jvm_fault" in case.get("mend", ()):
        return False, _compare_kept(case, ours)
    if "LENGTH(_)" in json.dumps(case["config"]):  # Metron counts the timing fields that are set in the meantime
        theirs, ours = _without_counts(theirs), replace(ours, **_without_counts(vars(ours)))
    difference = _compare_records(theirs, ours) or _compare_errors(theirs["errors"], ours.errors)
    return not difference, difference


def _without_counts(result: Record) -> Record:
    return {name: {key: v for key, v in result[name].items() if key != "x"} for name in ("enriched", "message")} | {
        "errors": result["errors"]
    }


# Messages of configurations that Metron accepts, although it ignores their contents, or fails with each record
ODD = (
    r"expected an expression as a string",
    r"expected an assignment, such as",
    r"expected a field before the expression",
    r"expected a name for each group",
    r"expected a list of fields",
    r"expected the type STELLAR",
    r"Unable to find an adapter for",
    r"unknown function",
    r"expected a map or a list",
    r"assignments are allowed in the shell",
    r"expected a map, got null",
    r"fieldMap\.\w+\.\w+: unknown key",
)


def _is_odd(case: Case, error: str) -> bool:
    """Metron loses each message, or the message of our error names the odd form."""
    return "lost_in" in case["result"] or any(re.search(pattern, error) for pattern in ODD)


def _compare_kept(case: Case, ours: Enriched) -> str:
    """Return the fields that are missing in a record that Metron loses as a whole."""
    lost = case["message"].keys() - ours.message.keys() - {"is_alert"}
    kept = {name for name in lost if case["message"][name] not in (None, "")}
    return f"lost {sorted(kept)}" if kept else ""


def _compare_records(theirs: Record, ours: Enriched) -> str:
    types = theirs.get("types") or {}
    for name, found in (("enriched", ours.enriched), ("message", ours.message)):
        found = {key: value for key, value in found.items() if key != "threat.triage.level"}
        if difference := _compare_maps(theirs[name], found, types):
            return f"{name}: {difference}"
    return ""


def _compare_errors(expected: list[Record], ours: list[Record]) -> str:
    rest = list(ours)
    for document in expected:
        same = [each for each in rest if not _compare_error(document, each)]
        if not same:
            return f"error document {document} is missing; ours: {[_compare_error(document, each) for each in rest]}"
        rest.remove(same[0])
    return f"{len(rest)} unexpected error documents: {rest[0].get('message', '')!r:.300}" if rest else ""


def _compare_error(expected: Record, ours: Record) -> str:
    if expected["error_type"] != ours["error_type"]:
        return f"error_type is {ours['error_type']}"
    subject = re.match(r"\w+ error with \w+ failed", expected["message"])
    if subject is not None and not ours["message"].startswith(subject[0]):
        return f"message is {ours['message']!r:.200}"
    return "" if equal(expected["raw_message"], ours["raw_message"]) else f"raw_message is {ours['raw_message']:.300}"
