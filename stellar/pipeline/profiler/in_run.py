"""The profiler inside a run: each record that was written is applied to the profiles of `profiler.json`.

Messages of triage expressions pass the enrichment of the sensor `profiler`, if it is configured, and are written with
the records. They are not applied to profiles again.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable

from stellar.language.context import Context, GlobalSettings
from stellar.pipeline.build import build_pipeline, load_library
from stellar.pipeline.config.loading import SensorConfig
from stellar.pipeline.pipeline import MODEL_FUNCTIONS, Pipeline
from stellar.pipeline.profiler.loading import parse_definitions
from stellar.pipeline.profiler.output import SENSOR, ProfilerOutput
from stellar.pipeline.profiler.settings import make_profiler
from stellar.pipeline.records import Failure, Raw, Record, hostname, make_error_document, to_json_bytes
from stellar.profiles.definitions import ProfilerDefinition
from stellar.profiles.store import ProfileStore, open_profile_store
from stellar.stores.base import StoreError

Write = Callable[[Record], None]
_NO_MODELS = "models cannot be called by profiles and for their messages; call them in the enrichment of a sensor"


class ProfilingSink:
    """Writes records to a sink, and applies them to profiles.

    A run with the time of messages replaces values of earlier runs, as it reads all messages again. A run with the time
    of processing continues the current period of this host.
    """

    def __init__(self, definition: ProfilerDefinition, config: SensorConfig, sink: Write, errors: Write) -> None:
        settings = GlobalSettings(config.globals.settings)
        try:
            self._store = open_profile_store(settings)
            self._store.prepare()
        except (LookupError, StoreError) as error:
            raise config.global_location.error(str(error)) from error
        self._sink, self._errors = sink, errors
        self._enrichment = _load_own_enrichment(config)
        self._output = ProfilerOutput(self._write_message, errors)
        context = Context({GlobalSettings: settings, ProfileStore: self._store})
        owner = None if definition.timestamp_field is not None else f"{SENSOR}@{hostname()}"
        try:
            self._profiler = make_profiler(
                definition, settings, self._store, context, self._output, run=str(uuid.uuid4()), owner=owner
            )
        except ValueError as error:
            raise config.global_location.error(str(error)) from error

    def __call__(self, record: Record) -> None:
        """Write a record, and apply it. Raises OSError if it, or a value of a profile, cannot be stored."""
        self._sink(record)
        self._attempt(lambda: self._profiler.apply(record))

    def finish(self) -> str:
        """Store the values of the current periods, and return the counts. Raises OSError."""
        self._attempt(self._profiler.flush)
        self._store.close()
        return f"{self._profiler.counts}, {self._output.messages:,} messages for triage"

    def _attempt(self, step: Callable[[], None]) -> None:
        try:
            step()
        except StoreError as error:
            raise OSError(f"cannot store the values of profiles: {error}") from error

    def _write_message(self, message: Record) -> None:
        if self._enrichment is None:
            self._sink(message)
            return
        raw = Raw(to_json_bytes(message), SENSOR)
        for outcome, reports in self._enrichment.processed(raw):
            if isinstance(outcome, dict):
                self._sink(outcome)
            failures = [outcome, *reports] if isinstance(outcome, Failure) else reports
            for failure in failures:
                self._errors(make_error_document(failure, SENSOR, raw))


def _load_own_enrichment(config: SensorConfig) -> Pipeline | None:
    """Return the enrichment of messages for triage, otherwise None. Raises ConfigError."""
    own = config.load_sibling(SENSOR)
    if own is None:
        return None
    pipeline = build_pipeline(own)
    if not pipeline.functions.isdisjoint(MODEL_FUNCTIONS):
        raise own.enrichment_location.error(_NO_MODELS)
    return pipeline


def open_profiler(config: SensorConfig, sink: Write, errors: Write) -> ProfilingSink | None:
    """Return a sink that applies records to the profiles of a configuration; None if it has none.

    Raises ConfigError if the definitions or the settings are invalid, or the store cannot be used.
    """
    found = config.read_profiler()
    if found is None:
        return None
    library = load_library(config.globals.settings, config.global_location)
    definition = parse_definitions(*found, library)
    if any(not each.functions.isdisjoint(MODEL_FUNCTIONS) for each in definition.expressions()):
        raise found.location.error(_NO_MODELS)
    return ProfilingSink(definition, config, sink, errors)
