"""A profiler in memory, with which profiles are tried out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stellar.language.context import Context
from stellar.profiles.builder import Measurement, ProfileBuilder, ProfileError
from stellar.profiles.definitions import ProfilerDefinition
from stellar.profiles.routing import MessageRouter, Report

MAX_ENTITIES = 100_000


class LocalProfiler:
    """Applies messages to profiles, and measures them on request.

    An entity has one value for all messages since the last measurement, even if they belong to several periods, and its
    variables are preserved: `init` assigns them again.

    duration: of a period in milliseconds
    context: the services that expressions use
    report: receives the failures of profiles
    """

    STELLAR_NOUN = "a profiler"

    def __init__(self, definition: ProfilerDefinition, duration: int, context: Context, report: Report) -> None:
        self._definition = definition
        self._duration = duration
        self._context = context
        self._report = report
        self._router = MessageRouter(definition, context, report)
        self._builders: dict[tuple[int, str], ProfileBuilder] = {}
        self._messages = self._routes = 0

    def apply(self, message: Mapping[str, Any]) -> None:
        """Apply a message to the profiles that it counts for.

        Raises ValueError for more than 100,000 entities.
        """
        self._messages += 1
        for index, entity, time in self._router.route(message):
            self._routes += 1
            try:
                self._find_builder(index, entity).apply(message, time, self._context)
            except ProfileError as error:
                self._report(error)

    def _find_builder(self, index: int, entity: str) -> ProfileBuilder:
        builder = self._builders.get((index, entity))
        if builder is None:
            if len(self._builders) >= MAX_ENTITIES:
                raise ValueError(
                    f"the profiles have more than {MAX_ENTITIES:,} entities; restrict them by onlyif, or use "
                    "the command stellar-profiler"
                )
            builder = self._builders[index, entity] = ProfileBuilder(self._definition.profiles[index], entity)
        return builder

    def flush(self) -> list[Measurement]:
        """Return the values of all entities with messages since the last call."""
        measurements = []
        for builder in self._builders.values():
            if builder.is_started:
                try:
                    measurements.append(builder.measure(self._duration, self._context))
                except ProfileError as error:
                    self._report(error)
        return measurements

    def __str__(self) -> str:
        return (
            f"Profiler{{{len(self._definition.profiles)} profile(s), {self._messages} messages(s), "
            f"{self._routes} route(s)}}"
        )
