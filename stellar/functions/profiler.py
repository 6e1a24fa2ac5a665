"""A profiler in memory, with which definitions of profiles are tried out."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from stellar.java.jackson import read_first_value
from stellar.language.context import Context, GlobalSettings, report_or_log
from stellar.language.expression import shell_library
from stellar.language.library import stellar
from stellar.language.runtime import describe
from stellar.profiles.definitions import compile_with, read_definitions
from stellar.profiles.local import LocalProfiler
from stellar.profiles.periods import read_duration

log = logging.getLogger(__name__)


@stellar("PROFILER_INIT")
def init(context: Context, config: str) -> LocalProfiler:
    """Create a profiler in memory.

    config: The definitions of profiles, as JSON like in `profiler.json`
    returns: The profiler

    The global settings `profiler.period.duration` and `profiler.period.duration.units` are the length of periods, by
    default 15 minutes. A failure of an expression is reported, and the other profiles continue.

        PROFILER_INIT('{"profiles": []}') != null  // true
        PROFILER_INIT('{"profiles": [{"profile": "hosts"}]}')  // error
        PROFILER_INIT(null)  // error
    """
    settings = context.get(GlobalSettings) or GlobalSettings()
    library = shell_library().configured(settings)
    definition = read_definitions(_parse(config, "definitions of profiles"), compile_with(library))
    return LocalProfiler(definition, read_duration(settings), context, partial(_report, context))


def _report(context: Context, error: Exception) -> None:
    report_or_log(context, "profiler", error, log)


@stellar("PROFILER_APPLY")
def apply(messages: object, profiler: object) -> LocalProfiler:
    """Apply messages to a profiler. The profiler itself is changed.

    messages: A message as a map or as JSON; or a list of messages, or JSON with a list of them
    profiler: The profiler that PROFILER_INIT returned
    returns: The profiler

        PROFILER_FLUSH(PROFILER_APPLY('{"ip": "10.0.0.1"}', PROFILER_INIT('{"profiles": []}')))  // []
        PROFILER_APPLY('{', PROFILER_INIT('{"profiles": []}'))  // error
        PROFILER_APPLY('{}', null)  // error
    """
    applied = _require_profiler("PROFILER_APPLY", profiler)
    for message in list(_read_messages(messages)):
        applied.apply(message)
    return applied


def _read_messages(value: object, depth: int = 0) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, Mapping):
        yield value
    elif isinstance(value, list | tuple | set | frozenset) and depth < 100:
        for each in value:
            yield from _read_messages(each, depth + 1)
    elif isinstance(value, str) and depth < 100:
        yield from _read_messages(_parse(value, "message"), depth + 1)
    else:
        raise ValueError(f"PROFILER_APPLY expected messages as JSON, maps or lists of them, got {describe(value)}")


def _parse(text: str, noun: str) -> Any:
    try:
        value, rest = read_first_value(text, comments=noun != "message")
    except ValueError as error:
        raise ValueError(f"invalid {noun}: expected a JSON object: {error}") from error
    if rest:
        raise ValueError(f"invalid {noun}: unexpected text after the JSON object: {rest[:40]!r}")
    return value


@stellar("PROFILER_FLUSH")
def flush(profiler: object) -> list[dict[str, Any]]:
    """Return the values of the profiles since the last call, and start a new period.

    profiler: The profiler that PROFILER_INIT returned
    returns: A list of maps with profile, entity, value, groups and period, which is a map with period, start, duration
        and end

        PROFILER_FLUSH(PROFILER_INIT('{"profiles": []}'))  // []
        PROFILER_FLUSH(null)  // error
        PROFILER_FLUSH('profiler')  // error
    """
    return [
        {
            "profile": each.profile,
            "entity": each.entity,
            "value": each.value,
            "groups": list(each.groups),
            "period": {
                "period": each.period.id,
                "start": each.period.start,
                "duration": each.period.duration,
                "end": each.period.end,
            },
        }
        for each in _require_profiler("PROFILER_FLUSH", profiler).flush()
    ]


def _require_profiler(function: str, value: object) -> LocalProfiler:
    if not isinstance(value, LocalProfiler):
        raise ValueError(f"{function} expected the profiler returned by PROFILER_INIT, got {describe(value)}")
    return value
