"""Predicates of trees, rules, segments and scorecards. They are true, false or unknown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from stellar.models.errors import Origin


@dataclass(frozen=True, slots=True)
class Always:
    """True or false for each record."""

    value: bool
    origin: Origin


@dataclass(frozen=True, slots=True)
class FieldComparison:
    """A field compared with a constant.

    operator: equal, notEqual, lessThan, lessOrEqual, greaterThan, greaterOrEqual, isMissing or isNotMissing
    """

    field: str
    operator: str
    value: str | None
    origin: Origin


@dataclass(frozen=True, slots=True)
class SetMembership:
    """A field whose value is in a set, or is not."""

    field: str
    values: tuple[str, ...]
    negated: bool
    origin: Origin


@dataclass(frozen=True, slots=True)
class Combination:
    """Predicates combined.

    operator: and, or, xor or surrogate
    """

    operator: str
    predicates: tuple[Predicate, ...]
    origin: Origin


Predicate: TypeAlias = Always | FieldComparison | SetMembership | Combination
