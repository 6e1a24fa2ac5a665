"""Routing of messages to profiles: whether a message counts, at which time, and for which entity."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from stellar.language.context import Context
from stellar.language.conversions import to_boolean, to_long, to_optional_string
from stellar.language.errors import StellarError
from stellar.language.runtime import describe
from stellar.profiles.builder import ProfileError
from stellar.profiles.definitions import ProfileDefinition, ProfilerDefinition
from stellar.util.clock import now

MAX_ENTITY_LENGTH = 4_096  # characters
Report = Callable[[Exception], None]


class MessageRoute(NamedTuple):
    """A message counts for an entity of a profile.

    number: of the profile in the definitions
    time: of the message in milliseconds since 1970
    """

    number: int
    entity: str
    time: int


class MessageRouter:
    """Finds the profiles of messages.

    report: receives a ProfileError for each profile whose expressions fail; the others are not affected
    clock: returns the time in milliseconds since 1970, for profiles without a timestamp field
    untimed: the number of messages without the timestamp field, which are ignored
    """

    def __init__(
        self, definition: ProfilerDefinition, context: Context, report: Report, clock: Callable[[], int] | None = None
    ) -> None:
        self._profiles = definition.profiles
        self._field = definition.timestamp_field
        self._context = context
        self._report = report
        self._clock = clock or now
        self.untimed = 0

    def route(self, message: Mapping[str, Any]) -> Iterator[MessageRoute]:
        """Yield the routes of a message."""
        time = self._clock() if self._field is None else to_long(message.get(self._field))
        if time is None:
            self.untimed += 1
            return
        for number, profile in enumerate(self._profiles):
            try:
                if self._counts(profile, message):
                    yield MessageRoute(number, self._find_entity(profile, message), time)
            except ProfileError as error:
                self._report(error)

    def _counts(self, profile: ProfileDefinition, message: Mapping[str, Any]) -> bool:
        if (expression := profile.onlyif) is None:
            return True
        try:
            value = expression(message, self._context)
        except StellarError as error:
            raise ProfileError(profile.name, f"onlyif failed: {error}") from error
        counts = value if value.__class__ is bool else to_boolean(value)
        if counts is None:
            raise ProfileError(
                profile.name, f"onlyif must be true or false, got {describe(value)}: {expression.source}"
            )
        return counts

    def _find_entity(self, profile: ProfileDefinition, message: Mapping[str, Any]) -> str:
        try:
            entity = to_optional_string(profile.foreach(message, self._context))
        except (StellarError, ValueError) as error:
            raise ProfileError(profile.name, f"foreach failed: {error}") from error
        if not entity:
            found = "null" if entity is None else "an empty string"
            hint = f'restrict the messages, as in "onlyif": "exists({profile.foreach.source})"'
            raise ProfileError(profile.name, f"foreach is {found}, not the name of an entity; {hint}")
        if len(entity) > MAX_ENTITY_LENGTH:
            problem = (
                f"the entity has {len(entity):,} characters, more than {MAX_ENTITY_LENGTH:,}; shorten it in foreach"
            )
            raise ProfileError(profile.name, problem, entity)
        return entity
