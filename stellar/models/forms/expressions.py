"""Expressions of derived fields and outputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from stellar.models.errors import Origin
    from stellar.models.forms.fields import ValueRange


@dataclass(frozen=True, slots=True)
class ConstantForm:
    """A value."""

    value: Any
    origin: Origin


@dataclass(frozen=True, slots=True)
class FieldRef:
    """The value of a field."""

    field: str
    missing: str | None
    origin: Origin


@dataclass(frozen=True, slots=True)
class NormContinuous:
    """A piecewise linear function of a field.

    points: pairs of original and normalized values, ascending
    """

    field: str
    points: tuple[tuple[float, float], ...]
    outliers: str
    missing: float | None
    origin: Origin


@dataclass(frozen=True, slots=True)
class NormDiscrete:
    """1 if a field has a value, else 0."""

    field: str
    value: str
    missing: float | None
    origin: Origin


@dataclass(frozen=True, slots=True)
class Discretize:
    """The name of the interval that the value of a field is in."""

    field: str
    bins: tuple[tuple[str, ValueRange], ...]
    default: str | None
    missing: str | None
    data_type: str | None
    origin: Origin


@dataclass(frozen=True, slots=True)
class MapValues:
    """The output of the row of a table that has the values of fields.

    fields: pairs of field and column
    rows: of strings, by column
    """

    fields: tuple[tuple[str, str], ...]
    rows: tuple[dict[str, str], ...]
    output: str
    default: str | None
    missing: str | None
    data_type: str | None
    origin: Origin


@dataclass(frozen=True, slots=True)
class Apply:
    """The result of a function."""

    function: str
    arguments: tuple[ExpressionForm, ...]
    missing: str | None
    default: str | None
    invalid: str
    origin: Origin


@dataclass(frozen=True, slots=True)
class Aggregate:
    """A function of the values of a list.

    function: count, sum, average, min, max or multiset
    """

    field: str
    function: str
    origin: Origin


@dataclass(frozen=True, slots=True)
class NormalizationRows:
    """Replacements in a string before its terms are counted.

    rows: of strings, by column
    """

    rows: tuple[dict[str, str], ...]
    input: str
    output: str
    expression: str
    is_recursive: bool
    is_case_sensitive: bool | None
    tokenize: bool | None
    separator: str | None
    origin: Origin


@dataclass(frozen=True, slots=True)
class TextIndex:
    """The weight of a term in a string."""

    field: str
    term: ExpressionForm
    weights: str
    is_case_sensitive: bool
    max_distance: int
    count_hits: str
    separator: str
    tokenize: bool
    normalizations: tuple[NormalizationRows, ...]
    origin: Origin


ExpressionForm: TypeAlias = (
    ConstantForm | FieldRef | NormContinuous | NormDiscrete | Discretize | MapValues | Apply | Aggregate | TextIndex
)
