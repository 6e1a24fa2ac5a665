"""The settings of the profiler in the global configuration."""

from __future__ import annotations

from stellar.language.context import Context, GlobalSettings
from stellar.pipeline.profiler.output import ProfilerOutput
from stellar.profiles.definitions import ProfilerDefinition
from stellar.profiles.periods import PROFILER, read_duration, read_time
from stellar.profiles.store import ProfileStore
from stellar.profiles.stream import MAX_ENTITIES, StreamProfiler
from stellar.util.abbreviate import quote

LAG_KEY = "profiler.window.lag"
MAX_ENTITIES_KEY = "profiler.max.routes.per.bolt"


def make_profiler(
    definition: ProfilerDefinition,
    settings: GlobalSettings,
    store: ProfileStore,
    context: Context,
    output: ProfilerOutput,
    *,
    run: str,
    owner: str | None,
) -> StreamProfiler:
    """Return a profiler with the settings of the global configuration. Raises ValueError for an invalid setting."""
    return StreamProfiler(
        definition,
        read_duration(settings, PROFILER),
        store,
        context,
        output.report,
        run=run,
        owner=owner,
        lag=read_time(settings, LAG_KEY, (1, "MINUTES")),
        max_entities=_read_count(settings, MAX_ENTITIES_KEY, MAX_ENTITIES),
        emit=output.emit,
    )


def _read_count(settings: GlobalSettings, key: str, default: int) -> int:
    value = settings.get(key, default)
    text = str(value)
    if isinstance(value, bool) or not text.isascii() or not text.isdecimal() or not int(text):
        raise ValueError(f"invalid {key}: expected an integer of 1 or more, got {quote(value)}")
    return int(text)
