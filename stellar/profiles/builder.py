"""The value of one entity in one period, built message by message."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from stellar.language.context import Context
from stellar.language.errors import StellarError
from stellar.language.expression import Expression
from stellar.language.runtime import describe
from stellar.profiles.definitions import Assignments, ProfileDefinition
from stellar.profiles.periods import Period, find_period
from stellar.util.abbreviate import abbreviate_value, quote

MAX_ELEMENTS = 100_000  # of a list, set, map or string in a variable


class ProfileError(ValueError):
    """A failure of a profile: of which entity, and of which expression."""

    def __init__(self, profile: str, problem: str, entity: str | None = None) -> None:
        of_entity = "" if entity is None else f" of {abbreviate_value(entity)}"
        super().__init__(f"profile {quote(profile)}{of_entity}: {problem}")
        self.profile = profile


@dataclass(frozen=True, slots=True)
class Measurement:
    """The value of an entity in a period.

    groups: the values of the expressions of `groupBy`
    triage: the fields of the message for threat triage; empty for no message
    """

    definition: ProfileDefinition
    entity: str
    period: Period
    value: Any
    groups: tuple[Any, ...] = ()
    triage: Mapping[str, Any] = field(default_factory=dict)

    @property
    def profile(self) -> str:
        """The name of the profile."""
        return self.definition.name


class ProfileBuilder:
    """The variables of one entity.

    state: the variables; they take precedence over fields of a message
    is_started: True after `init`, until the value is measured
    is_full: True after a variable had too many elements
    latest: the largest time of a message, in milliseconds since 1970
    """

    __slots__ = ("definition", "entity", "is_full", "is_started", "latest", "state")

    def __init__(self, definition: ProfileDefinition, entity: str) -> None:
        self.definition = definition
        self.entity = entity
        self.state: dict[str, Any] = {}
        self.is_started = False
        self.is_full = False
        self.latest = 0

    def apply(self, message: Mapping[str, Any], time: int, context: Context) -> None:
        """Update the variables by a message: first `init`, if it is the first message, then `update`.

        An expression without a result leaves its variable unchanged. The first one that fails ends the update.

        Raises ProfileError if an expression fails, and if a variable has too many elements; from then on messages are
        ignored until `measure` reports that there is no value.
        """
        if self.is_full:
            return
        scope = {**message, **self.state}
        if not self.is_started:
            self._assign("init", self.definition.init, scope, context)
            self.is_started = True
        self._assign("update", self.definition.update, scope, context)
        self.latest = max(self.latest, time)

    def _assign(self, section: str, assignments: Assignments, scope: dict[str, Any], context: Context) -> None:
        for name, expression in assignments:
            value = self._evaluate(f"{section} of {quote(name)}", expression, scope, context)
            if value is None:
                continue
            if isinstance(value, _SIZED) and len(value) > MAX_ELEMENTS:
                self.is_full = True
                raise self._error(_too_large(quote(name)))
            scope[name] = self.state[name] = value

    def measure(self, duration: int, context: Context) -> Measurement:
        """Return the value of the period of the largest time; the next message starts with `init` again.

        duration: of a period in milliseconds

        Raises ProfileError if an expression fails or has no result, and if a variable had too many elements.
        """
        is_full, self.is_full, self.is_started = self.is_full, False, False
        if is_full:
            self.state = {}
            raise self._error(f"{_too_large('a variable')}, so there is no value in this period")
        definition, period = self.definition, find_period(self.latest, duration)
        value = self._require("result", definition.result, self.state, context)
        triage = {
            name: self._require(f"triage of {quote(name)}", expression, self.state, context)
            for name, expression in definition.triage
        }
        return Measurement(definition, self.entity, period, value, self._measure_groups(value, period, context), triage)

    def _measure_groups(self, value: Any, period: Period, context: Context) -> tuple[Any, ...]:
        if not self.definition.group_by:
            return ()
        scope = {
            "profile": self.definition.name,
            "entity": self.entity,
            "start": period.start,
            "end": period.end,
            "duration": period.duration,
            "result": value,
            **self.state,
        }
        return tuple(self._require("groupBy", each, scope, context) for each in self.definition.group_by)

    def _require(self, section: str, expression: Expression, scope: dict[str, Any], context: Context) -> Any:
        if (value := self._evaluate(section, expression, scope, context)) is None:
            raise self._error(f"{section} is null, so there is no value in this period: {expression.source}")
        return value

    def _evaluate(self, section: str, expression: Expression, scope: dict[str, Any], context: Context) -> Any:
        try:
            return expression(scope, context)
        except StellarError as error:
            raise self._error(f"{section} failed: {error}") from error

    def _error(self, problem: str) -> ProfileError:
        return ProfileError(self.definition.name, problem, self.entity)


_SIZED = (list, set, frozenset, dict, str, bytes)


def _too_large(variable: str) -> str:
    return (
        f"{variable} has more than {MAX_ELEMENTS:,} elements; use a summary of bounded size, such as HLLP, BLOOM, "
        "STATS or SAMPLE"
    )


def make_message(measurement: Measurement) -> tuple[dict[str, Any], list[ProfileError]]:
    """Return the message of a measurement for threat triage without timestamp and guid, and an error for each value
    that is neither a string, a number nor a boolean, which is left out.
    """
    period = measurement.period
    message: dict[str, Any] = {
        "profile": measurement.profile,
        "entity": measurement.entity,
        "period": period.id,
        "period.start": period.start,
        "period.end": period.end,
        "source.type": "profiler",
        "is_alert": "true",
    }
    errors = []
    for name, value in measurement.triage.items():
        if isinstance(value, str | bool | int | float):
            message[name] = value
        else:
            problem = f"triage of {quote(name)} must be a string, a number or a boolean, got {describe(value)}"
            errors.append(ProfileError(measurement.profile, problem, measurement.entity))
    return message, errors
